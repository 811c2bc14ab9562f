//! One layer onto the layers below it: what its marks hide goes first.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;

use super::Copying;
use crate::image::layer::marks;
use crate::sys::dir::{self, Kind};

impl Copying<'_> {
    /// Removes from the target what the folder `opened` of the layer hides there, and its marks from `names`. The folder
    /// itself is in the target by now.
    pub(super) fn remove_hidden(
        &mut self,
        path: &Path,
        opened: BorrowedFd<'_>,
        names: &mut Vec<OsString>,
    ) -> Result<()> {
        let opaque = names.iter().any(|name| name == marks::OPAQUE_FILE) || marks::is_opaque(opened);
        if opaque {
            let inside = path.join(marks::OPAQUE_FILE);
            let folder = self.target.spot(&inside)?.folder;
            for name in dir::list(folder.as_fd())? {
                self.remove(&path.join(name))?;
            }
        }
        // All before the first entry is copied: an entry of this layer stays whatever its marks say.
        let mut kept = Vec::with_capacity(names.len());
        for name in names.drain(..) {
            if let Some(hidden) = name.as_bytes().strip_prefix(marks::PREFIX) {
                if !hidden.starts_with(marks::PREFIX) && !matches!(hidden, b"" | b"." | b"..") {
                    self.remove(&path.join(OsStr::from_bytes(hidden)))?;
                }
            } else if dir::stat(opened, &name).is_ok_and(|meta| meta.kind == Kind::Char && meta.device == (0, 0)) {
                self.remove(&path.join(&name))?;
            } else {
                kept.push(name);
            }
        }
        *names = kept;
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> Result<()> {
        let spot = self.target.spot(path)?;
        Ok(self.target.clear(&spot)?)
    }
}
