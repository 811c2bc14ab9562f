//! What no image and no container needs, and taking it away.
//!
//! Records come first: what they do not name is not needed. A thing is taken away under its lock, which is only tried
//! for: who holds it is about to name the thing in a record. And only with the lock in hand are the records read, for
//! one may have been written since. A layer is renamed away before its files go, so that none is ever there in part.

use super::{
    Store, containers,
    images::{self, Image},
    lock::{Lock, Mode},
    record::start_time,
};
use crate::{
    spec::Digest,
    sys::{code, dir},
};
use anyhow::{Context, Result};
use std::{
    collections::{BTreeSet, HashSet},
    fs, io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// As many locks are held at once, each an open file.
const AT_ONCE: usize = 100;

/// A part of the store that images share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    /// An unpacked layer, by its diff id.
    Layer(Digest),
    /// A packed layer, a manifest, a configuration.
    Blob(Digest),
}

/// What the records name, by the digits of the digests.
#[derive(Debug, Default)]
pub struct Needed {
    layers: HashSet<String>,
    blobs: HashSet<String>,
    /// A record of an image cannot be read: it could name anything.
    pub unclear: bool,
}

/// What came of taking things away.
#[derive(Debug, Default)]
pub struct Reaped {
    /// Layers and blobs that went.
    pub gone: Vec<Thing>,
    /// Bytes that they had, where they were to be counted.
    pub bytes: u64,
    /// So many are in use by other processes at this moment.
    pub busy: usize,
    /// Nothing could go, for a record cannot be read.
    pub unclear: bool,
}

/// Everything that an image needs of the store.
pub fn things_of(image: &Image) -> BTreeSet<Thing> {
    let layers = image.layers.iter().filter_map(|l| l.parse().ok()).map(Thing::Layer);
    let documents = [image.manifest.as_ref().map(|m| m.digest.clone()), image.config_digest(), image.origin.clone()];
    let packed = image.blobs.iter().map(|blob| blob.digest.clone());
    layers.chain(documents.into_iter().flatten().chain(packed).map(Thing::Blob)).collect()
}

impl Needed {
    /// Reads all records of the store.
    ///
    /// # Errors
    /// The folder of the containers cannot be read.
    pub fn read(store: &Store) -> Result<Needed> {
        let mut needed = Needed::default();
        for image in images::list(store.root()) {
            match image {
                Ok(image) => needed.extend(&image),
                Err(_) => needed.unclear = true,
            }
        }
        for record in containers::list(store)?.into_iter().flatten() {
            let hex = |layer: &crate::spec::Raw| {
                layer.path().parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned())
            };
            needed.layers.extend(record.layers.iter().filter_map(hex));
        }
        Ok(needed)
    }

    /// An image that is to stay.
    pub fn extend(&mut self, image: &Image) {
        for thing in things_of(image) {
            match thing {
                Thing::Layer(digest) => self.layers.insert(digest.hex().into()),
                Thing::Blob(digest) => self.blobs.insert(digest.hex().into()),
            };
        }
    }

    /// Whether this must stay.
    pub fn has(&self, thing: &Thing) -> bool {
        match thing {
            Thing::Layer(digest) => self.layers.contains(digest.hex()),
            Thing::Blob(digest) => self.blobs.contains(digest.hex()),
        }
    }
}

impl Thing {
    /// Where it lies.
    pub fn path(&self, store: &Store) -> PathBuf {
        match self {
            Thing::Layer(digest) => store.layer(digest),
            Thing::Blob(digest) => store.blob(digest),
        }
    }

    fn lock_path(&self, store: &Store) -> PathBuf {
        let (Thing::Layer(digest) | Thing::Blob(digest)) = self;
        self.path(store).with_file_name(format!(".lock-{}", digest.hex()))
    }

    /// Holds it with others: until the end of what this returns nobody takes it away.
    ///
    /// # Errors
    /// The lock cannot be made.
    pub fn hold(&self, store: &Store) -> Result<Lock> {
        Lock::wait(&self.lock_path(store), Mode::Shared, &mut || {})
    }

    /// Takes it away whatever needs it; the caller holds its lock alone.
    fn remove(&self, store: &Store) -> Result<()> {
        let place = self.path(store);
        match self {
            Thing::Blob(_) => gone(fs::remove_file(&place)).with_context(|| format!("remove {}", place.display())),
            Thing::Layer(digest) => {
                let aside = place.with_file_name(format!(".new-{}", digest.hex()));
                remove_folder(&aside)?;
                gone(fs::rename(&place, &aside)).with_context(|| format!("rename {}", place.display()))?;
                remove_folder(&aside)
            }
        }
    }
}

/// Takes those of these things away that nothing needs and nobody is at. `count`: what they had is measured first.
///
/// # Errors
/// Something cannot be removed: the first of them, after all were tried.
pub fn reap(store: &Store, things: impl IntoIterator<Item = Thing>, count: bool) -> Result<Reaped> {
    let mut reaped = Reaped::default();
    let mut failed = Ok(());
    let things: Vec<Thing> = things.into_iter().filter(|t| fs::symlink_metadata(t.path(store)).is_ok()).collect();
    for some in things.chunks(AT_ONCE) {
        let mut held = Vec::new();
        for thing in some {
            match try_alone(thing, store)? {
                Some(lock) => held.push((thing, lock)),
                None => reaped.busy += 1,
            }
        }
        let needed = Needed::read(store)?;
        reaped.unclear |= needed.unclear;
        for (thing, lock) in held {
            if needed.unclear || needed.has(thing) {
                continue;
            }
            let bytes = if count { size(&thing.path(store)).unwrap_or(0) } else { 0 };
            match thing.remove(store) {
                Ok(()) => {
                    reaped.bytes += bytes;
                    reaped.gone.push(thing.clone());
                }
                Err(e) => failed = failed.and(Err(e)),
            }
            drop(lock);
        }
    }
    failed.map(|()| reaped)
}

/// The lock, if nobody has it. On a disk so full that the lock cannot be made nobody else has one either.
fn try_alone(thing: &Thing, store: &Store) -> Result<Option<Option<Lock>>> {
    match Lock::attempt(&thing.lock_path(store), Mode::Alone) {
        Ok(lock) => Ok(lock.map(Some)),
        Err(e) if is_full(&e) => Ok(Some(None)),
        Err(e) => Err(e),
    }
}

fn is_full(e: &anyhow::Error) -> bool {
    let errno = e.chain().find_map(|e| e.downcast_ref::<io::Error>()).and_then(io::Error::raw_os_error);
    matches!(errno, Some(code::ENOSPC | code::EDQUOT))
}

/// Every layer and every blob that lies in the store.
pub fn everything(store: &Store) -> Vec<Thing> {
    let named = |folder: PathBuf, make: fn(Digest) -> Thing| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(move |e| Some(make(format!("sha256:{}", e.file_name().to_str()?).parse().ok()?)))
    };
    let root = store.root();
    let mut all: Vec<Thing> = named(root.join("layers"), Thing::Layer).collect();
    all.extend(named(root.join("blobs/sha256"), Thing::Blob));
    all.sort();
    all
}

/// Something that was never finished, and that nobody is at.
#[derive(Debug)]
pub struct Leftover {
    /// Where it lies.
    pub path: PathBuf,
    /// It is a download that the next pull would go on with.
    pub part: bool,
    /// Held while it is taken away.
    lock: Option<Lock>,
}

impl Leftover {
    /// Whether it is a lock that nobody has, and no more: nothing that anybody would miss.
    pub fn is_lock(&self) -> bool {
        self.path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".lock-"))
    }

    /// Takes it away.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn remove(self) -> Result<()> {
        remove_folder(&self.path)?;
        drop(self.lock);
        Ok(())
    }
}

/// Downloads, layers, records and locks of processes that are gone.
pub fn leftovers(store: &Store) -> Vec<Leftover> {
    let names = |folder: &str| fs::read_dir(store.root().join(folder)).into_iter().flatten().flatten();
    let mut entries: Vec<_> = ["layers", "blobs/sha256", "images", ""].into_iter().flat_map(names).collect();
    // Locks come last: those of what is found before are held by then, and go with it.
    entries.sort_by_key(|entry| entry.file_name().as_encoded_bytes().starts_with(b".lock-"));
    entries.iter().filter_map(|entry| leftover(entry.path(), entry.file_name().to_str()?)).collect()
}

fn leftover(path: PathBuf, name: &str) -> Option<Leftover> {
    let part = name.strip_suffix(".part").filter(|hex| hex.len() == 64);
    if let Some(hex) = part.or_else(|| name.strip_prefix(".new-")) {
        let lock = Lock::attempt(&path.with_file_name(format!(".lock-{hex}")), Mode::Alone);
        return match lock {
            Ok(None) => None,
            Ok(lock) => Some(Leftover { path, part: part.is_some(), lock }),
            Err(e) => is_full(&e).then_some(Leftover { path, part: part.is_some(), lock: None }),
        };
    }
    if name.starts_with(".lock-") {
        let lock = Lock::attempt(&path, Mode::Alone).ok().flatten();
        return lock.map(|lock| Leftover { path, part: false, lock: Some(lock) });
    }
    // `.tmp-PID-N`, and the drafts of files `NAME.PID`, `points.PID`.
    let pid = match name.strip_prefix(".tmp-") {
        Some(rest) => rest.split('-').next(),
        None => name.rsplit_once('.').map(|(_, pid)| pid),
    };
    let gone = pid.and_then(|pid| pid.parse::<i32>().ok()).is_some_and(|pid| start_time(pid).is_none());
    gone.then_some(Leftover { path, part: false, lock: None })
}

/// Takes a folder or a file away, whoever owns what is in it. What is not there is no error.
///
/// # Errors
/// Something cannot be removed; the error names the folder.
pub fn remove_folder(folder: &Path) -> Result<()> {
    let remove = || -> io::Result<()> {
        let parent = fs::File::open(folder.parent().unwrap_or(Path::new("/")))?;
        dir::remove_tree(parent.as_fd(), folder.file_name().unwrap_or_default())
    };
    containers::with_every_id(remove).with_context(|| format!("remove {}", folder.display()))
}

/// How many bytes of content are in a file or below a folder; a file of several names counts once.
///
/// # Errors
/// It cannot be read.
pub fn size(path: &Path) -> Result<u64> {
    let work = || -> io::Result<u64> {
        let (mut bytes, mut seen) = (0, HashSet::new());
        let mut paths = vec![path.to_path_buf()];
        while let Some(path) = paths.pop() {
            let metadata = fs::symlink_metadata(&path)?;
            if metadata.is_dir() {
                for entry in fs::read_dir(&path)? {
                    paths.push(entry?.path());
                }
            } else if metadata.is_file() && (metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino()))) {
                bytes += metadata.len();
            }
        }
        Ok(bytes)
    };
    containers::with_every_id(work).with_context(|| format!("read {}", path.display()))
}

/// Whether it was written so long ago; what has no time is old.
pub fn is_older(path: &Path, age: Duration) -> bool {
    let written = fs::symlink_metadata(path).and_then(|m| m.modified()).ok();
    written.and_then(|t| t.elapsed().ok()).is_none_or(|past| past >= age)
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
