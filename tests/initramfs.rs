//! An initramfs as an image: cpio archives as SlitazOS and TinyCore have them, and what the tree becomes as a tar archive.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use kit::assert_error;
use little_container::image::{Owners, pack, unpack};
use std::{
    fs,
    io::Write,
    os::fd::AsFd,
    path::Path,
    process::{Command, Stdio},
};
use support::{Ground, Need};

/// One archive in the format newc, record by record.
#[derive(Default)]
struct Cpio(Vec<u8>, u32);

impl Cpio {
    fn add(&mut self, name: &str, mode: u32, data: &[u8]) -> &mut Cpio {
        self.1 += 1;
        self.record(name, mode, data, (self.1, 1), (0, 0), (0, 0))
    }

    fn record(
        &mut self,
        name: &str,
        mode: u32,
        data: &[u8],
        (ino, nlink): (u32, u32),
        (uid, gid): (u32, u32),
        (major, minor): (u32, u32),
    ) -> &mut Cpio {
        self.0.extend(b"070701");
        let (size, length) = (data.len() as u32, name.len() as u32 + 1);
        for number in [ino, mode, uid, gid, nlink, 1_000_000_000, size, 0, 0, major, minor, length, 0] {
            write!(self.0, "{number:08x}").unwrap();
        }
        self.0.extend([name.as_bytes(), b"\0"].concat());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn bytes(&mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, b"");
        std::mem::take(&mut self.0)
    }
}

/// busybox and what a look at it shows.
fn system(ground: &Ground) -> Vec<u8> {
    let mut cpio = Cpio::default();
    cpio.add(".", 0o040_755, b"").add("bin", 0o040_755, b"");
    cpio.add("bin/busybox", 0o100_755, &fs::read(ground.rootfs().join("bin/busybox")).unwrap());
    for name in ["sh", "cat", "stat", "ls"] {
        cpio.add(&format!("bin/{name}"), 0o120_777, b"busybox");
    }
    cpio.add("init", 0o100_755, b"#!/bin/sh\nexec sh\n");
    cpio.record("hard", 0o100_644, b"", (77, 3), (0, 0), (0, 0)).record(
        "also",
        0o100_644,
        b"",
        (77, 3),
        (0, 0),
        (0, 0),
    );
    cpio.record("last", 0o100_644, b"linked\n", (77, 3), (0, 0), (0, 0))
        .add("tmp", 0o041_777, b"")
        .add("fifo", 0o010_622, b"");
    cpio.record("console", 0o020_600, b"", (78, 1), (0, 0), (5, 1)).record(
        "web",
        0o100_640,
        b"x",
        (79, 1),
        (33, 34),
        (0, 0),
    );
    cpio.bytes()
}

const LOOK: &str = "cat /hard; stat -c '%n %a %F %h' /tmp /fifo /init /also; stat -c %Y /init; ls /console /kernel";
const SEEN: &str = "linked\n/tmp 1777 directory 2\n/fifo 622 fifo 1\n/init 755 regular file 1\n/also 644 regular file 3\n\
                    1000000000\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn lzma(bytes: &[u8]) -> Vec<u8> {
    let options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
    let mut out = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = liblzma::write::XzEncoder::new(Vec::new(), 0);
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn every_compression_gives_the_same_image() {
    let ground = ground!();
    let cpio = system(&ground);
    let mut early = Cpio::default();
    early.add("kernel", 0o040_755, b"").add("kernel/microcode", 0o100_644, b"code");
    let both = [early.bytes(), vec![0; 512], gzip(&cpio), vec![0; 7]].concat();
    let zstd = zstd::encode_all(&cpio[..], 1).unwrap();
    // The names say nothing: rootfs.gz of SlitazOS is LZMA.
    for (name, bytes) in
        [("plain", cpio.clone()), ("gzip", gzip(&cpio)), ("lzma", lzma(&cpio)), ("xz", xz(&cpio)), ("zstd", zstd)]
    {
        ground.file("rootfs.gz", bytes);
        let out = ground.end(["import", name, "rootfs.gz"]);
        assert_eq!(out.status, 0, "{out:?}");
        assert!(out.stderr.contains("device nodes left out: 1, the first \"console\""), "{out:?}");
    }
    let images = ground.images();
    assert!(images.len() == 5 && images.iter().all(|image| image["id"] == images[0]["id"]), "{images:?}");
    for name in ["gzip", "lzma"] {
        assert_eq!(ground.end(["run", "--rm", name, "sh", "-c", LOOK]).stdout, SEEN, "{name}");
    }
    ground.file("both.gz", both);
    ground.ok(["import", "both", "both.gz"]);
    assert_eq!(ground.end(["run", "--rm", "both", "sh", "-c", LOOK]).stdout, format!("{SEEN}/kernel:\nmicrocode\n"));
}

#[test]
fn owners_do_not_change_the_hash() {
    let ground = ground!(Need::Range);
    let Some(single) = Ground::nameless(&[]) else { return };
    let cpio = lzma(&system(&ground));
    for ground in [&ground, &single] {
        ground.file("rootfs.gz", &cpio);
        ground.ok(["import", "system", "rootfs.gz"]);
    }
    assert_eq!(
        (ground.images()[0]["ids"].as_str(), single.images()[0]["ids"].as_str()),
        (Some("range"), Some("single"))
    );
    assert_eq!(ground.images()[0]["id"], single.images()[0]["id"]);
    assert_eq!(ground.ok(["run", "--rm", "system", "stat", "-c", "%u:%g %a", "/web"]), "33:34 640\n");
}

#[test]
fn what_other_programs_write() {
    let ground = ground!(Need::Program("cpio"));
    let root = ground.other_root("tree");
    fs::hard_link(root.join("etc/which"), root.join("etc/linked")).unwrap();
    for format in ["newc", "crc", "odc"] {
        let script = format!("cd '{}' && find . | cpio --quiet -o -H {format}", root.display());
        let out = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        ground.file("core.gz", gzip(&out.stdout));
        ground.ok(["import", format, "core.gz"]);
        let look = "cat /etc/linked; stat -c %h /etc/which";
        assert_eq!(ground.ok(["run", "--rm", format, "sh", "-c", look]), "tree\n2\n", "{format}");
    }
}

#[test]
fn a_damaged_initramfs_leaves_nothing() {
    let ground = ground!();
    let cpio = system(&ground);
    let mut outside = Cpio::default();
    outside.add("../../../../victim", 0o100_644, b"changed");
    for bytes in [cpio[..cpio.len() / 2].to_vec(), lzma(&cpio)[..100_000].to_vec(), gzip(&outside.bytes())] {
        ground.file("core.gz", bytes);
        assert_error(&ground.end(["import", "core", "core.gz"]), 1, &["import core.gz"]);
    }
    ground.file("core.gz", [&cpio[..], b"junk"].concat());
    assert_error(&ground.end(["import", "core", "core.gz"]), 1, &["what follows the cpio archive"]);
    assert_eq!(ground.images().len(), 0);
    assert_eq!(fs::read_dir(ground.store().join("layers")).unwrap().count(), 0);
}

#[test]
fn a_packed_tree_is_read_by_tar() {
    let ground = ground!(Need::Program("tar"));
    let root = ground.other_root("tree");
    let long = "long-".repeat(40);
    fs::create_dir(root.join(&long)).unwrap();
    fs::write(root.join(&long).join("file"), "x").unwrap();
    std::os::unix::fs::symlink("t".repeat(200), root.join("to-long")).unwrap();
    fs::hard_link(root.join("etc/which"), root.join("linked")).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 5);
    fs::File::open(root.join("linked")).unwrap().set_modified(time).unwrap();
    let archive = |root: &Path| {
        let mut bytes = Vec::new();
        let packed = pack(fs::File::open(root).unwrap().as_fd(), &[], &mut bytes).unwrap();
        (packed, bytes)
    };
    let (packed, bytes) = archive(&root);
    let tar = |words: &[&str]| {
        let mut child = Command::new("tar").args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success());
        String::from_utf8(out.stdout).unwrap()
    };
    let list = tar(&["-tv", "--numeric-owner", "--full-time", "-f", "-"]);
    assert_eq!(list.lines().count() as u64, packed.entries);
    for part in [format!(" {long}/file"), format!("to-long -> {}", "t".repeat(200)), "linked link to etc/which".into()]
    {
        assert!(list.contains(&part), "{part}: {list}");
    }
    let which = list.lines().find(|line| line.ends_with(" etc/which")).unwrap();
    assert!(which.contains("2001-09-09") && which.contains(":40.000000005"), "{which}");
    // What tar unpacks is the same tree again.
    let again = ground.path("work/again");
    fs::create_dir(&again).unwrap();
    tar(&["-C", again.to_str().unwrap(), "--numeric-owner", "-xpf", "-"]);
    assert!(archive(&again).1 == bytes || nix::unistd::geteuid().as_raw() != 0);
    let ours = ground.path("work/ours");
    fs::create_dir(&ours).unwrap();
    let unpacked = unpack(&bytes[..], fs::File::open(&ours).unwrap().as_fd(), &Owners::Single).unwrap();
    assert_eq!(unpacked.diff_id, packed.diff_id);
}
