//! The fixed part of a record: numbers in digits of one width, before the name.

use anyhow::{Context, Result, bail, ensure};

use crate::image::owners::Device;
use crate::image::tape::{Member, MemberKind};
use crate::sys::dir::Time;

/// Bytes of the magic, which is part of the header.
pub const MAGIC: usize = 6;

/// How the numbers are written (cpio(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// 070701 and, with checksums, 070702: 13 numbers of 8 hexadecimal digits, parts filled up to four bytes.
    New { sums: bool },
    /// 070707, POSIX.1: octal numbers of 6 digits, two of them of 11, and no filling.
    Old,
}

/// What one header says, with the name that follows it.
#[derive(Debug)]
pub struct Entry {
    pub path: Vec<u8>,
    /// The whole st_mode, with the type.
    mode: u32,
    uid: u32,
    gid: u32,
    pub nlink: u64,
    mtime: i64,
    pub size: u64,
    /// What tells two files of one archive apart: major and minor device number, and the inode.
    pub file: (u64, u64, u64),
    device: (u32, u32),
    pub sum: Option<u32>,
}

impl Layout {
    /// The layout that this magic announces.
    pub fn of(magic: [u8; MAGIC]) -> Option<Self> {
        match &magic {
            b"070701" => Some(Self::New { sums: false }),
            b"070702" => Some(Self::New { sums: true }),
            b"070707" => Some(Self::Old),
            _ => None,
        }
    }

    /// Bytes of the header behind the magic.
    pub fn fields(self) -> usize {
        match self {
            Self::New { .. } => 13 * 8,
            Self::Old => 8 * 6 + 2 * 11,
        }
    }

    /// The filling behind a part of this length.
    pub fn padding(self, length: u64) -> u64 {
        match self {
            Self::New { .. } => length.wrapping_neg() % 4,
            Self::Old => 0,
        }
    }

    /// The entry, still without its name, and the length of that.
    pub fn entry(self, fields: &[u8]) -> Result<(Entry, u64)> {
        match self {
            Self::New { sums } => new(fields, sums),
            Self::Old => old(fields),
        }
    }
}

fn new(fields: &[u8], sums: bool) -> Result<(Entry, u64)> {
    let mut numbers = [0_u32; 13];
    for (number, digits) in numbers.iter_mut().zip(fields.chunks(8)) {
        *number = u32::try_from(digits_of(digits, 16)?)?;
    }
    let [ino, mode, uid, gid, nlink, mtime, size, major, minor, node_major, node_minor, length, sum] = numbers;
    let entry = Entry {
        path: Vec::new(),
        mode,
        uid,
        gid,
        nlink: nlink.into(),
        mtime: mtime.into(),
        size: size.into(),
        file: (major.into(), minor.into(), ino.into()),
        device: (node_major, node_minor),
        sum: sums.then_some(sum),
    };
    Ok((entry, length.into()))
}

fn old(mut fields: &[u8]) -> Result<(Entry, u64)> {
    let mut take = |width: usize| -> Result<u64> {
        let (digits, rest) = fields.split_at_checked(width).context("damaged archive: a short header")?;
        fields = rest;
        digits_of(digits, 8)
    };
    let (dev, ino, mode, uid, gid, nlink, node) =
        (take(6)?, take(6)?, take(6)?, take(6)?, take(6)?, take(6)?, take(6)?);
    let (mtime, length, size) = (take(11)?, take(6)?, take(11)?);
    let entry = Entry {
        path: Vec::new(),
        mode: u32::try_from(mode)?,
        uid: u32::try_from(uid)?,
        gid: u32::try_from(gid)?,
        nlink,
        mtime: i64::try_from(mtime)?,
        size,
        file: (dev, 0, ino),
        // 18 bits, of which the lowest eight are the minor number.
        device: (u32::try_from(node >> 8)?, u32::try_from(node & 0xff)?),
        sum: None,
    };
    Ok((entry, length))
}

/// Digits and nothing else: no sign, no blank.
fn digits_of(digits: &[u8], radix: u32) -> Result<u64> {
    let mut number = 0_u64;
    for byte in digits {
        let Some(digit) = char::from(*byte).to_digit(radix) else {
            bail!("damaged archive: \"{}\" in a header is no number", digits.escape_ascii());
        };
        number = number << radix.ilog2() | u64::from(digit);
    }
    ensure!(!digits.is_empty(), "damaged archive: a number of no digits");
    Ok(number)
}

impl Entry {
    /// The type of the file (inode(7)). A socket, which is nothing without its process, is no kind of ours.
    pub fn kind(&self) -> MemberKind {
        let (major, minor) = self.device;
        match self.mode & 0o170_000 {
            0o100_000 => MemberKind::File,
            0o040_000 => MemberKind::Directory,
            0o120_000 => MemberKind::Symlink,
            0o010_000 => MemberKind::Fifo,
            0o020_000 => MemberKind::Device(Device { block: false, major, minor }),
            0o060_000 => MemberKind::Device(Device { block: true, major, minor }),
            _ => MemberKind::Other(0),
        }
    }

    /// The member that a layer is made of.
    pub fn into_member(self, kind: MemberKind, link: Vec<u8>) -> Member {
        Member {
            size: if kind == MemberKind::File { self.size } else { 0 },
            kind,
            path: self.path,
            link,
            mode: self.mode & 0o7777,
            uid: self.uid,
            gid: self.gid,
            mtime: Time { sec: self.mtime, nsec: 0 },
            xattrs: Vec::new(),
        }
    }
}
