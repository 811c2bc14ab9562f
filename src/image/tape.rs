//! A tar archive as a stream of members: POSIX ustar and pax, GNU tar, and the old V7 format.
//!
//! The fields of a header are read by the `tar` crate. The sequence is read here: the crate takes a long name or a pax
//! header of any announced size into memory, and loses its place when a pax value holds a newline. Where readers differ
//! (links and folders that announce content), it follows Go's archive/tar, which is what image layers are made with.

mod fields;
mod sparse;

use std::io::{self, BufRead, Read};

use anyhow::{Context, Result, ensure};
use tar::Header;

pub use fields::checksum_is_good;
use fields::{id, kind};

use super::layer::{Limits, Members};
use super::owners::Device;
use super::pax::{self, Pax};
use crate::sys::dir::Time;

const BLOCK: usize = 512;

/// The bound of a pax header, as in Go's archive/tar; attributes are what makes one long.
const PAX_MAX: u64 = 1 << 20;

const SPARSE: &str = "a sparse file in pax format is not supported (pack it with `tar --format=gnu`, or without \
                      `--sparse`)";

/// One member, with all that its extended headers say already applied.
#[derive(Debug)]
pub struct Member {
    pub kind: MemberKind,
    /// As written: not yet made relative, and of any bytes.
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    /// Bytes of content, holes included.
    pub size: u64,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The type of a member (POSIX pax, "typeflag").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    File,
    /// Stretches of content as (offset, length), in order and apart.
    Sparse(Vec<(u64, u64)>),
    HardLink,
    Symlink,
    Directory,
    Fifo,
    Device(Device),
    /// Any other type flag.
    Other(u8),
}

/// The reader; itself a [`Read`] of the content of the current member.
pub struct Tape<'a, R> {
    input: R,
    limits: &'a Limits,
    /// Content of the current member that was not read yet, and the filling of its last block.
    left: u64,
    padding: u64,
}

impl<'a, R: BufRead> Tape<'a, R> {
    /// Starts at the first header.
    pub fn new(input: R, limits: &'a Limits) -> Self {
        Self { input, limits, left: 0, padding: 0 }
    }

    /// The end is a block of zeros, or the end of the stream where a header could stand.
    fn member_or_end(&mut self) -> Result<Option<Member>> {
        let (mut long_path, mut long_link, mut extended) = (None, None, None);
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                let dangling = long_path.is_some() || long_link.is_some() || extended.is_some();
                ensure!(!dangling, "the archive ends after a header that announces another member");
                return Ok(None);
            };
            let limit = self.limits.max_path as u64 + 1;
            match header.entry_type().as_byte() {
                b'L' => long_path = Some(self.long_name(&header, limit)?),
                b'K' => long_link = Some(self.long_name(&header, limit)?),
                b'x' => {
                    let data = self.extension(&header, PAX_MAX).context("pax header")?;
                    extended = Some(pax::parse(&data)?);
                }
                // Global records are defaults that nothing but `git archive` writes, and that one only as a comment.
                b'g' => drop(self.extension(&header, PAX_MAX).context("global pax header")?),
                _ => {
                    return self.member(&header, long_path, long_link, extended.unwrap_or_default()).map(Some);
                }
            }
        }
    }

    /// Reads on to the end of the stream, so that all of it is hashed, and returns the reader below.
    pub fn finish(mut self) -> Result<R> {
        self.skip()?;
        io::copy(&mut self.input, &mut io::sink()).context("the end of the archive")?;
        Ok(self.input)
    }

    fn skip(&mut self) -> Result<()> {
        let rest = self.left.checked_add(self.padding).context("a member's size is out of range")?;
        let skipped = io::copy(&mut (&mut self.input).take(rest), &mut io::sink())?;
        // Only the filling of the last block may be missing, as it is where the archive was never closed (umoci, old Go).
        if skipped < self.left {
            return Err(cut_short());
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// Reads one block of zeros or a header with a good checksum.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        self.exact(header.as_mut_bytes())?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        ensure!(checksum_is_good(&header), "damaged archive: a header's checksum does not match");
        fields::fill_blanks(&mut header);
        Ok(Some(header))
    }

    fn exact(&mut self, into: &mut [u8]) -> Result<()> {
        match self.input.read_exact(into) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(cut_short()),
            result => Ok(result?),
        }
    }

    /// The content of a header that describes the next one, of a size that is bounded before it is read.
    fn extension(&mut self, header: &Header, limit: u64) -> Result<Vec<u8>> {
        let size = header.entry_size()?;
        ensure!(size <= limit, "an extended header of {size} bytes is too long (limit {limit})");
        let mut data = vec![0; usize::try_from(size)?];
        self.exact(&mut data)?;
        self.padding = padding(size);
        Ok(data)
    }

    /// GNU tar writes a long name as the content of a member, closed by a zero byte.
    fn long_name(&mut self, header: &Header, limit: u64) -> Result<Vec<u8>> {
        let mut name = self.extension(header, limit).context("long name")?;
        while name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn member(
        &mut self,
        header: &Header,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        pax: Pax,
    ) -> Result<Member> {
        let path = pax.path.or(long_path).unwrap_or_else(|| header.path_bytes().into_owned());
        let link = pax.linkpath.or(long_link);
        let link = link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        let name = || format!("\"{}\"", path.escape_ascii());
        if pax.sparse {
            return Err(anyhow::anyhow!(SPARSE)).with_context(name);
        }
        let kind = kind(header, &path).with_context(name)?;
        let stored = match kind {
            // Links, folders and nodes have no content, whatever size they announce (Go's isHeaderOnly).
            MemberKind::File | MemberKind::Sparse(_) | MemberKind::Other(_) => {
                pax.size.map_or_else(|| header.entry_size(), Ok).with_context(name)?
            }
            _ => 0,
        };
        (self.left, self.padding) = (stored, padding(stored));
        let (kind, size) = match kind {
            MemberKind::Sparse(_) => self.sparse(header, stored).with_context(name)?,
            kind => (kind, stored),
        };
        let old = || header.mtime().map(|sec| Time { sec: sec.cast_signed(), nsec: 0 });
        Ok(Member {
            mode: header.mode().with_context(name)? & 0o7777,
            uid: id(pax.uid.map_or_else(|| header.uid(), Ok)).with_context(name)?,
            gid: id(pax.gid.map_or_else(|| header.gid(), Ok)).with_context(name)?,
            mtime: pax.mtime.map_or_else(old, Ok).with_context(name)?,
            xattrs: pax.xattrs,
            kind,
            path,
            link,
            size,
        })
    }
}

impl<R: BufRead> Members for Tape<'_, R> {
    const WHITEOUTS: bool = true;

    fn next_member(&mut self) -> Result<Option<Member>> {
        self.member_or_end()
    }
}

impl<R: BufRead> Read for Tape<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if length == 0 {
            return Ok(0);
        }
        let length = self.input.read(&mut into[..length])?;
        if length == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends in the middle of a file"));
        }
        self.left -= length as u64;
        Ok(length)
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn cut_short() -> anyhow::Error {
    let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut short");
    anyhow::Error::new(error)
}
