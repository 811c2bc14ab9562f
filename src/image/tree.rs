//! Copies a folder as a layer: what `import NAME DIR` and the copying storage driver do.
//!
//! The source is walked relative to its descriptor, on its own mount only and through no link. It may change meanwhile;
//! what is gone when it is opened is left out like what may not be read.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layer::{Unpacked, marks};
use super::owners::{Device, Owners};
use super::target::{Attributes, Spot, Target};
use crate::sys::dir::{self, Kind, Meta};

mod content;
mod join;
use content::Sum;
pub use content::xattrs;

/// Copies `source` into the empty folder `root`.
///
/// Its `diff_id` is `sha256:` over one record for each file, in the order of the walk (the names of a folder sorted by
/// their bytes, then its folders one by one): kind, path, mode, owner, time, device, and the target of a link, the hash of
/// the content or the path of the file it is a hard link of; each part with its length before it. Two copies of the same
/// tree have the same, on any file system. It is no hash of an archive, so it equals that of no tar of the same tree.
pub fn copy_tree(source: BorrowedFd<'_>, root: BorrowedFd<'_>, owners: &Owners) -> Result<Unpacked> {
    copy(source, root, *owners, Sum::new(), false)
}

/// The content of one file: shared where the file system can, holes as holes.
pub fn copy_content(from: &std::fs::File, to: &std::fs::File, size: u64) -> Result<()> {
    content::copy(from, to, size, false).map(drop)
}

/// [`copy_tree`] without the hash (`diff_id` stays empty), so that content need not be read where the file system can
/// share it: for the private copy of a layer that is in the store already. `root` may hold the layers below: whiteouts,
/// opaque folders and files of another kind take away what they hide there, and leave nothing of themselves.
pub fn clone_tree(source: BorrowedFd<'_>, root: BorrowedFd<'_>, owners: &Owners) -> Result<Unpacked> {
    copy(source, root, *owners, Sum::none(), true)
}

fn copy(source: BorrowedFd<'_>, root: BorrowedFd<'_>, owners: Owners, sum: Sum, joins: bool) -> Result<Unpacked> {
    // Files of the caller are of the owner that `root` has, in whatever user namespace this runs.
    let own = dir::stat_fd(root)?;
    let mut copying = Copying {
        source,
        target: Target::new(root, owners, (own.uid, own.gid)),
        itself: own.inode,
        names: HashMap::new(),
        sum,
        joins,
        size: 0,
        entries: 0,
    };
    let top = dir::stat_fd(source)?;
    let opened = dir::open_dir_beneath(source, Path::new("")).context("the folder to copy")?;
    copying.add_folder(Path::new(""), &top, opened.as_fd())?;
    let mut folders = vec![PathBuf::new()];
    while let Some(path) = folders.pop() {
        copying.folder(&path, &mut folders).with_context(|| format!("\"{}\"", path.display()))?;
    }
    let Copying { mut target, sum, size, entries, .. } = copying;
    target.finish()?;
    Ok(Unpacked {
        diff_id: sum.finish(),
        size,
        entries,
        records: target.take_records(),
        notes: target.notes.lines(),
        plain_whiteouts: false,
        opaque_root: false,
    })
}

struct Copying<'a> {
    source: BorrowedFd<'a>,
    target: Target<'a>,
    /// The folder that is written to: not to be copied into itself when it lies in the source.
    itself: (u64, u64),
    /// The first path of each file with several names.
    names: HashMap<(u64, u64), PathBuf>,
    sum: Sum,
    /// Onto lower layers, with the marks of an overlay.
    joins: bool,
    size: u64,
    entries: u64,
}

impl Copying<'_> {
    fn folder(&mut self, path: &Path, folders: &mut Vec<PathBuf>) -> Result<()> {
        let Some(opened) = self.readable(path, dir::open_dir_beneath(self.source, path))? else {
            return Ok(());
        };
        let Some(mut names) = self.readable(path, dir::list(opened.as_fd()))? else {
            return Ok(());
        };
        names.sort();
        if self.joins {
            self.remove_hidden(path, opened.as_fd(), &mut names)?;
        }
        let mut deeper = Vec::new();
        for name in names {
            let child = path.join(&name);
            let is_folder = self.entry(opened.as_fd(), &name, &child);
            if is_folder.with_context(|| format!("\"{}\"", child.display()))? {
                deeper.push(child);
            }
        }
        folders.extend(deeper.into_iter().rev());
        Ok(())
    }

    /// Copies one file; true for a folder whose content is to follow.
    fn entry(&mut self, from: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<bool> {
        let Some(meta) = self.readable(path, dir::stat(from, name))? else {
            return Ok(false);
        };
        if meta.kind == Kind::Directory {
            return self.enter(from, name, path, &meta);
        }
        if matches!(meta.kind, Kind::Socket | Kind::Unknown) {
            self.target.notes.add("sockets left out", path.as_os_str().as_bytes());
            return Ok(false);
        }
        let spot = self.target.spot(path)?;
        if meta.nlink > 1 && self.linked(&spot, &meta)? {
            return Ok(false);
        }
        let made = match meta.kind {
            Kind::File => self.file(from, name, &spot, &meta)?,
            Kind::Symlink => {
                let link = dir::read_link(from, name)?;
                self.target.clear(&spot)?;
                dir::make_symlink(&link, spot.folder.as_fd(), spot.name)?;
                self.target.dress(&spot, &attributes(&meta, Vec::new()), None, true)?;
                self.sum.record(b"link", path, &meta, link.as_bytes());
                true
            }
            Kind::Fifo => {
                self.target.clear(&spot)?;
                dir::make_fifo(spot.folder.as_fd(), spot.name, 0o600)?;
                self.target.dress(&spot, &attributes(&meta, Vec::new()), None, false)?;
                self.sum.record(b"fifo", path, &meta, b"");
                true
            }
            _ => {
                let (block, (major, minor)) = (meta.kind == Kind::Block, meta.device);
                self.target.device(&spot, &attributes(&meta, Vec::new()), Device { block, major, minor })?;
                self.sum.record(if block { b"block" } else { b"char" }, path, &meta, b"");
                false
            }
        };
        self.entries += 1;
        if made && meta.nlink > 1 {
            self.names.insert(meta.inode, path.to_owned());
        }
        Ok(false)
    }

    /// Another name of a file that was copied already.
    fn linked(&mut self, spot: &Spot<'_>, meta: &Meta) -> Result<bool> {
        let Some(first) = self.names.get(&meta.inode) else {
            return Ok(false);
        };
        let old = self.target.existing(first)?;
        if self.joins {
            self.target.clear(spot)?;
        }
        dir::hard_link(old.folder.as_fd(), old.name, spot.folder.as_fd(), spot.name)?;
        self.sum.record(b"hard link", spot.path, meta, first.as_os_str().as_bytes());
        self.entries += 1;
        Ok(true)
    }

    fn enter(&mut self, from: BorrowedFd<'_>, name: &OsStr, path: &Path, meta: &Meta) -> Result<bool> {
        if meta.inode == self.itself {
            self.target.notes.add("the folder that is written to left out", path.as_os_str().as_bytes());
            return Ok(false);
        }
        match dir::open_dir_beneath(from, Path::new(name)) {
            Ok(opened) => self.add_folder(path, meta, opened.as_fd()).map(|()| true),
            // A mount point stays as the empty folder that it is mounted on; an unreadable one is kept as empty, too.
            Err(error) => {
                self.readable::<()>(path, Err(error))?;
                let spot = self.target.spot(path)?;
                self.target.folder(&spot, &attributes(meta, Vec::new()))?;
                self.sum.record(b"empty folder", path, meta, b"");
                self.entries += 1;
                Ok(false)
            }
        }
    }

    fn add_folder(&mut self, path: &Path, meta: &Meta, opened: BorrowedFd<'_>) -> Result<()> {
        let mut xattrs = xattrs(opened);
        if self.joins {
            xattrs.retain(|(name, _)| !marks::is_attribute(name));
        }
        let spot = self.target.spot(path)?;
        self.target.folder(&spot, &attributes(meta, xattrs))?;
        self.sum.record(b"folder", path, meta, b"");
        self.entries += 1;
        Ok(())
    }

    fn file(&mut self, from: BorrowedFd<'_>, name: &OsStr, spot: &Spot<'_>, meta: &Meta) -> Result<bool> {
        let Some(input) = self.readable(spot.path, dir::open_beneath(from, Path::new(name)))? else {
            return Ok(false);
        };
        let now = dir::stat_fd(&input)?;
        if now.kind != Kind::File {
            self.target.notes.add(CHANGED, spot.path.as_os_str().as_bytes());
            return Ok(false);
        }
        let output = self.target.file(spot, meta.mode)?;
        let hash = content::copy(&input, &output, now.size, self.sum.wants_content())?;
        self.target.dress(spot, &attributes(meta, xattrs(input.as_fd())), Some(&output), false)?;
        self.sum.record(b"file", spot.path, meta, &hash);
        self.size += now.size;
        Ok(true)
    }

    /// `None`, with a note, for what this user may not read, what is gone meanwhile and what is on another mount.
    fn readable<T>(&mut self, path: &Path, result: io::Result<T>) -> Result<Option<T>> {
        let kind = match result {
            Ok(value) => return Ok(Some(value)),
            Err(error) => match error.kind() {
                io::ErrorKind::PermissionDenied => "files that may not be read left out",
                io::ErrorKind::CrossesDevices => "files on other mounts left out",
                io::ErrorKind::InvalidFilename => "files with a path longer than 4095 bytes left out",
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => CHANGED,
                _ if dir::is_loop(&error) => CHANGED,
                _ => return Err(error.into()),
            },
        };
        self.target.notes.add(kind, path.as_os_str().as_bytes());
        Ok(None)
    }
}

const CHANGED: &str = "files that changed meanwhile left out";

fn attributes(meta: &Meta, xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Attributes {
    Attributes { mode: meta.mode, uid: meta.uid, gid: meta.gid, mtime: meta.mtime, xattrs }
}

#[cfg(test)]
mod tests;
