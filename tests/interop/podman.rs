//! podman reads what we save, and we what it saves.

use super::{
    cases, draft,
    journey::{inspected, loaded},
    layout::{Layout, Packed, own},
    support::{
        Ground,
        Need::{Program, Range},
        Outcome, outcome,
    },
    tree::{by_umoci, place},
};
use std::process::Command;

/// With folders of its own, files instead of mounts, and no part of systemd; as whoever runs the tests.
fn podman(ground: &Ground, words: &[&str]) -> Outcome {
    let mut command = Command::new("podman");
    command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
    command.arg("--root").arg(place(ground, "podman")).arg("--runroot").arg(place(ground, "podman-run"));
    outcome(command.args(words))
}

#[test]
fn podman_loads_and_saves() {
    let ground = ground!(Range, Program("podman"), Program("umoci"));
    let out = podman(&ground, &["info"]);
    if out.status != 0 {
        eprintln!("skipped: podman does not run here: {}", out.stderr);
        return;
    }
    let mut layout = Layout::new(place(&ground, "layout"));
    layout.image("v1", own(), &draft(&ground, &cases::whiteouts(), &[Packed::Gzip]));
    let expected = by_umoci(&ground, &layout, "v1");
    let image = ground.ok(["load", "-q", "-i", layout.folder.to_str().unwrap()]);
    let image = image.lines().next().unwrap();
    let id = inspected(&ground, image)["Id"].as_str().unwrap().to_owned();
    for format in ["docker-archive", "oci-archive"] {
        let (ours, theirs) = (place(&ground, "ours.tar"), place(&ground, "theirs.tar"));
        ground.ok(["save", "--format", format, "-o", ours.to_str().unwrap(), image]);
        let out = podman(&ground, &["load", "-q", "-i", ours.to_str().unwrap()]);
        assert_eq!(out.status, 0, "{format}: {out:?}");
        let hex = id.trim_start_matches("sha256:");
        let out = podman(&ground, &["image", "exists", hex]);
        assert_eq!(out.status, 0, "{format}: podman has no image {hex}");
        let out = podman(&ground, &["save", "-q", "--format", format, "-o", theirs.to_str().unwrap(), hex]);
        assert_eq!(out.status, 0, "{format}: {out:?}");
        loaded(&ground, &theirs, &expected);
        assert_eq!(podman(&ground, &["rmi", "-f", hex]).status, 0);
        std::fs::remove_file(ours).unwrap();
    }
}
