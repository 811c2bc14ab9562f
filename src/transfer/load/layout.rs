//! An OCI image layout (image-spec, image-layout.md).
//!
//! Names are annotations of the entries in `index.json`. `io.containerd.image.name` is a full one;
//! `org.opencontainers.image.ref.name` is one if it has a `/` or a `:`, else a tag, and the file's own name comes before it.

use super::{Packed, blob, document, nameless, own_name};
use crate::{
    image,
    oci::{self, Config, Descriptor, Document, Index, Manifest, Platform, media},
    spec::Digest,
    transfer::archive::Files,
};
use anyhow::{Context, Result, anyhow, bail, ensure};

/// How deep indexes lie in each other.
const DEEPEST: u32 = 4;

const CONTAINERD: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The images that `index.json` names: one for each name, for the machine that is wanted.
pub fn images(files: &Files, index: &[u8], platform: Option<&Platform>, stem: Option<&str>) -> Result<Vec<Packed>> {
    let parsed = oci::parse(index, None).map_err(|e| anyhow!("index.json: {e}"))?;
    let Document::Index(index) = parsed else { bail!("index.json: it is no index") };
    let own = Platform::linux(image::arch::own());
    let choose = |manifests: Vec<Descriptor>| -> Result<Packed> {
        let name = name_of(&manifests[0], stem)?;
        let chosen = if manifests.len() == 1 {
            manifests.into_iter().next().context("no image")?
        } else {
            let index = Index { media_type: String::new(), manifests };
            index.choose(platform.unwrap_or(&own)).map_err(anyhow::Error::msg)?.clone()
        };
        resolve(files, &chosen, platform, &own, None, DEEPEST, name)
    };
    let all = group(index.manifests);
    ensure!(!all.is_empty(), "index.json names no image");
    let several = all.len() > 1;
    let mut images = all.into_iter().map(choose).collect::<Result<Vec<Packed>>>()?;
    for image in &mut images {
        // The file's name stands for one image only.
        if image.names.is_empty()
            && let Some(stem) = stem.filter(|_| !several)
        {
            image.names.push(own_name(&format!("localhost/{stem}"))?);
        }
        if image.names.is_empty() {
            let bytes = &image.config;
            image.names.push(nameless(&super::digest(bytes)?));
        }
    }
    Ok(images)
}

/// Entries of one name are one image for several machines, and so are those without a name that say for which they are.
fn group(manifests: Vec<Descriptor>) -> Vec<Vec<Descriptor>> {
    let mut groups: Vec<Vec<Descriptor>> = Vec::new();
    let is_image = |d: &Descriptor| {
        let typed = d.media_type.is_empty() || media::is_manifest(&d.media_type) || media::is_index(&d.media_type);
        typed && d.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
    };
    for descriptor in manifests.into_iter().filter(is_image) {
        let same = |group: &&mut Vec<Descriptor>| {
            let first = &group[0];
            key(first) == key(&descriptor)
                && (key(first).is_some() || (first.platform.is_some() && descriptor.platform.is_some()))
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(descriptor),
            None => groups.push(vec![descriptor]),
        }
    }
    groups
}

fn key(descriptor: &Descriptor) -> Option<&String> {
    descriptor.annotations.get(CONTAINERD).or_else(|| descriptor.annotations.get(REF_NAME))
}

/// The name in the annotations, if there is one.
fn name_of(descriptor: &Descriptor, stem: Option<&str>) -> Result<Option<String>> {
    if let Some(name) = descriptor.annotations.get(CONTAINERD) {
        return own_name(name).map(Some);
    }
    let Some(name) = descriptor.annotations.get(REF_NAME) else { return Ok(None) };
    if name.contains(['/', ':']) {
        return own_name(name).map(Some);
    }
    own_name(&format!("localhost/{}:{name}", stem.unwrap_or("image"))).map(Some)
}

fn resolve(
    files: &Files,
    descriptor: &Descriptor,
    platform: Option<&Platform>,
    own: &Platform,
    index: Option<Digest>,
    deep: u32,
    name: Option<String>,
) -> Result<Packed> {
    let told = || format!("{}", descriptor.digest);
    let bytes = document(files, descriptor)?;
    match oci::parse(&bytes, Some(&descriptor.media_type)).map_err(|e| anyhow!(e)).with_context(told)? {
        Document::Manifest(manifest) => {
            let descriptor = Descriptor::new(&manifest.media_type, descriptor.digest.clone(), descriptor.size);
            packed(files, (descriptor, bytes), &manifest, platform, index, name).with_context(told)
        }
        Document::Index(_) if deep == 0 => bail!("the index {} lies too deep in others", descriptor.digest),
        Document::Index(inner) => {
            let chosen = inner.choose(platform.unwrap_or(own)).map_err(|e| anyhow!(e)).with_context(told)?;
            let index = index.or_else(|| Some(descriptor.digest.clone()));
            resolve(files, chosen, platform, own, index, deep - 1, name)
        }
    }
}

fn packed(
    files: &Files,
    document: (Descriptor, Vec<u8>),
    manifest: &Manifest,
    platform: Option<&Platform>,
    index: Option<Digest>,
    name: Option<String>,
) -> Result<Packed> {
    let config = super::document(files, &manifest.config)?;
    let parsed = Config::parse(&config, manifest.layers.len()).map_err(|e| anyhow!("its configuration: {e}"))?;
    if let Some(wanted) = platform
        && wanted.fit(&parsed.platform()) == 0
    {
        bail!("it is for {}, not for {wanted}", parsed.platform());
    }
    let layers = manifest.layers.iter().map(|layer| (layer.clone(), blob(&layer.digest))).collect();
    Ok(Packed { names: name.into_iter().collect(), manifest: document, config, index, layers })
}
