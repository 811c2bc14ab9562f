//! Real root file systems, where `../shared/fixtures` has them: each runs a shell.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use std::path::PathBuf;
use support::{Ground, Need, fixtures};

/// A fixture that the user may read.
fn fixture(ground: &Ground, name: &str) -> PathBuf {
    let content = std::fs::read(fixtures().unwrap().join(name)).unwrap();
    ground.file(name, content)
}

/// Imports it and runs these words in its shell.
#[track_caller]
fn runs(ground: &Ground, name: &str, file: &str, script: &str) -> String {
    let path = fixture(ground, file);
    ground.ok(["import", "-q", name, path.to_str().unwrap()]);
    std::fs::remove_file(path).unwrap();
    let out = ground.end(["run", "--rm", name, "sh", "-c", script]);
    assert_eq!((out.status, out.stderr.as_str()), (0, ""), "{out:?}");
    assert_eq!(ground.end(["run", "--rm", name, "sh", "-c", "exit 7"]).status, 7);
    assert_eq!(ground.leftovers(), [""; 0]);
    out.stdout
}

const WHO: &str = "echo $$; id -u; echo x > /new-file; cat /new-file; ls -d /etc/resolv.conf /dev/null";
const SEEN: &str = "1\n0\nx\n/dev/null\n/etc/resolv.conf\n";

#[test]
fn ubuntu() {
    let ground = ground!(Need::Fixtures, Need::Range);
    let script = format!(
        "{WHO}; . /etc/os-release; echo $VERSION_ID; stat -c %G /etc/shadow; dpkg --version | head -n1 | cut -c1-6"
    );
    let out = runs(&ground, "ubuntu", "ubuntu-22.04-jammy-amd64.tar.gz", &script);
    assert_eq!(out, format!("{SEEN}22.04\nshadow\nDebian\n"));
    // The issue's own session: a root shell by the name of the program.
    ground.config("default_image = \"ubuntu\"\n");
    assert_eq!(ground.ok(["run", "--rm", "bash", "-c", "echo $BASH_VERSINFO $$ $(id -un)"]), "5 1 root\n");
    for (driver, ids) in [("overlay", "single"), ("fuse-overlayfs", "range"), ("copy", "range")] {
        let out = ground.ok(["run", "--rm", "--storage", driver, "--userns", ids, "ubuntu", "bash", "-c", WHO]);
        assert_eq!(out, SEEN, "{driver} {ids}");
    }
    assert_eq!(ground.ok(["run", "--rm", "-u", "www-data", "ubuntu", "id", "-un"]), "www-data\n");
}

#[test]
fn alpine() {
    let ground = ground!(Need::Fixtures, Need::Range);
    let script = format!("{WHO}; cat /etc/alpine-release; stat -c %u:%g /etc/shadow");
    let out = runs(&ground, "alpine", "alpine-minirootfs-3.20.3-x86_64.tar.gz", &script);
    assert_eq!(out, format!("{SEEN}3.20.3\n0:42\n"));
    let other = fixture(&ground, "alpine-minirootfs-3.20.3-aarch64.tar.gz");
    ground.ok(["import", "far", other.to_str().unwrap()]);
    if !std::path::Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists() {
        kit::assert_advice(&ground.end(["run", "far", "true"]), 125, &["the image \"far\" is for arm64"]);
    }
}

#[test]
fn busybox() {
    let ground = ground!(Need::Fixtures);
    assert_eq!(runs(&ground, "busybox", "busybox-1.24.2-mll-x86_64-repaired.tar.gz", WHO), SEEN);
}

#[test]
fn slitaz() {
    let ground = ground!(Need::Fixtures);
    let script = format!("{WHO}; cat /etc/slitaz-release");
    assert_eq!(runs(&ground, "slitaz", "slitaz-4.0-i386.tar.gz", &script), format!("{SEEN}4.0\n"));
}

#[test]
fn tinycore() {
    let ground = ground!(Need::Fixtures);
    assert_eq!(runs(&ground, "tinycore", "tinycore-7.0-i386-seed.tar.gz", WHO), SEEN);
}
