//! `export`: what is in the archive of an image and of a container, and whose it is.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use kit::{Archive, assert_error};
use std::{collections::BTreeMap, fs, path::Path};
use support::{Ground, Need, outcome};

/// A member: its mode, owner and group, and its content or where it leads.
type Member = (u32, u64, u64, String);

fn members(ground: &Ground, file: &str) -> BTreeMap<String, Member> {
    let bytes = fs::read(ground.path("work").join(file)).unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut all = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().trim_start_matches("./").trim_end_matches('/').to_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        let header = entry.header();
        let kind = header.entry_type();
        let what = match kind {
            tar::EntryType::Regular => String::from_utf8_lossy(&content).into_owned(),
            tar::EntryType::Char => format!("{:?}", header.device_major().unwrap().zip(header.device_minor().unwrap())),
            _ => format!("{kind:?} {:?}", entry.link_name().unwrap()),
        };
        let member = (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap(), what);
        assert!(all.insert(name, member).is_none(), "twice");
    }
    all
}

fn hash(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Loads an image of these layers under the name `made:1`.
fn load(ground: &Ground, layers: &[Vec<u8>]) {
    let ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", hash(layer))).collect();
    let config = serde_json::json!({"architecture": little_container::image::arch::own(), "os": "linux",
        "config": {"Cmd": ["sh"]}, "rootfs": {"type": "layers", "diff_ids": ids}});
    let names: Vec<String> = (0..layers.len()).map(|n| format!("{n}.tar")).collect();
    let list = serde_json::json!([{"Config": "config.json", "RepoTags": ["made:1"], "Layers": names}]);
    let mut archive = Archive::new();
    archive.file("config.json", &serde_json::to_vec(&config).unwrap(), 0o644, (0, 0));
    for (name, layer) in names.iter().zip(layers) {
        archive.file(name, layer, 0o644, (0, 0));
    }
    ground.file("made.tar", archive.file("manifest.json", &serde_json::to_vec(&list).unwrap(), 0o644, (0, 0)).bytes());
    ground.ok(["load", "-q", "-i", "made.tar"]);
}

fn two_layers(ground: &Ground) {
    let mut lower = Archive::new();
    lower
        .programs(&ground.rootfs())
        .link("bin/rm", "busybox")
        .link("bin/chmod", "busybox")
        .link("bin/mkdir", "busybox");
    lower.folder("etc", 0o755, (0, 0)).folder("old", 0o755, (0, 0));
    lower.file("etc/shadow", b"secret\n", 0o640, (0, 42)).file("etc/gone", b"", 0o644, (3, 4));
    lower.file("etc/taken", b"lower\n", 0o4755, (5, 60)).file("old/hidden", b"", 0o644, (0, 0));
    lower.folder("dev", 0o755, (0, 0)).device("dev/one", (1, 3)).device("dev/two", (1, 5));
    let lower = lower.bytes();
    let mut upper = Archive::new();
    upper.folder("etc", 0o755, (0, 0)).file("etc/.wh.gone", b"", 0o644, (0, 0));
    upper.file("etc/taken", b"upper\n", 0o644, (0, 0)).folder("dev", 0o755, (0, 0));
    upper.file("dev/.wh.two", b"", 0o644, (0, 0)).folder("old", 0o750, (7, 8));
    upper.file("old/.wh..wh..opq", b"", 0o644, (0, 0)).file("old/new", b"new\n", 0o600, (9, 9));
    load(ground, &[lower, upper.bytes()]);
}

fn check_two_layers(all: &BTreeMap<String, Member>) {
    let is = |mode, uid, gid, what: &str| Some((mode, uid, gid, what.to_owned()));
    let of = |name: &str| all.get(name).cloned();
    assert_eq!(of("etc/shadow"), is(0o640, 0, 42, "secret\n"));
    assert_eq!(of("etc/taken"), is(0o644, 0, 0, "upper\n"));
    assert_eq!(of("old"), is(0o750, 7, 8, "Directory None"));
    assert_eq!(of("old/new"), is(0o600, 9, 9, "new\n"));
    assert_eq!(of("dev/one"), is(0o666, 0, 0, "Some((1, 3))"));
    assert!(all["bin/busybox"].1 == 0 && all["bin/busybox"].2 == 0);
    for gone in ["etc/gone", "old/hidden", "dev/two", "etc/.wh.gone", "old/.wh..wh..opq", "dev/.wh.two"] {
        assert_eq!(of(gone), None, "{gone}");
    }
}

fn assert_nothing_staged(ground: &Ground) {
    let names = fs::read_dir(ground.store().join("layers")).unwrap().map(|entry| entry.unwrap().file_name());
    let staged: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".tmp-")).collect();
    assert!(staged.is_empty(), "{staged:?}");
}

fn layers_and_owners(ground: &Ground) {
    two_layers(ground);
    ground.ok(["export", "-o", "out.tar", "made:1"]);
    check_two_layers(&members(ground, "out.tar"));
    let piped =
        outcome(ground.lc(["export", "made:1"]).stdout(fs::File::create(ground.path("work/piped.tar")).unwrap()));
    assert_eq!(piped.status, 0, "{piped:?}");
    assert!(fs::read(ground.path("work/piped.tar")).unwrap() == fs::read(ground.path("work/out.tar")).unwrap());
    ground.ok(["import", "again", "out.tar"]);
    assert_eq!(ground.ok(["run", "--rm", "again", "cat", "/old/new", "/etc/taken"]), "new\nupper\n");
    ground.ok(["export", "-o", "again.tar", "again"]);
    assert!(members(ground, "again.tar") == members(ground, "out.tar"));
    assert_nothing_staged(ground);
}

#[test]
fn an_image_of_two_layers_with_a_range() {
    layers_and_owners(&ground!(Need::Range));
}

#[test]
fn an_image_of_two_layers_with_a_single_id() {
    let Some(ground) = Ground::nameless(&[]) else { return };
    layers_and_owners(&ground);
    let script = "rm /old/new; echo x >/old/x; chmod 600 /etc/taken";
    ground.ok(["run", "--name", "box", "made:1", "sh", "-c", script]);
    ground.ok(["export", "-o", "box.tar", "box"]);
    let all = members(&ground, "box.tar");
    assert_eq!(all["old"], (0o750, 7, 8, "Directory None".into()));
    assert_eq!(all["old/x"], (0o644, 0, 0, "x\n".into()));
    assert_eq!(all["etc/taken"].0, 0o600);
    assert!(!all.contains_key("old/new"));
}

#[test]
fn a_container_has_its_changes_and_not_what_it_removed() {
    let ground = ground!();
    two_layers(&ground);
    for storage in ["auto", "copy"] {
        let script = "echo more >>/etc/shadow; echo mine >/etc/mine";
        ground.ok(["run", "--name", storage, "--storage", storage, "made:1", "sh", "-c", script]);
        ground.ok(["export", "-o", "out.tar", storage]);
        let all = members(&ground, "out.tar");
        assert_eq!(all["etc/shadow"], (0o640, 0, 42, "secret\nmore\n".into()), "{storage}");
        assert_eq!(all["etc/mine"], (0o644, 0, 0, "mine\n".into()), "{storage}");
        assert_eq!(all["dev/one"].3, "Some((1, 3))", "{storage}");
        assert!(!all.contains_key("etc/gone") && !all.contains_key("dev/two"), "{storage}");
    }
    let folder = ground.other_root("folder");
    let script = "rm /etc/which; mv /etc/passwd /etc/moved";
    let folder = folder.to_str().unwrap();
    ground.ok(["run", "--name", "of-folder", "--rootfs", folder, "sh", "-c", script]);
    ground.ok(["export", "-o", "out.tar", "of-folder"]);
    let all = members(&ground, "out.tar");
    assert!(all.contains_key("etc/moved") && all.contains_key("bin/busybox"));
    assert!(!all.contains_key("etc/which") && !all.contains_key("etc/passwd"));
    assert_nothing_staged(&ground);
}

#[test]
fn a_container_of_fuse_overlayfs_too() {
    let ground = ground!(Need::Fuse);
    two_layers(&ground);
    let script = "rm /etc/shadow /old/new; rm -r /old; mkdir /old; echo mine >/old/mine";
    ground.ok(["run", "--name", "box", "--storage", "fuse-overlayfs", "made:1", "sh", "-c", script]);
    ground.ok(["export", "-o", "out.tar", "box"]);
    let all = members(&ground, "out.tar");
    assert_eq!(all["old/mine"].3, "mine\n");
    for gone in ["etc/shadow", "old/new", "etc/.wh.shadow", "old/.wh..wh..opq"] {
        assert!(!all.contains_key(gone), "{gone}");
    }
}

#[test]
fn a_container_that_runs_goes_on() {
    let ground = ground!();
    let mut running = ground.running(&["--name", "busy"]);
    ground.ok(["export", "-o", "out.tar", "busy"]);
    assert!(members(&ground, "out.tar").contains_key("bin/busybox"));
    assert!(ground.ok(["ps"]).contains("busy"));
    running.kill();
}

#[test]
fn what_cannot_be_exported_leaves_nothing() {
    let ground = ground!();
    two_layers(&ground);
    assert_error(&ground.end(["export", "nobody"]), 1, &["no container and no image is called \"nobody\""]);
    assert_error(&ground.end(["export", "-o", "none/out.tar", "made:1"]), 1, &["export made:1: write none/out.tar"]);
    let layer = fs::read_dir(ground.store().join("layers")).unwrap().map(|e| e.unwrap().path());
    let layer = layer.into_iter().find(|path| path.join("root/old").exists()).unwrap();
    fs::rename(layer.join("root"), layer.join("elsewhere")).unwrap();
    assert_error(&ground.end(["export", "-o", "out.tar", "made:1"]), 1, &["export made:1: its layer", "is gone"]);
    assert!(!ground.path("work/out.tar").exists());
    assert!(!Path::new("none").exists());
    assert_nothing_staged(&ground);
}
