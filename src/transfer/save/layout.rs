//! An OCI image layout (image-spec, image-layout.md), as an archive or a folder.

use super::{Whole, open, out::Sink};
use crate::{
    oci::{Descriptor, media},
    store::Store,
};
use anyhow::Result;
use std::collections::BTreeSet;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

/// Writes the images; what a reader needs first comes first.
pub fn write(all: &[Whole], store: &Store, to: &mut dyn Sink) -> Result<()> {
    let entry = |image: &Whole| {
        let mut entry =
            Descriptor::new(&image.descriptor.media_type, image.descriptor.digest.clone(), image.descriptor.size);
        // Docker reads the one, podman and skopeo the other.
        for key in ["io.containerd.image.name", "org.opencontainers.image.ref.name"] {
            entry.annotations.extend(image.name.as_ref().map(|name| (key.to_owned(), name.to_string())));
        }
        entry
    };
    let mut manifests: Vec<Descriptor> = Vec::new();
    for image in all {
        let entry = entry(image);
        if !manifests.contains(&entry) {
            manifests.push(entry);
        }
    }
    let index = Index { schema_version: 2, media_type: media::INDEX, manifests };
    let index = serde_json::to_vec(&index)?;
    to.file("oci-layout", LAYOUT.len() as u64, &mut &LAYOUT[..])?;
    to.file("index.json", index.len() as u64, &mut &index[..])?;
    to.folder("blobs")?;
    to.folder("blobs/sha256")?;
    let mut done = BTreeSet::new();
    for image in all {
        let blobs = std::iter::once(&image.descriptor).chain(image.manifest.blobs());
        for blob in blobs.map(|d| &d.digest) {
            if done.insert(blob) {
                let (size, mut content) = open(store, blob)?;
                to.file(&format!("blobs/sha256/{}", blob.hex()), size, &mut content)?;
            }
        }
    }
    to.end()
}
