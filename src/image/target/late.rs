//! What comes last: the modes and times of folders, once nothing is written into them any more.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result};

use super::Target;
use crate::sys::dir::{self, Time};

/// The mode and time a folder gets at the end, if it is still the same folder.
pub struct Late {
    pub mode: u32,
    pub mtime: Time,
    pub inode: (u64, u64),
}

impl Target<'_> {
    /// Gives the folders their modes and times, children before parents.
    pub fn finish(&mut self) -> Result<()> {
        for (path, late) in std::mem::take(&mut self.late).into_iter().rev() {
            let set = || -> io::Result<()> {
                let spot = self.existing(&path)?;
                let folder = dir::open_dir_beneath(spot.folder.as_fd(), Path::new(spot.name))?;
                // Replaced by a later entry, or reached through another link now: not the one that was meant.
                if dir::stat_fd(&folder)?.inode != late.inode {
                    return Ok(());
                }
                dir::chmod(&folder, late.mode)?;
                dir::set_time(spot.folder.as_fd(), spot.name, late.mtime)
            };
            match set() {
                Err(error) if is_gone(&error) => {}
                result => result.with_context(|| format!("folder {path:?}"))?,
            }
        }
        Ok(())
    }
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory) || dir::is_loop(error)
}
