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
#[path = "interop/podman.rs"]
mod podman;
#[path = "interop/real.rs"]
mod real;
#[path = "interop/storms.rs"]
mod storms;
#[path = "interop/tree.rs"]
mod tree;

use journey::{AS_IT_IS, load_again, out_again, pulled, refuses_to_run, upload};
use layout::{Layout, Packed, foreign, own, programs};
use real::Real;
use support::{
    Ground,
    Need::{Program, Range},
};
use tree::{by_tar, by_umoci, place};

/// The programs, and these layers, packed in turn in each of these ways.
fn draft(ground: &Ground, layers: &[Vec<u8>], ways: &[Packed]) -> Vec<(Vec<u8>, Packed)> {
    let base = (programs(&ground.rootfs()), Packed::Gzip);
    let packed = layers.iter().zip(ways.iter().cycle()).map(|(layer, way)| (layer.clone(), *way));
    std::iter::once(base).chain(packed).collect()
}

/// Who says what is right.
#[derive(Clone, Copy, PartialEq)]
enum Judge {
    Umoci,
    /// GNU tar; the layers have no whiteouts.
    Tar,
}

/// The whole journey of an image of these layers.
fn journey(layers: impl Fn(&Ground) -> Vec<Vec<u8>>, ways: &[Packed], flags: &[&str], judge: Judge) {
    let ground = ground!(Range, Program("docker-registry"), Program("skopeo"), Program("umoci"));
    let layers = layers(&ground);
    let (real, mut layout) = (Real::start(&ground), Layout::new(place(&ground, "layout")));
    layout.image("v1", own(), &draft(&ground, &layers, ways));
    let expected = if judge == Judge::Tar {
        by_tar(&ground, &layers)
    } else {
        // umoci knows no zstd.
        layout.image("plain", own(), &draft(&ground, &layers, &[Packed::Plain]));
        by_umoci(&ground, &layout, "plain")
    };
    let name = real.name("app:v1");
    upload(&ground, &layout, "v1", &name, flags);
    let (manifest, id) = pulled(&ground, &name, &expected);
    out_again(&ground, &real, &name, &manifest, &id);
    // skopeo 1.9 cannot bring zstd into an archive of docker.
    let zstd = ways.iter().any(|way| matches!(way, Packed::Zstd));
    let kinds = if zstd { &["oci-archive"][..] } else { &["docker-archive", "oci-archive"] };
    // Of very many files once is enough: it takes long.
    if layers.len() < 10 {
        load_again(&ground, &name, kinds, &expected);
    }
    ground.ok(["system", "check"]);
}

#[test]
fn every_kind_of_file_in_every_packing() {
    journey(|_| cases::kinds(), &[Packed::Zstd, Packed::Plain], AS_IT_IS, Judge::Umoci);
}

#[test]
fn docker_media_types() {
    journey(|_| cases::kinds(), &[Packed::Gzip], &["--format", "v2s2"], Judge::Umoci);
}

#[test]
fn whiteouts_and_opaque_folders() {
    journey(|_| cases::whiteouts(), &[Packed::Gzip], AS_IT_IS, Judge::Umoci);
}

#[test]
fn names_that_are_long_or_no_text() {
    journey(|_| cases::names(), &[Packed::Gzip], AS_IT_IS, Judge::Umoci);
}

#[test]
fn a_path_of_four_thousand_bytes() {
    journey(|_| vec![cases::depth()], &[Packed::Gzip], AS_IT_IS, Judge::Umoci);
}

#[test]
fn files_with_holes() {
    journey(cases::sparse, &[Packed::Gzip], AS_IT_IS, Judge::Tar);
}

#[test]
fn many_files_and_many_layers() {
    journey(|_| cases::many(), &[Packed::Gzip, Packed::Zstd], AS_IT_IS, Judge::Umoci);
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
    upload(&ground, &layout, "both", &name, &["--all", "--preserve-digests"]);
    ground.ok(["pull", "-q", &name]);
    let expected = by_umoci(&ground, &layout, "ours");
    for storage in tree::drivers(&ground) {
        tree::assert_same(storage, &tree::inside(&ground, &ground.store(), storage, &name), &expected);
    }
    ground.ok(["pull", "-q", "--platform", foreign(), &name]);
    refuses_to_run(&ground, &name, foreign());
}
