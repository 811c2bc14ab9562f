//! Exports a root file system: all layers of an image, or of a container with what it changed, as one tar archive.
//!
//! The layers are copied onto each other in a folder of the store, where the file system shares their content if it can,
//! and the copy is packed. It goes away whatever happens; that of a process that was killed is a leftover as `image prune`
//! finds it. A mount of the kernel's overlay would need no space, but does not work on every machine.

use crate::{
    image::{self, OwnerRecord, Owners, merge},
    plan::ids::Ids,
    spec::Digest,
    store::{
        self, Store,
        images::{self, Image},
        lock::Lock,
        record::Record,
        unneeded::{self, Thing},
    },
    transfer::save::Output,
    userns,
};
use anyhow::{Context, Result, bail};
use std::{
    fs, io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

/// What is to be exported.
#[derive(Debug)]
pub enum What {
    /// An image of the store.
    Image(Box<Image>),
    /// A container, whether it runs or not.
    Container(Box<Record>),
}

/// Where the layers lie.
struct Layers {
    /// The folders of the trees, the lowest first.
    trees: Vec<PathBuf>,
    /// All of them are in `changes` already.
    known: bool,
    /// What the container wrote, or its whole copy of the image.
    changes: Option<PathBuf>,
}

/// Writes it as a plain tar archive in pax format, with the owners that its image has, whatever ids this machine could give.
/// Gives back what could not be taken along, line by line. A container that runs goes on, and what it changes meanwhile may
/// be in the archive or not.
///
/// # Errors
/// A layer is gone, or it cannot be copied or written; the error names the file. Then there is no archive.
pub fn export(what: &What, store: &Store, ids: &Ids, output: Output) -> Result<Vec<String>> {
    let layers = match what {
        What::Image(image) => of_image(image, store),
        What::Container(record) => of_container(record, store)?,
    };
    let _locks = hold(&layers, store)?;
    if let Some(gone) = layers.trees.iter().find(|tree| !tree.is_dir()) {
        bail!("its layer {} is gone\n  fix (you): `little-container system check` tells what is lost", gone.display());
    }
    let staging = Staging::new(store)?;
    let merged = inside(ids, || Ok(serde_json::to_vec(&join(&layers, store, ids, &staging.root)?)?))?;
    let (records, notes): (Vec<OwnerRecord>, Vec<String>) = serde_json::from_slice(&merged)?;
    output.archive(|to| {
        let pack = || {
            image::pack(fs::File::open(&staging.root)?.as_fd(), &records, &mut *to)?;
            // A child of ours has a buffer of its own.
            to.flush()?;
            Ok(Vec::new())
        };
        inside(ids, pack).map(drop)
    })?;
    Ok(notes)
}

/// In a user namespace, where every file of ours may be read; without any where there is only one id and none can be made.
fn inside(ids: &Ids, mut work: impl FnMut() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    match userns::inside(&ids.map, &ids.mapper, &mut work) {
        Err(e) if !ids.map.is_range() && e.downcast_ref::<userns::NoNamespace>().is_some() => work(),
        done => done,
    }
}

fn of_image(image: &Image, store: &Store) -> Layers {
    let trees = image.layers.iter().skip(image.hidden).map(|layer| images::layer_dir(store.root(), layer));
    Layers { trees: trees.collect(), known: false, changes: None }
}

fn of_container(record: &Record, store: &Store) -> Result<Layers> {
    let folder = store.container(&record.id);
    let (copy, upper) = (folder.join("root"), folder.join("upper"));
    let whole = copy.is_dir();
    let changes = if whole { copy } else { upper };
    if !changes.is_dir() {
        bail!(
            "its files are not there: {} is gone\n  fix (you): `little-container rm {}`",
            changes.display(),
            record.name.as_ref().unwrap_or(&record.id)
        );
    }
    let trees = record.layers.iter().rev().map(|layer| layer.path().to_path_buf()).collect();
    Ok(Layers { trees, known: whole, changes: Some(changes) })
}

/// The layer of the store that a tree is; a folder of the user's is none.
fn digest(tree: &Path, store: &Store) -> Option<Digest> {
    let folder = tree.parent()?;
    let digest = format!("sha256:{}", folder.file_name()?.to_str()?).parse().ok()?;
    (store.layer(&digest) == folder).then_some(digest)
}

fn hold(layers: &Layers, store: &Store) -> Result<Vec<Lock>> {
    let trees = layers.trees.iter().filter_map(|tree| digest(tree, store));
    trees.map(|digest| Thing::Layer(digest).hold(store)).collect()
}

/// Makes the whole tree at `root`: its owners, and what was left out.
fn join(layers: &Layers, store: &Store, ids: &Ids, root: &Path) -> Result<(Vec<OwnerRecord>, Vec<String>)> {
    let mut parts = Vec::new();
    for tree in &layers.trees {
        let records = match digest(tree, store) {
            Some(digest) => owners(&store.layer(&digest).join("owners.json"))?,
            None => Vec::new(),
        };
        parts.push(merge::Part { root: tree.clone(), known: layers.known, records, changes: false });
    }
    if let Some(changes) = &layers.changes {
        parts.push(merge::Part { root: changes.clone(), known: false, records: Vec::new(), changes: true });
    }
    let owners = if ids.map.is_range() { Owners::Mapped } else { Owners::Single };
    let root = fs::File::open(root).with_context(|| format!("open {}", root.display()))?;
    merge::merge(parts, root.as_fd(), &owners)
}

fn owners(path: &Path) -> Result<Vec<OwnerRecord>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e).with_context(|| format!("read {}", path.display())),
    }
}

/// The folder of the copy, taken away at the end.
struct Staging {
    folder: PathBuf,
    root: PathBuf,
}

impl Staging {
    fn new(store: &Store) -> Result<Staging> {
        let folder = images::staging(store.root());
        let staging = Staging { root: folder.join("root"), folder };
        store::make_private_folder(&staging.root).with_context(|| format!("make {}", staging.root.display()))?;
        Ok(staging)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = unneeded::remove_folder(&self.folder);
    }
}
