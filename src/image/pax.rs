//! The extended header of a member: POSIX.1-2024 pax, "pax Extended Header", with the `SCHILY.xattr.` of star(5).
//!
//! Read here and not by the `tar` crate, which splits the records at newlines: a value with a newline in it (a path, an
//! attribute) would hide the records after it, a `size` for one, and the reader would lose its place in the archive.

use anyhow::{Context, Result, ensure};

use crate::sys::dir::Time;

/// What the records of one member say; `None` leaves what its header says.
#[derive(Debug, Default)]
pub struct Pax {
    pub path: Option<Vec<u8>>,
    pub linkpath: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<Time>,
    /// A sparse file in one of the formats 0.0 to 1.0 of GNU tar: read as a plain file it would be garbage.
    pub sparse: bool,
    /// Name and value, in the order of the archive.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads records of the form `LENGTH KEY=VALUE\n`, where LENGTH counts all of the record. An empty value takes an
/// earlier one back.
pub fn parse(mut data: &[u8]) -> Result<Pax> {
    let mut pax = Pax::default();
    while !data.is_empty() {
        // Some writers fill the block with zero bytes and count them in.
        if data.iter().all(|byte| *byte == 0) {
            break;
        }
        let (record, rest) = split(data).context("malformed pax record")?;
        let equals = record.iter().position(|byte| *byte == b'=').context("pax record without `=`")?;
        apply(&mut pax, &record[..equals], &record[equals + 1..])?;
        data = rest;
    }
    Ok(pax)
}

/// Cuts off the first record, without its length and its newline.
fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = data.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
    let record = data.get(space + 1..length)?;
    let (newline, record) = record.split_last()?;
    (*newline == b'\n').then_some((record, &data[length..]))
}

fn apply(pax: &mut Pax, key: &[u8], value: &[u8]) -> Result<()> {
    let text = || (!value.is_empty()).then(|| value.to_vec());
    match key {
        b"path" => pax.path = text(),
        b"linkpath" => pax.linkpath = text(),
        b"size" => pax.size = number(key, value)?,
        b"uid" => pax.uid = number(key, value)?,
        b"gid" => pax.gid = number(key, value)?,
        b"mtime" => pax.mtime = time(value)?,
        // What GNU tar puts into `path` is a made-up name then.
        b"GNU.sparse.name" => (pax.sparse, pax.path) = (true, text()),
        _ if key.starts_with(b"GNU.sparse.") => pax.sparse = true,
        _ => {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                ensure!(!name.is_empty() && !name.contains(&0), "bad name of an extended attribute");
                pax.xattrs.push((name.to_vec(), value.to_vec()));
            }
        }
    }
    Ok(())
}

fn number(key: &[u8], value: &[u8]) -> Result<Option<u64>> {
    if value.is_empty() {
        return Ok(None);
    }
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    number.map(Some).with_context(|| format!("pax record `{}` is not a number", key.escape_ascii()))
}

/// `[-]SECONDS[.FRACTION]`; more digits than nanoseconds have are cut.
fn time(value: &[u8]) -> Result<Option<Time>> {
    if value.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(value).context("pax record `mtime` is not a time")?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let sec: i64 = seconds.parse().with_context(|| format!("pax record `mtime` is not a time: {text:?}"))?;
    ensure!(fraction.bytes().all(|byte| byte.is_ascii_digit()), "pax record `mtime` is not a time: {text:?}");
    let nsec = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nsec = nsec.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    // -1.25 is 0.75 after -2.
    let before = seconds.starts_with('-') && nsec > 0;
    let time =
        if before { Time { sec: sec.saturating_sub(1), nsec: 1_000_000_000 - nsec } } else { Time { sec, nsec } };
    Ok(Some(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_a_newline_hides_nothing() -> Result<()> {
        let pax = parse(b"12 path=a\nb\n11 size=42\n25 SCHILY.xattr.user.x=\0\n")?;
        assert_eq!(pax.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(pax.size, Some(42));
        Ok(())
    }

    #[test]
    fn times_have_nanoseconds_and_signs() -> Result<()> {
        for (text, sec, nsec) in
            [("1.5", 1, 500_000_000), ("7", 7, 0), ("-1.25", -2, 750_000_000), ("3.1234567899", 3, 123_456_789)]
        {
            assert_eq!(time(text.as_bytes())?, Some(Time { sec, nsec }), "{text}");
        }
        Ok(())
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            &b"5 a=b\n"[..],
            b"x a=b\n",
            b"999 a=b\n",
            b"6 a=bc",
            b"4 ab\n",
            b"0 ",
            b"3 \n",
            b"11 size=-4\n",
            b"20 mtime=yesterday\n",
        ] {
            assert!(parse(bad).is_err(), "{}", bad.escape_ascii());
        }
        assert!(parse(b"22 GNU.sparse.major=1\n").is_ok_and(|pax| pax.sparse));
    }
}
