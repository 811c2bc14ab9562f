//! Unpacked layers, each made once by whoever needs it first.
//!
//! ```text
//! <root>/layers/<hex>/root/          the tree, by the hash of its plain tar stream (diff_id); never written again
//! <root>/layers/<hex>/owners.json    what of it could not be kept on the disk
//! <root>/layers/.new-<hex>/          one that is being made; whoever has the lock may throw it away
//! <root>/layers/.lock-<hex>          held while it is made or removed, shared until a record names it
//! ```
//!
//! The tree is in the form that an overlay reads: a whiteout is a character device 0:0, an opaque folder has the attribute
//! `user.overlay.opaque` (overlayfs.rst).

use super::{
    Store,
    lock::{Lock, Mode},
};
use crate::spec::Digest;
use anyhow::{Context, Result};
use std::{fs, path::PathBuf};

/// What came of asking for a layer.
#[derive(Debug)]
pub enum Claim {
    /// It is there; nobody removes it while the lock is held.
    There(Lock),
    /// It is to be made by the caller, who alone may.
    Missing(Draft),
}

/// A layer that is being made.
#[derive(Debug)]
pub struct Draft {
    /// The empty folder for the tree.
    pub root: PathBuf,
    folder: PathBuf,
    place: PathBuf,
    lock: Lock,
}

impl Store {
    /// The folder of a layer, with `root` in it.
    pub fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.hex())
    }

    /// Asks for a layer that may have to be made. `waiting` is called once if another process is at it; `remove` takes a
    /// folder away whoever owns the files in it (an earlier attempt that was killed).
    ///
    /// # Errors
    /// Those of making folders, and of `remove`.
    pub fn claim_layer(
        &self,
        diff_id: &Digest,
        waiting: &mut dyn FnMut(),
        remove: impl Fn(&std::path::Path) -> Result<()>,
    ) -> Result<Claim> {
        let place = self.layer(diff_id);
        let lock = place.with_file_name(format!(".lock-{}", diff_id.hex()));
        let (lock, there) = Lock::claim(&lock, &|| place.join("root").is_dir(), waiting)?;
        if there {
            return Ok(Claim::There(lock));
        }
        let folder = place.with_file_name(format!(".new-{}", diff_id.hex()));
        if folder.exists() {
            remove(&folder)?;
        }
        let root = folder.join("root");
        super::make_private_folder(&root).with_context(|| format!("make {}", root.display()))?;
        fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Claim::Missing(Draft { root, folder, place, lock }))
    }

    /// The lock for removing a layer, if nobody makes or needs it now.
    ///
    /// # Errors
    /// Those of making the lock.
    pub fn lock_layer(&self, diff_id: &Digest) -> Result<Option<Lock>> {
        Lock::attempt(&self.layer(diff_id).with_file_name(format!(".lock-{}", diff_id.hex())), Mode::Alone)
    }
}

impl Draft {
    /// It is whole: `owners` (JSON, empty for none) goes beside it, and it takes its place.
    ///
    /// # Errors
    /// Those of writing and of rename(2).
    pub fn commit(self, owners: &[u8]) -> Result<Lock> {
        if !owners.is_empty() {
            super::write_atomically(&self.folder.join("owners.json"), owners)
                .with_context(|| format!("write {}", self.folder.join("owners.json").display()))?;
        }
        fs::rename(&self.folder, &self.place).with_context(|| format!("rename {}", self.folder.display()))?;
        self.lock.share()?;
        Ok(self.lock)
    }

    /// The folder that goes away when nothing comes of it.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }
}
