//! Sparse files in the old format of GNU tar (tar manual, "Storing Sparse Files").

use std::io::BufRead;

use anyhow::{Context, Result, ensure};
use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::{MemberKind, Tape};

/// More stretches than any file needs; each takes 16 bytes of memory here and 24 in the archive.
const MAX_SEGMENTS: usize = 1 << 20;

impl<R: BufRead> Tape<'_, R> {
    /// Reads the rest of the map, which comes before the content, and checks that it agrees with both sizes.
    pub(super) fn sparse(&mut self, header: &Header, stored: u64) -> Result<(MemberKind, u64)> {
        let gnu = header.as_gnu().context("sparse file without a GNU header")?;
        let size = gnu.real_size()?;
        let mut map = Vec::new();
        add(&mut map, &gnu.sparse)?;
        let mut extended = gnu.is_extended();
        while extended {
            let mut more = GnuExtSparseHeader::new();
            self.exact(more.as_mut_bytes())?;
            add(&mut map, more.sparse())?;
            extended = more.is_extended();
        }
        let mut end = 0_u64;
        let mut content = 0_u64;
        for (offset, length) in &map {
            ensure!(*offset >= end, "the map of the sparse file is out of order");
            end = offset.checked_add(*length).context("the map of the sparse file is out of range")?;
            content = content.saturating_add(*length);
        }
        ensure!(end <= size && content == stored, "the map of the sparse file does not match its size");
        Ok((MemberKind::Sparse(map), size))
    }
}

fn add(map: &mut Vec<(u64, u64)>, headers: &[GnuSparseHeader]) -> Result<()> {
    for header in headers.iter().filter(|header| !header.is_empty()) {
        map.push((header.offset()?, header.length()?));
    }
    ensure!(map.len() <= MAX_SEGMENTS, "the sparse file has too many parts");
    Ok(())
}
