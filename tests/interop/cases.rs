//! Images that are hard to read, each as its layers; what is compared is below `data`.

use super::{layout::Layer, support::Ground, tree::place};
use std::{fs, os::unix::fs::FileExt, process::Command};
use tar::EntryType;

/// Every kind of file, and what a later layer does to it.
pub fn kinds() -> Vec<Vec<u8>> {
    let first = Layer::new()
        .folder("data", 0o755)
        .file("data/file", "one\n", 0o644)
        .owned("data/secret", "two\n", 0o600, (33, 34))
        .file("data/setuid", "three\n", 0o4755)
        .owned("data/setgid", "four\n", 0o2755, (7, 8))
        .folder("data/shared", 0o2775)
        .folder("data/sticky", 0o1777)
        .folder("data/closed", 0o000)
        .file("data/unreadable", "five\n", 0o000)
        .soft("data/link", "file")
        .soft("data/dangling", "/nowhere/at/all")
        .hard("data/hard", "data/file")
        .hard("data/sticky/harder", "data/file")
        .hard("data/link-hard", "data/setuid")
        .empty(EntryType::Fifo, "data/fifo", 0o640)
        .file("data/empty", "", 0o644)
        .file("data/zeros", vec![0; 1 << 20], 0o644)
        .folder("data/folder", 0o755)
        .file("data/folder/below", "six\n", 0o644)
        .file("data/plain", "seven\n", 0o644);
    let second = Layer::new()
        .owned("data/secret", "two\n", 0o640, (33, 0))
        .file("data/folder", "a file now\n", 0o644)
        .folder("data/plain", 0o750)
        .file("data/plain/below", "a folder now\n", 0o644)
        .file("data/link", "no link any more\n", 0o600)
        .soft("data/empty", "link")
        .folder("data/sticky", 0o1770);
    vec![first.bytes(), second.bytes()]
}

/// Files and folders that later layers delete, hide and make again.
pub fn whiteouts() -> Vec<Vec<u8>> {
    let first = Layer::new()
        .folder("data", 0o755)
        .file("data/a/x", "x", 0o644)
        .file("data/a/y", "y", 0o644)
        .file("data/b/p", "p", 0o644)
        .file("data/b/sub/q", "q", 0o644)
        .file("data/c/deep/er/file", "c", 0o644)
        .file("data/d/f", "f", 0o644)
        .file("data/e/f", "f", 0o644)
        .soft("data/g", "a")
        .file("data/h/kept", "kept", 0o644);
    let second = Layer::new()
        .file("data/a/.wh.x", "", 0o644)
        .file("data/b/.wh..wh..opq", "", 0o644)
        .file("data/b/new", "new", 0o644)
        .file("data/.wh.c", "", 0o644)
        .file("data/.wh.g", "", 0o644)
        .file("data/.wh.never-there", "", 0o644);
    let third = Layer::new()
        .folder("data/c", 0o700)
        .file("data/c/again", "again", 0o644)
        .file("data/d/.wh..wh..opq", "", 0o644)
        .file("data/g/x", "a folder", 0o644);
    let fourth = Layer::new()
        .file("data/.wh.a", "", 0o644)
        .file("data/a", "a file", 0o644)
        .file("data/e/.wh.f", "", 0o644)
        .file("data/e/f", "of this layer", 0o644)
        .file("data/b/sub/q", "back", 0o644);
    vec![first.bytes(), second.bytes(), third.bytes(), fourth.bytes()]
}

/// Names that are long, and names that are no text.
pub fn names() -> Vec<Vec<u8>> {
    let long = format!("data/{}/{}", "x".repeat(100), "y".repeat(200));
    let widest = format!("data/{}", "w".repeat(255));
    let mut layer = Layer::new().folder("data", 0o755).file(&long, "long", 0o644).file(&widest, "wide", 0o644);
    layer = layer.soft("data/far", &long).hard("data/near", &widest);
    for name in [&b"\xff\xfe"[..], b"caf\xe9", b"a b ", b"'quoted'", b"back\\slash", b"new\nline", "grün".as_bytes()] {
        layer = layer.file([b"data/", name].concat(), name, 0o644);
    }
    let text = format!("data/{}/pax", "z".repeat(120));
    layer = layer.pax(&[("path", text.as_bytes())]).file("data/short", "by a record", 0o644);
    vec![layer.bytes()]
}

/// Folders in folders, down to a path of 4,000 bytes.
pub fn depth() -> Vec<u8> {
    let mut path = "data".to_owned();
    let mut layer = Layer::new().folder(&path, 0o755);
    while path.len() + 101 < 3_990 {
        path = format!("{path}/{}", "d".repeat(100));
        layer = layer.folder(&path, 0o755);
    }
    let path = format!("{path}/{}", "f".repeat(4_000 - path.len() - 1));
    layer.file(&path, "deep\n", 0o644).bytes()
}

/// A file with holes as GNU tar packs it; more pieces than a header has room for.
pub fn sparse(ground: &Ground) -> Vec<Vec<u8>> {
    let folder = place(ground, "sparse");
    fs::create_dir_all(folder.join("data")).unwrap();
    let file = fs::File::create(folder.join("data/sparse")).unwrap();
    file.set_len(5 << 20).unwrap();
    for piece in 0..30_u64 {
        file.write_all_at(format!("piece {piece}").as_bytes(), piece * 128 * 1024).unwrap();
    }
    fs::File::create(folder.join("data/hole")).unwrap().set_len(1 << 20).unwrap();
    fs::write(folder.join("data").join("n".repeat(150)), "beside it").unwrap();
    let mut command = Command::new("tar");
    command.args(["--format=gnu", "-S", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@1000000000"]);
    let out = command.args(["-cf", "-", "data"]).current_dir(folder).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    vec![out.stdout]
}

/// 10,000 files, 30 layers, an empty layer, a layer twice, a name twice.
pub fn many() -> Vec<Vec<u8>> {
    let mut wide = Layer::new().folder("data", 0o755);
    for n in 0..10_000 {
        wide = wide.file(format!("data/wide/{}/{n}", n % 100), n.to_string(), 0o644);
    }
    let twice = Layer::new().file("data/twice", "twice", 0o644).bytes();
    let without = Layer::new().file("data/.wh.twice", "", 0o644).bytes();
    let same = Layer::new()
        .file("data/same", "first", 0o644)
        .file("data/same", "second", 0o600)
        .folder("data/folder", 0o700)
        .file("data/folder/x", "x", 0o644)
        .folder("data/folder", 0o755)
        .file("data/turned", "file", 0o644)
        .soft("data/turned", "same");
    let mut all = vec![wide.bytes(), vec![0; 1024], twice.clone(), without, twice, same.bytes()];
    for n in 0..24 {
        let layer = Layer::new().file("data/last", format!("layer {n}"), 0o644);
        all.push(layer.file(format!("data/each/{n}"), n.to_string(), 0o644).bytes());
    }
    all
}
