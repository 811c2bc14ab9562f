//! `-v` and `--tmpfs`: what is mounted besides the root file system.

use super::Raw;
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

/// `-v SRC:DST[:ro|rw]`: a file or folder of the machine, seen inside at another place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The path on the machine, as typed.
    pub source: Raw,
    /// The path inside, absolute.
    pub target: Raw,
    /// Writes are refused.
    pub read_only: bool,
}

impl Volume {
    /// Reads `SRC:DST[:OPTIONS]`. Options are `ro` and `rw`, separated by commas.
    ///
    /// # Errors
    /// A sentence that says what is wrong with which part.
    pub fn parse(text: &OsStr) -> Result<Volume, String> {
        let parts: Vec<&[u8]> = text.as_bytes().split(|b| *b == b':').collect();
        let (source, target, options) = match parts[..] {
            [source, target] => (source, target, &b""[..]),
            [source, target, options] => (source, target, options),
            _ => return Err("it takes SRC:DST or SRC:DST:ro".into()),
        };
        if source.is_empty() {
            return Err("the source is empty; it takes SRC:DST".into());
        }
        let mut read_only = false;
        for option in options.split(|b| *b == b',').filter(|o| !o.is_empty()) {
            match option {
                b"ro" => read_only = true,
                b"rw" => read_only = false,
                other => {
                    return Err(format!("option {:?} is unknown; there are ro and rw", String::from_utf8_lossy(other)));
                }
            }
        }
        Ok(Volume {
            source: OsStr::from_bytes(source).into(),
            target: target_path(OsStr::from_bytes(target))?,
            read_only,
        })
    }
}

/// `--tmpfs DST[:OPTIONS]`: an empty file system in memory (tmpfs(5)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// The path inside, absolute.
    pub target: Raw,
    /// `size=…`, `mode=…`, `nr_inodes=…` for the kernel.
    pub data: String,
    /// Programs may run from there (`exec`); docker's default is that they may not.
    pub exec: bool,
    /// Writes are refused (`ro`).
    pub read_only: bool,
}

impl Tmpfs {
    /// Reads `DST[:OPTIONS]`.
    ///
    /// # Errors
    /// A sentence that says which option is unknown.
    pub fn parse(text: &OsStr) -> Result<Tmpfs, String> {
        let bytes = text.as_bytes();
        let at = bytes.iter().position(|b| *b == b':').unwrap_or(bytes.len());
        let options =
            std::str::from_utf8(bytes.get(at + 1..).unwrap_or_default()).map_err(|_| "the options are not text")?;
        let target = target_path(OsStr::from_bytes(&bytes[..at]))?;
        let mut tmpfs = Tmpfs { target, data: "mode=1777".into(), exec: false, read_only: false };
        for option in options.split(',').filter(|o| !o.is_empty()) {
            match option.split_once('=') {
                None if option == "exec" => tmpfs.exec = true,
                None if option == "noexec" => tmpfs.exec = false,
                None if option == "ro" => tmpfs.read_only = true,
                None if option == "rw" => tmpfs.read_only = false,
                // These three hold for every tmpfs here, asked for or not.
                None if ["nosuid", "nodev"].contains(&option) => {}
                Some(("size" | "nr_inodes" | "nr_blocks", n)) if is_amount(n) => {
                    tmpfs.data.push_str(&format!(",{option}"))
                }
                Some(("mode", m)) if u32::from_str_radix(m, 8).is_ok_and(|m| m <= 0o7777) => {
                    tmpfs.data.push_str(&format!(",{option}"));
                }
                _ => {
                    return Err(format!(
                        "option {option:?} is none of size=N[k|m|g|%], mode=OCTAL, nr_inodes=N, ro and exec"
                    ));
                }
            }
        }
        Ok(tmpfs)
    }
}

/// A number with one of the kernel's suffixes: `64m`, `1g`, `50%`.
fn is_amount(text: &str) -> bool {
    let digits = text.strip_suffix(['k', 'K', 'm', 'M', 'g', 'G', '%']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() < 16
}

/// A place inside: absolute, without `..`, not the root itself; `//` and `/.` are taken out.
fn target_path(text: &OsStr) -> Result<Raw, String> {
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err(format!("the place inside, {:?}, must be an absolute path", text.to_string_lossy()));
    }
    if path.components().any(|c| c == Component::ParentDir) {
        return Err(format!("the place inside, {:?}, must not hold '..'", text.to_string_lossy()));
    }
    let clean: PathBuf = path.components().collect();
    if clean == Path::new("/") {
        return Err("the place inside must not be / itself".into());
    }
    Ok(clean.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(text: &str) -> Result<Volume, String> {
        Volume::parse(OsStr::new(text))
    }

    #[test]
    fn volumes() {
        let v = volume("/data:/srv//x/.:ro").unwrap();
        assert_eq!((v.source, v.target, v.read_only), ("/data".into(), "/srv/x".into(), true));
        assert!(!volume(".:/work").unwrap().read_only);
        assert!(!volume(".:/work:ro,rw").unwrap().read_only);
        for bad in ["", "/a", ":/b", "/a:b", "/a:/b:z", "/a:/b:ro:x", "/a:/b/../c", "/a:/", "/a:/."] {
            assert!(volume(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_stay() {
        let v = Volume::parse(OsStr::from_bytes(b"/d\xff:/e\xfe")).unwrap();
        assert_eq!((v.source.bytes(), v.target.bytes()), (&b"/d\xff"[..], &b"/e\xfe"[..]));
    }

    #[test]
    fn tmpfs() {
        let t = Tmpfs::parse(OsStr::new("/run:size=64m,mode=755,exec,ro")).unwrap();
        assert_eq!((t.data.as_str(), t.exec, t.read_only), ("mode=1777,size=64m,mode=755", true, true));
        assert_eq!(Tmpfs::parse(OsStr::new("/tmp")).unwrap().data, "mode=1777");
        for bad in ["tmp", "/run:size=", "/run:size=1x", "/run:mode=9", "/run:uid=0,lowerdir=/", "/run:suid"] {
            assert!(Tmpfs::parse(OsStr::new(bad)).is_err(), "{bad:?}");
        }
    }
}
