//! Byte strings: arguments, paths and variables as the kernel sees them.
//!
//! Nothing that a user types has to be UTF-8. [`Raw`] keeps every byte, prints itself so that a person can read it and a
//! shell can take it back, and is stored in JSON as a string in which a byte that is not UTF-8 stands as `\xNN` and a
//! backslash as `\\`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{
    ffi::{OsStr, OsString},
    fmt,
    ops::Deref,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// A byte string that need not be UTF-8: one word of a command line, a path, `KEY=VALUE`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Raw(OsString);

impl Raw {
    /// The bytes, without a closing NUL.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The same bytes, read as a path.
    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl Deref for Raw {
    type Target = OsStr;
    fn deref(&self) -> &OsStr {
        &self.0
    }
}

impl AsRef<Path> for Raw {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl AsRef<OsStr> for Raw {
    fn as_ref(&self) -> &OsStr {
        &self.0
    }
}

impl From<&str> for Raw {
    fn from(text: &str) -> Raw {
        Raw(text.into())
    }
}

impl From<String> for Raw {
    fn from(text: String) -> Raw {
        Raw(text.into())
    }
}

impl From<OsString> for Raw {
    fn from(text: OsString) -> Raw {
        Raw(text)
    }
}

impl From<&OsStr> for Raw {
    fn from(text: &OsStr) -> Raw {
        Raw(text.into())
    }
}

impl From<PathBuf> for Raw {
    fn from(path: PathBuf) -> Raw {
        Raw(path.into())
    }
}

impl From<&Path> for Raw {
    fn from(path: &Path) -> Raw {
        Raw(path.into())
    }
}

impl From<Vec<u8>> for Raw {
    fn from(bytes: Vec<u8>) -> Raw {
        Raw(OsString::from_vec(bytes))
    }
}

/// As a POSIX shell would take it back: bare where that is safe, else in quotes; `$'…'` where bytes are not printable.
impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |b: &u8| b.is_ascii_alphanumeric() || b"%+,-./:=@_^".contains(b);
        if !self.0.is_empty() && self.bytes().iter().all(bare) {
            return f.write_str(&self.0.to_string_lossy());
        }
        match self.0.to_str() {
            Some(text) if !text.chars().any(char::is_control) => write!(f, "'{}'", text.replace('\'', r"'\''")),
            _ => write!(f, "$'{}'", escape(self.bytes()).replace('\'', r"\'")),
        }
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escape(self.bytes()))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        let text = String::deserialize(deserializer)?;
        unescape(&text).map(Raw::from).ok_or_else(|| D::Error::custom("a backslash that is not \\\\ or \\xNN"))
    }
}

/// Control characters and bytes that are not UTF-8 as `\xNN`, a backslash as `\\`.
fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str(r"\\"),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u8)),
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        match b {
            b'\\' => match rest.next()? {
                b'\\' => out.push(b'\\'),
                b'x' => {
                    let digit = |b: u8| (b as char).to_digit(16);
                    out.push((digit(rest.next()?)? * 16 + digit(rest.next()?)?) as u8);
                }
                _ => return None,
            },
            b => out.push(b),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_json() {
        let all = Raw::from((1..=255u8).chain(*b"\\x41'").collect::<Vec<_>>());
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Raw>(&text).unwrap(), all);
        assert!(serde_json::from_str::<Raw>(r#""\\q""#).is_err());
        assert!(serde_json::from_str::<Raw>(r#""\\x4""#).is_err());
    }

    #[test]
    fn prints_as_a_shell_reads_it() {
        assert_eq!(Raw::from("a-b/c.d").to_string(), "a-b/c.d");
        assert_eq!(Raw::from("").to_string(), "''");
        assert_eq!(Raw::from("it's here").to_string(), r"'it'\''s here'");
        assert_eq!(Raw::from(b"a\n\xff".to_vec()).to_string(), r"$'a\x0a\xff'");
    }
}
