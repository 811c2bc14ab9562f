//! The way of an image: from a layout by skopeo into the registry, by us into the store and a container, by us back into
//! the registry and into archives, and by skopeo from there.

use super::{
    kit::assert_error,
    layout::{Layout, digest},
    real::Real,
    support::{Ground, outcome},
    tree::{Listing, assert_same, drivers, inside, place},
};
use serde_json::Value;
use std::fs;

/// skopeo with these words; it must succeed. What it printed.
#[track_caller]
pub fn skopeo(ground: &Ground, words: &[&str]) -> String {
    let out = outcome(ground.command("skopeo").arg("--insecure-policy").args(words));
    assert_eq!(out.status, 0, "{words:?}: {out:?}");
    out.stdout
}

/// The manifest, byte by byte.
#[track_caller]
pub fn raw(ground: &Ground, place: &str) -> Vec<u8> {
    let tls: &[&str] = if place.starts_with("docker://") { &["--tls-verify=false"] } else { &[] };
    skopeo(ground, &[&["inspect", "--raw"], tls, &[place]].concat()).into_bytes()
}

/// Without it skopeo packs what is not packed.
pub const AS_IT_IS: &[&str] = &["--preserve-digests"];

/// From the layout into the registry.
#[track_caller]
pub fn upload(ground: &Ground, layout: &Layout, tag: &str, name: &str, flags: &[&str]) {
    let (from, to) = (format!("oci:{}:{tag}", layout.folder.display()), format!("docker://{name}"));
    skopeo(ground, &[&["copy", "-q", "--dest-tls-verify=false"], flags, &[&from, &to]].concat());
}

/// `inspect` of an image.
#[track_caller]
pub fn inspected(ground: &Ground, name: &str) -> Value {
    let all: Value = serde_json::from_str(&ground.ok(["image", "inspect", name])).unwrap();
    all[0].clone()
}

/// Pulls what is in the registry and looks at it under every driver; the digest of the manifest and the id.
#[track_caller]
pub fn pulled(ground: &Ground, name: &str, expected: &Listing) -> (Vec<u8>, String) {
    let manifest = raw(ground, &format!("docker://{name}"));
    ground.ok(["pull", "-q", name]);
    let (seen, parsed) = (inspected(ground, name), serde_json::from_slice::<Value>(&manifest).unwrap());
    let id = parsed["config"]["digest"].as_str().unwrap().to_owned();
    assert_eq!(seen["Descriptor"]["digest"], digest(&manifest), "{seen}");
    assert_eq!(seen["Id"], id);
    for storage in drivers(ground) {
        assert_same(&format!("{name}, {storage}"), &inside(ground, &ground.store(), storage, name), expected);
    }
    (manifest, id)
}

/// What goes out is what came in: to the registry, and as archives.
#[track_caller]
pub fn out_again(ground: &Ground, real: &Real, name: &str, manifest: &[u8], id: &str) {
    let again = format!("{}/again/{}", real.address, name.rsplit('/').next().unwrap());
    ground.ok(["push", "-q", name, &again]);
    assert!(raw(ground, &format!("docker://{again}")) == manifest, "{again} has another manifest");
    for format in ["oci-archive", "oci-dir"] {
        let file = place(ground, format);
        ground.ok(["save", "--format", format, "-o", file.to_str().unwrap(), name]);
        let kind = if format == "oci-dir" { "oci" } else { format };
        assert!(raw(ground, &format!("{kind}:{}", file.display())) == manifest, "{format} has another manifest");
    }
    let file = place(ground, "docker-archive");
    ground.ok(["save", "-o", file.to_str().unwrap(), name]);
    let docker: Value = serde_json::from_slice(&raw(ground, &format!("docker-archive:{}", file.display()))).unwrap();
    assert_eq!(docker["config"]["digest"], id);
    let to = format!("oci:{}:x", place(ground, "from-docker").display());
    skopeo(ground, &["copy", "-q", &format!("docker-archive:{}", file.display()), &to]);
}

/// `load` of what skopeo writes, into a store of its own.
#[track_caller]
pub fn load_again(ground: &Ground, name: &str, kinds: &[&str], expected: &Listing) {
    for kind in kinds {
        let file = place(ground, &format!("skopeo.{kind}"));
        let to = format!("{kind}:{}:example.org/loaded:{kind}", file.display());
        skopeo(ground, &["copy", "-q", "--src-tls-verify=false", &format!("docker://{name}"), &to]);
        loaded(ground, &file, expected);
    }
}

/// Loads an archive into a store of its own and looks at the image.
#[track_caller]
pub fn loaded(ground: &Ground, file: &std::path::Path, expected: &Listing) {
    let store = place(ground, "store-of-loaded");
    let (store_name, file_name) = (store.to_str().unwrap(), file.to_str().unwrap());
    let out = ground.end(["--store", store_name, "load", "-q", "-i", file_name]);
    assert_eq!(out.status, 0, "{file_name}: {out:?}");
    let image = out.stdout.lines().next().unwrap();
    assert_same(&format!("{image} of {file_name}"), &inside(ground, &store, "auto", image), expected);
    ground.ok(["--store", store_name, "system", "check"]);
    ground.ok(["--store", store_name, "rmi", "-f", image]);
    fs::remove_dir_all(store).unwrap();
    fs::remove_file(file).unwrap();
}

/// One that is of another machine says so.
#[track_caller]
pub fn refuses_to_run(ground: &Ground, name: &str, architecture: &str) {
    let out = ground.end(["run", "--rm", name, "true"]);
    assert_error(&out, 125, &[&format!("is for {architecture}")]);
}
