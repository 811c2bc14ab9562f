//! Images of several layers: one tree under each driver, few layers or many.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use little_container::image::{Limits, Owners, unpack_layer};
use std::{fs, fs::File, os::fd::AsFd, process::Command};
use support::{Ground, Need};
use tar::{Builder, EntryType, Header};

/// An archive of (name, kind, content or target).
fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, kind, text) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_path(name).unwrap();
        header.set_mode(if *kind == EntryType::Directory { 0o755 } else { 0o4755 });
        header.set_mtime(1_000_000);
        let link = matches!(kind, EntryType::Symlink | EntryType::Link);
        if link {
            header.set_link_name(text).unwrap();
        }
        let data = if link { "" } else { text };
        header.set_size(data.len() as u64);
        header.set_cksum();
        tar.append(&header, data.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Puts layers on top of an image of the store, which has one.
fn stack(ground: &Ground, name: &str, archives: &[Vec<u8>]) {
    let record = ground.store().join("images").join(format!("{name}.json"));
    let mut image: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    let lowest = image["layers"][0].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    for (n, archive) in archives.iter().enumerate() {
        let hex = format!("{n:064x}");
        let folder = ground.store().join("layers").join(&hex);
        fs::create_dir_all(folder.join("root")).unwrap();
        for entry in fs::read_dir(ground.store().join("layers").join(&lowest)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
            }
        }
        let root = File::open(folder.join("root")).unwrap();
        unpack_layer(&archive[..], root.as_fd(), &Owners::Single, &Limits::default()).unwrap();
        let user = format!("{}:{}", ground.user.uid, ground.user.gid);
        assert!(Command::new("chown").arg("-Rh").arg(user).arg(&folder).status().unwrap().success());
        image["layers"].as_array_mut().unwrap().push(format!("sha256:{hex}").into());
    }
    fs::write(&record, image.to_string()).unwrap();
}

use EntryType::{Directory, Link, Regular, Symlink};

fn same_under_each_driver(ground: &Ground, script: &str, wanted: &str) {
    for driver in ["overlay", "fuse-overlayfs", "copy"] {
        let out = ground.ok(["run", "--rm", "--storage", driver, "base", "sh", "-c", script]);
        assert_eq!(out, wanted, "{driver}");
    }
}

fn layers(ground: &Ground) {
    ground.image("base");
    let low = archive(&[
        ("t/gone", Regular, "low"),
        ("t/o/low", Regular, "low"),
        ("t/d/low", Regular, "low"),
        ("t/link", Symlink, "/etc"),
        ("t/file", Regular, "low"),
        ("t/folder/low", Regular, "low"),
    ]);
    let up = archive(&[
        ("t/.wh.gone", Regular, ""),
        ("t/o/own", Regular, "up"),
        ("t/o/.wh..wh..opq", Regular, ""),
        ("t/d", Directory, ""),
        ("t/d/own", Regular, "up"),
        ("t/d/again", Link, "t/d/own"),
        ("t/.wh.d", Regular, ""),
        ("t/link", Directory, ""),
        ("t/link/own", Regular, "up"),
        ("t/file", Directory, ""),
        ("t/folder", Regular, "up"),
    ]);
    stack(ground, "base", &[low, up, vec![0; 1024]]);
    let found = "/t /t/d /t/d/again /t/d/own /t/file /t/folder /t/link /t/link/own /t/o /t/o/own\n2\n";
    same_under_each_driver(ground, "echo $(find /t | sort); stat -c %h /t/d/own", found);
}

#[test]
fn a_plain_user_sees_the_same_tree() {
    layers(&ground!(Need::Fuse));
}

#[test]
fn a_hundred_and_twenty_layers() {
    let ground = ground!(Need::Fuse);
    ground.image("base");
    let one = |n: usize| {
        let (own, gone) = (format!("n/{n}"), format!("n/.wh.{}", n.wrapping_sub(2)));
        archive(&[(&own, Regular, "x"), (&gone, Regular, ""), ("n/last", Regular, &n.to_string())])
    };
    stack(&ground, "base", &(0..120).map(one).collect::<Vec<_>>());
    same_under_each_driver(&ground, "echo $(ls /n | sort); cat /n/last", "118 119 last\n119");
}
