//! The layers of an image that is being installed: several at once, each in one pass.
//!
//! ```text
//! socket → sha256 → .part → inflate    → │ → sha256 of the plain stream → tar → files below .new-<hex>
//!                             one thread │ another one
//! ```
//!
//! A layer is there when both hashes and the size are right: then its blob and its tree take their places.

use super::{Install, install::Documents, packed::Packed, plain};
use crate::{
    image::{self, OwnerRecord, Owners, Unpacked},
    oci::Descriptor,
    say,
    spec::Digest,
    store::{
        blobs,
        layers::{Claim, Draft},
        lock::Lock,
    },
    sys::dir,
};
use anyhow::{Context, Result, anyhow, bail};
use std::{
    collections::BTreeMap,
    fs,
    os::fd::AsFd,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// How many layers are on their way at once. More do not make a pull quicker where two processors unpack.
const AT_ONCE: usize = 4;

/// A layer that is in the store.
pub struct Installed {
    /// What is known of its tree.
    pub facts: Facts,
    /// Keep it from being removed until a record names it.
    _locks: Vec<Lock>,
}

/// What is kept beside a layer's tree.
#[derive(Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Bytes of file content.
    pub size: u64,
    /// Its whiteouts are files, for want of devices.
    pub plain_whiteouts: bool,
    /// Nothing below it shows.
    pub opaque_root: bool,
}

/// One layer and what its plain stream must hash to.
struct Wanted<'a> {
    layer: &'a Descriptor,
    diff_id: &'a Digest,
}

/// Installs every layer; by its diff_id, for an image may have the same layer twice.
pub fn all<'d>(install: &Install<'_>, documents: &'d Documents) -> Result<BTreeMap<&'d Digest, Installed>> {
    let pairs = documents.manifest.layers.iter().zip(&documents.config.rootfs.diff_ids);
    // An image may have a layer twice, an empty one mostly.
    let mut once: BTreeMap<&Digest, Wanted<'_>> = BTreeMap::new();
    for (layer, diff_id) in pairs {
        once.entry(diff_id).or_insert(Wanted { layer, diff_id });
    }
    let mut todo: Vec<Wanted<'_>> = once.into_values().collect();
    // The largest first: it takes longest.
    todo.sort_by_key(|wanted| std::cmp::Reverse(wanted.layer.size));
    let (next, failed, done) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(BTreeMap::new()));
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let Some(wanted) = todo.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            let outcome = one(install, wanted).with_context(|| format!("the layer {}", wanted.layer.digest));
            failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
            done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(wanted.diff_id, outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..AT_ONCE.min(todo.len()) {
            scope.spawn(work);
        }
        work();
    });
    let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.into_iter().map(|(diff_id, outcome)| Ok((diff_id, outcome?))).collect()
}

fn one(install: &Install<'_>, wanted: &Wanted<'_>) -> Result<Installed> {
    // What was damaged in the store, or had come wrong before, is fetched again, once.
    match attempt(install, wanted)? {
        Outcome::Installed(installed) => Ok(installed),
        Outcome::Damaged => match attempt(install, wanted)? {
            Outcome::Installed(installed) => Ok(installed),
            Outcome::Damaged => bail!("it comes damaged again and again"),
        },
    }
}

enum Outcome {
    Installed(Installed),
    /// What the store had of it was wrong and is gone now.
    Damaged,
}

fn attempt(install: &Install<'_>, wanted: &Wanted<'_>) -> Result<Outcome> {
    let Install { store, progress, .. } = install;
    let Wanted { layer, diff_id } = wanted;
    let mut waiting = || progress.tell(&layer.digest, "another process is at it; waiting");
    let draft = match store.claim_layer(diff_id, &mut waiting, remove)? {
        Claim::There(lock) => {
            let blob = packed_only(install, layer, &mut waiting)?;
            progress.done(&layer.digest, false);
            let facts = facts(&store.layer(diff_id));
            return Ok(Outcome::Installed(Installed { facts, _locks: vec![blob, lock] }));
        }
        Claim::Missing(draft) => draft,
    };
    let (packed, stored) = match store.claim_blob(&layer.digest, &mut waiting)? {
        blobs::Claim::There(lock) => {
            progress.begin(&layer.digest, layer.size, layer.size);
            (Packed::stored(layer, store.open_blob(&layer.digest)?, *progress), Some(lock))
        }
        blobs::Claim::Missing(part) => {
            progress.begin(&layer.digest, layer.size, part.have.min(layer.size));
            (Packed::fetched(layer, part, install.origin, *progress)?, None)
        }
    };
    let suspect = stored.is_some() || packed.is_continued();
    let outcome = pass(install, wanted, packed, &draft);
    let (unpacked, part) = match outcome {
        Ok(good) => good,
        Err(Bad { part, error, content }) => {
            remove(draft.folder())?;
            if content {
                part.map_or_else(|| fs::remove_file(store.blob(&layer.digest)), blobs::Part::discard)?;
            }
            return if content && suspect { Ok(Outcome::Damaged) } else { Err(error) };
        }
    };
    let blob = part.map_or_else(|| stored.ok_or_else(|| anyhow!("no lock")), blobs::Part::commit)?;
    let (facts, tree) = keep(draft, &unpacked)?;
    unpacked.notes.iter().for_each(|note| say::note(note));
    progress.done(&layer.digest, true);
    Ok(Outcome::Installed(Installed { facts, _locks: vec![blob, tree] }))
}

/// The blob of a layer that is unpacked already: it may have been given up to save space, or lost.
fn packed_only(install: &Install<'_>, layer: &Descriptor, waiting: &mut dyn FnMut()) -> Result<Lock> {
    let part = match install.store.claim_blob(&layer.digest, waiting)? {
        blobs::Claim::There(lock) => return Ok(lock),
        blobs::Claim::Missing(part) => part,
    };
    install.progress.begin(&layer.digest, layer.size, part.have.min(layer.size));
    let (digest, size, part) = Packed::fetched(layer, part, install.origin, install.progress)?.finish()?;
    let part = part.context("what was fetched is gone")?;
    if (&digest, size) != (&layer.digest, layer.size) {
        part.discard()?;
        bail!("what came has {size} bytes and hashes to {digest}");
    }
    part.commit()
}

/// Why nothing came of a pass.
struct Bad {
    error: anyhow::Error,
    /// The bytes are wrong, so that to keep them is of no use; else they could not be had, or not be written.
    content: bool,
    part: Option<blobs::Part>,
}

fn pass(
    install: &Install<'_>,
    wanted: &Wanted<'_>,
    packed: Packed<'_>,
    draft: &Draft,
) -> Result<(Unpacked, Option<blobs::Part>), Bad> {
    let plainly = |error: anyhow::Error| Bad { error, content: false, part: None };
    let root = fs::File::open(&draft.root).map_err(|e| plainly(e.into()))?;
    let owners = if install.ids.map.is_range() { Owners::Mapped } else { Owners::Single };
    let (unpacked, packed) = std::thread::scope(|scope| -> Result<_> {
        let mut plain = plain::inflate(scope, packed, wanted.layer.size)?;
        let unpacked = image::unpack_layer(&mut plain, root.as_fd(), &owners, &image::Limits::default());
        Ok((unpacked, plain.finish()?))
    })
    .map_err(plainly)?;
    if let Err(error) = &unpacked
        && is_full(error)
    {
        // Nothing more of it has a place. What has come is kept.
        return unpacked.map(|unpacked| (unpacked, None)).map_err(plainly);
    }
    // The whole of it is hashed even where unpacking failed: a layer that is damaged says so, not what came of that.
    let (digest, size, part) = packed.finish().map_err(|e| {
        let content = e.kind() == std::io::ErrorKind::InvalidData;
        Bad { content, ..plainly(e.into()) }
    })?;
    let wrong = |told: String| (told, true);
    let fault = if digest != wanted.layer.digest {
        Some(wrong(format!("what came hashes to {digest}")))
    } else if size != wanted.layer.size {
        Some(wrong(format!("it has {size} bytes, and its manifest says {}", wanted.layer.size)))
    } else {
        match &unpacked {
            Ok(unpacked) if unpacked.diff_id != wanted.diff_id.to_string() => Some((
                format!("its plain content hashes to {}, and the image says {}", unpacked.diff_id, wanted.diff_id),
                false,
            )),
            _ => None,
        }
    };
    match (fault, unpacked) {
        (Some((told, content)), _) => Err(Bad { error: anyhow!(told), content, part }),
        (None, Ok(unpacked)) => Ok((unpacked, part)),
        (None, Err(error)) => Err(Bad { error, content: false, part }),
    }
}

fn is_full(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let mut all = error.chain().filter_map(|part| part.downcast_ref::<std::io::Error>());
    all.any(|part| matches!(part.kind(), QuotaExceeded | StorageFull))
}

/// Puts what cannot be on the disk beside the tree, and the tree in its place.
fn keep(draft: Draft, unpacked: &Unpacked) -> Result<(Facts, Lock)> {
    let &Unpacked { size, plain_whiteouts, opaque_root, .. } = unpacked;
    let facts = Facts { size, plain_whiteouts, opaque_root };
    fs::write(draft.folder().join("layer.json"), serde_json::to_vec(&facts)?)?;
    let owners: &[OwnerRecord] = &unpacked.records;
    let owners = if owners.is_empty() { Vec::new() } else { serde_json::to_vec(owners)? };
    Ok((facts, draft.commit(&owners)?))
}

/// Of a layer that an earlier version unpacked nothing is known.
fn facts(layer: &Path) -> Facts {
    let read = || serde_json::from_slice(&fs::read(layer.join("layer.json")).ok()?).ok();
    read().unwrap_or_default()
}

/// Takes away what an attempt has left, as the owner of every file in it.
fn remove(folder: &Path) -> Result<()> {
    let parent = fs::File::open(folder.parent().unwrap_or(Path::new("/")))?;
    let name = folder.file_name().unwrap_or_default();
    dir::remove_tree(parent.as_fd(), name).with_context(|| format!("remove {}", folder.display()))
}
