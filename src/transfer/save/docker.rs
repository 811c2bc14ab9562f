//! What `docker load` and `podman load` take (moby, image/spec/v1.2.md).

use super::{
    Checked, Whole, open,
    out::{Sink, Tar},
};
use crate::{oci::Descriptor, spec::Digest, store::Store};
use anyhow::{Context, Result};
use std::{
    collections::BTreeSet,
    io::{self, BufReader, Cursor, Read, Write},
};

#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Writes the images. An id that has several names is one image with all of them.
pub fn write(all: &[Whole], store: &Store, to: &mut dyn Write) -> Result<()> {
    let mut to = Tar::new(to);
    let (mut done, mut items) = (BTreeSet::new(), Vec::<Item>::new());
    for image in all {
        let config = format!("{}.json", image.manifest.config.digest.hex());
        // A tag is what docker asks for; what is named by its digest only has none.
        let tag = image.name.as_ref().filter(|name| name.tag.is_some()).map(|name| {
            let plain = crate::spec::Reference { digest: None, ..name.clone() };
            plain.familiar()
        });
        if let Some(item) = items.iter_mut().find(|item| item.config == config) {
            if let Some(tag) = tag.filter(|tag| !item.repo_tags.iter().flatten().any(|known| known == tag)) {
                item.repo_tags.get_or_insert_default().push(tag);
            }
            continue;
        }
        to.file(&config, image.config.len() as u64, &mut &image.config[..])?;
        for (layer, diff_id) in image.manifest.layers.iter().zip(&image.diff_ids) {
            if done.insert(diff_id) {
                plain_layer(layer, diff_id, store, &mut to).with_context(|| format!("the layer {}", layer.digest))?;
            }
        }
        let layers = image.diff_ids.iter().map(|id| format!("{}.tar", id.hex())).collect();
        items.push(Item { config, repo_tags: tag.map(|tag| vec![tag]), layers });
    }
    let list = serde_json::to_vec(&items)?;
    to.file("manifest.json", list.len() as u64, &mut &list[..])?;
    to.end()
}

/// The layer as it is unpacked. Its size stands before it and is known only when all of it has been unpacked, so that is
/// done twice: what is damaged is found before anything of it is written.
fn plain_layer(layer: &Descriptor, diff_id: &Digest, store: &Store, to: &mut Tar<'_>) -> Result<()> {
    let (_, packed) = open(store, &layer.digest)?;
    let size = io::copy(&mut Checked::new(inflate(packed)?, diff_id, "layer"), &mut io::sink())?;
    let plain = inflate(store.open_blob(&layer.digest)?)?;
    to.file(&format!("{}.tar", diff_id.hex()), size, &mut Checked::new(plain, diff_id, "layer"))
}

/// The plain stream, by the first bytes of the packed one.
fn inflate(mut packed: impl Read + 'static) -> Result<Box<dyn Read>> {
    let mut head = Vec::new();
    packed.by_ref().take(4).read_to_end(&mut head)?;
    let magic = head.clone();
    let input = BufReader::with_capacity(256 * 1024, Cursor::new(head).chain(packed));
    Ok(match magic[..] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        _ => Box::new(input),
    })
}
