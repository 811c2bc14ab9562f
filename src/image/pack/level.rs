//! One folder of a tree that is packed: what is to be written of it, in its order.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::records::Records;
use crate::image::owners::{Device, OwnerRecord};
use crate::sys::dir::{self, Kind, Meta};

/// What the overlay drivers mark a folder with that hides all below it (overlayfs.rst, fuse-overlayfs(1)).
const OPAQUE: [&str; 2] = ["user.overlay.opaque", "user.fuseoverlayfs.opaque"];

/// The character device that hides a file of a lower layer (overlayfs.rst, "whiteouts and opaque directories").
pub const WHITEOUT: Device = Device { block: false, major: 0, minor: 0 };

/// A folder on the way down, and what is left to do in it.
pub struct Level {
    /// Below the root.
    pub path: PathBuf,
    /// `None` after a long way down.
    pub folder: Option<OwnedFd>,
    pub rest: std::vec::IntoIter<Item>,
}

/// What is to be written under a name.
pub struct Item {
    pub name: OsString,
    pub what: What,
}

pub enum What {
    /// What has that name on disk.
    Found(Meta),
    /// A device node that is on record only.
    Recorded(OwnerRecord, Device),
    /// An empty file that stands for something removed.
    Mark,
}

impl Level {
    /// Lists a folder, whose path is below the root.
    pub fn new(path: PathBuf, folder: OwnedFd, records: &Records<'_>) -> Result<Self> {
        let fd = folder.as_fd();
        let mut items = Vec::new();
        for name in dir::list(fd)? {
            let meta = dir::stat(fd, &name).with_context(|| format!("\"{}\"", name.as_bytes().escape_ascii()))?;
            match meta.kind {
                Kind::Socket | Kind::Unknown => {}
                Kind::Char if meta.device == (WHITEOUT.major, WHITEOUT.minor) => items.push(mark(name.as_bytes())),
                _ => items.push(Item { name, what: What::Found(meta) }),
            }
        }
        for (name, record, device) in records.nodes_in(dir::stat_fd(fd)?.inode) {
            let node = || Item { name: name.to_owned(), what: What::Recorded(record.clone(), device) };
            items.push(if device == WHITEOUT { mark(name.as_bytes()) } else { node() });
        }
        if OPAQUE.iter().any(|name| dir::read_xattr(fd, name.as_ref()).is_ok_and(|value| value == b"y")) {
            items.push(mark(b".wh..opq"));
        }
        // What is there comes first, so that its own mark does not become a second one.
        items.sort_by(|a, b| (&a.name, a.what.is_mark()).cmp(&(&b.name, b.what.is_mark())));
        items.dedup_by(|second, first| second.name == first.name);
        Ok(Level { path, folder: Some(folder), rest: items.into_iter() })
    }
}

impl What {
    fn is_mark(&self) -> bool {
        matches!(self, Self::Mark)
    }
}

fn mark(name: &[u8]) -> Item {
    Item { name: OsString::from_vec([b".wh.", name].concat()), what: What::Mark }
}
