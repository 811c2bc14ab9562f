//! Loads images from archives and folders.
//!
//! ```text
//! docker-archive   manifest.json: Config, RepoTags, Layers          docker save, podman save, skopeo
//! oci-archive      index.json, oci-layout, blobs/sha256/<hex>       podman save --format oci-archive, docker save from 25 on
//! ```
//!
//! What an archive is is read from its content. Where both are in it, the OCI side is taken: there the digests survive.
//! A docker-archive has no manifest of the image, so one is made here, always the same for the same archive, of the
//! configuration and the layers as they lie in it; the image id is the hash of the configuration and stays what it was.

mod docker;
mod layout;

pub(super) use docker::manifest;

use super::{
    Install, Origin, Progress, Stream,
    archive::{Files, Found},
    install,
};
use crate::{
    image::{digest::Hashing, source},
    oci::{Config, Descriptor, Platform},
    plan::ids::Ids,
    spec::{Digest, Reference},
    store::{
        Store, blobs,
        images::{self, Image},
        unneeded::{self, Thing},
    },
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::File,
    io::{self, Read, Seek, Write},
    path::Path,
};

/// What is to be loaded, and how.
pub struct Load<'a> {
    /// Where to.
    pub store: &'a Store,
    /// Which ids its files are given to.
    pub ids: &'a Ids,
    /// For which machine, where there is a choice; none: for this one.
    pub platform: Option<&'a Platform>,
    /// Only the image of this name or tag.
    pub tag: Option<&'a str>,
    /// What the image is called, the only one that is loaded then, in place of its names in the archive.
    pub name: Option<&'a str>,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

/// An image in an archive.
struct Packed {
    names: Vec<String>,
    manifest: (Descriptor, Vec<u8>),
    config: Vec<u8>,
    /// The index that led to the manifest.
    index: Option<Digest>,
    /// Where the layers lie.
    layers: Vec<(Descriptor, String)>,
}

/// Loads every image of a file, a folder or standard input (`-`); what each is called now, in the order of the archive.
///
/// # Errors
/// It is no archive of images, or one of its images is not whole; then nothing of that image is left.
pub fn load(source: &OsStr, wanted: &Load<'_>) -> Result<Vec<Image>> {
    let path = Path::new(source);
    let told = if source == "-" { "standard input".into() } else { path.display().to_string() };
    let work = || -> Result<Vec<Image>> {
        let files = open(source, wanted.store)?;
        let stem = if source == "-" { None } else { stem(path) };
        let mut all = images_in(&files, wanted, stem.as_deref())?;
        if let Some(tag) = wanted.tag {
            let end = format!(":{tag}");
            let full = own_name(tag).unwrap_or_default();
            let untagged = |name: &String| tag == "latest" && !name.rsplit('/').next().unwrap_or(name).contains(':');
            let is = |name: &String| *name == full || name.ends_with(&end) || untagged(name);
            all.retain(|image| image.names.iter().any(is));
            ensure!(!all.is_empty(), "it has no image {tag:?}");
        }
        if let Some(name) = wanted.name {
            ensure!(
                all.len() == 1,
                "it has {} images: {}\n  fix (you): say which, as in docker-archive:FILE:NAME, or load them and run one",
                all.len(),
                all.iter().flat_map(|image| image.names.clone()).collect::<Vec<_>>().join(", ")
            );
            all.iter_mut().for_each(|image| image.names = vec![name.into()]);
        }
        let mut loaded = Vec::new();
        for image in &all {
            loaded.extend(one(&files, image, wanted, &told)?);
        }
        Ok(loaded)
    };
    work().with_context(|| format!("load {told}"))
}

fn open(source: &OsStr, store: &Store) -> Result<Files> {
    if source == "-" {
        return Files::take(source::image_archive(io::stdin())?, store);
    }
    let file = File::open(source).context("open it")?;
    if file.metadata()?.is_dir() {
        Ok(Files::Folder(file.into()))
    } else {
        Files::take(source::image_archive(file)?, store)
    }
}

/// `alpine` of `/tmp/alpine.tar.gz`, as a part of a name.
fn stem(path: &Path) -> Option<String> {
    let name = path.canonicalize().ok()?.file_name()?.to_str()?.to_ascii_lowercase();
    let endings = [".gz", ".zst", ".xz", ".tgz", ".tar", ".oci", ".docker"];
    let stem = endings.iter().fold(name.as_str(), |name, ending| name.strip_suffix(ending).unwrap_or(name));
    images::valid_name(&format!("localhost/{stem}")).ok().map(|()| stem.to_owned())
}

fn images_in(files: &Files, wanted: &Load<'_>, stem: Option<&str>) -> Result<Vec<Packed>> {
    if let Some(index) = files.read("index.json")?
        && files.has("oci-layout")
    {
        return layout::images(files, &index, wanted.platform, stem);
    }
    match files.read("manifest.json")? {
        Some(list) => docker::images(files, &list, wanted.platform),
        None if files.has("repositories") => bail!(
            "it is an archive of a docker older than 1.10, which says nothing of its images' content\n  \
             fix (you): load it into a docker and save it again"
        ),
        None => bail!(
            "it is no archive of an image: it has neither a manifest.json nor an oci-layout with an index.json\n  \
             fix (you): a root file system becomes an image by `little-container import NAME FILE`"
        ),
    }
}

/// What an image without a name is called.
fn nameless(config: &Digest) -> String {
    format!("none/{}", config.hex().get(..12).unwrap_or_default())
}

/// A name of an archive as the store has it: without `docker.io/library/` and `:latest`.
fn own_name(name: &str) -> Result<String> {
    let full = name.parse::<Reference>().map_err(|e| anyhow::anyhow!("the name {name:?} in it: {e}"))?;
    let name = images::canonical(&full.familiar()).to_owned();
    images::valid_name(&name).map_err(anyhow::Error::msg)?;
    Ok(name)
}

fn one(files: &Files, image: &Packed, wanted: &Load<'_>, told: &str) -> Result<Vec<Image>> {
    let mut kept = BTreeSet::new();
    let work = |kept: &mut BTreeSet<Digest>| -> Result<Vec<Image>> {
        let mut origin = Layers { files, names: BTreeMap::new() };
        for (layer, name) in &image.layers {
            if keep(files, layer, name, wanted.store).with_context(|| format!("the layer {name}"))? {
                kept.insert(layer.digest.clone());
            }
            origin.names.insert(layer.digest.clone(), name.clone());
        }
        let (descriptor, bytes) = &image.manifest;
        let installed = install(&Install {
            store: wanted.store,
            names: &image.names,
            manifest: (descriptor, bytes),
            config: &image.config,
            index: image.index.clone(),
            origin: &origin,
            ids: wanted.ids,
            source: told,
            progress: wanted.progress,
        })?;
        Ok(image.names.iter().map(|name| Image { name: name.clone(), ..installed.clone() }).collect())
    };
    let outcome = work(&mut kept);
    if outcome.is_err() {
        forget(&kept, image, wanted.store);
    }
    outcome
}

/// Puts a layer into the store as it is, if it is what it should be; whether it was not there.
fn keep(files: &Files, layer: &Descriptor, name: &str, store: &Store) -> Result<bool> {
    let mut part = match store.claim_blob(&layer.digest, &mut || {})? {
        blobs::Claim::There(_) => return Ok(false),
        blobs::Claim::Missing(part) => part,
    };
    let fill = |part: &mut blobs::Part| -> Result<Option<std::path::PathBuf>> {
        let found = files.find(name)?.context("it is not in the archive")?;
        ensure!(found.size == layer.size, "it has {} bytes, and its manifest says {}", found.size, layer.size);
        let is = match (found.digest, found.path) {
            (Some(digest), Some(path)) if digest == layer.digest => return Ok(Some(path)),
            (Some(digest), _) => digest.to_string(),
            (None, _) => {
                part.restart()?;
                let mut hashing = Hashing::new(found.file);
                io::copy(&mut hashing, &mut part.file).context("copy it into the store")?;
                hashing.finish()
            }
        };
        ensure!(is == layer.digest.to_string(), "it is damaged: it hashes to {is}");
        part.file.flush()?;
        Ok(None)
    };
    match fill(&mut part) {
        Ok(Some(path)) => part.adopt(&path).map(|_| true),
        Ok(None) => part.commit().map(|_| true),
        Err(e) => {
            let _ = part.discard();
            Err(e)
        }
    }
}

/// Takes back what was put into the store for an image that came to nothing, unless another one has it.
fn forget(kept: &BTreeSet<Digest>, image: &Packed, store: &Store) {
    let config = Config::parse(&image.config, image.layers.len());
    let ids = config.map(|config| config.rootfs.diff_ids).unwrap_or_default();
    let layers = image.layers.iter().zip(ids).filter(|((layer, _), _)| kept.contains(&layer.digest));
    let layers = layers.map(|(_, diff_id)| Thing::Layer(diff_id));
    let documents = [Some(image.manifest.0.digest.clone()), digest(&image.config).ok()];
    let blobs = documents.into_iter().flatten().chain(kept.iter().cloned()).map(Thing::Blob);
    // Whatever is busy or unclear stays for `prune`.
    let _ = unneeded::reap(store, layers.chain(blobs), false);
}

/// The layers of an image in an archive, should the store need one again.
struct Layers<'a> {
    files: &'a Files,
    names: BTreeMap<Digest, String>,
}

impl Origin for Layers<'_> {
    fn open(&self, layer: &Descriptor, from: u64) -> Result<Stream> {
        let name = self.names.get(&layer.digest).context("it is not in the archive")?;
        let Found { mut file, .. } = self.files.find(name)?.context("it is not in the archive")?;
        file.seek(io::SeekFrom::Start(from))?;
        Ok(Stream { reader: Box::new(file), start: from })
    }
}

/// The document that a descriptor names, if it is what that says.
fn document(files: &Files, wanted: &Descriptor) -> Result<Vec<u8>> {
    let name = blob(&wanted.digest);
    let bytes = files.read(&name)?.with_context(|| format!("{name} is not in the archive"))?;
    ensure!(bytes.len() as u64 == wanted.size, "{name} has {} bytes, not {}", bytes.len(), wanted.size);
    let is = digest(&bytes)?;
    ensure!(is == wanted.digest, "{name} is damaged: it hashes to {is}");
    Ok(bytes)
}

fn blob(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn digest(bytes: &[u8]) -> Result<Digest> {
    let mut hashing = Hashing::new(bytes);
    hashing.read_to_end(&mut Vec::new())?;
    hashing.finish().parse().map_err(anyhow::Error::msg)
}
