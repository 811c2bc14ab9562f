//! Interoperation with the programs of others: Debian's docker-registry, skopeo, umoci, podman and buildah read what we
//! write, and we what they write.

#[macro_use]
mod support;
#[path = "interop/cases.rs"]
mod cases;
#[path = "interop/journey.rs"]
mod journey;
#[path = "support/kit.rs"]
mod kit;
#[path = "interop/layout.rs"]
mod layout;
#[path = "interop/real.rs"]
mod real;
#[path = "interop/tree.rs"]
mod tree;

use journey::{load_again, out_again, pulled, refuses_to_run, upload};
use layout::{Layout, Packed, foreign, own, programs};
use real::Real;
use support::{
    Ground,
    Need::{Program, Range},
};
use tree::{by_umoci, place};

/// The programs, and these layers, packed in turn in each of these ways.
fn draft(ground: &Ground, layers: &[Vec<u8>], ways: &[Packed]) -> Vec<(Vec<u8>, Packed)> {
    let base = (programs(&ground.rootfs()), Packed::Gzip);
    let packed = layers.iter().zip(ways.iter().cycle()).map(|(layer, way)| (layer.clone(), *way));
    std::iter::once(base).chain(packed).collect()
}

/// The whole journey of an image of these layers; umoci's tree of them is what is right.
fn journey(layers: impl Fn(&Ground) -> Vec<Vec<u8>>, ways: &[Packed], flags: &[&str]) {
    let ground = ground!(Range, Program("docker-registry"), Program("skopeo"), Program("umoci"));
    let layers = layers(&ground);
    let (real, mut layout) = (Real::start(&ground), Layout::new(place(&ground, "layout")));
    layout.image("v1", own(), &draft(&ground, &layers, ways));
    // umoci knows no zstd.
    layout.image("plain", own(), &draft(&ground, &layers, &[Packed::Plain]));
    let expected = by_umoci(&ground, &layout, "plain");
    let name = real.name("app:v1");
    upload(&ground, &layout, "v1", &name, flags);
    let (manifest, id) = pulled(&ground, &name, &expected);
    out_again(&ground, &real, &name, &manifest, &id);
    load_again(&ground, &name, &expected);
    ground.ok(["system", "check"]);
}

#[test]
fn every_kind_of_file_in_every_packing() {
    journey(|_| cases::kinds(), &[Packed::Zstd, Packed::Plain], &[]);
}

#[test]
fn docker_media_types() {
    journey(|_| cases::kinds(), &[Packed::Gzip], &["--format", "v2s2"]);
}

#[test]
fn whiteouts_and_opaque_folders() {
    journey(|_| cases::whiteouts(), &[Packed::Gzip], &[]);
}

#[test]
fn names_that_are_long_or_no_text() {
    journey(|_| cases::names(), &[Packed::Gzip], &[]);
}

#[test]
fn files_with_holes() {
    journey(cases::sparse, &[Packed::Gzip], &[]);
}

#[test]
fn many_files_and_many_layers() {
    journey(|_| cases::many(), &[Packed::Gzip, Packed::Zstd], &[]);
}

#[test]
fn an_index_of_two_machines() {
    let ground = ground!(Range, Program("docker-registry"), Program("skopeo"), Program("umoci"));
    let (real, mut layout) = (Real::start(&ground), Layout::new(place(&ground, "layout")));
    let layers = draft(&ground, &cases::names(), &[Packed::Gzip]);
    let ours = layout.image("ours", own(), &layers);
    let theirs = layout.image("theirs", foreign(), &layers);
    layout.index("both", &[&theirs, &ours]);
    let name = real.name("both:v1");
    upload(&ground, &layout, "both", &name, &["--all"]);
    ground.ok(["pull", "-q", &name]);
    let expected = by_umoci(&ground, &layout, "ours");
    for storage in tree::drivers(&ground) {
        tree::assert_same(storage, &tree::inside(&ground, &ground.store(), storage, &name), &expected);
    }
    ground.ok(["pull", "-q", "--platform", foreign(), &name]);
    refuses_to_run(&ground, &name, foreign());
}
