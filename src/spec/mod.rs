//! What the user wants: one [`Spec`], whichever door it came in by.
//!
//! Plain values and the parsers that make them from text. Nothing here looks at the machine: no file, no environment,
//! no system call, so every rule of this room can be tested as a function.

pub mod digest;
pub mod env;
pub mod ids;
pub mod limits;
pub mod mount;
pub mod raw;
pub mod reference;
pub mod signal;
pub mod user;

pub use digest::Digest;
pub use ids::Userns;
pub use limits::Limits;
pub use mount::{Tmpfs, Volume};
pub use raw::Raw;
pub use reference::Reference;
pub use user::User;

use serde::{Deserialize, Serialize};
use std::fmt;

/// A container as its user asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// `--name`
    pub name: Option<String>,
    /// Where the root file system comes from.
    pub rootfs: Rootfs,
    /// The command and its arguments; empty: the image's own, else `/bin/sh`.
    pub command: Vec<Raw>,
    /// `--entrypoint`: replaces the image's; an empty string clears it.
    pub entrypoint: Option<Raw>,
    /// `-e`: `KEY=VALUE`, in order; later ones win.
    pub env: Vec<Raw>,
    /// `-w`: the working directory inside.
    pub workdir: Option<Raw>,
    /// `-u`: who the command runs as; none: the image's user, else root.
    pub user: Option<User>,
    /// `--hostname`; none: the container's short id.
    pub hostname: Option<String>,
    /// `-v`: binds from the machine.
    pub volumes: Vec<Volume>,
    /// `--tmpfs`: memory file systems.
    pub tmpfs: Vec<Tmpfs>,
    /// `--read-only`: the root file system refuses writes.
    pub read_only: bool,
    /// `--init`: our reaper is process 1 and the command its child.
    pub init: bool,
    /// `--rm`: nothing of the container stays after its end.
    pub remove: bool,
    /// `--userns`: which ids exist inside.
    pub userns: Userns,
    /// `--storage`: how writes are kept apart from the image.
    pub storage: Storage,
    /// `--network`: which network the command sees.
    pub network: Network,
    /// A terminal of its own (`-t`, or both ends of ours are terminals).
    pub terminal: bool,
    /// Whether our standard input is handed on; else it is `/dev/null`.
    pub stdin: bool,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
}

/// Where a root file system comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rootfs {
    /// The machine's own programs: nothing to download.
    #[default]
    Host,
    /// An image of the store, by name.
    Image(String),
    /// Any directory, by path. It is never written to.
    Dir(Raw),
}

impl fmt::Display for Rootfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rootfs::Host => f.write_str("host"),
            Rootfs::Image(name) => f.write_str(name),
            Rootfs::Dir(path) => path.fmt(f),
        }
    }
}

/// How writes are kept apart from the image (`--storage`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// The first of the three below that works here.
    #[default]
    Auto,
    /// The kernel's overlay file system, mounted in the user namespace
    Overlay,
    /// The program fuse-overlayfs
    FuseOverlayfs,
    /// A copy of the image for each container (reflinked where the file system can)
    Copy,
}

/// When `run` asks an image's registry (`--pull`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    /// Where the image is not here
    #[default]
    Missing,
    /// Every time; what is here does where the registry cannot be asked
    Always,
    /// Never
    Never,
}

/// Which network the command sees (`--network`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// The machine's own
    #[default]
    Host,
    /// A network namespace of its own in which only the loopback device is up
    None,
}

/// Checks `--name` and `--hostname`: 1 to `max` of letters, digits, `_`, `.`, `-`, the first one a letter or a digit.
///
/// # Errors
/// A sentence that says which rule is broken.
pub fn check_name(name: &str, max: usize) -> Result<(), String> {
    let rule = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if name.is_empty() || name.len() > max {
        return Err(format!("{name:?} has {} characters; 1 to {max} are allowed", name.len()));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(rule) {
        return Err(format!(
            "{name:?} must start with a letter or digit and hold only letters, digits, '_', '.' and '-'"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "web-1", "A.b_c"] {
            assert_eq!(check_name(good, 63), Ok(()));
        }
        for bad in ["", "-a", ".a", "a/b", "a b", "..", "ä", &"x".repeat(64)] {
            assert!(check_name(bad, 63).is_err(), "{bad:?}");
        }
    }
}
