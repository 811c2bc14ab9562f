use super::*;
use crate::{
    oci::media,
    plan::{
        facts::SubIds,
        ids::{self, Caller},
    },
    spec::Userns,
    transfer::progress::Silent,
};
use ring::digest::{SHA256, digest};
use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicU32, Ordering},
};

fn hash(bytes: &[u8]) -> Digest {
    let hex = crate::image::digest::hex(digest(&SHA256, bytes).as_ref());
    format!("sha256:{hex}").parse().unwrap()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::read::GzEncoder::new(bytes, flate2::Compression::fast());
    let mut packed = Vec::new();
    out.read_to_end(&mut packed).unwrap();
    packed
}

/// Layers in memory, of which a connection gives only so much before it ends.
struct Memory {
    blobs: BTreeMap<Digest, Vec<u8>>,
    cut: usize,
    opened: AtomicU32,
}

impl Origin for Memory {
    fn open(&self, layer: &Descriptor, from: u64) -> Result<Stream> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let rest = self.blobs.get(&layer.digest).context("no such blob")?[usize::try_from(from)?..].to_vec();
        let rest = rest.into_iter().take(self.cut).collect::<Vec<_>>();
        Ok(Stream { reader: Box::new(io::Cursor::new(rest)), start: from })
    }

    fn again(&self, _: &anyhow::Error, n: u32) -> Option<std::time::Duration> {
        (n < 3).then_some(std::time::Duration::from_millis(1))
    }
}

struct Bed {
    folder: tempfile::TempDir,
    store: Store,
    manifest: Vec<u8>,
    config: Vec<u8>,
    origin: Memory,
}

/// An image of these layers, packed as they are given; `diff_ids` may be wrong.
fn bed(layers: &[(Vec<u8>, Digest)]) -> Bed {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let ids: Vec<&Digest> = layers.iter().map(|(_, diff_id)| diff_id).collect();
    let config = serde_json::json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": ids}});
    let config = serde_json::to_vec(&config).unwrap();
    let descriptors: Vec<Descriptor> =
        layers.iter().map(|(l, _)| Descriptor::new(media::LAYER_GZIP, hash(l), l.len() as u64)).collect();
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": media::MANIFEST,
        "config": Descriptor::new(media::CONFIG, hash(&config), config.len() as u64), "layers": descriptors});
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let blobs = layers.iter().map(|(l, _)| (hash(l), l.clone())).collect();
    let origin = Memory { blobs, cut: usize::MAX, opened: AtomicU32::new(0) };
    Bed { folder, store, manifest, config, origin }
}

impl Bed {
    fn install(&self) -> Result<Image> {
        let none = SubIds::None("not here".into());
        let ids = ids::choose(Userns::Single, &Caller { uid: 0, gid: 0, ids: &none }).unwrap();
        install(&Install {
            store: &self.store,
            names: &["docker.io/library/a".into(), "b:1".into()],
            manifest: (
                &Descriptor::new(media::MANIFEST, hash(&self.manifest), self.manifest.len() as u64),
                &self.manifest,
            ),
            config: &self.config,
            index: None,
            origin: &self.origin,
            ids: &ids,
            source: "memory",
            progress: &Silent,
        })
    }

    /// Everything in the store whose name begins with a dot or ends as a part.
    fn leftovers(&self) -> Vec<String> {
        let folders = ["layers", "blobs/sha256", "images"].map(|f| self.store.root().join(f));
        let all = folders.iter().filter_map(|f| fs::read_dir(f).ok()).flatten();
        let names = all.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|n| n.starts_with('.') || n.ends_with(".part")).collect()
    }
}

fn two() -> (Vec<u8>, Vec<u8>) {
    let noise: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    (tar(&[("etc/a", b"1"), ("big", &noise)]), tar(&[("etc/b", b"2")]))
}

#[test]
fn two_layers_by_two_names() {
    let (a, b) = two();
    let bed = bed(&[(gzip(&a), hash(&a)), (gzip(&b), hash(&b))]);
    let image = bed.install().unwrap();
    assert_eq!(image.id, hash(&bed.config).hex());
    assert_eq!(image.size, 300_002);
    assert_eq!(fs::read(bed.store.layer(&hash(&a)).join("root/etc/a")).unwrap(), b"1");
    assert_eq!(fs::read(bed.store.blob(&hash(&gzip(&b)))).unwrap(), gzip(&b));
    for name in ["a", "b:1"] {
        assert_eq!(images::find(bed.store.root(), name).unwrap().unwrap().id, image.id);
    }
    assert!(bed.leftovers().is_empty(), "{:?}", bed.leftovers());
    let opened = bed.origin.opened.load(Ordering::Relaxed);
    bed.install().unwrap();
    assert_eq!(bed.origin.opened.load(Ordering::Relaxed), opened, "nothing is fetched twice");
    let blob = bed.store.blob(&hash(&gzip(&b)));
    fs::remove_file(&blob).unwrap();
    bed.install().unwrap();
    assert_eq!(fs::read(&blob).unwrap(), gzip(&b), "a blob that was lost comes back");
    drop(bed.folder);
}

#[test]
fn a_connection_that_breaks_goes_on_where_it_was() {
    let (a, _) = two();
    let mut bed = bed(&[(gzip(&a), hash(&a))]);
    bed.origin.cut = 5000;
    bed.install().unwrap();
    assert!(bed.origin.opened.load(Ordering::Relaxed) > 2);
    // One that gives nothing at all keeps what there was.
    fs::remove_dir_all(bed.store.layer(&hash(&a))).unwrap();
    let blob = bed.store.blob(&hash(&gzip(&a)));
    fs::write(blob.with_extension("part"), &gzip(&a)[..1000]).unwrap();
    fs::remove_file(&blob).unwrap();
    bed.origin.cut = 0;
    let error = format!("{:#}", bed.install().unwrap_err());
    assert!(error.contains("the connection ended after 1000 of"), "{error}");
    assert_eq!(fs::metadata(blob.with_extension("part")).unwrap().len(), 1000);
    bed.origin.cut = usize::MAX;
    bed.install().unwrap();
    assert!(bed.leftovers().is_empty());
}

#[test]
fn what_hashes_to_something_else_is_not_kept() {
    let (a, b) = two();
    let mut bed = bed(&[(gzip(&a), hash(&a))]);
    let right = bed.origin.blobs.clone();
    *bed.origin.blobs.values_mut().next().unwrap() = gzip(&b);
    let error = format!("{:#}", bed.install().unwrap_err());
    assert!(error.contains("the connection ended") || error.contains("hashes to"), "{error}");
    assert!(images::find(bed.store.root(), "a").unwrap().is_none());
    let mut longer = right.values().next().unwrap().clone();
    longer.push(0);
    *bed.origin.blobs.values_mut().next().unwrap() = longer;
    // What had come wrong is found out, thrown away and fetched again; what comes beyond the size is not looked at.
    bed.install().unwrap();
    assert_eq!(fs::read(bed.store.blob(&hash(&gzip(&a)))).unwrap(), gzip(&a));
}

#[test]
fn a_wrong_diff_id_and_a_damaged_blob() {
    let (a, b) = two();
    let wrong = bed(&[(gzip(&a), hash(&b))]);
    let error = format!("{:#}", wrong.install().unwrap_err());
    assert!(error.contains("its plain content hashes to"), "{error}");
    let bed = bed(&[(gzip(&a), hash(&a))]);
    bed.install().unwrap();
    fs::remove_dir_all(bed.store.layer(&hash(&a))).unwrap();
    fs::write(bed.store.blob(&hash(&gzip(&a))), b"garbage").unwrap();
    bed.install().unwrap();
    assert_eq!(fs::read(bed.store.blob(&hash(&gzip(&a)))).unwrap(), gzip(&a), "fetched again");
}
