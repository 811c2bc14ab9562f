//! File operations relative to a directory descriptor: the only place that makes, changes or removes a file of a layer.
//!
//! A path that somebody else wrote (an archive, an image, a container) is never handed to the kernel as a host path. Its
//! folder is resolved by [`resolve_dir`], which treats the given root as `/` (`openat2` with `RESOLVE_IN_ROOT`), and the
//! last component is then acted on by the `*at` calls below, none of which follows it when it is a symbolic link.
//!
//! Each function is one call or one idiom. Kernel lore: openat2(2), path_resolution(7), symlink(7).

mod content;
mod meta;
mod remove;
mod xattr;

pub use content::{clone_file, copy_range, data_extent};
pub use meta::{Kind, Meta, Time, stat, stat_fd};
pub use remove::remove_tree;
pub use xattr::{read_xattr, set_xattr, xattr_names};

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timestamps, Uid};

/// How often a resolution is tried again: openat2(2) gives `EAGAIN` when a rename elsewhere raced with a `..`.
const RESOLVE_TRIES: usize = 64;

/// Opens a directory by a trusted host path, to be the root of the calls below; the last component may be a link.
pub fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Resolves a folder as if `root` were `/`, following links inside it, and returns an `O_PATH` descriptor (openat2(2)).
pub fn resolve_dir(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    open_how(root, path, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::IN_ROOT)
}

/// Opens a file for reading as if `root` were `/`. A FIFO does not block and a terminal does not become ours; the caller
/// checks with [`stat_fd`] that it is a regular file.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    open_how(root, path, flags, ResolveFlags::IN_ROOT).map(File::from)
}

/// Opens a file for reading below `dir` on the same mount, through no link at all: `ELOOP` for a symbolic link, `EXDEV`
/// for another mount (openat2(2), `RESOLVE_NO_XDEV`).
pub fn open_beneath(dir: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    open_how(dir, path, flags, beneath()).map(File::from)
}

/// Opens a folder for reading below `dir` on the same mount, through no link at all.
pub fn open_dir_beneath(dir: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    open_how(dir, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, beneath())
}

/// Opens the folder above for reading, wherever that leads: for a tree in which nothing is renamed.
pub fn open_parent(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(dir, "..", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// An `O_PATH` descriptor of whatever `name` is, a link included: for [`chmod`] and [`set_xattr`].
pub fn open_path(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    open_how(dir, Path::new(name), OFlags::PATH | OFlags::NOFOLLOW, beneath())
}

fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV
}

fn open_how(dir: BorrowedFd<'_>, path: &Path, flags: OFlags, how: ResolveFlags) -> io::Result<OwnedFd> {
    // openat2(2) refuses an empty path; the folder itself is meant.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let how = how | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            Err(rustix::io::Errno::AGAIN) if tries < RESOLVE_TRIES => tries += 1,
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Makes a new regular file for writing; `EEXIST` if there is anything of that name, a link included. The process umask
/// applies.
pub fn create_file(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode))?;
    Ok(File::from(fd))
}

/// mkdirat(2). The process umask applies.
pub fn make_dir(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode))?)
}

/// mknodat(2) of a FIFO, a socket or a device like the one that `like` is of, mode 0600. An ordinary user may make the
/// character device 0:0, which is an overlay's whiteout, and no other device.
pub fn make_node(dir: BorrowedFd<'_>, name: &OsStr, like: &Meta) -> io::Result<()> {
    let kind = match like.kind {
        Kind::Fifo => FileType::Fifo,
        Kind::Socket => FileType::Socket,
        Kind::Char => FileType::CharacterDevice,
        Kind::Block => FileType::BlockDevice,
        _ => return Err(rustix::io::Errno::INVAL.into()),
    };
    let device = rustix::fs::makedev(like.device.0, like.device.1);
    Ok(rustix::fs::mknodat(dir, name, kind, Mode::from_raw_mode(0o600), device)?)
}

/// symlinkat(2). The target is only text here, whatever it says.
pub fn make_symlink(target: &OsStr, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::symlinkat(target, dir, name)?)
}

/// mknodat(2) of a FIFO. The process umask applies.
pub fn make_fifo(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::mknodat(dir, name, FileType::Fifo, Mode::from_raw_mode(mode), 0)?)
}

/// mknodat(2) of the character device 0:0, which an overlay takes for a whiteout; a plain user may since Linux 5.8.
pub fn make_whiteout(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::mknodat(dir, name, FileType::CharacterDevice, Mode::empty(), 0)?)
}

/// linkat(2) without `AT_SYMLINK_FOLLOW`: a link to a symbolic link is a second name of the symbolic link itself.
pub fn hard_link(from: BorrowedFd<'_>, old: &OsStr, to: BorrowedFd<'_>, new: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::linkat(from, old, to, new, AtFlags::empty())?)
}

/// readlinkat(2).
pub fn read_link(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OsString> {
    let target = rustix::fs::readlinkat(dir, name, Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()))
}

/// fchownat(2) with `AT_SYMLINK_NOFOLLOW`; `None` leaves that id as it is. Clears the setuid bits and file capabilities.
pub fn chown(dir: BorrowedFd<'_>, name: &OsStr, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    // -1 means "leave it" to the kernel: an id of that value must not pass for a success.
    if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
        return Err(rustix::io::Errno::INVAL.into());
    }
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    Ok(rustix::fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// fchmod(2), which also takes an `O_PATH` descriptor: through `/proc/self/fd`, as open(2) describes. Not for links.
pub fn chmod(fd: impl AsFd, mode: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode);
    match rustix::fs::fchmod(&fd, mode) {
        Err(rustix::io::Errno::BADF) => Ok(rustix::fs::chmodat(CWD, proc_path(fd.as_fd()), mode, AtFlags::empty())?),
        result => Ok(result?),
    }
}

fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// utimensat(2) with `AT_SYMLINK_NOFOLLOW`: sets the time of last modification, and the time of access to the same.
pub fn set_time(dir: BorrowedFd<'_>, name: &OsStr, time: Time) -> io::Result<()> {
    Ok(rustix::fs::utimensat(dir, name, &both(time), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// futimens(3): [`set_time`] of an open file, without looking up its name again.
pub fn set_time_fd(fd: impl AsFd, time: Time) -> io::Result<()> {
    Ok(rustix::fs::futimens(fd, &both(time))?)
}

fn both(time: Time) -> Timestamps {
    let time = rustix::fs::Timespec { tv_sec: time.sec, tv_nsec: time.nsec.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// unlinkat(2) of anything but a directory.
pub fn unlink(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
}

/// unlinkat(2) of an empty directory.
pub fn remove_dir(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

/// renameat(2).
pub fn rename(from: BorrowedFd<'_>, old: &OsStr, to: BorrowedFd<'_>, new: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::renameat(from, old, to, new)?)
}

/// renameat2(2) with `RENAME_EXCHANGE`: both names are there before and after, and never one of them alone.
pub fn exchange(from: BorrowedFd<'_>, old: &OsStr, to: BorrowedFd<'_>, new: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(from, old, to, new, rustix::fs::RenameFlags::EXCHANGE)?)
}

/// The names in a folder, without `.` and `..`, in the order of the file system (getdents64(2)).
pub fn list(dir: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    list_kinds(dir, |_| true)
}

/// The names of the folders in a folder of a file system that tells the kind with the name, as the kernel's own do.
pub fn list_folders(dir: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    list_kinds(dir, |kind| kind == FileType::Directory)
}

fn list_kinds(dir: BorrowedFd<'_>, wanted: impl Fn(FileType) -> bool) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    // Opened anew: the position is not shared with other users of `dir`, which may be an `O_PATH` descriptor, too.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for entry in Dir::new(rustix::fs::openat(dir, ".", flags, Mode::empty())?)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." && wanted(entry.file_type()) {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

/// Whether an open was refused because a symbolic link stands in the way: `ELOOP`, for which `io::ErrorKind` has no
/// stable name.
pub fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

#[cfg(test)]
mod tests;
