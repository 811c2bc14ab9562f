//! Whether the store is what its records say, and making good what can be made good.
//!
//! ```text
//! record   readable                      →  manifest, configuration: hash to their names, agree with the record
//! blob     every byte of it is hashed    →  what is wrong is removed, for only a pull brings it again
//! layer    unpacked once more from its blob, in a folder of its own, and compared; what differs is exchanged
//! ```

use super::{Install, Origin, Silent, Stream, install};
use crate::{
    image::{self, digest::Hashing},
    oci::{self, Config, Descriptor, Document, media},
    plan::ids::Ids,
    say,
    spec::Digest,
    store::{
        Store, containers,
        images::{self, Image},
        lock::{Lock, Mode},
        unneeded,
    },
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::fd::AsFd,
    path::Path,
};

/// What is wrong in a store.
#[derive(Debug)]
pub struct Finding {
    /// What, and in which way.
    pub what: String,
    /// What was done, or what is to be done.
    pub state: State,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// It is right again: what was done.
    Repaired(&'static str),
    /// It can be repaired here, and was only looked at.
    Repairable,
    /// Only somebody else can: how.
    Broken(String),
}

/// A store that is looked at.
pub struct Check<'a> {
    /// Which.
    pub store: &'a Store,
    /// How the files of images are given to their owners, for images with a range (`true`) and without; `None`: not
    /// possible here.
    pub ids: &'a dyn Fn(bool) -> Option<&'a Ids>,
    /// Nothing is changed.
    pub dry: bool,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What cannot be verified, and why.
    pub unknown: Vec<String>,
}

/// How much was looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records of images.
    pub images: usize,
    /// Blobs that were hashed.
    pub blobs: usize,
    /// Layers that were compared.
    pub layers: usize,
}

impl Check<'_> {
    /// Looks at everything.
    ///
    /// # Errors
    /// The store cannot be read at all.
    pub fn all(&mut self) -> Result<Counts> {
        let mut counts = Counts::default();
        self.leftovers();
        let mut good = Vec::new();
        for image in images::list(self.store.root()) {
            counts.images += 1;
            match image {
                Ok(image) => good.push(image),
                Err(e) => {
                    let remedy = "`little-container rmi -f NAME` removes the record; then get the image again";
                    self.found(say::chain(&e), State::Broken(remedy.into()));
                }
            }
        }
        for broken in containers::list(self.store)?.into_iter().filter_map(Result::err) {
            let what = format!("the record of the container {}: {}", crate::plan::short_id(&broken.id), broken.why);
            let remedy = format!("`little-container rm -f {}` removes it", crate::plan::short_id(&broken.id));
            self.found(what, State::Broken(remedy));
        }
        let whole = self.blobs(&good, &mut counts);
        self.layers(&good, &whole, &mut counts);
        Ok(counts)
    }

    fn found(&mut self, what: String, state: State) {
        self.findings.push(Finding { what, state });
    }

    /// What processes that are gone have left. Downloads stay: the next pull goes on with them.
    fn leftovers(&mut self) {
        // A lock that nobody has goes by being looked at.
        for left in unneeded::leftovers(self.store).into_iter().filter(|left| !left.part && !left.is_lock()) {
            let what = format!("{} was left by a process that is gone", left.path.display());
            let state = match self.dry {
                true => State::Repairable,
                false => match left.remove() {
                    Ok(()) => State::Repaired("removed"),
                    Err(e) => State::Broken(say::chain(&e)),
                },
            };
            self.found(what, state);
        }
    }

    /// Hashes the blobs of all images; those that are what they should be.
    fn blobs(&mut self, images: &[Image], counts: &mut Counts) -> BTreeSet<Digest> {
        let mut wanted: BTreeMap<Digest, (&Image, Option<u64>)> = BTreeMap::new();
        for image in images {
            let packed = image.blobs.iter().chain(&image.manifest).map(|b| (b.digest.clone(), Some(b.size)));
            let config = image.config_digest().map(|digest| (digest, None));
            for (digest, size) in packed.chain(config) {
                wanted.entry(digest).or_insert((image, size));
            }
        }
        let mut whole = BTreeSet::new();
        for (digest, (image, size)) in wanted {
            counts.blobs += 1;
            match self.blob(&digest, size) {
                Ok(()) => drop(whole.insert(digest)),
                Err(e) => {
                    let remedy = format!("`little-container pull {}` brings it again", image.name);
                    self.found(format!("{}: {}", image.name, say::chain(&e)), State::Broken(remedy));
                }
            }
        }
        for image in images.iter().filter(|i| i.manifest.is_some()) {
            if let Err(e) = self.agrees(image, &whole) {
                let remedy = format!("`little-container rmi {0}`, then `little-container pull {0}`", image.name);
                self.found(format!("{}: {}", image.name, say::chain(&e)), State::Broken(remedy));
            }
        }
        whole
    }

    fn blob(&self, digest: &Digest, size: Option<u64>) -> Result<()> {
        let mut hashing = match fs::File::open(self.store.blob(digest)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => bail!("the blob {digest} is missing"),
            file => Hashing::new(file.with_context(|| format!("the blob {digest}"))?),
        };
        let read = io::copy(&mut hashing, &mut io::sink()).with_context(|| format!("read the blob {digest}"))?;
        let is = hashing.finish();
        if is == digest.to_string() && size.is_none_or(|size| size == read) {
            return Ok(());
        }
        // Wrong bytes are good for nothing, and in the way of the right ones.
        if !self.dry
            && let Some(_lock) = self.store.lock_blob(digest)?
        {
            fs::remove_file(self.store.blob(digest))?;
        }
        bail!("the blob {digest} has {read} bytes that hash to {is}")
    }

    /// The documents, as far as they are whole, say what the record says.
    fn agrees(&self, image: &Image, whole: &BTreeSet<Digest>) -> Result<()> {
        let (Some(manifest), Some(config)) = (&image.manifest, image.config_digest()) else { return Ok(()) };
        if whole.contains(&manifest.digest) {
            let bytes = self.store.read_blob(&manifest.digest)?;
            let document = oci::parse(&bytes, Some(&manifest.media_type)).map_err(|e| anyhow!("the manifest: {e}"))?;
            let Document::Manifest(document) = document else { bail!("the manifest is an index") };
            ensure!(document.config.digest == config, "its record and its manifest name different configurations");
            ensure!(document.layers == image.blobs, "its record and its manifest name different layers");
        }
        if whole.contains(&config) {
            let bytes = self.store.read_blob(&config)?;
            let read = Config::parse(&bytes, image.layers.len()).map_err(|e| anyhow!("the configuration: {e}"))?;
            let same = read.rootfs.diff_ids.iter().map(Digest::to_string).eq(image.layers.iter().cloned());
            ensure!(same, "its record and its configuration name different layers");
        }
        Ok(())
    }

    fn layers(&mut self, images: &[Image], whole: &BTreeSet<Digest>, counts: &mut Counts) {
        let mut wanted: BTreeMap<Digest, (&Image, Option<&Descriptor>)> = BTreeMap::new();
        for image in images {
            for (n, layer) in image.layers.iter().enumerate() {
                let Ok(layer) = layer.parse() else { continue };
                let blob = image.blobs.get(n).filter(|blob| whole.contains(&blob.digest));
                let known = wanted.entry(layer).or_insert((image, blob));
                if known.1.is_none() {
                    *known = (image, blob);
                }
            }
        }
        for (layer, (image, blob)) in wanted {
            counts.layers += 1;
            match self.layer(&layer, image, blob) {
                Ok(Some((what, state))) => self.found(format!("{}: the layer {layer}: {what}", image.name), state),
                Ok(None) => {}
                Err(e) => {
                    let remedy = "`little-container system check` once more when that is mended".to_owned();
                    self.found(format!("{}: the layer {layer}: {}", image.name, say::chain(&e)), State::Broken(remedy));
                }
            }
        }
    }

    fn layer(&mut self, layer: &Digest, image: &Image, blob: Option<&Descriptor>) -> Result<Option<(String, State)>> {
        let place = self.store.layer(layer);
        let there = place.join("root").is_dir();
        let ids = blob.and_then(|blob| Some((blob, (self.ids)(image.ids == "range")?)));
        let Some((blob, ids)) = ids else {
            if there {
                let why =
                    if blob.is_some() { "its owners cannot be given here" } else { "its packed form is not here" };
                self.unknown.push(format!("{}: the layer {layer}: {why}", image.name));
                return Ok(None);
            }
            let again = if image.manifest.is_some() { "pull" } else { "import" };
            let remedy = format!("`little-container {again} {}` brings it again", image.name);
            return Ok(Some(("it is missing".into(), State::Broken(remedy))));
        };
        let staging = Staging(images::staging(self.store.root()));
        let made = staging.unpack(layer, blob, self.store, ids).context("unpack it again")?;
        let what = match there {
            true => difference(&place, &made)?,
            false => Some("it is missing".into()),
        };
        let Some(what) = what else { return Ok(None) };
        if self.dry {
            return Ok(Some((what, State::Repairable)));
        }
        self.exchange(layer, &made).map(|state| Some((what, state)))
    }

    /// The layer that was made anew takes its place.
    fn exchange(&self, layer: &Digest, made: &Path) -> Result<State> {
        let place = self.store.layer(layer);
        let busy = || State::Broken("end the containers and pulls that use it, and check again".into());
        let root = place.join("root");
        let running = containers::list(self.store)?.into_iter().flatten().any(|record| {
            let lives = record.exit.is_none() && record.runner.lives();
            lives && record.layers.iter().any(|l| l.path() == root)
        });
        let lock = Lock::attempt(&place.with_file_name(format!(".lock-{}", layer.hex())), Mode::Alone)?;
        if running || lock.is_none() {
            return Ok(busy());
        }
        let aside = place.with_file_name(format!(".new-{}", layer.hex()));
        unneeded::remove_folder(&aside)?;
        if fs::symlink_metadata(&place).is_ok() {
            fs::rename(&place, &aside).with_context(|| format!("rename {}", place.display()))?;
        }
        fs::rename(made, &place).with_context(|| format!("rename {}", made.display()))?;
        unneeded::remove_folder(&aside)?;
        drop(lock);
        Ok(State::Repaired("made again from its blob"))
    }
}

/// A folder that goes when it is done with.
struct Staging(std::path::PathBuf);

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = unneeded::remove_folder(&self.0);
    }
}

impl Staging {
    /// Unpacks one layer of the store into a store of its own, by the one way in; its folder.
    fn unpack(&self, layer: &Digest, blob: &Descriptor, store: &Store, ids: &Ids) -> Result<std::path::PathBuf> {
        let own = Store::open(&self.0)?;
        let packed = own.blob(&blob.digest);
        packed.parent().map_or(Ok(()), crate::store::make_private_folder)?;
        fs::hard_link(store.blob(&blob.digest), &packed)
            .or_else(|_| fs::copy(store.blob(&blob.digest), &packed).map(drop))?;
        let config = serde_json::to_vec(&Config {
            os: "linux".into(),
            rootfs: oci::Rootfs { kind: "layers".into(), diff_ids: vec![layer.clone()] },
            ..Config::default()
        })?;
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": media::MANIFEST,
            "config": described(media::CONFIG, &config)?,
            "layers": [blob],
        });
        let manifest = serde_json::to_vec(&manifest)?;
        install(&Install {
            store: &own,
            names: &[],
            manifest: (&described(media::MANIFEST, &manifest)?, &manifest),
            config: &config,
            index: None,
            origin: &Nowhere,
            ids,
            source: "",
            progress: &Silent,
        })?;
        Ok(own.layer(layer))
    }
}

/// What is not in the store is not to be had.
struct Nowhere;

impl Origin for Nowhere {
    fn open(&self, layer: &Descriptor, _: u64) -> Result<Stream> {
        bail!("the blob {} is not whole", layer.digest)
    }
}

fn described(media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
    let mut hashing = Hashing::new(bytes);
    io::copy(&mut hashing, &mut io::sink())?;
    let digest = hashing.finish().parse().map_err(anyhow::Error::msg)?;
    Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
}

/// In what a layer's folder differs from the one that was just made.
fn difference(place: &Path, made: &Path) -> Result<Option<String>> {
    let owners = |folder: &Path| fs::read(folder.join("owners.json")).ok();
    if owners(place) != owners(made) {
        return Ok(Some("the owners that are kept beside it differ".into()));
    }
    let work = || {
        let open = |folder: &Path| fs::File::open(folder.join("root"));
        let told = image::difference(open(place)?.as_fd(), open(made)?.as_fd());
        told.map_err(|e| {
            let kind =
                e.chain().find_map(|e| e.downcast_ref::<io::Error>()).map_or(io::ErrorKind::Other, io::Error::kind);
            io::Error::new(kind, say::chain(&e))
        })
    };
    containers::with_every_id(work).context("compare it")
}
