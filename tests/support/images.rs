//! Images for the registry of the tests: layers, configurations, manifests, indexes.
#![allow(dead_code, reason = "each test program uses a part")]

use super::stub::{Registry, digest};
use serde_json::{Value, json};
use std::io::Write;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// How a layer is packed.
#[derive(Clone, Copy)]
pub enum Packed {
    Plain,
    Gzip,
    Zstd,
}

impl Packed {
    pub fn media_type(self) -> &'static str {
        match self {
            Packed::Plain => "application/vnd.oci.image.layer.v1.tar",
            Packed::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Packed::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    pub fn pack(self, plain: &[u8]) -> Vec<u8> {
        match self {
            Packed::Plain => plain.to_vec(),
            Packed::Gzip => {
                let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                to.write_all(plain).unwrap();
                to.finish().unwrap()
            }
            Packed::Zstd => zstd::encode_all(plain, 1).unwrap(),
        }
    }
}

/// An image that is being put together.
pub struct Draft {
    pub config: Value,
    layers: Vec<(Vec<u8>, Packed)>,
}

/// Where its parts are in the registry.
pub struct Put {
    pub manifest: String,
    pub size: usize,
    pub config: String,
    pub layers: Vec<String>,
}

impl Draft {
    pub fn new() -> Draft {
        Draft { config: json!({"architecture": own(), "os": "linux", "config": {}}), layers: Vec::new() }
    }

    /// With a layer, given as a plain tar archive.
    pub fn layer(mut self, plain: &[u8], packed: Packed) -> Draft {
        self.layers.push((plain.to_vec(), packed));
        self
    }

    /// What a container of it runs: a key of `config`.
    pub fn runs(mut self, key: &str, value: Value) -> Draft {
        self.config["config"][key] = value;
        self
    }

    pub fn architecture(mut self, architecture: &str) -> Draft {
        self.config["architecture"] = json!(architecture);
        self
    }

    pub fn put(self, registry: &Registry, repository: &str, tag: &str) -> Put {
        let Draft { mut config, layers } = self;
        let ids: Vec<String> = layers.iter().map(|(plain, _)| digest(plain)).collect();
        config["rootfs"] = json!({"type": "layers", "diff_ids": ids});
        let config = config.to_string();
        let descriptor = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": registry.put_blob(bytes), "size": bytes.len()});
        let packed: Vec<Value> =
            layers.iter().map(|(plain, packed)| descriptor(packed.media_type(), &packed.pack(plain))).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor(CONFIG, config.as_bytes()), "layers": packed})
        .to_string();
        Put {
            manifest: registry.put_manifest(repository, tag, MANIFEST, manifest.as_bytes()),
            size: manifest.len(),
            config: digest(config.as_bytes()),
            layers: packed.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect(),
        }
    }
}

/// An index of images by platform: `(ARCHITECTURE, VARIANT, image)`.
pub fn put_index(registry: &Registry, repository: &str, tag: &str, images: &[(&str, &str, &Put)]) -> String {
    let entry = |(architecture, variant, put): &(&str, &str, &Put)| {
        let mut platform = json!({"os": "linux", "architecture": architecture});
        if !variant.is_empty() {
            platform["variant"] = json!(variant);
        }
        json!({"mediaType": MANIFEST, "digest": put.manifest, "size": put.size, "platform": platform})
    };
    let index = json!({"schemaVersion": 2, "mediaType": INDEX,
        "manifests": images.iter().map(entry).collect::<Vec<_>>()});
    registry.put_manifest(repository, tag, INDEX, index.to_string().as_bytes())
}

/// This machine's architecture, as images have it.
pub fn own() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// An architecture that is not this machine's.
pub fn foreign() -> &'static str {
    if own() == "s390x" { "amd64" } else { "s390x" }
}
