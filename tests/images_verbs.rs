//! What is done with images that are there: names, removal, what is told of them, verifying and repairing.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;
#[path = "support/shelf.rs"]
mod shelf;

use kit::{Archive, assert_advice, assert_error};
use serde_json::Value;
use shelf::{blob, names, unpacked};
use std::{fs, process::Command};
use support::{Ground, Need, outcome, program};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What lies in the store besides records.
fn content(ground: &Ground) -> Vec<String> {
    [names(ground.store().join("layers")), names(ground.store().join("blobs/sha256"))].concat()
}

#[test]
fn the_last_name_takes_the_layers_along() {
    let ground = ground!();
    let a = unpacked(&ground, "a", &["programs", "one"]);
    let b = unpacked(&ground, "b", &["programs", "two"]);
    assert_eq!(ground.ok(["tag", "a", "a:2", "registry.example:5000/x/a:3"]), "");
    assert_eq!(ground.ok(["run", "--rm", "a:2", "cat", "/data/one"]), "one");
    let all = content(&ground);
    // Three layers, three packed ones, two manifests, two configurations.
    assert_eq!(all.len(), 10);
    ground.ok(["rmi", "a"]);
    assert_eq!(content(&ground), all);
    let out = ground.end(["rmi", &a.id[..12]]);
    assert_advice(&out, 1, &["has several names: a:2, registry.example:5000/x/a:3", "rmi -f"]);
    assert_eq!(ground.ok(["rmi", "-f", &a.id[..12]]), format!("{}\n", &a.id[..12]));
    let mut left = content(&ground);
    left.sort();
    let mut of_b = [b.layers.clone(), b.blobs.clone(), vec![b.id.clone(), b.manifest.clone()]].concat();
    of_b.sort();
    assert_eq!(left, of_b);
    assert_eq!(ground.ok(["run", "--rm", "b", "cat", "/data/two"]), "two");
    assert_eq!(ground.ok(["rmi", &format!("sha256:{}", b.id)]), format!("sha256:{}\n", b.id));
    assert_eq!(content(&ground), [""; 0]);
}

#[test]
fn names_are_given_and_refused() {
    let ground = ground!();
    let a = unpacked(&ground, "a", &["programs"]);
    unpacked(&ground, "b", &["programs", "two"]);
    for (words, part) in [
        (["tag", "gone", "x"], "no image is called \"gone\""),
        (["tag", "a", "Upper"], "upper-case letters"),
        (["tag", "a", "host"], "this machine's own programs"),
    ] {
        assert_error(&ground.end(words), 1, &[part]);
    }
    let digest = format!("x@sha256:{}", a.manifest);
    assert_advice(&ground.end(["tag", "a", &digest]), 1, &["a digest cannot be given"]);
    let out = ground.end(["tag", &a.id[..6], "b"]);
    assert_eq!((out.status, out.stderr.contains("note: b was ")), (0, true), "{out:?}");
    let told = json(&ground.ok(["inspect", "b"]));
    assert_eq!(told[0]["Id"], format!("sha256:{}", a.id));
    assert_eq!(told[0]["RepoTags"], serde_json::json!(["a:latest", "b:latest"]));
    // What b was is nobody's now.
    let pruned = ground.ok(["image", "prune", "-f"]);
    assert_eq!(pruned.lines().count(), 5, "{pruned}");
}

#[test]
fn a_used_image_stays() {
    let ground = ground!();
    unpacked(&ground, "a", &["programs", "one"]);
    ground.ok(["run", "--name", "c", "a", "sh", "-c", ":"]);
    ground.ok(["tag", "a", "b"]);
    ground.ok(["rmi", "a"]);
    assert_advice(&ground.end(["rmi", "b"]), 1, &["the image b is used by c"]);
    assert_eq!(ground.ok(["image", "prune", "-a", "-f"]), "total reclaimed: 0B\n");
    ground.ok(["rmi", "-f", "b"]);
    // The container has its layers still.
    assert_eq!(names(ground.store().join("layers")).len(), 2);
    assert_eq!(names(ground.store().join("blobs/sha256")).len(), 0);
    ground.ok(["rm", "c"]);
    assert!(ground.ok(["image", "prune", "-f"]).contains("layer: sha256:"));
    assert_eq!(content(&ground), [""; 0]);
}

#[test]
fn removal_goes_on_where_much_is_lost() {
    let ground = ground!();
    let a = unpacked(&ground, "a", &["programs", "one", "two"]);
    let b = unpacked(&ground, "b", &["programs", "three"]);
    fs::remove_dir_all(ground.store().join("layers").join(&a.layers[1])).unwrap();
    fs::remove_dir_all(ground.store().join("layers").join(&a.layers[2]).join("root")).unwrap();
    fs::remove_file(blob(&ground.store(), &a.manifest)).unwrap();
    fs::remove_file(blob(&ground.store(), &a.blobs[1])).unwrap();
    ground.ok(["rmi", "a"]);
    assert_eq!(content(&ground).len(), 6);
    fs::write(ground.store().join("images/b.json"), "{").unwrap();
    assert_advice(&ground.end(["rmi", "b"]), 1, &["rmi -f b"]);
    assert_eq!(ground.ok(["rmi", "-f", "b"]), "b\n");
    ground.ok(["image", "prune", "-f"]);
    assert_eq!((content(&ground), b.layers.len()), (vec![], 2));
}

#[test]
fn a_broken_record_keeps_the_layers_of_all() {
    let ground = ground!();
    unpacked(&ground, "a", &["programs"]);
    let before = content(&ground);
    fs::write(ground.store().join("images/broken.json"), "{").unwrap();
    let out = ground.end(["rmi", "a"]);
    assert_eq!((out.status, out.stderr.contains("no layer was removed")), (0, true), "{out:?}");
    assert_eq!(content(&ground), before);
    let out = ground.end(["system", "check"]);
    assert!(
        out.status == 1 && out.stdout.contains("broken: image record ") && out.stdout.contains("rmi -f"),
        "{out:?}"
    );
}

#[test]
fn what_is_removed_on_a_full_disk() {
    let Some(ground) = Ground::new(&[Need::Root, Need::Program("setpriv"), Need::Program("unshare")]) else { return };
    let full = ground.path("work/full");
    fs::create_dir(&full).unwrap();
    ground.own(&full);
    let user = ground.user;
    let script = format!(
        "lc() {{ setpriv --reuid {0} --regid {1} --clear-groups \"$P\" --store full/store \"$@\"; }}; P=$0\n\
         mount -t tmpfs -o uid={0},gid={1},mode=755,size=8m,nr_inodes=2000 x full\n\
         lc import a rootfs; lc tag a b\n\
         head -c 20m /dev/zero > full/fill 2>/dev/null || :\n\
         n=0; while touch full/f.$n 2>/dev/null; do n=$((n + 1)); done\n\
         df full | tail -1; lc rmi a b; ls -A full/store/images full/store/layers",
        user.uid, user.gid
    );
    let mut root = Archive::new();
    root.file("bin/x", &vec![7; 1 << 20], 0o755, (0, 0));
    ground.file("rootfs", root.bytes());
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", &script]).arg(program()).env_clear().current_dir(ground.path("work"));
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", ground.path("home"));
    let out = outcome(command.env("XDG_RUNTIME_DIR", ground.path("run")));
    assert_eq!(out.status, 0, "{out:?}");
    assert!(
        out.stdout.contains("100% ") && out.stdout.ends_with("a\nb\nfull/store/images:\n\nfull/store/layers:\n"),
        "{out:?}"
    );
}

#[test]
fn damage_is_found_and_mended() {
    let ground = ground!();
    let a = unpacked(&ground, "a", &["programs", "one", "two"]);
    let whole = "1 images, 5 blobs, 3 layers: all is well\n";
    assert_eq!(ground.ok(["system", "check"]), whole);
    let layer = |n: usize| ground.store().join("layers").join(&a.layers[n]);
    let file = layer(1).join("root/data/one");
    fs::write(&file, "ONE").unwrap();
    fs::remove_file(layer(0).join("root/bin/busybox")).unwrap();
    fs::remove_dir_all(layer(2)).unwrap();
    fs::create_dir(ground.store().join("layers/.tmp-2147483647-0")).unwrap();
    fs::write(ground.store().join("blobs/sha256").join(format!(".lock-{}", "a".repeat(64))), "").unwrap();
    ground.own_all(&ground.store());
    let out = ground.end(["system", "check", "--dry-run"]);
    assert_eq!((out.status, out.stdout.matches("broken: ").count()), (1, 4), "{out:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "ONE");
    let told = ground.ok(["system", "check", "--repair"]);
    for part in [
        "\"data/one\" differs in its ",
        "\"bin/busybox\" is there only once",
        "it is missing: made again from its blob",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(told.ends_with("5 blobs, 3 layers: 4 repaired; all is well now\n"), "{told}");
    assert_eq!(ground.ok(["system", "check"]), whole);
    assert_eq!(ground.ok(["run", "--rm", "a", "cat", "/data/one", "/data/two"]), "onetwo");
    assert!(content(&ground).iter().all(|name| !name.starts_with('.')));
}

#[test]
fn what_cannot_be_mended_is_named() {
    let ground = ground!();
    let a = unpacked(&ground, "a", &["programs", "one"]);
    fs::write(blob(&ground.store(), &a.blobs[1]), "no such layer").unwrap();
    fs::remove_dir_all(ground.store().join("layers").join(&a.layers[1])).unwrap();
    let out = ground.end(["system", "check"]);
    assert_eq!(out.status, 1);
    for part in [
        format!("the blob sha256:{} has 13 bytes", a.blobs[1]),
        format!("the layer sha256:{}: it is missing", a.layers[1]),
    ] {
        assert!(out.stdout.contains(&part) && out.stdout.contains("little-container pull a"), "{part}: {out:?}");
    }
    // What is wrong is out of the way of what is right.
    assert!(!blob(&ground.store(), &a.blobs[1]).exists());
    fs::write(blob(&ground.store(), &a.id), "{}").unwrap();
    assert!(ground.end(["system", "check"]).stdout.contains(&format!("the blob sha256:{} has 2 bytes", a.id)));
}

#[test]
fn what_is_told_of_an_image() {
    let ground = ground!();
    let a = unpacked(&ground, "a", &["programs", "one"]);
    let told = json(&ground.ok(["history", "--format", "json", "a"]));
    assert_eq!(told[0]["CreatedBy"], "COPY one");
    assert_eq!((&told[0]["Id"], &told[1]["Id"]), (&format!("sha256:{}", a.id).into(), &"".into()));
    assert_eq!(told[0]["Size"], 3);
    let table = ground.ok(["history", "--no-trunc", "a"]);
    assert!(table.contains(&format!("sha256:{}   2 years ago", a.id)) || table.contains("years ago"), "{table}");
    ground.image("imported");
    let history = ground.ok(["image", "history", "imported"]);
    assert!(history.lines().count() == 2 && history.contains("import  "), "{history}");
    let told = json(&ground.ok(["inspect", "--type", "image", "a"]));
    assert_eq!(told[0]["RepoDigests"], serde_json::json!([format!("a@sha256:{}", a.manifest)]));
    assert_eq!(
        (&told[0]["Config"]["Labels"]["of"], &told[0]["RootFS"]["Layers"][1]),
        (&Value::Null, &format!("sha256:{}", a.layers[1]).into())
    );
    assert_eq!(told, json(&ground.ok(["image", "inspect", "a"])));
    // A container goes before an image of its name.
    ground.ok(["run", "--name", "a", "a", "sh", "-c", ":"]);
    assert!(json(&ground.ok(["inspect", "a"]))[0]["State"].is_object());
    assert!(json(&ground.ok(["inspect", "--type", "image", "a"]))[0]["RootFS"].is_object());
    assert_error(&ground.end(["inspect", "--type", "container", "imported"]), 1, &["no container is called"]);
}

#[test]
fn unfinished_things_go_when_it_is_asked_for() {
    let ground = ground!();
    let a = unpacked(&ground, "a", &["programs", "one"]);
    let part = ground.store().join("blobs/sha256").join(format!("{}.part", "b".repeat(64)));
    fs::write(&part, [0; 1000]).unwrap();
    ground.own(&part);
    assert_error(&ground.end(["image", "prune"]), 1, &["nobody can be asked", "image prune -f"]);
    let df = json(&ground.ok(["system", "df", "--format", "json"]));
    let of = |n: usize| {
        (df[n]["Type"].as_str().unwrap(), df[n]["TotalCount"].as_u64().unwrap(), df[n]["Size"].as_u64().unwrap())
    };
    assert_eq!((of(0).1, of(2).1, of(3)), (1, 4, ("Partial downloads", 1, 1000)));
    assert_eq!(ground.ok(["image", "prune", "-f", "--filter", "until=24h"]), "total reclaimed: 0B\n");
    assert!(ground.ok(["image", "prune", "-f"]).ends_with("total reclaimed: 1.0kB\n"));
    assert!(!part.exists());
    let told = ground.ok(["image", "prune", "-f", "--blobs"]);
    assert_eq!(told.matches("packed: sha256:").count(), 2, "{told}");
    assert!(!blob(&ground.store(), &a.blobs[0]).exists() && blob(&ground.store(), &a.manifest).exists());
    assert_eq!(ground.ok(["run", "--rm", "a", "cat", "/data/one"]), "one");
    assert_eq!(ground.end(["image", "prune", "-f", "--filter", "until=-1h"]).status, 2);
}
