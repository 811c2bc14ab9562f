//! The name of a member as a path below the root.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

/// The path of a member below the root: leading `/` and `.` taken off as GNU tar does, `..` resolved by name, so that none
/// is left. Empty for the root.
pub fn relative(path: &[u8], max: usize) -> Result<PathBuf> {
    ensure!(!path.is_empty(), "empty name");
    ensure!(path.len() <= max, "the name is longer than {max}");
    ensure!(!path.contains(&0), "a zero byte in the name");
    let mut clean = PathBuf::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if clean.pop() => {}
            b".." => bail!("the name leaves the root"),
            part => clean.push(OsStr::from_bytes(part)),
        }
    }
    Ok(clean)
}
