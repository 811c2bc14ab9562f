//! Puts an image into the store.

use super::{Progress, layers};
use crate::{
    image::digest::Hashing,
    oci::{self, Config, Descriptor, Document, Manifest},
    plan::ids::Ids,
    spec::Digest,
    store::{
        Store,
        images::{self, Image},
    },
    sys::clone,
    userns,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::{
    collections::BTreeMap,
    io::{self, Read},
};

/// Where packed layers come from when the store does not have them.
pub trait Origin: Sync {
    /// Opens a layer from byte `from` on. The error may be transient: see [`Origin::again`].
    ///
    /// # Errors
    /// It cannot be had.
    fn open(&self, layer: &Descriptor, from: u64) -> Result<Stream>;

    /// After which pause it is worth trying again, for the n-th time (from 1) after this error; `None`: never.
    fn again(&self, _error: &anyhow::Error, _n: u32) -> Option<std::time::Duration> {
        None
    }
}

/// The bytes of a layer.
pub struct Stream {
    /// Read to its end.
    pub reader: Box<dyn Read + Send>,
    /// The byte at which it begins: what was asked for, or 0 where the origin can only begin at the beginning.
    pub start: u64,
}

/// An image that is to be put into the store.
pub struct Install<'a> {
    /// Where to.
    pub store: &'a Store,
    /// What it is to be called, in the form of [`crate::store::images::canonical`]; none: only blobs and layers.
    pub names: &'a [String],
    /// The manifest as it came, and what it is.
    pub manifest: (&'a Descriptor, &'a [u8]),
    /// The configuration as it came.
    pub config: &'a [u8],
    /// What the name led to in a registry, if not the manifest itself.
    pub index: Option<Digest>,
    /// Where the layers come from.
    pub origin: &'a dyn Origin,
    /// Which ids its files are given to.
    pub ids: &'a Ids,
    /// For [`Image::source`].
    pub source: &'a str,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

/// Puts the image into the store: fetches and unpacks what is missing, several layers at once, then writes its records.
/// What is whole is kept whatever happens, and taken up by the next try.
///
/// # Errors
/// A layer cannot be had, is not what it was announced as, or does not fit; the error names it.
pub fn install(wanted: &Install<'_>) -> Result<Image> {
    let documents = check(wanted)?;
    let work = || -> Result<Image> {
        let layers = layers::all(wanted, &documents)?;
        // As late as can be: nothing names them before the record does, and somebody may be tidying up.
        let (descriptor, bytes) = wanted.manifest;
        wanted.store.keep_blob(&descriptor.digest, bytes)?;
        wanted.store.keep_blob(&documents.manifest.config.digest, wanted.config)?;
        record(wanted, &documents, &layers)
    };
    if !wanted.ids.map.is_range() {
        return work();
    }
    alone()?;
    let bytes = userns::inside(&wanted.ids.map, &wanted.ids.mapper, || Ok(serde_json::to_vec(&work()?)?))?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// What was read from the documents of an image.
pub(super) struct Documents {
    pub manifest: Manifest,
    pub config: Config,
}

/// Nothing is believed that does not hash to what it was announced as.
fn check(wanted: &Install<'_>) -> Result<Documents> {
    let (descriptor, bytes) = wanted.manifest;
    is_it(descriptor, bytes).context("the manifest")?;
    let document = oci::parse(bytes, Some(&descriptor.media_type)).map_err(|e| anyhow!("the manifest: {e}"))?;
    let Document::Manifest(manifest) = document else { bail!("the manifest: it is an index of several images") };
    is_it(&manifest.config, wanted.config).context("the configuration")?;
    let config = Config::parse(wanted.config, manifest.layers.len()).map_err(|e| anyhow!("the configuration: {e}"))?;
    Ok(Documents { manifest, config })
}

fn is_it(wanted: &Descriptor, bytes: &[u8]) -> Result<()> {
    let mut hashing = Hashing::new(bytes);
    io::copy(&mut hashing, &mut io::sink())?;
    let is = hashing.finish();
    ensure!(is == wanted.digest.to_string(), "it hashes to {is}, not to {}", wanted.digest);
    ensure!(bytes.len() as u64 == wanted.size, "it has {} bytes, not {}", bytes.len(), wanted.size);
    Ok(())
}

/// A fork is for a process with one thread; one that looked up a name may still be about to end.
fn alone() -> Result<()> {
    for _ in 0..200 {
        if clone::threads()? == 1 {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    bail!("another thread of this program goes on and on")
}

fn record(wanted: &Install<'_>, documents: &Documents, layers: &BTreeMap<&Digest, layers::Installed>) -> Result<Image> {
    let Documents { manifest, config } = documents;
    let (descriptor, _) = wanted.manifest;
    let platform = config.platform();
    let opaque = |id: &Digest| layers.get(id).is_some_and(|layer| layer.facts.opaque_root);
    let hidden = config.rootfs.diff_ids.iter().rposition(opaque);
    let mut image = Image {
        version: images::VERSION,
        name: String::new(),
        id: manifest.config.digest.hex().into(),
        layers: config.rootfs.diff_ids.iter().map(Digest::to_string).collect(),
        created: config.created.clone(),
        size: layers.values().map(|layer| layer.facts.size).sum(),
        architecture: platform.architecture,
        variant: platform.variant,
        os: platform.os,
        config: config.config.clone().into(),
        source: wanted.source.into(),
        ids: if wanted.ids.map.is_range() { "range" } else { "single" }.into(),
        manifest: Some(Descriptor::new(&manifest.media_type, descriptor.digest.clone(), descriptor.size)),
        origin: wanted.index.clone(),
        blobs: manifest.layers.clone(),
        stored: images::now(),
        plain_whiteouts: layers.values().any(|layer| layer.facts.plain_whiteouts),
        hidden: hidden.unwrap_or(0),
    };
    // Between a layer's place and its lock somebody may have tidied up.
    let gone = config.rootfs.diff_ids.iter().find(|id| !wanted.store.layer(id).join("root").is_dir());
    ensure!(gone.is_none(), "a layer was removed meanwhile by another process; try again");
    for name in wanted.names {
        image.name.clone_from(name);
        images::record(wanted.store.root(), &image)?;
    }
    Ok(image)
}

#[cfg(test)]
mod tests;
