use super::*;
use crate::oci::Descriptor;

fn digest(n: u8) -> Digest {
    format!("sha256:{}", format!("{n:02x}").repeat(32)).parse().unwrap()
}

/// An image of these layers, each with a packed layer of the number after it; the manifest is 200, the configuration 201.
fn image(store: &Store, name: &str, layers: &[u8]) -> Image {
    let image = Image {
        version: images::VERSION,
        name: name.into(),
        id: digest(201).hex().into(),
        layers: layers.iter().map(|n| digest(*n).to_string()).collect(),
        manifest: Some(Descriptor::new("", digest(200), 1)),
        blobs: layers.iter().map(|n| Descriptor::new("", digest(n + 1), 1)).collect(),
        ..Image::default()
    };
    images::record(store.root(), &image).unwrap();
    for thing in things_of(&image) {
        match &thing {
            Thing::Layer(layer) => {
                let root = store.layer(layer).join("root");
                fs::create_dir_all(&root).unwrap();
                fs::write(root.join("file"), "content").unwrap();
            }
            Thing::Blob(blob) => store.keep_blob(blob, b"blob").unwrap(),
        }
    }
    image
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

#[test]
fn only_what_no_record_names_goes() {
    let (_folder, store) = store();
    let (a, b) = (image(&store, "a", &[1, 3]), image(&store, "b", &[3, 5]));
    assert_eq!(reap(&store, everything(&store), true).unwrap().gone, []);
    images::forget(store.root(), "a").unwrap();
    let reaped = reap(&store, things_of(&a), true).unwrap();
    assert_eq!(reaped.gone, [Thing::Layer(digest(1)), Thing::Blob(digest(2))]);
    assert_eq!((reaped.bytes, reaped.busy, reaped.unclear), (11, 0, false));
    images::forget(store.root(), "b").unwrap();
    assert_eq!(reap(&store, things_of(&b), false).unwrap().gone.len(), 6);
    assert_eq!(everything(&store), []);
    for folder in ["layers", "blobs/sha256"] {
        assert_eq!(fs::read_dir(store.root().join(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[test]
fn what_others_are_at_stays() {
    let (_folder, store) = store();
    let a = image(&store, "a", &[1]);
    images::forget(store.root(), "a").unwrap();
    let held = Thing::Layer(digest(1)).hold(&store).unwrap();
    let reaped = reap(&store, things_of(&a), false).unwrap();
    assert_eq!((reaped.busy, reaped.gone.len()), (1, 3));
    drop(held);
    assert_eq!(reap(&store, everything(&store), false).unwrap().gone, [Thing::Layer(digest(1))]);
}

#[test]
fn an_unreadable_record_keeps_everything() {
    let (_folder, store) = store();
    let a = image(&store, "a", &[1]);
    fs::write(store.root().join("images/a.json"), "{").unwrap();
    let reaped = reap(&store, things_of(&a), false).unwrap();
    assert!(reaped.unclear && reaped.gone.is_empty());
}

#[test]
fn leftovers_of_the_dead_are_found() {
    let (_folder, store) = store();
    image(&store, "a", &[1]);
    let (layers, blobs) = (store.root().join("layers"), store.root().join("blobs/sha256"));
    let dead = |n: u8| digest(n).hex().to_owned();
    fs::create_dir_all(layers.join(format!(".new-{}/root", dead(9)))).unwrap();
    fs::create_dir_all(layers.join(".tmp-2147483647-0")).unwrap();
    fs::create_dir_all(layers.join(format!(".tmp-{}-0", std::process::id()))).unwrap();
    fs::write(blobs.join(format!("{}.part", dead(9))), "x").unwrap();
    fs::write(blobs.join(format!(".lock-{}", dead(9))), "").unwrap();
    fs::write(blobs.join(format!("{}.part", dead(8))), "x").unwrap();
    fs::write(blobs.join(format!("{}.2147483647", dead(8))), "x").unwrap();
    let mut lock = store.lock_blob(&digest(8)).unwrap();
    assert_eq!(leftovers(&store).iter().filter(|l| l.part).count(), 1);
    lock.take();
    for left in leftovers(&store) {
        left.remove().unwrap();
    }
    let mut left: Vec<_> = fs::read_dir(&layers).unwrap().chain(fs::read_dir(&blobs).unwrap()).collect();
    left.retain(|e| !digest_like(&e.as_ref().unwrap().file_name().to_string_lossy()));
    assert_eq!(left.len(), 1, "{left:?}");
}

fn digest_like(name: &str) -> bool {
    super::super::is_id(name)
}
