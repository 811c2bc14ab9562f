//! A small writer of layers and of OCI image layouts, so that what the programs of others read is no work of ours.

use serde_json::{Value, json};
use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};
use tar::{EntryType, Header};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Owners of what has no other.
pub const ROOT: (u32, u32) = (0, 0);

/// `sha256:HEX`
pub fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    format!("sha256:{}", digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// How a layer is packed.
#[derive(Clone, Copy)]
pub enum Packed {
    Plain,
    Gzip,
    Zstd,
}

impl Packed {
    fn pack(self, plain: &[u8]) -> (&'static str, Vec<u8>) {
        match self {
            Packed::Plain => ("application/vnd.oci.image.layer.v1.tar", plain.to_vec()),
            Packed::Gzip => {
                let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                to.write_all(plain).unwrap();
                ("application/vnd.oci.image.layer.v1.tar+gzip", to.finish().unwrap())
            }
            Packed::Zstd => ("application/vnd.oci.image.layer.v1.tar+zstd", zstd::encode_all(plain, 1).unwrap()),
        }
    }
}

/// A layer, member by member; long names as GNU tar writes them.
pub struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    pub fn new() -> Layer {
        Layer(tar::Builder::new(Vec::new()))
    }

    fn header(kind: EntryType, mode: u32, (uid, gid): (u32, u32), size: usize) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(uid.into());
        header.set_gid(gid.into());
        header.set_mtime(1_000_000_000);
        header.set_size(size as u64);
        header
    }

    pub fn file(self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>, mode: u32) -> Layer {
        self.owned(name, content, mode, ROOT)
    }

    pub fn owned(mut self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>, mode: u32, ids: (u32, u32)) -> Layer {
        let content = content.as_ref();
        let mut header = Layer::header(EntryType::Regular, mode, ids, content.len());
        self.0.append_data(&mut header, OsStr::from_bytes(name.as_ref()), content).unwrap();
        self
    }

    pub fn empty(mut self, kind: EntryType, name: impl AsRef<[u8]>, mode: u32) -> Layer {
        let mut header = Layer::header(kind, mode, ROOT, 0);
        self.0.append_data(&mut header, OsStr::from_bytes(name.as_ref()), &b""[..]).unwrap();
        self
    }

    pub fn folder(self, name: impl AsRef<[u8]>, mode: u32) -> Layer {
        self.empty(EntryType::Directory, name, mode)
    }

    pub fn link(self, kind: EntryType, name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Layer {
        let mut layer = self;
        let mut header = Layer::header(kind, 0o777, ROOT, 0);
        let (name, to) = (OsStr::from_bytes(name.as_ref()), OsStr::from_bytes(to.as_ref()));
        layer.0.append_link(&mut header, name, to).unwrap();
        layer
    }

    pub fn soft(self, name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Layer {
        self.link(EntryType::Symlink, name, to)
    }

    pub fn hard(self, name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Layer {
        self.link(EntryType::Link, name, to)
    }

    /// Records for the member that comes next.
    pub fn pax(mut self, records: &[(&str, &[u8])]) -> Layer {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// busybox by the names that the tests use.
pub fn programs(root: &Path) -> Vec<u8> {
    let layer = Layer::new().folder("bin", 0o755).folder("etc", 0o755);
    let layer = layer.file("bin/busybox", fs::read(root.join("bin/busybox")).unwrap(), 0o755);
    layer.soft("bin/sh", "busybox").file("etc/passwd", "root:x:0:0:root:/:/bin/sh\n", 0o644).bytes()
}

/// An image in a layout.
pub struct Put {
    pub architecture: String,
    descriptor: Value,
}

/// An OCI image layout, a folder.
pub struct Layout {
    pub folder: PathBuf,
    tags: Vec<Value>,
}

impl Layout {
    pub fn new(folder: PathBuf) -> Layout {
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Layout { folder, tags: Vec::new() }
    }

    fn blob(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        fs::write(self.folder.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
        json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    }

    fn tag(&mut self, tag: &str, mut descriptor: Value) {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        self.tags.push(descriptor);
        let index = json!({"schemaVersion": 2, "manifests": self.tags});
        fs::write(self.folder.join("index.json"), index.to_string()).unwrap();
    }

    /// An image of these layers, plain archives and how they are to be packed.
    pub fn image(&mut self, tag: &str, architecture: &str, layers: &[(Vec<u8>, Packed)]) -> Put {
        let ids: Vec<String> = layers.iter().map(|(plain, _)| digest(plain)).collect();
        let config = json!({
            "created": "2024-01-02T03:04:05Z", "architecture": architecture, "os": "linux",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin", "FROM=layout"], "Labels": {"of": tag}},
            "rootfs": {"type": "layers", "diff_ids": ids},
            "history": ids.iter().map(|id| json!({"created_by": format!("layer {id}")})).collect::<Vec<_>>(),
        });
        let descriptors: Vec<Value> = layers
            .iter()
            .map(|(plain, packed)| {
                let (kind, bytes) = packed.pack(plain);
                self.blob(kind, &bytes)
            })
            .collect();
        let config = self.blob(CONFIG, config.to_string().as_bytes());
        // Two blanks and no order of ours: a manifest has to survive byte by byte.
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": descriptors});
        let descriptor = self.blob(MANIFEST, format!("{manifest:#}\n").as_bytes());
        self.tag(tag, descriptor.clone());
        Put { architecture: architecture.into(), descriptor }
    }

    /// An index of images by architecture.
    pub fn index(&mut self, tag: &str, images: &[&Put]) {
        let entry = |put: &&Put| {
            let mut entry = put.descriptor.clone();
            entry["platform"] = json!({"os": "linux", "architecture": put.architecture});
            entry
        };
        let manifests: Vec<Value> = images.iter().map(entry).collect();
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        let descriptor = self.blob(INDEX, index.to_string().as_bytes());
        self.tag(tag, descriptor);
    }
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
    if own() == "arm64" { "amd64" } else { "arm64" }
}
