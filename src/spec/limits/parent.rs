//! `--cgroup-parent`: below which slice of systemd, or below which group.

use crate::spec::Raw;
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

/// The longest name of a unit (systemd.unit(5)).
const LONGEST: usize = 255;

/// Reads the name of a slice (`work.slice`), or the path of a group from the top of the cgroup file system on.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse(text: &OsStr) -> Result<Raw, String> {
    let path = Path::new(text);
    if text.is_empty() {
        return Err("the value is empty".into());
    }
    if !path.is_absolute() {
        return if is_slice(text.as_bytes()) {
            Ok(text.into())
        } else {
            Err("that is neither the name of a slice nor an absolute path".into())
        };
    }
    if path.components().any(|c| c == Component::ParentDir) || text.as_bytes().iter().any(|b| b"\0\n".contains(b)) {
        return Err("the path of a group must not hold '..', a NUL or a line feed".into());
    }
    Ok(path.components().collect::<PathBuf>().into())
}

/// A name of systemd's for a slice: `a-b.slice` lies in `a.slice`, so that no part between dashes may be empty
/// (systemd.slice(5)); `-.slice` is the one at the top.
fn is_slice(name: &[u8]) -> bool {
    let Some(stem) = name.strip_suffix(b".slice") else { return false };
    let good = |b: &u8| b.is_ascii_alphanumeric() || b":-_.\\".contains(b);
    let parts = || stem.split(|b| *b == b'-').all(|part| !part.is_empty());
    name.len() <= LONGEST && stem.iter().all(good) && (stem == b"-" || parts())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        parse(OsStr::new(text)).map(|raw| raw.to_string())
    }

    #[test]
    fn slices_and_paths() {
        for good in ["work.slice", "user-1000.slice", "-.slice", "a_b.c:d.slice", "/", "/user.slice/x", "/a b"] {
            assert!(parsed(good).is_ok(), "{good:?}");
        }
        assert_eq!(parsed("/a//b/./c/"), Ok("/a/b/c".into()));
    }

    #[test]
    fn what_is_refused() {
        let long = format!("{}.slice", "x".repeat(250));
        for bad in [
            "",
            ".slice",
            "work",
            "work.scope",
            "work.slice ",
            "a b.slice",
            "a--b.slice",
            "-a.slice",
            "a-.slice",
            "--.slice",
            "a/b.slice",
            "./b.slice",
            "a/b",
            "..",
            "/..",
            "/a/../b",
            "/a\0",
            "/a\nb",
            "ä.slice",
            "a@b.slice",
            "a\0.slice",
            &long,
        ] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
        assert!(parse(OsStr::from_bytes(b"\xff.slice")).is_err());
        assert!(parse(OsStr::from_bytes(b"/\xff")).is_ok());
    }
}
