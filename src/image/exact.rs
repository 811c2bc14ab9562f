//! Copies a tree as it is: for moving a store. Unlike [`super::copy_tree`] it keeps what belongs to the overlay, too:
//! whiteouts and their attributes.

use crate::sys::dir::{self, Kind, Meta};
use anyhow::{Context, Result};
use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

/// Copies what is in `from` into the empty folder `to`: kinds, names, owners, modes, times, attributes, holes and hard
/// links. Where files have several owners it runs in a user namespace that has them all.
///
/// # Errors
/// Something cannot be read or written; the error names it.
pub fn copy_exactly(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let mut folders = vec![PathBuf::new()];
    let mut done = Vec::new();
    let mut links = HashMap::new();
    while let Some(path) = folders.pop() {
        let place = || format!("\"{}\"", path.display());
        let mut copy = || -> Result<Vec<PathBuf>> {
            let source = dir::open_dir_beneath(from, &path)?;
            let target = dir::open_dir_beneath(to, &path)?;
            let mut deeper = Vec::new();
            for name in dir::list(source.as_fd())? {
                let child = path.join(&name);
                let one = One { from: source.as_fd(), to: target.as_fd(), name: &name };
                if one.copy(to, &child, &mut links).with_context(|| format!("\"{}\"", child.display()))? {
                    deeper.push(child);
                }
            }
            Ok(deeper)
        };
        folders.extend(copy().with_context(place)?);
        done.push(path);
    }
    // Children first: what is made in a folder changes its time, and its mode may forbid it.
    for path in done.iter().rev().filter(|path| !path.as_os_str().is_empty()) {
        dress(from, to, path).with_context(|| format!("\"{}\"", path.display()))?;
    }
    Ok(())
}

/// Gives a folder what the other one has.
fn dress(from: BorrowedFd<'_>, to: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let (source, target) = (dir::open_dir_beneath(from, path)?, dir::open_dir_beneath(to, path)?);
    let meta = dir::stat_fd(&source)?;
    attributes(source.as_fd(), target.as_fd())?;
    dir::chmod(&target, meta.mode)?;
    dir::set_time(target.as_fd(), OsStr::new("."), meta.mtime)?;
    Ok(())
}

/// One name of a folder.
struct One<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    name: &'a OsStr,
}

impl One<'_> {
    /// True for a folder whose content is to follow.
    fn copy(&self, root: BorrowedFd<'_>, path: &Path, links: &mut HashMap<(u64, u64), PathBuf>) -> Result<bool> {
        let Self { from, to, name } = *self;
        let meta = dir::stat(from, name)?;
        if meta.kind != Kind::Directory && meta.nlink > 1 {
            if let Some(first) = links.get(&meta.inode) {
                let folder = dir::open_dir_beneath(root, first.parent().unwrap_or(Path::new("")))?;
                dir::hard_link(folder.as_fd(), first.file_name().unwrap_or_default(), to, name)?;
                return Ok(false);
            }
            links.insert(meta.inode, path.into());
        }
        match meta.kind {
            Kind::Directory => {
                dir::make_dir(to, name, 0o700)?;
                self.give(&meta)?;
                return Ok(true);
            }
            Kind::File => {
                let (source, target) = (dir::open_beneath(from, Path::new(name))?, dir::create_file(to, name, 0o600)?);
                super::tree::copy_content(&source, &target, meta.size)?;
                self.give(&meta)?;
                dir::chmod(&target, meta.mode)?;
                attributes(source.as_fd(), target.as_fd())?;
            }
            Kind::Symlink => {
                dir::make_symlink(&dir::read_link(from, name)?, to, name)?;
                self.give(&meta)?;
            }
            _ => {
                dir::make_node(to, name, &meta)?;
                self.give(&meta)?;
                dir::chmod(dir::open_path(to, name)?, meta.mode)?;
            }
        }
        dir::set_time(to, name, meta.mtime)?;
        Ok(false)
    }

    /// Only where it is not so already: without a range of ids nothing may be given to anybody.
    fn give(&self, meta: &Meta) -> Result<()> {
        let made = dir::stat(self.to, self.name)?;
        if (made.uid, made.gid) != (meta.uid, meta.gid) {
            dir::chown(self.to, self.name, Some(meta.uid), Some(meta.gid))?;
        }
        Ok(())
    }
}

fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    for name in own_attributes(from) {
        dir::set_xattr(to, &name, &dir::read_xattr(from, &name)?)?;
    }
    Ok(())
}

/// The attributes that a file of a store can have; the rest belongs to the machine.
pub(super) fn own_attributes(fd: BorrowedFd<'_>) -> Vec<OsString> {
    let mut names = dir::xattr_names(fd).unwrap_or_default();
    names.retain(|name| name.as_bytes().starts_with(b"user.") || name == "security.capability");
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn a_copy_is_the_same() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = a.path();
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        fs::write(root.join("a/b/text"), vec![7; 300_000]).unwrap();
        fs::File::create(root.join("a/hole")).unwrap().set_len(1 << 20).unwrap();
        fs::hard_link(root.join("a/b/text"), root.join("a/again")).unwrap();
        std::os::unix::fs::symlink("/nowhere", root.join("a/link")).unwrap();
        std::os::unix::net::UnixListener::bind(root.join("a/socket")).unwrap();
        let open = |folder: &tempfile::TempDir| fs::File::open(folder.path()).unwrap();
        dir::make_fifo(open(&a).as_fd(), OsStr::new("fifo"), 0o640).unwrap();
        let _ = dir::set_xattr(fs::File::open(root.join("a/b")).unwrap(), OsStr::new("user.overlay.opaque"), b"y");
        fs::set_permissions(root.join("a/b"), fs::Permissions::from_mode(0o555)).unwrap();
        copy_exactly(open(&a).as_fd(), open(&b).as_fd()).unwrap();
        assert_eq!(super::super::difference(open(&a).as_fd(), open(&b).as_fd()).unwrap(), None);
        let mode = fs::metadata(b.path().join("a/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o555);
        for folder in [&a, &b] {
            fs::set_permissions(folder.path().join("a/b"), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}
