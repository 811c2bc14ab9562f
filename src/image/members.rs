//! The members of a tar archive whose files are taken one by one, not as a tree: an archive of images.

use super::{
    layer::{Limits, Members as _},
    tape::{MemberKind, Tape},
};
use anyhow::{Context, Result, ensure};
use std::io::{BufReader, Read};

/// One member.
#[derive(Debug)]
pub struct Entry {
    /// As written.
    pub name: Vec<u8>,
    /// What it is.
    pub what: What,
    /// Bytes of content.
    pub size: u64,
}

/// The type of a member.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    /// With content.
    File,
    /// A folder.
    Folder,
    /// A symbolic link and where it leads.
    Symlink(Vec<u8>),
    /// Another name of an earlier member.
    HardLink(Vec<u8>),
    /// A device, a FIFO, a sparse file: nothing that an archive of images has.
    Other,
}

/// Calls `visit` for each of at most `most` members of a plain tar stream, with a reader of its content.
///
/// # Errors
/// The archive is damaged or has more members, or `visit` said so; the error names the member.
pub fn each(input: impl Read, most: u64, visit: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<()>) -> Result<()> {
    let limits = Limits::default();
    let mut tape = Tape::new(BufReader::with_capacity(256 * 1024, input), &limits);
    let mut count = 0;
    while let Some(member) = tape.next_member().with_context(|| format!("entry {}", count + 1))? {
        count += 1;
        ensure!(count <= most, "it has more than {most} entries");
        let what = match member.kind {
            MemberKind::File => What::File,
            MemberKind::Directory => What::Folder,
            MemberKind::Symlink => What::Symlink(member.link),
            MemberKind::HardLink => What::HardLink(member.link),
            _ => What::Other,
        };
        let entry = Entry { name: member.path, what, size: member.size };
        visit(&entry, &mut tape).with_context(|| format!("entry {count} \"{}\"", entry.name.escape_ascii()))?;
    }
    tape.finish()?;
    Ok(())
}
