//! Who a file of a layer belongs to, and what is kept on record when this machine cannot give it to them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::sys::dir;

/// How the owners of a layer are written to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owners {
    /// Inside a user namespace with a range of ids (user_namespaces(7)): each file is given to its owner. An id outside
    /// the map becomes 0 and is recorded.
    Mapped,
    /// One id only: everything stays with the caller, and any owner but root is recorded.
    Single,
}

/// What could not be applied to one file, as it was meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRecord {
    /// Relative to the root of the layer, in the text form of [`encode`]; empty for the root itself.
    pub path: String,
    /// The owner the archive gave.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// A device node, which is not made at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// Refused extended attributes: the name in the form of [`encode`], the value in hexadecimal digits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, String>,
}

/// A device node (mknod(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// A block device, else a character device.
    pub block: bool,
    /// The driver.
    pub major: u32,
    /// The device of that driver.
    pub minor: u32,
}

/// Which of the two ids a file got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// The owner was given.
    pub uid: bool,
    /// The group was given.
    pub gid: bool,
}

impl Given {
    /// Both were given.
    pub fn all(self) -> bool {
        self.uid && self.gid
    }

    /// The mode without the setuid or setgid bit of an owner that was not given: a file made to run as `games` must not
    /// run as root because `games` is outside the map.
    pub fn safe_mode(self, mode: u32) -> u32 {
        let uid = if self.uid { 0 } else { 0o4000 };
        let gid = if self.gid { 0 } else { 0o2000 };
        mode & !(uid | gid)
    }
}

impl Owners {
    /// Gives `name` to `(uid, gid)` as far as that is possible; `home` is whom the files of the caller belong to in the
    /// numbers of the source (root in an archive). Only a refusal is tolerated, not a disk that fails.
    pub fn give(
        self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        (uid, gid): (u32, u32),
        home: (u32, u32),
    ) -> io::Result<Given> {
        if self == Self::Single {
            return Ok(Given { uid: uid == home.0, gid: gid == home.1 });
        }
        if taken(dir::chown(folder, name, Some(uid), Some(gid)))? {
            return Ok(Given { uid: true, gid: true });
        }
        // One of the two may be inside the map: they are tried apart, and the one outside becomes 0.
        let given = Given {
            uid: taken(dir::chown(folder, name, Some(uid), None))?,
            gid: taken(dir::chown(folder, name, None, Some(gid)))?,
        };
        let zero = |given: bool| (!given).then_some(0);
        taken(dir::chown(folder, name, zero(given.uid), zero(given.gid)))?;
        Ok(given)
    }
}

/// `EINVAL` is chown(2) for an id outside the map, `EPERM` for a caller that may not; anything else is an error.
fn taken(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied) => {
            Ok(false)
        }
        result => result.map(|()| true),
    }
}

/// Whether an image may bring along an extended attribute of this name. Attributes of overlay drivers in a layer would be read by the driver that mounts it (kernel overlayfs.rst, `userxattr`;
/// fuse-overlayfs(1)); of the rest, only these two kinds mean anything without root.
pub fn may_bring(name: &[u8]) -> bool {
    let driver = [&b"user.overlay."[..], b"user.fuseoverlayfs.", b"user.containers."];
    let driver = driver.iter().any(|prefix| name.starts_with(prefix));
    name == b"security.capability" || (name.starts_with(b"user.") && !driver)
}

/// Writes a path of any bytes as text, without loss: `%`, control characters and what is not UTF-8 become `%XX`.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '%' || character.is_control() {
                let mut buffer = [0; 4];
                escape(&mut text, character.encode_utf8(&mut buffer).as_bytes());
            } else {
                text.push(character);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str(&format!("%{byte:02X}"));
    }
}

/// The bytes that [`encode`] was given.
pub fn decode(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let digits = part.get(..2).with_context(|| format!("path {text:?}: `%` without two digits"))?;
        bytes.push(u8::from_str_radix(digits, 16).with_context(|| format!("path {text:?}: `%{digits}`"))?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_survives_as_text() -> Result<()> {
        for (bytes, text) in [
            (&b"etc/passwd"[..], "etc/passwd"),
            (b"100%\n", "100%25%0A"),
            (b"\xff\xfe", "%FF%FE"),
            ("gr\u{fc}n\u{85}".as_bytes(), "gr\u{fc}n%C2%85"),
            (b"", ""),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text)?, bytes);
        }
        assert!(decode("%4").is_err() && decode("%zz").is_err() && decode("%\u{fc}").is_err());
        Ok(())
    }

    #[test]
    fn an_owner_outside_the_map_takes_the_setuid_bit_along() {
        let given = Given { uid: false, gid: true };
        assert_eq!(given.safe_mode(0o6755), 0o2755);
        assert!(!given.all());
    }
}
