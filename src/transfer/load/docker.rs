//! What `docker save` and `podman save` write (moby, image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format").

use super::{Packed, digest, nameless, own_name};
use crate::{
    image,
    oci::{Config, Descriptor, Platform, media},
    spec::Digest,
    transfer::archive::Files,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use std::io::{self, Read};

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// The images that `manifest.json` names.
pub fn images(files: &Files, list: &[u8], platform: Option<&Platform>) -> Result<Vec<Packed>> {
    let items: Vec<Item> =
        serde_json::from_slice(list).map_err(|e| anyhow!("manifest.json is no list of images: {e}"))?;
    ensure!(!items.is_empty(), "manifest.json names no image");
    items.iter().map(|item| one(files, item, platform).with_context(|| format!("the image {}", item.config))).collect()
}

fn one(files: &Files, item: &Item, platform: Option<&Platform>) -> Result<Packed> {
    let config = files.read(&item.config)?.context("its configuration is not in the archive")?;
    let id = digest(&config)?;
    // Its name says what it hashes to, where there is one of that form.
    let stem = item.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
    let named = stem.len() == 64 && stem.bytes().all(|b| b.is_ascii_hexdigit());
    ensure!(!named || stem == id.hex(), "its configuration is damaged: it hashes to {id}");
    let names = item.layers.clone().unwrap_or_default();
    let parsed = Config::parse(&config, names.len()).map_err(|e| anyhow!("its configuration: {e}"))?;
    if let Some(wanted) = platform
        && wanted.fit(&parsed.platform()) == 0
    {
        bail!("it is for {}, not for {wanted}", parsed.platform());
    }
    let layers: Vec<(Descriptor, String)> =
        names.into_iter().map(|name| Ok((layer(files, &name)?, name))).collect::<Result<_>>()?;
    let (descriptor, bytes) = manifest(&id, config.len() as u64, layers.iter().map(|(layer, _)| layer))?;
    let tags = item.repo_tags.clone().unwrap_or_default();
    let mut names = tags.iter().map(|tag| own_name(tag)).collect::<Result<Vec<_>>>()?;
    if names.is_empty() {
        names.push(nameless(&id));
    }
    Ok(Packed { names, manifest: (descriptor, bytes), config, index: None, layers })
}

/// A layer as it lies in the archive: mostly plain, though some programs pack it.
fn layer(files: &Files, name: &str) -> Result<Descriptor> {
    let find = || files.find(name)?.with_context(|| format!("its layer {name} is not in the archive"));
    let found = find()?;
    let mut head = Vec::new();
    found.file.take(4).read_to_end(&mut head)?;
    let media_type = match head[..] {
        [0x1f, 0x8b, ..] => media::LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => media::LAYER_ZSTD,
        _ => media::LAYER,
    };
    let digest = match found.digest {
        Some(digest) => digest,
        None => {
            let mut hashing = image::digest::Hashing::new(find()?.file);
            io::copy(&mut hashing, &mut io::sink())?;
            hashing.finish().parse().map_err(anyhow::Error::msg)?
        }
    };
    Ok(Descriptor::new(media_type, digest, found.size))
}

/// The manifest of an image that came without one: the same bytes for the same parts.
pub fn manifest<'a>(
    config: &Digest,
    size: u64,
    layers: impl Iterator<Item = &'a Descriptor>,
) -> Result<(Descriptor, Vec<u8>)> {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Manifest<'a> {
        schema_version: u32,
        media_type: &'a str,
        config: Descriptor,
        layers: Vec<&'a Descriptor>,
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: media::MANIFEST,
        config: Descriptor::new(media::CONFIG, config.clone(), size),
        layers: layers.collect(),
    };
    let bytes = serde_json::to_vec(&manifest)?;
    Ok((Descriptor::new(media::MANIFEST, digest(&bytes)?, bytes.len() as u64), bytes))
}
