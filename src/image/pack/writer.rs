//! Members as bytes: the ustar header of POSIX.1, and before it a pax header with what does not fit.

use std::io::{self, BufWriter, Read, Write};

use anyhow::{Context, Result};
use tar::{EntryType, Header};

use super::Packed;
use crate::image::digest::Hashing;
use crate::image::tape::{Member, MemberKind};
use crate::sys::dir::Time;

const BLOCK: u64 = 512;

/// How much is hashed and handed on at once.
const BUFFER: usize = 256 * 1024;

/// The length of the fields `name` and `linkname`.
const NAME: usize = 100;

/// The largest numbers of 7 and of 11 octal digits.
const MOST_ID: u64 = 0o7_777_777;
const MOST_LONG: u64 = 0o77_777_777_777;

/// The archive on its way out.
pub struct Writer<W: Write> {
    out: BufWriter<Hashing<W>>,
    size: u64,
    entries: u64,
}

impl<W: Write> Writer<W> {
    /// Writes nothing yet.
    pub fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER, Hashing::new(out)), size: 0, entries: 0 }
    }

    /// Writes the header, and what must come before it.
    pub fn member(&mut self, member: &Member) -> Result<()> {
        let mut header = Header::new_ustar();
        let mut pax = Vec::new();
        let kind = entry_type(member, &mut header)?;
        header.set_entry_type(kind);
        self.name(&member.path, b'L', "path", &mut pax)?;
        self.name(&member.link, b'K', "linkpath", &mut pax)?;
        fit(&mut header.as_old_mut().name, &member.path);
        fit(&mut header.as_old_mut().linkname, &member.link);
        header.set_mode(member.mode);
        let mut number = |key: &str, number: u64, most: u64| {
            if number > most {
                record(&mut pax, key.as_bytes(), number.to_string().as_bytes());
            }
            if number > most { 0 } else { number }
        };
        header.set_size(number("size", member.size, MOST_LONG));
        header.set_uid(number("uid", member.uid.into(), MOST_ID));
        header.set_gid(number("gid", member.gid.into(), MOST_ID));
        let sec = u64::try_from(member.mtime.sec).ok().filter(|sec| *sec <= MOST_LONG);
        if sec.is_none() || member.mtime.nsec != 0 {
            record(&mut pax, b"mtime", seconds(member.mtime).as_bytes());
        }
        header.set_mtime(sec.unwrap_or(0));
        for (name, value) in member.xattrs.iter().filter(|(name, _)| !name.contains(&b'=')) {
            record(&mut pax, &[b"SCHILY.xattr.", &name[..]].concat(), value);
        }
        if !pax.is_empty() {
            self.extension(Header::new_ustar(), b'x', b"././@PaxHeader", &pax)?;
        }
        self.header(header)?;
        self.entries += 1;
        Ok(())
    }

    /// Writes the content of the member whose header came last, and returns its length. The caller sees that it is the
    /// length that the header says.
    pub fn content(&mut self, input: &mut impl Read) -> io::Result<u64> {
        let length = io::copy(input, &mut self.out)?;
        self.size += length;
        self.fill(length)?;
        Ok(length)
    }

    /// Writes the end: two blocks of zeros.
    pub fn finish(mut self) -> Result<Packed> {
        self.out.write_all(&[0; 2 * BLOCK as usize])?;
        self.size += 2 * BLOCK;
        let hashing = self.out.into_inner().map_err(io::IntoInnerError::into_error);
        let mut hashing = hashing.context("the end of the archive")?;
        hashing.flush().context("the end of the archive")?;
        Ok(Packed { diff_id: hashing.finish(), size: self.size, entries: self.entries })
    }

    /// A name that is too long for its field goes before the header: as text in a pax record, which is defined for UTF-8
    /// only, else in the way of GNU tar.
    fn name(&mut self, name: &[u8], flag: u8, key: &str, pax: &mut Vec<u8>) -> io::Result<()> {
        if name.len() <= NAME {
            return Ok(());
        }
        if std::str::from_utf8(name).is_ok() {
            record(pax, key.as_bytes(), name);
            return Ok(());
        }
        self.extension(Header::new_gnu(), flag, b"././@LongLink", &[name, b"\0"].concat())
    }

    /// A header whose content is about the next one.
    fn extension(&mut self, mut header: Header, flag: u8, name: &[u8], data: &[u8]) -> io::Result<()> {
        header.set_entry_type(EntryType::new(flag));
        fit(&mut header.as_old_mut().name, name);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(data.len() as u64);
        self.header(header)?;
        self.out.write_all(data)?;
        self.size += data.len() as u64;
        self.fill(data.len() as u64)
    }

    fn header(&mut self, mut header: Header) -> io::Result<()> {
        header.set_cksum();
        self.size += BLOCK;
        self.out.write_all(header.as_bytes())
    }

    fn fill(&mut self, length: u64) -> io::Result<()> {
        let padding = length.wrapping_neg() % BLOCK;
        self.size += padding;
        self.out.write_all(&[0; BLOCK as usize][..padding as usize])
    }
}

fn entry_type(member: &Member, header: &mut Header) -> io::Result<EntryType> {
    header.set_device_major(0)?;
    header.set_device_minor(0)?;
    Ok(match &member.kind {
        MemberKind::HardLink => EntryType::Link,
        MemberKind::Symlink => EntryType::Symlink,
        MemberKind::Directory => EntryType::Directory,
        MemberKind::Fifo => EntryType::Fifo,
        MemberKind::Device(device) => {
            header.set_device_major(device.major)?;
            header.set_device_minor(device.minor)?;
            if device.block { EntryType::Block } else { EntryType::Char }
        }
        MemberKind::File | MemberKind::Sparse(_) | MemberKind::Other(_) => EntryType::Regular,
    })
}

fn fit(field: &mut [u8; NAME], name: &[u8]) {
    let length = name.len().min(NAME);
    field[..length].copy_from_slice(&name[..length]);
}

/// Adds `LENGTH KEY=VALUE\n`, where LENGTH counts all of it, its own digits too (POSIX pax, "pax Extended Header").
fn record(pax: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    // One digit more can be what makes it one digit longer.
    length = rest + length.to_string().len();
    pax.extend([length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat());
}

/// Seconds with as many digits as there are; a time before 1970 counts down from there.
fn seconds(time: Time) -> String {
    let Time { sec, nsec } = time;
    let (sign, whole, nsec) = match sec {
        0.. => ("", sec.unsigned_abs(), nsec),
        _ if nsec == 0 => ("-", sec.unsigned_abs(), 0),
        _ => ("-", sec.unsigned_abs() - 1, 1_000_000_000 - nsec),
    };
    let text = format!("{sign}{whole}.{nsec:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::pax;

    #[test]
    fn times_are_read_as_they_were_written() {
        for (sec, nsec, text) in [
            (7, 0, "7"),
            (10, 500_000_000, "10.5"),
            (-2, 750_000_000, "-1.25"),
            (-1, 1, "-0.999999999"),
            (-100, 0, "-100"),
            (i64::MIN, 0, "-9223372036854775808"),
        ] {
            let mut data = Vec::new();
            record(&mut data, b"mtime", seconds(Time { sec, nsec }).as_bytes());
            assert_eq!(seconds(Time { sec, nsec }), text);
            assert_eq!(pax::parse(&data).unwrap().mtime, Some(Time { sec, nsec }), "{text}");
        }
    }

    #[test]
    fn a_record_counts_its_own_digits() {
        for length in 0..2000 {
            let mut data = Vec::new();
            record(&mut data, b"path", &vec![b'x'; length + 1]);
            record(&mut data, b"size", b"1");
            let pax = pax::parse(&data).unwrap();
            assert_eq!((pax.path.unwrap().len(), pax.size), (length + 1, Some(1)));
        }
    }
}
