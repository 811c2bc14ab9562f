//! Saves images of the store as archives that docker, podman and skopeo read.
//!
//! ```text
//! docker-archive   <config>.json, <diff id>.tar (plain), manifest.json
//! oci-archive      oci-layout, index.json, blobs/sha256/<hex>: bit for bit what is in the store, so digests survive
//! oci-dir          the same as a folder
//! ```
//!
//! The same images give the same bytes: no clock goes in, and what several images share is in it once. A file is written
//! beside its place and renamed into it.

mod docker;
mod layout;
mod out;

pub use out::Output;

use crate::{
    oci::{self, Descriptor, Document, Manifest},
    spec::Digest,
    store::{Store, images::Image},
};
use anyhow::{Context, Result, anyhow, bail};

/// The form of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// What `docker load` takes.
    Docker,
    /// An OCI image layout as a tar archive.
    Oci,
    /// An OCI image layout as a folder.
    Folder,
}

/// An image that is to be saved, and the name that is to be written into the archive; none: only its id.
pub struct Item {
    /// Of the store.
    pub image: Image,
    /// In full, with the tag.
    pub name: Option<crate::spec::Reference>,
}

/// What the store has of an image.
struct Whole {
    name: Option<crate::spec::Reference>,
    descriptor: Descriptor,
    manifest: Manifest,
    config: Vec<u8>,
    diff_ids: Vec<Digest>,
}

/// Writes the images.
///
/// # Errors
/// A part of one is no longer in the store, or is damaged there; or it cannot be written. Then there is no file.
pub fn save(items: &[Item], format: Format, store: &Store, output: Output) -> Result<()> {
    let all = items.iter().map(|item| whole(item, store)).collect::<Result<Vec<_>>>()?;
    match format {
        Format::Docker => output.archive(|to| docker::write(&all, store, to)),
        Format::Oci => output.archive(|to| layout::write(&all, store, &mut out::Tar::new(to))),
        Format::Folder => output.folder(|folder| layout::write(&all, store, folder)),
    }
}

fn whole(item: &Item, store: &Store) -> Result<Whole> {
    let image = &item.image;
    let missing = |what: &str| {
        anyhow!(
            "save {}: {what} is not in the store\n  fix (you): `little-container pull {}` fetches it again, or load or \
             import it again",
            image.name,
            image.name
        )
    };
    let descriptor = image.manifest.clone().ok_or_else(|| missing("its manifest"))?;
    let read = |digest: &Digest, what: &str| -> Result<Vec<u8>> {
        if !store.blob(digest).exists() {
            return Err(missing(what));
        }
        store.read_blob(digest)
    };
    let bytes = read(&descriptor.digest, "its manifest")?;
    let parsed = oci::parse(&bytes, None).map_err(|e| anyhow!("the manifest of {}: {e}", image.name))?;
    let Document::Manifest(manifest) = parsed else { bail!("the manifest of {} is an index", image.name) };
    let config = read(&manifest.config.digest, "its configuration")?;
    let parsed = oci::Config::parse(&config, manifest.layers.len())
        .map_err(|e| anyhow!("the configuration of {}: {e}", image.name))?;
    if let Some(gone) = manifest.layers.iter().find(|layer| !store.blob(&layer.digest).exists()) {
        return Err(missing(&format!("its packed layer {}", gone.digest)));
    }
    Ok(Whole { name: item.name.clone(), descriptor, manifest, config, diff_ids: parsed.rootfs.diff_ids })
}

/// A reader that fails at its end if what passed was not what it was announced as.
struct Checked<R> {
    input: Option<crate::image::digest::Hashing<R>>,
    wanted: Digest,
    what: &'static str,
}

impl<R: std::io::Read> Checked<R> {
    fn new(input: R, wanted: &Digest, what: &'static str) -> Self {
        Checked { input: Some(crate::image::digest::Hashing::new(input)), wanted: wanted.clone(), what }
    }
}

impl<R: std::io::Read> std::io::Read for Checked<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let Some(input) = &mut self.input else { return Ok(0) };
        let got = input.read(into)?;
        if got == 0
            && !into.is_empty()
            && let Some(input) = self.input.take()
        {
            let is = input.finish();
            if is != self.wanted.to_string() {
                let told = format!("the {} {} is damaged in the store: it hashes to {is}", self.what, self.wanted);
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, told));
            }
        }
        Ok(got)
    }
}

/// Opens a blob whose content is checked on the way.
fn open(store: &Store, blob: &Digest) -> Result<(u64, Checked<std::fs::File>)> {
    let file = store.open_blob(blob)?;
    let size = file.metadata().context("its size")?.len();
    Ok((size, Checked::new(file, blob, "blob")))
}
