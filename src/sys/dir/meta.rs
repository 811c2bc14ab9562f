//! What a file is: the part of inode(7) that a layer keeps.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Stat};

/// The type of a file, as in inode(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// Anything else.
    Unknown,
}

/// A time as the kernel keeps it: seconds since 1970 and nanoseconds (timespec(3)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970.
    pub sec: i64,
    /// 0 to 999,999,999.
    pub nsec: u32,
}

/// The fields of stat(3type) that are used here.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky, without the type: at most 0o7777.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Bytes, holes included.
    pub size: u64,
    /// When the content changed last.
    pub mtime: Time,
    /// How many names it has.
    pub nlink: u64,
    /// What tells two files apart on a running system: (`st_dev`, `st_ino`).
    pub inode: (u64, u64),
    /// Major and minor number of a device node, else (0, 0) (makedev(3)).
    pub device: (u32, u32),
}

/// fstatat(2) with `AT_SYMLINK_NOFOLLOW`.
pub fn stat(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Meta> {
    Ok(meta(&rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?))
}

/// fstat(2), also of an `O_PATH` descriptor.
pub fn stat_fd(fd: impl AsFd) -> io::Result<Meta> {
    Ok(meta(&rustix::fs::fstat(fd)?))
}

// The widths of these fields differ between architectures, so some of the conversions do nothing on this one.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn meta(stat: &Stat) -> Meta {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice => Kind::Char,
        FileType::BlockDevice => Kind::Block,
        FileType::Unknown => Kind::Unknown,
    };
    let device = match kind {
        Kind::Char | Kind::Block => (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
        _ => (0, 0),
    };
    Meta {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: stat.st_size as u64,
        mtime: Time { sec: stat.st_mtime as i64, nsec: stat.st_mtime_nsec as u32 },
        nlink: stat.st_nlink as u64,
        inode: (stat.st_dev as u64, stat.st_ino as u64),
        device,
    }
}
