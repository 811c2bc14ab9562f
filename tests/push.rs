//! `push`, against a registry of the test's own.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;
#[allow(dead_code, reason = "each test program uses a part")]
#[path = "support/registry.rs"]
mod registry;
#[path = "support/shelf.rs"]
mod shelf;

use kit::{assert_advice, assert_error};
use registry::{Access, Fault, Registry};
use shelf::{blob, shelve};
use std::fs;

#[test]
fn what_goes_out_is_what_came() {
    let ground = ground!();
    let registry = Registry::start();
    let a = shelve(&ground, &ground.store(), "a", &["one", "two", "three", "four"]);
    let name = format!("{}/team/a:1", registry.address());
    let out = ground.end(["push", "a", &name]);
    assert_eq!((out.status, out.stdout), (0, format!("{name}  sha256:{}\n", a.manifest)));
    assert!(out.stderr.contains(&format!("pushing to {name}: 4 layers, ")), "{}", out.stderr);
    let read = |hex: &str| fs::read(blob(&ground.store(), hex)).unwrap();
    let (kind, bytes) = registry.manifest("team/a", "1").unwrap();
    assert_eq!((kind.as_str(), bytes), (shelf::MANIFEST, read(&a.manifest)));
    for hex in a.blobs.iter().chain([&a.id]) {
        assert_eq!(registry.blob(&format!("sha256:{hex}")), Some(read(hex)));
    }
    let uploads = registry.count("PUT", "/blobs/uploads/");
    assert_eq!(uploads, 5);
    // The second time everything is there, under this tag and under another.
    assert_eq!(ground.ok(["push", "-q", "a", &name]), format!("sha256:{}\n", a.manifest));
    ground.ok(["tag", "a", &format!("{}/team/a", registry.address())]);
    ground.ok(["image", "push", &format!("{}/team/a", registry.address())]);
    assert!(registry.manifest("team/a", "latest").is_some());
    assert_eq!(registry.count("PUT", "/blobs/uploads/"), uploads);
}

#[test]
fn a_blob_of_another_repository_is_mounted() {
    let ground = ground!();
    let registry = Registry::start();
    let base = format!("{}/base:1", registry.address());
    shelve(&ground, &ground.store(), &base, &["one"]);
    ground.ok(["push", &base]);
    // The stub has one pool for all repositories: only a question that finds nothing leads to a mount.
    for _ in 0..2 {
        registry.fault("HEAD", "/v2/other/blobs/", 1, Fault::Status(404, vec![]));
    }
    let uploads = registry.count("PUT", "/blobs/uploads/");
    let out = ground.end(["push", &base, &format!("{}/other:1", registry.address())]);
    assert!(out.status == 0 && out.stderr.contains("taken from base there"), "{out:?}");
    assert_eq!(registry.count("PUT", "/blobs/uploads/"), uploads);
    assert_eq!(registry.count("POST", "mount=sha256"), 2);
}

#[test]
fn what_is_lost_or_refused_is_told() {
    let ground = ground!();
    let registry = Registry::start();
    let name = format!("{}/a", registry.address());
    let a = shelve(&ground, &ground.store(), "a", &["one", "two"]);
    fs::remove_file(blob(&ground.store(), &a.blobs[1])).unwrap();
    let out = ground.end(["push", "-q", "a", &name]);
    assert_advice(&out, 1, &[&format!("the packed layer sha256:{} of a is not in the store", a.blobs[1]), "pull a"]);
    assert!(registry.manifest("a", "latest").is_none());
    fs::remove_file(blob(&ground.store(), &a.manifest)).unwrap();
    assert_advice(&ground.end(["push", "-q", "a", &name]), 1, &["read the manifest of a", "pull a"]);
    shelve(&ground, &ground.store(), "b", &["one"]);
    registry.fault("PUT", "/blobs/uploads/", 1, Fault::Status(503, vec![]));
    ground.ok(["push", "-q", "b", &name]);
    registry.require(Access::Basic("ana".into(), "secret".into()));
    let out = ground.end(["push", "-q", "b", &format!("{name}:2")]);
    assert_advice(&out, 1, &[&format!("little-container login {}", registry.address())]);
    registry.require(Access::Open);
    registry.fault("*", "/v2/denied/", 100, Fault::Status(403, vec![]));
    let out = ground.end(["push", "-q", "b", &format!("{}/denied", registry.address())]);
    assert_advice(&out, 1, &["ask for access"]);
    for (words, part) in [
        (["push", "-q", "gone", "x"], "no image is called \"gone\""),
        (["push", "-q", "b", "UPPER/x y"], "is no name for an image in a registry"),
        (["push", "-q", "b", &format!("x@sha256:{}", a.manifest)], "a digest is what comes of the image"),
    ] {
        assert_error(&ground.end(words), 1, &[part]);
    }
    ground.image("imported");
    let out = ground.end(["push", "-q", "imported", &name]);
    assert!(out.status == 0 || out.stderr.contains("import it once more"), "{out:?}");
}
