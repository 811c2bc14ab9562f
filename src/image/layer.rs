//! Unpacks one layer, which is one tar archive, below a directory descriptor (OCI image-spec, layer.md).
//!
//! One pass: the plain stream is hashed as it is read, to its very end, and each member is written through [`Target`].
//! Nothing that an archive says leads outside the root: names lose their leading `/`, a `..` that would leave is an
//! error, links in a path are resolved as if the root were `/`. Later members win over earlier ones. What this user
//! cannot apply (owners, device nodes, some attributes) is recorded, and summed up in notes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

pub mod marks;
mod relative;
use marks::Marks;
use relative::relative;

use super::cpio::Cpio;
use super::digest::Hashing;
use super::owners::{OwnerRecord, Owners};
use super::pack::pack;
use super::source::Stream;
use super::tape::{Member, MemberKind, Tape};
use super::target::{Attributes, Spot, Target};
use crate::sys::dir::{self, Time};

pub use super::tree::{clone_tree, copy_tree};

/// How much of the plain stream is read and hashed at once, and how much of a file is written at once.
const BUFFER: usize = 256 * 1024;

/// The bounds of one layer. What they let through is bounded by the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Content of all files together, holes included.
    pub max_bytes: u64,
    /// The most entries.
    pub max_entries: u64,
    /// Bytes of a path, and of a link's target. The kernel takes 4,095 (path_resolution(7), `PATH_MAX`).
    pub max_path: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 1 << 40, max_entries: 10_000_000, max_path: 4095 }
    }
}

/// What came of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    /// `sha256:<hex>` of the plain tar stream (image-spec, config.md, "Layer DiffID"); for a copied folder see
    /// [`copy_tree`].
    pub diff_id: String,
    /// Bytes of file content.
    pub size: u64,
    /// Members of the archive, or files of the folder.
    pub entries: u64,
    /// What could not be applied, file by file.
    pub records: Vec<OwnerRecord>,
    /// What there is to tell the user: one line for each kind, never one for each file.
    pub notes: Vec<String>,
    /// Some marks of the layer are plain `.wh.` files, which fuse-overlayfs and the copy read, and the kernel does not.
    #[serde(default)]
    pub plain_whiteouts: bool,
    /// The layer hides all below it. An overlay does not read that from a root: the lower ones are to be left out.
    #[serde(default)]
    pub opaque_root: bool,
}

/// Unpacks a plain tar stream into the empty folder `root`, with the default [`Limits`]. An error names the entry and
/// has the `io::Error` in its chain; what was written until then is left for the caller to remove.
pub fn unpack(input: impl Read, root: BorrowedFd<'_>, owners: &Owners) -> Result<Unpacked> {
    unpack_within(input, root, owners, &Limits::default())
}

/// [`unpack`] with other bounds.
pub fn unpack_within(input: impl Read, root: BorrowedFd<'_>, owners: &Owners, limits: &Limits) -> Result<Unpacked> {
    unpack_as(BufReader::with_capacity(BUFFER, input), root, owners, limits, None)
}

/// Unpacks one of several layers into the empty folder `root` of its own: whiteouts and opaque marks come to disk in the
/// form that an overlay reads. An archive without entries is fine. Errors are those of [`unpack`].
pub fn unpack_layer(input: impl BufRead, root: BorrowedFd<'_>, owners: &Owners, limits: &Limits) -> Result<Unpacked> {
    unpack_as(input, root, owners, limits, Some(Marks::default()))
}

fn unpack_as(
    input: impl BufRead,
    root: BorrowedFd<'_>,
    owners: &Owners,
    limits: &Limits,
    marks: Option<Marks>,
) -> Result<Unpacked> {
    let mut tape = Tape::new(Hashing::new(input), limits);
    let unpacked = members(&mut tape, Target::new(root, *owners, (0, 0)), limits, marks)?;
    Ok(Unpacked { diff_id: tape.finish()?.finish(), ..unpacked })
}

/// [`unpack`] for an initramfs. There is no tar archive whose hash could be its `diff_id`: it is that of the tree
/// [packed](super::pack).
pub fn unpack_cpio(input: Stream, root: BorrowedFd<'_>, owners: &Owners) -> Result<Unpacked> {
    let limits = Limits::default();
    let mut target = Target::new(root, *owners, (0, 0));
    target.set_implied(Time::default())?;
    let mut unpacked = members(&mut Cpio::new(input, &limits), target, &limits, None)?;
    unpacked.diff_id = pack(root, &unpacked.records, io::sink()).context("the hash of the tree")?.diff_id;
    Ok(unpacked)
}

/// An archive as a sequence of members; itself the content of the current one.
pub trait Members: Read {
    /// Whether `.wh.` at the start of a name means a removal (image-spec, layer.md, "Whiteouts").
    const WHITEOUTS: bool;

    /// The next member, or `None` at the end.
    fn next_member(&mut self) -> Result<Option<Member>>;
}

/// Writes all members; the `diff_id` is left empty.
fn members<A: Members>(archive: &mut A, target: Target<'_>, limits: &Limits, marks: Option<Marks>) -> Result<Unpacked> {
    let mut unpacking = Unpacking { target, limits, whiteouts: A::WHITEOUTS, size: 0, buffer: vec![0; BUFFER], marks };
    let mut entries = 0;
    while let Some(member) = archive.next_member().with_context(|| format!("entry {}", entries + 1))? {
        entries += 1;
        let place = || format!("entry {entries} \"{}\"", member.path.escape_ascii());
        ensure!(entries <= limits.max_entries, "more than {} entries in one archive", limits.max_entries);
        unpacking.member(&member, archive).with_context(place)?;
    }
    let Unpacking { mut target, size, marks, .. } = unpacking;
    ensure!(entries > 0 || marks.is_some(), "the archive is empty");
    let mut marks = marks.unwrap_or_default();
    marks.write(&mut target)?;
    target.finish()?;
    Ok(Unpacked {
        diff_id: String::new(),
        size,
        entries,
        records: target.take_records(),
        notes: target.notes.lines(),
        plain_whiteouts: marks.plain,
        opaque_root: marks.opaque_root,
    })
}

struct Unpacking<'a> {
    target: Target<'a>,
    limits: &'a Limits,
    whiteouts: bool,
    size: u64,
    buffer: Vec<u8>,
    /// For a layer of its own; `None` where whiteouts are applied to this very tree.
    marks: Option<Marks>,
}

impl Unpacking<'_> {
    fn member(&mut self, member: &Member, content: &mut impl Read) -> Result<()> {
        ensure!(member.link.len() <= self.limits.max_path, "the link's target is longer than {}", self.limits.max_path);
        let path = relative(&member.path, self.limits.max_path)?;
        if let MemberKind::Other(flag) = member.kind {
            let kind = "entries of an unknown type left out";
            // `V` is the label of a tape: there is nothing to miss.
            if flag != b'V' {
                self.target.notes.add(kind, &member.path);
            }
            return Ok(());
        }
        if self.marks.is_some() && marks::below_mark(&path) {
            self.target.notes.add("entries below a whiteout left out", &member.path);
            return Ok(());
        }
        if self.whiteouts
            && let Some(removed) = path.file_name().and_then(|name| name.as_bytes().strip_prefix(b".wh."))
        {
            return self.whiteout(&path, removed);
        }
        ensure!(
            path.file_name().is_some() || member.kind == MemberKind::Directory,
            "the root of the archive is not a folder"
        );
        let spot = self.target.spot(&path)?;
        self.place(&spot, member, content)
    }

    fn place(&mut self, spot: &Spot<'_>, member: &Member, content: &mut impl Read) -> Result<()> {
        let Member { mode, uid, gid, mtime, .. } = *member;
        let attributes = Attributes { mode, uid, gid, mtime, xattrs: member.xattrs.clone() };
        match member.kind {
            MemberKind::File => {
                self.file(spot, &attributes, &[(0, member.size)], member.size, content)?;
            }
            MemberKind::Sparse(ref map) => {
                self.file(spot, &attributes, map, member.size, content)?;
            }
            MemberKind::HardLink => self.hard_link(spot, &member.link)?,
            MemberKind::Symlink => {
                ensure!(!member.link.is_empty() && !member.link.contains(&0), "bad target of a symbolic link");
                self.target.clear(spot)?;
                dir::make_symlink(OsStr::from_bytes(&member.link), spot.folder.as_fd(), spot.name)?;
                self.target.dress(spot, &attributes, None, true)?;
            }
            MemberKind::Directory => self.target.folder(spot, &attributes)?,
            MemberKind::Fifo => {
                self.target.clear(spot)?;
                dir::make_fifo(spot.folder.as_fd(), spot.name, 0o600)?;
                self.target.dress(spot, &attributes, None, false)?;
            }
            MemberKind::Device(device) => self.target.device(spot, &attributes, device)?,
            MemberKind::Other(_) => {}
        }
        Ok(())
    }

    /// A regular file of `size` bytes, with content only where `map` (offset, length) has some.
    fn file(
        &mut self,
        spot: &Spot<'_>,
        attributes: &Attributes,
        map: &[(u64, u64)],
        size: u64,
        content: &mut impl Read,
    ) -> Result<()> {
        self.size = self.size.saturating_add(size);
        let max = self.limits.max_bytes;
        ensure!(self.size <= max, "more than {max} bytes in one archive");
        let file = self.target.file(spot, attributes.mode)?;
        if *map != [(0, size)] {
            file.set_len(size)?;
        }
        for (offset, length) in map {
            self.pour(&file, *offset, *length, content)?;
        }
        self.target.dress(spot, attributes, Some(&file), false)
    }

    fn pour(&mut self, file: &File, mut offset: u64, length: u64, content: &mut impl Read) -> Result<()> {
        let end = offset + length;
        while offset < end {
            let want = self.buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
            let got = content.read(&mut self.buffer[..want])?;
            ensure!(got > 0, "the archive ends in the middle of a file");
            file.write_all_at(&self.buffer[..got], offset)?;
            offset += got as u64;
        }
        Ok(())
    }

    /// The target is a name in the archive, so it is resolved like one: never outside, and not followed.
    fn hard_link(&mut self, spot: &Spot<'_>, link: &[u8]) -> Result<()> {
        let named = || format!("hard link to \"{}\"", link.escape_ascii());
        let path = relative(link, self.limits.max_path).with_context(named)?;
        let old = self.target.existing(&path).with_context(named)?;
        let meta = dir::stat(old.folder.as_fd(), old.name).with_context(named)?;
        // Linked already: to clear the name first could remove the only one there is.
        if dir::stat(spot.folder.as_fd(), spot.name).is_ok_and(|there| there.inode == meta.inode) {
            return Ok(());
        }
        self.target.clear(spot)?;
        dir::hard_link(old.folder.as_fd(), old.name, spot.folder.as_fd(), spot.name).with_context(named)
    }

    /// `.wh.NAME` removes NAME of the same tree, or of the layers below this one; `.wh..wh.*` (the opaque mark, and aufs's own) stands for no file
    /// (image-spec, layer.md, "Whiteouts").
    fn whiteout(&mut self, path: &Path, removed: &[u8]) -> Result<()> {
        if let Some(marks) = &mut self.marks
            && removed == b".wh..opq"
        {
            marks.add_opaque(path.parent().unwrap_or(Path::new("")));
            return Ok(());
        }
        if removed.starts_with(b".wh.") {
            return Ok(());
        }
        ensure!(!matches!(removed, b"" | b"." | b".."), "bad whiteout");
        let path = path.with_file_name(OsStr::from_bytes(removed));
        if let Some(marks) = &mut self.marks {
            marks.add_gone(path);
            return Ok(());
        }
        match self.target.existing(&path) {
            Ok(spot) => Ok(self.target.clear(&spot)?),
            // No folder, so nothing in it.
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
