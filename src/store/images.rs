//! Image records.
//!
//! ```text
//! <root>/images/<name>.json        one record; `/` and `:` of the name are percent-encoded, `:latest` is left out; the
//!                                  name is as it was given, and no two names mean the same (`ubuntu`, `library/ubuntu`)
//! <root>/layers/<hex>/root         the tree of one layer, by the hash of its plain content
//! <root>/layers/.tmp-<pid>-<n>     a layer that is being unpacked
//! ```
//!
//! A record is written beside its place and renamed, so it is there whole or not at all. Deleting is the record first,
//! then the layers that no other record names.

mod names;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::{
    oci::{self, Descriptor},
    spec::{Digest, Reference},
};

pub use names::{WELL_KNOWN, canonical, looks_like_reference, nearest, same, valid_name};

/// The version of the record that this program writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// The least of an id that `find` takes for one.
const MIN_ID_PREFIX: usize = 6;

/// One image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// [`VERSION`] when written.
    pub version: u32,
    /// What it is called.
    pub name: String,
    /// SHA-256 in hexadecimal digits, without a prefix.
    pub id: String,
    /// Diff ids, lowest layer first (OCI image-spec, config.md, `rootfs.diff_ids`).
    pub layers: Vec<String>,
    /// RFC 3339; see [`now`].
    pub created: String,
    /// Bytes of file content in all layers.
    pub size: u64,
    /// The OCI name: `amd64`, `arm64`, `386`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
    #[serde(default)]
    /// What a container of it runs.
    pub config: Config,
    /// What it was imported from.
    #[serde(default)]
    pub source: String,
    /// How the owners on disk are to be read: `range` or `single`.
    pub ids: String,
    /// The manifest in the store's blobs; none for what earlier versions imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Descriptor>,
    /// What the name led to in its registry, an index mostly: what `NAME@DIGEST` is to find.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Digest>,
    /// The packed layers, lowest first, as the manifest has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Descriptor>,
    /// `v7`, `v8`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// When it came into this store under this name (RFC 3339); where it is empty, [`Image::created`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stored: String,
    /// A layer lies on the disk in a form that the kernel's overlay does not read (whiteouts as files).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain_whiteouts: bool,
    /// How many of the lowest layers do not show at all, for one above them is opaque as a whole.
    #[serde(default, skip_serializing_if = "is_none")]
    pub hidden: usize,
}

fn is_none(number: &usize) -> bool {
    *number == 0
}

impl Image {
    /// The machines that it is for.
    pub fn platform(&self) -> oci::Platform {
        oci::Platform { os: self.os.clone(), architecture: self.architecture.clone(), variant: self.variant.clone() }
    }

    /// Whether this digest in its registry leads to it: that of its manifest, or of the index that it was chosen from.
    pub fn leads_from(&self, digest: &Digest) -> bool {
        self.origin.as_ref() == Some(digest) || self.manifest.as_ref().is_some_and(|m| m.digest == *digest)
    }
}

/// What a container of the image runs unless told otherwise (OCI image-spec, config.md, `config`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// The words before the command.
    pub entrypoint: Vec<String>,
    /// The command where none is given.
    pub cmd: Vec<String>,
    /// Where it starts; empty: `/`.
    pub working_dir: String,
    /// Who runs it; empty: root.
    pub user: String,
    /// Folders whose content is not part of the image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// `PORT/tcp`, `PORT/udp`: what it listens on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed_ports: Vec<String>,
    /// Whatever its maker says of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to end; empty: TERM.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
}

impl Image {
    /// The blob of its configuration; none for what earlier versions imported.
    pub fn config_digest(&self) -> Option<Digest> {
        self.manifest.as_ref().and_then(|_| format!("sha256:{}", self.id).parse().ok())
    }

    /// When it came into this store under this name (RFC 3339).
    pub fn stored(&self) -> &str {
        if self.stored.is_empty() { &self.created } else { &self.stored }
    }
}

impl From<oci::Run> for Config {
    fn from(run: oci::Run) -> Config {
        let oci::Run { user, exposed_ports, env, entrypoint, cmd, volumes, working_dir, labels, stop_signal } = run;
        Config { env, entrypoint, cmd, working_dir, user, volumes, exposed_ports, labels, stop_signal }
    }
}

/// All images by name. A record that cannot be read is an error in its place and does not hide the others.
pub fn list(root: &Path) -> Vec<Result<Image>> {
    let folder = root.join("images");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => return vec![Err(error).with_context(|| format!("{}", folder.display()))],
    };
    let mut paths = Vec::new();
    let mut images = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => paths.push(entry.path()),
            Err(error) => images.push(Err(error).with_context(|| format!("{}", folder.display()))),
        }
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    // Without the ending: `small` before `small:2`.
    paths.sort_by_key(|path| path.with_extension(""));
    images.extend(paths.iter().filter_map(|path| read(path).transpose()));
    images
}

/// The image called `name`, else the one that is recorded under another name for the same: `ubuntu`, `ubuntu:latest`,
/// `library/ubuntu` and `docker.io/library/ubuntu` are one.
pub fn named(root: &Path, name: &str) -> Result<Option<Image>> {
    if valid_name(name).is_err() {
        return Ok(None);
    }
    if let Some(image) = read(&record_path(root, name))? {
        return Ok(Some(image));
    }
    for other in names::spellings(name) {
        if let Some(image) = read(&record_path(root, &other))? {
            return Ok(Some(image));
        }
    }
    Ok(by_digest(root, name))
}

/// `NAME@DIGEST`: an image that came from this repository under any of its tags.
fn by_digest(root: &Path, name: &str) -> Option<Image> {
    let wanted: Reference = name.contains('@').then(|| name.parse().ok()).flatten()?;
    let digest = wanted.digest.as_ref()?;
    let same = |image: &Image| {
        let is = image.name.parse::<Reference>();
        image.leads_from(digest) && is.is_ok_and(|is| is.host == wanted.host && is.repository == wanted.repository)
    };
    list(root).into_iter().flatten().find(same)
}

/// The image called `name` ([`named`]), else the one whose id begins with it, if that is six digits or more and fits only
/// one.
pub fn find(root: &Path, name: &str) -> Result<Option<Image>> {
    if let Some(image) = named(root, name)? {
        return Ok(Some(image));
    }
    let mut found = with_id(root, name);
    // One image under two names is still one image.
    found.dedup_by(|a, b| a.id == b.id);
    match found.len() {
        0 | 1 => Ok(found.pop()),
        several => bail!("image id {name:?} fits {several} images: give more digits"),
    }
}

/// The records of the images whose ids begin with these digits, `sha256:` before them or not; names of the same image
/// stand together. None for fewer than six.
pub fn with_id(root: &Path, digits: &str) -> Vec<Image> {
    let digits = digits.strip_prefix("sha256:").unwrap_or(digits).to_ascii_lowercase();
    if digits.len() < MIN_ID_PREFIX || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Vec::new();
    }
    let mut found: Vec<Image> = list(root).into_iter().flatten().filter(|i| i.id.starts_with(&digits)).collect();
    found.sort_by(|a, b| (&a.id, &a.name).cmp(&(&b.id, &b.name)));
    found
}

/// Writes the record, in place of an earlier one of the same name or of another that means the same.
pub fn record(root: &Path, image: &Image) -> Result<()> {
    valid_name(&image.name).map_err(anyhow::Error::msg)?;
    let place = record_path(root, &image.name);
    // Looked for before: two imports at once, each under another of its names, do not remove each other's.
    let mut stale = names::spellings(&image.name);
    stale.retain(|other| record_path(root, other).exists());
    let folder = root.join("images");
    let temporary = folder.join(unique());
    let write = || -> Result<()> {
        fs::create_dir_all(&folder)?;
        let mut file = fs::File::create_new(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(image)?)?;
        file.sync_all()?;
        Ok(fs::rename(&temporary, &place)?)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary))).with_context(|| format!("{}", place.display()))?;
    // After the new one, so that one of them is there at any time.
    stale.iter().try_for_each(|other| forget(root, other))
}

/// Removes the record of exactly this name, if there is one.
///
/// # Errors
/// Those of unlink(2).
pub fn forget(root: &Path, name: &str) -> Result<()> {
    let place = record_path(root, name);
    match fs::remove_file(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.with_context(|| format!("remove {}", place.display())),
    }
}

/// Removes the records of this name, and of others that mean the same, that cannot be read. How many there were.
///
/// # Errors
/// Those of unlink(2).
pub fn forget_unreadable(root: &Path, name: &str) -> Result<usize> {
    let mut all = names::spellings(name);
    all.push(name.to_owned());
    all.retain(|name| valid_name(name).is_ok() && read(&record_path(root, name)).is_err());
    all.iter().try_for_each(|name| forget(root, name))?;
    Ok(all.len())
}

/// Where the tree of a layer lies. `diff_id` comes from a record or from unpacking, as `sha256:<hex>`.
pub fn layer_dir(root: &Path, diff_id: &str) -> PathBuf {
    let hex = diff_id.strip_prefix("sha256:").unwrap_or(diff_id);
    root.join("layers").join(hex).join("root")
}

/// A path for a layer that is being unpacked, unique on this machine while this process lives; nothing is made.
pub fn staging(root: &Path) -> PathBuf {
    root.join("layers").join(unique())
}

/// The time for [`Image::created`] (RFC 3339, UTC, whole seconds).
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(".tmp-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn record_path(root: &Path, name: &str) -> PathBuf {
    root.join("images").join(names::file_name(name))
}

fn read(path: &Path) -> Result<Option<Image>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
    };
    let parse = || -> Result<Image> {
        let image: Image = serde_json::from_slice(&text)?;
        ensure!(image.version <= VERSION, "written by a newer version of little-container");
        // These become paths.
        let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let layers = image.layers.iter().all(|layer| layer.strip_prefix("sha256:").is_some_and(is_hash));
        ensure!(layers && is_hash(&image.id), "a hash in it is malformed");
        valid_name(&image.name).map_err(anyhow::Error::msg)?;
        Ok(image)
    };
    parse().map(Some).with_context(|| format!("image record {}", path.display()))
}

#[cfg(test)]
mod tests;
