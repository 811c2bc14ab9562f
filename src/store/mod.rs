//! What lies on the disk.
//!
//! ```text
//! $XDG_DATA_HOME/little-container/        the store; --store, LITTLE_CONTAINER_STORE and `store` of the configuration move it
//!     version                             1
//!     images/<name>.json                  an image: its layers and its configuration
//!     blobs/sha256/<hex>                  manifests, configurations and packed layers, as they came
//!     layers/<digest>/root/               an unpacked layer, never written again
//!     layers/<digest>/owners.json         what of it could not be kept on the disk: owners, devices
//!     host/                               the image `host`: folders of its own under the machine's
//!     containers/<id>/container.json      a container: what it is, who runs it, how it ended
//!     containers/<id>/upper/ work/        its changes, and overlay's own folder
//!     names/<name> -> <id>                names, unique because a link is made only where there is none
//!     points/                             a place for everything that is mounted in a root, below every image
//!     mnt/                                empty; every root is mounted here, each in a mount namespace of its own
//!
//! $XDG_RUNTIME_DIR/little-container/      memory, gone after a reboot
//!     <id>.<pid>.<start time> -> store    the mark of a run: made first, removed last
//!     <id>.group -> cgroup                where the run has made a cgroup, from just before that until it is gone
//!     overlay.*                           what the probe of the kernel's overlay said
//! ```
//!
//! Every file is written beside its place and renamed into it. Nothing says "running": that is worked out from the mark
//! and from the process it names. No lock is taken by a start.

pub mod blobs;
pub mod containers;
pub mod images;
pub mod layers;
pub mod lock;
pub mod record;
pub mod sweep;
pub mod unneeded;

use crate::sys::cred;
use anyhow::{Context, Result, bail};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The format of the store that this version writes.
const VERSION: u32 = 1;

/// What every root gets something mounted on.
const POINTS: &[&str] = &["proc/", "sys/", "dev/", "etc/", "etc/resolv.conf", "etc/hosts", "etc/hostname"];

/// A store that is there.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store, making it where it is not there yet.
    ///
    /// # Errors
    /// It cannot be made, or a later version of this program wrote it.
    pub fn open(root: &Path) -> Result<Store> {
        let store = Store { root: root.into() };
        match fs::read_to_string(root.join("version")) {
            Ok(text) => match text.trim().parse::<u32>() {
                Ok(version) if version <= VERSION => store.checked(),
                _ => bail!(
                    "the store {} has format {:?}, and this version knows formats up to {VERSION}\n  \
                     fix (you): use a newer little-container, or another store (--store DIR)",
                    root.display(),
                    text.trim()
                ),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let store = if root.exists() { store.checked()? } else { store };
                store.make().with_context(|| format!("make the store {}", root.display()))?;
                Ok(store)
            }
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => bail!(
                "open the store {}: it is not a folder\n  fix (you): choose another one with --store DIR",
                root.display()
            ),
            Err(e) => Err(e).with_context(|| format!("open the store {}", root.display())),
        }
    }

    /// A store that a mark names: as it is, if it is ours.
    pub fn known(root: PathBuf) -> Option<Store> {
        (root.is_absolute() && root.join("version").exists()).then(|| Store { root }.checked().ok()).flatten()
    }

    /// What lies in a store becomes paths and processes. One that others can write to is not ours to act upon.
    /// Nor is one that somebody else has put there by a link on the way.
    fn checked(self) -> Result<Store> {
        let own = cred::effective_uid();
        let foreign_link =
            |path: &Path| fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink() && m.uid() != own && m.uid() != 0);
        let metadata = fs::metadata(&self.root)?;
        let ours = metadata.uid() == own && metadata.permissions().mode() & 0o002 == 0;
        if ours && !self.root.ancestors().any(foreign_link) {
            return Ok(self);
        }
        bail!(
            "the store {} is not yours alone\n  cause: it belongs to uid {}, mode {:o}, or a link of somebody else's leads there\n  \
             fix (you): choose another with --store DIR or LITTLE_CONTAINER_STORE",
            self.root.display(),
            metadata.uid(),
            metadata.permissions().mode() & 0o777
        )
    }

    fn make(&self) -> io::Result<()> {
        for folder in ["images", "layers", "host", "containers", "names", "mnt"] {
            make_private_folder(&self.root.join(folder))?;
        }
        write_atomically(&self.root.join("version"), format!("{VERSION}\n").as_bytes())
    }

    /// Under a name of its own until it is whole: what is in it is seen by every container.
    fn make_points(&self) -> io::Result<()> {
        let draft = self.root.join(format!("points.{}", std::process::id()));
        for folder in POINTS.iter().filter_map(|p| p.strip_suffix('/')) {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(draft.join(folder))?;
        }
        for file in POINTS.iter().filter(|p| !p.ends_with('/')) {
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(draft.join(file))?;
        }
        let made = fs::rename(&draft, self.root.join("points"));
        if made.is_err() {
            let _ = fs::remove_dir_all(draft);
        }
        made
    }

    /// The folder with a place for everything that is mounted in a root, if it can be had: without it a container makes
    /// these places in its own layer.
    pub fn points(&self) -> Option<PathBuf> {
        let folder = self.root.join("points");
        let there = folder.is_dir() || self.make_points().is_ok() || folder.is_dir();
        there.then_some(folder)
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a container.
    pub fn container(&self, id: &str) -> PathBuf {
        self.root.join("containers").join(id)
    }

    /// The empty folder on which roots are mounted.
    pub fn mount_point(&self) -> PathBuf {
        self.root.join("mnt")
    }
}

/// Whether this is the id of a container: 64 hexadecimal digits, and so never a path.
pub fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A folder for us alone, and those above it.
///
/// # Errors
/// Those of mkdir(2).
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file beside its place and renames it into it: a reader sees the old content or the new, never a part.
///
/// # Errors
/// Those of open(2), write(2) and rename(2); the draft is taken away again.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let create = || fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
    let write = || -> io::Result<()> {
        let mut file = match create() {
            // Of a process that had our number and was killed; never written through, for it may be a link.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => fs::remove_file(&draft).and_then(|()| create())?,
            file => file?,
        };
        io::Write::write_all(&mut file, content)?;
        fs::rename(&draft, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&draft);
    })
}
