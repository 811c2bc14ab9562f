//! Places inside the new root: resolved so that nothing an image or another container wrote can lead out of it.
//!
//! Every path is resolved by openat2(2) with RESOLVE_BENEATH or RESOLVE_IN_ROOT, so that `..` and absolute links stay below
//! the root, and RESOLVE_NO_MAGICLINKS, so that `/proc/self/fd/N` and `/proc/self/cwd` lead nowhere.

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use std::{
    ffi::OsStr,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path},
};

/// What a mount point must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// Anything that is not a folder.
    File,
}

const WITHIN: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

const SAFE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// A folder, to be held on to (O_PATH).
pub fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// The place at `path` inside `root`, following links within it (O_PATH).
///
/// RESOLVE_IN_ROOT alone would not do while the old root still lies on the new one: `..` at the root stays there, but the
/// kernel then goes on into whatever is mounted upon it, which is the machine. So what leads to the root or above it is
/// walked here.
pub fn open(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    match rustix::fs::openat2(root, below(path), OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), WITHIN) {
        // EAGAIN: something was renamed or mounted meanwhile, and the kernel cannot be sure of a `..` on the way.
        Err(rustix::io::Errno::XDEV | rustix::io::Errno::AGAIN) => walk(root, below(path)),
        found => Ok(found?),
    }
}

/// How many links may be on the way, as for the kernel (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// One part of the path after the other; the folders on the way are kept, so that `..` is the one before.
fn walk(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let parts = |path: &Path| path.iter().rev().map(OsStr::to_owned).collect::<Vec<_>>();
    let (mut left, mut way, mut links) = (parts(path), vec![root.try_clone_to_owned()?], 0);
    while let Some(part) = left.pop() {
        let here = way.last().map_or(root, AsFd::as_fd);
        if part == "/" {
            way.truncate(1);
        } else if part == ".." {
            way.truncate(way.len().saturating_sub(1).max(1));
        } else if part != "." {
            let place = rustix::fs::openat(here, &*part, flags | OFlags::NOFOLLOW, Mode::empty())?;
            if FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode) != FileType::Symlink {
                way.push(place);
                continue;
            }
            // A magic link of /proc is found out by following it where that is forbidden; any other says where it leads.
            let followed = rustix::fs::openat2(here, &*part, flags, Mode::empty(), WITHIN);
            links += 1;
            if links > MOST_LINKS || followed.is_err_and(|e| e == rustix::io::Errno::LOOP) {
                return Err(super::errno(libc::ELOOP));
            }
            let to = rustix::fs::readlinkat(&place, "", Vec::new())?;
            left.extend(parts(Path::new(OsStr::from_bytes(to.to_bytes()))));
        }
    }
    way.pop().ok_or_else(|| super::errno(libc::ENOENT))
}

/// The place at `path` inside `root`, following no link at all: ELOOP where there is one (O_PATH).
pub fn open_plain(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let resolve = SAFE | ResolveFlags::NO_SYMLINKS;
    Ok(rustix::fs::openat2(root, below(path), OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

/// Like [`open`]; what is missing is made: folders 0755, at last an empty file or folder. If `on` names mounts, then only on
/// these: EROFS where it would have to be made elsewhere, as in a folder of the machine that was bound.
pub fn open_or_make(root: BorrowedFd<'_>, path: &Path, kind: Kind, on: Option<&[u64]>) -> io::Result<OwnedFd> {
    match open(root, path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => make(root, path, kind, on),
        found => found,
    }
}

fn make(root: BorrowedFd<'_>, path: &Path, kind: Kind, on: Option<&[u64]>) -> io::Result<OwnedFd> {
    let mut here = open(root, Path::new("."))?;
    let mut done = std::path::PathBuf::new();
    let parts: Vec<&OsStr> =
        below(path).components().filter(|c| *c != Component::CurDir).map(Component::as_os_str).collect();
    for (n, part) in parts.iter().enumerate() {
        done.push(part);
        here = match open(root, &done) {
            Ok(next) => next,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if let Some(on) = on
                    && !on.contains(&mount_of(here.as_fd())?)
                {
                    return Err(super::errno(libc::EROFS));
                }
                make_one(&here, part, if n + 1 == parts.len() { kind } else { Kind::Folder })?;
                // Once more from the root: had somebody put a link there meanwhile, it is followed inside only.
                open(root, &done)?
            }
            Err(e) => return Err(e),
        };
    }
    Ok(here)
}

/// The number of the mount on which this place is, as in mountinfo of proc(5). Kernels before 5.8 do not tell: 0 for all.
pub fn mount_of(place: BorrowedFd<'_>) -> io::Result<u64> {
    use rustix::fs::{AtFlags, StatxFlags};
    let stat = rustix::fs::statx(place, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    let told = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID);
    Ok(if told { stat.stx_mnt_id } else { 0 })
}

fn make_one(dir: &OwnedFd, name: &OsStr, kind: Kind) -> io::Result<()> {
    let made = match kind {
        Kind::Folder => rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755)),
        Kind::File => rustix::fs::mknodat(dir, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0),
    };
    match made {
        Err(rustix::io::Errno::EXIST) => {
            // A link that leads nowhere: it is the image's wish that nothing is there; a plain file takes its place.
            let stat = rustix::fs::statat(dir, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                return Ok(());
            }
            rustix::fs::unlinkat(dir, name, rustix::fs::AtFlags::empty())?;
            make_one(dir, name, kind)
        }
        other => Ok(other?),
    }
}

/// Whether this is a folder.
pub fn is_folder(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::Directory)
}

/// Whether this is a folder that was removed while it was open or mounted.
pub fn is_removed(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::fs::fstat(fd)?.st_nlink == 0)
}

/// Whether this is a regular file.
pub fn is_file(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::RegularFile)
}

/// The whole of a regular file inside `root`, if it is one and not longer than `limit`: EINVAL otherwise.
pub fn read(root: BorrowedFd<'_>, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // O_NONBLOCK: a fifo in that place must not hold us up.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat2(root, below(path), flags, Mode::empty(), SAFE)?;
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_size as u64 > limit {
        return Err(super::errno(libc::EINVAL));
    }
    let mut content = Vec::with_capacity(stat.st_size as usize);
    std::fs::File::from(file).take(limit).read_to_end(&mut content)?;
    Ok(content)
}

/// An empty file, a folder or a link in a folder that only we write to.
pub fn make_file(dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    Ok(rustix::fs::mknodat(dir, name, FileType::RegularFile, Mode::from_raw_mode(0o666), 0)?)
}

/// See [`make_file`].
pub fn make_folder(dir: BorrowedFd<'_>, name: &str, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode))?)
}

/// See [`make_file`].
pub fn make_link(dir: BorrowedFd<'_>, name: &str, to: &str) -> io::Result<()> {
    Ok(rustix::fs::symlinkat(to, dir, name)?)
}

/// A file with this content in a folder that only we write to.
pub fn write_file(dir: BorrowedFd<'_>, name: &str, content: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o644))?;
    io::Write::write_all(&mut std::fs::File::from(file), content)
}

/// `path` without its leading slashes; the root itself is `.`.
fn below(path: &Path) -> &Path {
    let inner = path.strip_prefix("/").unwrap_or(path);
    if inner.as_os_str().is_empty() { Path::new(".") } else { inner }
}

/// Takes a file out of a folder that only we write to.
pub fn remove_file(dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(dir, name, rustix::fs::AtFlags::empty())?)
}

/// See [`remove_file`].
pub fn remove_folder(dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(dir, name, rustix::fs::AtFlags::REMOVEDIR)?)
}

/// Like [`reopen`], for a regular file only: EINVAL for anything else, which could keep the reader waiting.
pub fn reopen_file(place: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    if is_file(place)? { reopen(place) } else { Err(super::errno(libc::EINVAL)) }
}

/// Where a link in a folder leads (readlinkat(2)).
pub fn read_link(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<std::path::PathBuf> {
    let to = rustix::fs::readlinkat(folder, name, Vec::new())?;
    Ok(std::path::PathBuf::from(OsStr::from_bytes(to.to_bytes())))
}

/// Opens for reading what an O_PATH descriptor holds, by its name in /proc/self/fd (proc(5)).
pub fn reopen(place: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let name = format!("/proc/self/fd/{}", place.as_raw_fd());
    Ok(rustix::fs::open(name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}
