//! Images made for the bench, the same on every machine: an OCI image layout with gzip layers, and their plain tars beside.

use flate2::{Compression, write::GzEncoder};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Raised when what is made changes: what lies in the cache is then made anew.
const VERSION: u32 = 1;

/// How an image is divided: parts of a hundred.
pub const EIGHT: [u64; 8] = [30, 20, 15, 12, 10, 8, 4, 1];
pub const ONE: [u64; 1] = [100];

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const TAG: &str = "1";

/// An image that lies ready.
pub struct Image {
    pub name: &'static str,
    /// An OCI image layout; `plain-N.tar` beside `blobs`.
    pub layout: PathBuf,
    pub layers: usize,
    pub plain: u64,
    pub packed: u64,
    pub files: u64,
}

/// Text of so many words that it packs like source code, and numbers that are the same every time.
struct Maker {
    state: u64,
    words: Vec<String>,
}

/// Makes the image below `cache` if it is not there yet.
pub fn ready(cache: &Path, name: &'static str, parts: &[u64], bytes: u64) -> io::Result<Image> {
    let layout = cache.join(format!("unpack-{VERSION}-{name}-{}m", bytes >> 20));
    if !layout.join("facts.json").exists() {
        println!("making {} MB in {} layers, once: {}", bytes >> 20, parts.len(), layout.display());
        let _ = fs::remove_dir_all(&layout);
        make(&layout, parts, bytes)?;
    }
    let facts: Value = serde_json::from_slice(&fs::read(layout.join("facts.json"))?)?;
    let number = |key: &str| facts[key].as_u64().unwrap_or(0);
    let (plain, packed, files) = (number("plain"), number("packed"), number("files"));
    Ok(Image { name, layout, layers: parts.len(), plain, packed, files })
}

fn make(layout: &Path, parts: &[u64], bytes: u64) -> io::Result<()> {
    fs::create_dir_all(layout.join("blobs/sha256"))?;
    let mut maker = Maker::new();
    let (mut layers, mut ids) = (Vec::new(), Vec::new());
    let (mut plain, mut packed, mut files) = (0, 0, 0);
    for (n, part) in parts.iter().enumerate() {
        let (tar, count) = maker.layer(n, bytes / 100 * part)?;
        fs::write(layout.join(format!("plain-{n}.tar")), &tar)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        io::Write::write_all(&mut gzip, &tar)?;
        ids.push(hash(&tar));
        let layer = blob(layout, LAYER, &gzip.finish()?)?;
        (plain, packed, files) =
            (plain + tar.len() as u64, packed + layer["size"].as_u64().unwrap_or(0), files + count);
        layers.push(layer);
    }
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture, "os": "linux", "config": { "Cmd": ["/bin/true"] },
        "rootfs": { "type": "layers", "diff_ids": ids },
    });
    let config = blob(layout, CONFIG, config.to_string().as_bytes())?;
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
    let mut manifest = blob(layout, MANIFEST, manifest.to_string().as_bytes())?;
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": TAG });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string())?;
    fs::write(layout.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
    let facts = json!({ "plain": plain, "packed": packed, "files": files });
    fs::write(layout.join("facts.json"), facts.to_string())
}

fn hash(bytes: &[u8]) -> String {
    let hex: String = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn blob(layout: &Path, media: &str, bytes: &[u8]) -> io::Result<Value> {
    let digest = hash(bytes);
    fs::write(blob_path(layout, &digest), bytes)?;
    Ok(json!({ "mediaType": media, "digest": digest, "size": bytes.len() }))
}

/// Where a blob of a layout lies.
pub fn blob_path(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

/// The descriptor of the manifest, and the manifest.
pub fn manifest(layout: &Path) -> io::Result<(Value, Value)> {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json"))?)?;
    let descriptor = index["manifests"][0].clone();
    let place = blob_path(layout, descriptor["digest"].as_str().unwrap_or_default());
    Ok((descriptor, serde_json::from_slice(&fs::read(place)?)?))
}

impl Maker {
    fn new() -> Maker {
        let mut maker = Maker { state: 0x9e37_79b9_7f4a_7c15, words: Vec::new() };
        for _ in 0..4096 {
            let length = 2 + maker.below(9);
            let word = (0..length).map(|_| char::from(b'a' + maker.below(26) as u8)).collect();
            maker.words.push(word);
        }
        maker
    }

    /// xorshift64
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// A tar of about so many bytes: half of them in small texts, half in large files. And how many files it has.
    fn layer(&mut self, n: usize, bytes: u64) -> io::Result<(Vec<u8>, u64)> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut count = 0;
        let mut large = 0;
        let mut folder = String::new();
        while (tar.get_ref().len() as u64) < bytes {
            if count % 40 == 0 {
                folder = format!("layer{n}/lib{:02}/part{count:05}/", count / 400);
                append(&mut tar, &folder, tar::EntryType::Directory, (0, 0o755), b"")?;
            }
            let here = tar.get_ref().len() as u64;
            let (name, content) = if large < here / 2 && bytes - here > 64 * 1024 {
                let size = (1_u64 << (17 + self.below(6))).min(bytes - here);
                large += size;
                (format!("{folder}large{count}.so"), self.half(size as usize))
            } else {
                // Most are small, some are not.
                let most = 200 << self.below(9);
                let size = 100 + self.below(most);
                (format!("{folder}text{count}.py"), self.text(size as usize))
            };
            let owner = if count % 50 == 0 { 33 } else { 0 };
            let mode = if count % 7 == 0 { 0o755 } else { 0o644 };
            append(&mut tar, &name, tar::EntryType::Regular, (owner, mode), &content)?;
            count += 1;
        }
        Ok((tar.into_inner()?, count))
    }

    fn text(&mut self, size: usize) -> Vec<u8> {
        let mut text = String::with_capacity(size + 16);
        while text.len() < size {
            // The first words of the list come most often, as in any text.
            let most = 1 + self.below(self.words.len() as u64);
            let word = self.below(most) as usize;
            text.push_str(&self.words[word]);
            text.push([' ', ' ', ' ', '\n', '(', '_', '.', '='][self.below(8) as usize]);
        }
        text.truncate(size);
        text.into_bytes()
    }

    /// What a packer can shorten to about a third, as machine code: some noise, and pieces of what was there before.
    fn half(&mut self, size: usize) -> Vec<u8> {
        let mut data: Vec<u8> = Vec::with_capacity(size + 64);
        while data.len() < size {
            if data.len() < 64 || self.below(3) == 0 {
                let noise = self.next();
                data.extend(noise.to_le_bytes());
            } else {
                let length = 4 + self.below(24) as usize;
                let back = (length as u64 + self.below((data.len() - length).min(8192) as u64 + 1)) as usize;
                let from = data.len() - back.min(data.len());
                data.extend_from_within(from..from + length);
            }
        }
        data.truncate(size);
        data
    }
}

fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    name: &str,
    kind: tar::EntryType,
    (owner, mode): (u64, u32),
    content: &[u8],
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_mtime(1_700_000_000);
    tar.append_data(&mut header, name, content)
}
