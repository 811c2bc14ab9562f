//! Images of several layers in a store, without a registry: their blobs and records are written, and `system check`
//! unpacks the layers.
#![allow(dead_code, reason = "each test program uses a part")]

use super::{kit::Archive, support::Ground};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What was put into the store; hexadecimal digits.
#[derive(Debug)]
pub struct Shelved {
    pub id: String,
    pub manifest: String,
    /// Packed layers.
    pub blobs: Vec<String>,
    /// Plain ones.
    pub layers: Vec<String>,
}

pub fn hash(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// Where a blob lies.
pub fn blob(store: &Path, hex: &str) -> PathBuf {
    store.join("blobs/sha256").join(hex)
}

/// Puts an image of these layers into a store; each is a tar of one file of this content, of several owners, but the first
/// has the programs of the root file system.
pub fn shelve(ground: &Ground, store: &Path, name: &str, files: &[&str]) -> Shelved {
    let layers: Vec<Vec<u8>> = files.iter().map(|file| layer(ground, file, *file == "programs")).collect();
    let packed: Vec<Vec<u8>> = layers.iter().map(|layer| gzip(layer)).collect();
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", hash(layer))).collect();
    let history: Vec<Value> =
        files.iter().map(|f| json!({"created": "2024-01-02T03:04:05Z", "created_by": format!("COPY {f}")})).collect();
    let config = json!({
        "created": "2024-01-02T03:04:05Z", "architecture": "amd64", "os": "linux",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], "Labels": {"of": name}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    });
    let config = config.to_string();
    let described = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": format!("sha256:{}", hash(bytes)), "size": bytes.len()});
    let descriptors: Vec<Value> = packed.iter().map(|p| described(LAYER, p)).collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": described(CONFIG, config.as_bytes()), "layers": descriptors});
    let manifest = manifest.to_string();
    let range = ground.end(["--store", store.to_str().unwrap(), "images"]);
    assert_eq!(range.status, 0, "{range:?}");
    fs::create_dir_all(store.join("blobs/sha256")).unwrap();
    for bytes in packed.iter().map(Vec::as_slice).chain([config.as_bytes(), manifest.as_bytes()]) {
        fs::write(blob(store, &hash(bytes)), bytes).unwrap();
    }
    let id = hash(config.as_bytes());
    let record = json!({
        "version": 1, "name": name, "id": id, "layers": diff_ids, "created": "2024-01-02T03:04:05Z", "size": 1,
        "architecture": "amd64", "os": "linux", "source": "a test", "ids": "single",
        "manifest": described(MANIFEST, manifest.as_bytes()), "blobs": descriptors,
    });
    let file = format!("{}.json", name.replace('/', "%2F").replace(':', "%3A"));
    fs::write(store.join("images").join(file), record.to_string()).unwrap();
    ground.own_all(store);
    let layers = diff_ids.iter().map(|d| d.trim_start_matches("sha256:").to_owned()).collect();
    Shelved { id, manifest: hash(manifest.as_bytes()), blobs: packed.iter().map(|p| hash(p)).collect(), layers }
}

fn layer(ground: &Ground, file: &str, programs: bool) -> Vec<u8> {
    let mut archive = Archive::new();
    if programs {
        archive.programs(&ground.rootfs());
    }
    archive.folder("data", 0o755, (0, 0)).file(&format!("data/{file}"), file.as_bytes(), 0o640, (0, 0));
    archive.link(&format!("data/{file}.link"), file).hard_link(&format!("data/{file}.hard"), &format!("data/{file}"));
    archive.bytes()
}

/// The same, and its layers are unpacked.
pub fn unpacked(ground: &Ground, name: &str, files: &[&str]) -> Shelved {
    let shelved = shelve(ground, &ground.store(), name, files);
    let out = ground.end(["system", "check"]);
    assert_eq!(out.status, 0, "{out:?}");
    shelved
}

/// The names in a folder of the store.
pub fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
