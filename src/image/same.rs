//! Whether two trees of a layer are the same.

use crate::sys::dir::{self, Kind, Meta};
use anyhow::{Context, Result};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

const BUFFER: usize = 128 * 1024;

/// The first place at which two trees differ, and in what; `None`: they are the same in names, kinds, modes, owners,
/// times, devices, numbers of names, targets of links, attributes and content.
///
/// The time of a folder does not count: an archive need not have the folder at all.
///
/// # Errors
/// Something cannot be read.
pub fn difference(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> Result<Option<String>> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    if let Some(what) = kinds_differ(&dir::stat_fd(a)?, &dir::stat_fd(b)?) {
        return Ok(Some(format!("its root differs in its {what}")));
    }
    let mut folders = vec![PathBuf::new()];
    while let Some(path) = folders.pop() {
        let place = || format!("\"{}\"", path.display());
        let at = [a, b].map(|root| dir::open_dir_beneath(root, &path));
        let [at_a, at_b] = at;
        let (at_a, at_b) = (at_a.with_context(place)?, at_b.with_context(place)?);
        let (names, others) = (names(at_a.as_fd()).with_context(place)?, names(at_b.as_fd()).with_context(place)?);
        if let Some(odd) = odd(&names, &others) {
            return Ok(Some(format!("\"{}\" is there only once", path.join(odd).display())));
        }
        if attributes(at_a.as_fd()) != attributes(at_b.as_fd()) {
            return Ok(Some(format!("\"{}\" differs in its attributes", path.display())));
        }
        for name in names {
            let child = path.join(&name);
            let pair = Pair { a: at_a.as_fd(), b: at_b.as_fd(), name: &name };
            let place = || format!("\"{}\"", child.display());
            match pair.difference(&mut left, &mut right).with_context(place)? {
                Found::Differs(what) => return Ok(Some(format!("\"{}\" differs in its {what}", child.display()))),
                Found::Folder => folders.push(child),
                Found::Same => {}
            }
        }
    }
    Ok(None)
}

fn names(folder: BorrowedFd<'_>) -> std::io::Result<Vec<OsString>> {
    let mut names = dir::list(folder)?;
    names.sort();
    Ok(names)
}

/// The first name that only one of the lists has.
fn odd<'n>(a: &'n [OsString], b: &'n [OsString]) -> Option<&'n OsString> {
    let first = a.iter().zip(b).find(|(a, b)| a != b).map(|(a, b)| a.min(b));
    first.or_else(|| a.get(b.len())).or_else(|| b.get(a.len()))
}

enum Found {
    Same,
    Differs(&'static str),
    /// The same by itself; what is in it is still to be compared.
    Folder,
}

/// The same name in both trees.
struct Pair<'a> {
    a: BorrowedFd<'a>,
    b: BorrowedFd<'a>,
    name: &'a OsStr,
}

impl Pair<'_> {
    fn difference(&self, left: &mut Vec<u8>, right: &mut Vec<u8>) -> Result<Found> {
        let (a, b) = (dir::stat(self.a, self.name)?, dir::stat(self.b, self.name)?);
        if let Some(what) = kinds_differ(&a, &b) {
            return Ok(Found::Differs(what));
        }
        if a.kind == Kind::Directory {
            return Ok(Found::Folder);
        }
        let what = match () {
            () if a.mtime != b.mtime => "time",
            () if a.nlink != b.nlink => "number of names",
            () if a.kind == Kind::Symlink
                && dir::read_link(self.a, self.name)? != dir::read_link(self.b, self.name)? =>
            {
                "target"
            }
            () if a.kind == Kind::File => return self.files(left, right),
            () => return Ok(Found::Same),
        };
        Ok(Found::Differs(what))
    }

    /// A file of one's own may lack the right to read it (`/etc/shadow` of Fedora), with one id and no namespace.
    fn open(&self, folder: BorrowedFd<'_>) -> io::Result<File> {
        let open = || dir::open_beneath(folder, Path::new(self.name));
        let denied = |e: &io::Error| e.kind() == io::ErrorKind::PermissionDenied;
        let meta = dir::stat(folder, self.name)?;
        open().or_else(|error| {
            let place = dir::open_path(folder, self.name)?;
            if !denied(&error) || dir::chmod(&place, meta.mode | 0o400).is_err() {
                return Err(error);
            }
            let opened = open();
            dir::chmod(&place, meta.mode)?;
            opened
        })
    }

    fn files(&self, left: &mut Vec<u8>, right: &mut Vec<u8>) -> Result<Found> {
        let (mut a, mut b) = (self.open(self.a)?, self.open(self.b)?);
        if attributes(a.as_fd()) != attributes(b.as_fd()) {
            return Ok(Found::Differs("attributes"));
        }
        loop {
            fill(&mut a, left)?;
            fill(&mut b, right)?;
            if left != right {
                return Ok(Found::Differs("content"));
            }
            if left.is_empty() {
                return Ok(Found::Same);
            }
        }
    }
}

fn fill(file: &mut impl Read, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.clear();
    file.take(BUFFER as u64).read_to_end(buffer).map(drop)
}

fn kinds_differ(a: &Meta, b: &Meta) -> Option<&'static str> {
    match () {
        () if a.kind != b.kind => Some("kind"),
        () if a.mode != b.mode => Some("mode"),
        () if (a.uid, a.gid) != (b.uid, b.gid) => Some("owner"),
        () if a.device != b.device => Some("device"),
        () if a.kind == Kind::File && a.size != b.size => Some("size"),
        () => None,
    }
}

/// The attributes that a layer can have; the rest belongs to the machine.
fn attributes(fd: BorrowedFd<'_>) -> Vec<(OsString, Vec<u8>)> {
    let names = super::exact::own_attributes(fd);
    names.into_iter().map(|name| (name.clone(), dir::read_xattr(fd, &name).unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
        time::{Duration, SystemTime},
    };

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/text"), "content").unwrap();
        fs::write(root.join("a/twice"), "").unwrap();
        fs::hard_link(root.join("a/twice"), root.join("a/again")).unwrap();
        symlink("text", root.join("a/link")).unwrap();
        for file in ["a/b/text", "a/twice"] {
            fs::File::open(root.join(file)).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        let at = crate::sys::dir::open_root(&root.join("a")).unwrap();
        crate::sys::dir::set_time(at.as_fd(), OsStr::new("link"), Default::default()).unwrap();
        folder
    }

    fn compared(change: impl FnOnce(&Path)) -> Option<String> {
        let (a, b) = (tree(), tree());
        change(b.path());
        let open = |folder: &tempfile::TempDir| fs::File::open(folder.path()).unwrap();
        difference(open(&a).as_fd(), open(&b).as_fd()).unwrap()
    }

    #[test]
    fn every_change_is_seen() {
        assert_eq!(compared(|_| {}), None);
        let told = |part: &str, change: fn(&Path)| {
            let told = compared(change).unwrap_or_default();
            assert!(told.contains(part), "{part}: {told:?}");
        };
        told("\"a/b/text\" differs in its content", |root| {
            fs::write(root.join("a/b/text"), "Content").unwrap();
            let file = fs::File::open(root.join("a/b/text")).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        });
        told("\"a/b/text\" differs in its size", |root| fs::write(root.join("a/b/text"), "").unwrap());
        told("\"a/b/text\" differs in its time", |root| {
            let later = SystemTime::UNIX_EPOCH + Duration::from_nanos(1);
            fs::File::open(root.join("a/b/text")).unwrap().set_modified(later).unwrap();
        });
        told("\"a/b\" differs in its mode", |root| {
            fs::set_permissions(root.join("a/b"), fs::Permissions::from_mode(0o700)).unwrap();
        });
        told("\"a/again\" is there only once", |root| fs::remove_file(root.join("a/again")).unwrap());
        told("\"a/b/z\" is there only once", |root| fs::write(root.join("a/b/z"), "").unwrap());
        told("\"a/link\" differs in its kind", |root| {
            fs::remove_file(root.join("a/link")).unwrap();
            fs::write(root.join("a/link"), "").unwrap();
        });
    }
}
