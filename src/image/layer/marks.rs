//! What a layer says about the layers below it, in the form that an overlay reads (overlayfs.rst, "whiteouts and opaque
//! directories"; OCI image-spec, layer.md, "Whiteouts").
//!
//! Marks speak of lower layers alone, so they are kept until all entries are on disk: then it does not matter which came
//! first, and no entry can get hold of one.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::io::ErrorKind::{AlreadyExists, InvalidInput, NotADirectory, NotFound, PermissionDenied, Unsupported};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::image::target::{Spot, Target};
use crate::sys::dir::{self, Kind};

/// The start of the name of each mark in an archive.
pub const PREFIX: &[u8] = b".wh.";

/// In an archive, and where a file system has no attributes: the file that makes its folder opaque.
pub const OPAQUE_FILE: &str = ".wh..wh..opq";

/// The attribute that makes a folder opaque to an overlay mounted with `userxattr`.
pub const OPAQUE: &str = "user.overlay.opaque";

/// Whether the folder of a layer is opaque by an attribute.
pub fn is_opaque(folder: BorrowedFd<'_>) -> bool {
    let ours = |name: &OsString| is_attribute(name.as_bytes()) && name.as_bytes().ends_with(b".opaque");
    let names = dir::xattr_names(folder).unwrap_or_default();
    names.iter().filter(|name| ours(name)).any(|name| dir::read_xattr(folder, name).is_ok_and(|value| value == b"y"))
}

/// Whether an attribute is one of a driver's own, which nobody sees through its mount.
pub fn is_attribute(name: &[u8]) -> bool {
    [&b"user.overlay."[..], b"user.fuseoverlayfs."].iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a folder above the last component has the name of a mark, as in what aufs kept for itself.
pub fn below_mark(path: &Path) -> bool {
    path.parent().is_some_and(|above| above.iter().any(|name| name.as_bytes().starts_with(PREFIX)))
}

/// The marks of a layer, by the paths they speak of.
#[derive(Debug, Default)]
pub struct Marks {
    gone: BTreeSet<PathBuf>,
    opaque: BTreeSet<PathBuf>,
    /// The layer hides all of the layers below it, which no overlay reads from a root.
    pub opaque_root: bool,
    /// Some are plain files.
    pub plain: bool,
}

impl Marks {
    /// `path` is not there in lower layers.
    pub fn add_gone(&mut self, path: PathBuf) {
        self.gone.insert(path);
    }

    /// Lower layers have nothing in the folder `path`.
    pub fn add_opaque(&mut self, path: &Path) {
        self.opaque.insert(path.to_owned());
    }

    /// Writes them; after all entries, and before [`Target::finish`] gives the folders their times.
    pub fn write(&mut self, target: &mut Target<'_>) -> Result<()> {
        for path in std::mem::take(&mut self.opaque) {
            let place = || format!("opaque folder \"{}\"", path.display());
            // Its folder comes to be here if no entry made it.
            let inside = path.join(OPAQUE_FILE);
            if let Some(spot) = reach(target, &inside).with_context(place)? {
                self.make_opaque(&spot, &path).with_context(place)?;
            }
        }
        // A folder comes before what is in it, so nothing is made in one that is gone.
        for path in std::mem::take(&mut self.gone) {
            let place = || format!("whiteout of \"{}\"", path.display());
            if let Some(spot) = reach(target, &path).with_context(place)? {
                self.make_gone(&spot, target).with_context(place)?;
            }
        }
        Ok(())
    }

    fn make_gone(&mut self, spot: &Spot<'_>, target: &mut Target<'_>) -> Result<()> {
        match dir::stat(spot.folder.as_fd(), spot.name) {
            // This layer's own folder takes the place of the lower one, and is not joined with it.
            Ok(meta) if meta.kind == Kind::Directory => {
                let inside = spot.path.join(OPAQUE_FILE);
                let inner = target.spot(&inside)?;
                return Ok(self.make_opaque(&inner, spot.path)?);
            }
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == NotFound => {}
            Err(error) => return Err(error.into()),
        }
        match dir::make_whiteout(spot.folder.as_fd(), spot.name) {
            Err(error) if is_refused(&error) => {
                self.plain = true;
                let mut name = OsString::from(".wh.");
                name.push(spot.name);
                Ok(plain(spot, &name)?)
            }
            result => Ok(result?),
        }
    }

    fn make_opaque(&mut self, spot: &Spot<'_>, path: &Path) -> io::Result<()> {
        self.opaque_root |= path.as_os_str().is_empty();
        let folder = dir::open_dir_beneath(spot.folder.as_fd(), Path::new(""))?;
        match dir::set_xattr(&folder, OsStr::new(OPAQUE), b"y") {
            Err(error) if is_refused(&error) => {
                self.plain = true;
                plain(spot, OsStr::new(OPAQUE_FILE))
            }
            result => result,
        }
    }
}

/// The folder of `path`; `None` where this layer has something else in its place, which hides the lower one anyway.
fn reach<'p>(target: &mut Target<'_>, path: &'p Path) -> Result<Option<Spot<'p>>> {
    match target.spot(path) {
        Ok(spot) => Ok(Some(spot)),
        Err(error) => {
            let cause = error.downcast_ref::<io::Error>();
            let other = cause.is_some_and(|e| matches!(e.kind(), NotADirectory | AlreadyExists) || dir::is_loop(e));
            if other { Ok(None) } else { Err(error) }
        }
    }
}

fn plain(spot: &Spot<'_>, name: &OsStr) -> io::Result<()> {
    match dir::create_file(spot.folder.as_fd(), name, 0o644) {
        Err(error) if error.kind() == AlreadyExists => Ok(()),
        result => result.map(drop),
    }
}

/// Refused by the file system or an old kernel, where another form may do.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), PermissionDenied | Unsupported | InvalidInput)
}
