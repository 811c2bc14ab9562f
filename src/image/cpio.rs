//! An initramfs as a stream of members: cpio archives in the formats newc, crc and odc, any number after each other.
//!
//! The formats are told in cpio(5) and in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. What
//! the kernel takes is taken here: archives that follow each other with zeros between, compressed or not; names and
//! targets filled up with zeros; hard links within one archive, of which any one has the content. Unlike the kernel,
//! which goes on with what it has, an archive that ends without its last record is an error.

mod header;
mod links;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use anyhow::{Context, Result, ensure};

use super::layer::{Limits, Members};
use super::source::Stream;
use super::tape::{Member, MemberKind};
use header::{Entry, Layout};
use links::Links;

/// The name of the record that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// The reader; itself a [`Read`] of the content of the current member.
pub struct Cpio<'a> {
    input: Stream,
    limits: &'a Limits,
    /// Within an archive: a header comes next.
    inside: bool,
    headers: u64,
    links: Links,
    /// Content of the current member that was not read yet, and the filling behind it.
    left: u64,
    padding: u64,
    /// The sum that the content must have, and that of what was read (format crc).
    expected: Option<u32>,
    sum: u32,
}

impl<'a> Cpio<'a> {
    /// Starts before the first archive.
    pub fn new(input: Stream, limits: &'a Limits) -> Self {
        let links = Links::default();
        Self { input, limits, inside: false, headers: 0, links, left: 0, padding: 0, expected: None, sum: 0 }
    }

    fn skip(&mut self) -> Result<()> {
        let left = self.left;
        let skipped = io::copy(&mut self.by_ref().take(left), &mut io::sink())?;
        ensure!(skipped == left, cut_short());
        let padding = self.padding;
        let skipped = io::copy(&mut (&mut self.input).take(padding), &mut io::sink())?;
        ensure!(skipped == padding, cut_short());
        (self.padding, self.expected) = (0, None);
        Ok(())
    }

    fn exact(&mut self, into: &mut [u8]) -> Result<()> {
        match self.input.read_exact(into) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(cut_short().into()),
            result => Ok(result?),
        }
    }

    /// The next header with its name, whose end is where the content begins.
    fn entry(&mut self) -> Result<Entry> {
        let mut magic = [0; header::MAGIC];
        self.exact(&mut magic)?;
        let layout = Layout::of(magic).with_context(|| {
            format!("damaged archive: no header of a cpio archive, but \"{}\"", magic.escape_ascii())
        })?;
        let mut fields = vec![0; layout.fields()];
        self.exact(&mut fields)?;
        let (mut entry, length) = layout.entry(&fields)?;
        // The zero at the end counts, and as many more as the writer liked.
        let most = self.limits.max_path + 1;
        ensure!(length > 0, "damaged archive: a name of no bytes");
        ensure!(length <= most as u64, "the name is longer than {}", self.limits.max_path);
        let mut name = vec![0; usize::try_from(length)?];
        self.exact(&mut name)?;
        ensure!(name.last() == Some(&0), "damaged archive: a name without a zero byte at its end");
        entry.path = without_zeros(name);
        self.padding = layout.padding((header::MAGIC + layout.fields()) as u64 + length);
        self.skip()?;
        (self.left, self.padding, self.sum) = (entry.size, layout.padding(entry.size), 0);
        Ok(entry)
    }

    /// The member of a header; `None` for a hard link whose content is still to come.
    fn member(&mut self, entry: Entry) -> Result<Option<Member>> {
        let named = || format!("\"{}\"", entry.path.escape_ascii());
        let kind = entry.kind();
        let mut link = Vec::new();
        if kind == MemberKind::Symlink {
            let most = self.limits.max_path + 1;
            ensure!(entry.size <= most as u64, "{}: the link's target is longer than {}", named(), most - 1);
            link = vec![0; usize::try_from(entry.size)?];
            self.exact(&mut link).with_context(named)?;
            self.left = 0;
            link = without_zeros(link);
        }
        let key = (kind == MemberKind::File && entry.nlink > 1).then_some(entry.file);
        // Writers leave the sum 0 for all but the content of files.
        self.expected = entry.sum.filter(|_| kind == MemberKind::File && entry.size > 0);
        let member = entry.into_member(kind, link);
        match key {
            Some(key) => self.links.place(key, member),
            None => Ok(Some(member)),
        }
    }
}

impl Members for Cpio<'_> {
    const WHITEOUTS: bool = false;

    fn next_member(&mut self) -> Result<Option<Member>> {
        loop {
            if let Some(member) = self.links.next() {
                return Ok(Some(member));
            }
            self.skip()?;
            if !self.inside && !self.input.next_archive()? {
                return Ok(None);
            }
            self.inside = true;
            let entry = self.entry()?;
            self.headers += 1;
            let most = self.limits.max_entries;
            ensure!(self.headers <= most, "more than {most} entries in one archive");
            if entry.path == TRAILER {
                self.inside = false;
                self.links.end();
            } else if let Some(member) = self.member(entry)? {
                return Ok(Some(member));
            }
        }
    }
}

impl Read for Cpio<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if length == 0 {
            return Ok(0);
        }
        let length = self.input.read(&mut into[..length])?;
        if length == 0 {
            return Err(cut_short());
        }
        self.left -= length as u64;
        if let Some(expected) = self.expected {
            self.sum = into[..length].iter().fold(self.sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
            if self.left == 0 && self.sum != expected {
                let text = "damaged archive: the checksum of a file does not match";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(length)
    }
}

fn without_zeros(mut text: Vec<u8>) -> Vec<u8> {
    let length = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    text.truncate(length);
    text
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut short")
}
