use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use super::*;
use crate::image::layer::{Unpacked, unpack_cpio};
use crate::image::owners::{Device, Owners};
use crate::sys::dir;

mod hostile;

/// One record; the defaults are those of an empty regular file.
#[derive(Clone)]
struct Record {
    name: Vec<u8>,
    mode: u32,
    ino: u32,
    nlink: u32,
    node: (u32, u32),
    data: Vec<u8>,
    /// What is written instead of the length of the data, of the name, or of the sum.
    size: Option<u32>,
    length: Option<u32>,
    sum: Option<u32>,
}

fn record(name: &str, mode: u32, data: &str) -> Record {
    let (name, data) = ([name.as_bytes(), b"\0"].concat(), data.as_bytes().to_vec());
    Record { name, mode, ino: 0, nlink: 1, node: (0, 0), data, size: None, length: None, sum: None }
}

fn file(name: &str, data: &str) -> Record {
    record(name, 0o100_644, data)
}

fn linked(name: &str, ino: u32, data: &str) -> Record {
    Record { ino, nlink: 2, ..file(name, data) }
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

fn newc_record(out: &mut Vec<u8>, magic: &str, record: &Record) {
    let size = record.size.unwrap_or(record.data.len() as u32);
    let length = record.length.unwrap_or(record.name.len() as u32);
    let sum = record.data.iter().map(|byte| u32::from(*byte)).sum();
    let sum = if magic == "070702" { record.sum.unwrap_or(sum) } else { 0 };
    let (major, minor) = record.node;
    out.extend(magic.bytes());
    for number in [record.ino, record.mode, 7, 8, record.nlink, 1_000_000, size, 3, 1, major, minor, length, sum] {
        out.extend(format!("{number:08X}").bytes());
    }
    out.extend(&record.name);
    pad(out);
    out.extend(&record.data);
    pad(out);
}

fn odc_record(out: &mut Vec<u8>, record: &Record) {
    let (size, length) = (record.data.len(), record.name.len());
    let node = record.node.0 << 8 | record.node.1;
    let numbers = format!(
        "070707{:06o}{:06o}{:06o}{:06o}{:06o}{:06o}{node:06o}{:011o}{length:06o}{size:011o}",
        9, record.ino, record.mode, 7, 8, record.nlink, 1_000_000
    );
    out.extend(numbers.bytes());
    out.extend(&record.name);
    out.extend(&record.data);
}

fn archive(magic: &str, records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records.iter().chain([&file("TRAILER!!!", "")]) {
        match magic {
            "070707" => odc_record(&mut out, record),
            _ => newc_record(&mut out, magic, record),
        }
    }
    out
}

fn newc(records: &[Record]) -> Vec<u8> {
    archive("070701", records)
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn lzma(data: &[u8]) -> Vec<u8> {
    let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
    let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn xz(data: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

struct Home {
    home: tempfile::TempDir,
    fd: OwnedFd,
}

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let fd = dir::open_root(home.path()).unwrap();
        Self { home, fd }
    }

    fn unpack(&self, data: &[u8]) -> Result<Unpacked> {
        unpack_cpio(Stream::new(Box::new(io::Cursor::new(data.to_vec())))?, self.fd.as_fd(), &Owners::Single)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

#[test]
fn each_kind_of_record_comes_to_disk_in_each_format() {
    let records = [
        record(".", 0o040_711, ""),
        record("d", 0o041_777, ""),
        file("d/file", "hello"),
        record("soft", 0o120_777, "/etc/passwd"),
        record("/setuid", 0o104_755, "x"),
        record("fifo", 0o010_622, ""),
        Record { node: (5, 1), ..record("console", 0o020_600, "") },
        Record { node: (7, 0), ..record("loop", 0o060_600, "") },
        record("socket", 0o140_600, ""),
        file("d/.wh.file", "a file as any other"),
        file("no/folder/was/listed", ""),
    ];
    for magic in ["070701", "070702", "070707"] {
        let home = Home::new();
        let unpacked = home.unpack(&archive(magic, &records)).unwrap();
        assert_eq!((unpacked.size, unpacked.entries), (25, 11), "{magic}");
        assert_eq!((home.read("d/file"), home.read("d/.wh.file").len()), ("hello".into(), 19));
        assert_eq!(fs::read_link(home.path("soft")).unwrap().to_str(), Some("/etc/passwd"));
        let mode = |name: &str| fs::symlink_metadata(home.path(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            (mode(""), mode("d"), mode("setuid"), mode("fifo"), mode("no/folder")),
            (0o711, 0o1777, 0o4755, 0o622, 0o755)
        );
        let time = |name: &str| fs::symlink_metadata(home.path(name)).unwrap().mtime();
        assert_eq!((time(""), time("d"), time("soft"), time("no/folder")), (1_000_000, 1_000_000, 1_000_000, 0));
        assert!(!home.path("console").exists() && !home.path("loop").exists() && !home.path("socket").exists());
        let device = |name: &str| unpacked.records.iter().find(|record| record.path == name).unwrap().device;
        assert_eq!(device("console"), Some(Device { block: false, major: 5, minor: 1 }), "{magic}");
        assert_eq!(device("loop"), Some(Device { block: true, major: 7, minor: 0 }));
        let file = unpacked.records.iter().find(|record| record.path == "d/file").unwrap();
        assert_eq!((file.uid, file.gid, file.mode), (7, 8, 0o644));
        assert_eq!(unpacked.notes.len(), 2, "{:?}", unpacked.notes);
    }
}

#[test]
fn hard_links_share_what_any_of_them_has() {
    let last = [linked("a", 5, ""), linked("b/c", 5, ""), linked("z", 5, "content"), linked("late", 5, "")];
    let first = [linked("a", 5, "content"), linked("b/c", 5, ""), linked("z", 5, ""), linked("late", 5, "")];
    let each = last.clone().map(|record| Record { data: b"content".to_vec(), ..record });
    for records in [last, first, each] {
        for magic in ["070701", "070702", "070707"] {
            let home = Home::new();
            let unpacked = home.unpack(&archive(magic, &records)).unwrap();
            assert_eq!((unpacked.entries, unpacked.size), (4, 7));
            for name in ["a", "b/c", "z", "late"] {
                assert_eq!(home.read(name), "content", "{name}");
                assert_eq!(fs::metadata(home.path(name)).unwrap().nlink(), 4, "{name}");
            }
        }
    }
}

#[test]
fn empty_hard_links_and_those_of_another_archive_stay_apart() {
    let home = Home::new();
    let one = newc(&[linked("a", 5, ""), linked("b", 5, ""), linked("c", 6, "")]);
    let two = newc(&[linked("d", 5, "other")]);
    assert_eq!(home.unpack(&[one, two].concat()).unwrap().entries, 4);
    let meta = |name: &str| fs::metadata(home.path(name)).unwrap();
    assert_eq!((meta("a").ino(), meta("a").nlink(), meta("a").len()), (meta("b").ino(), 2, 0));
    assert_eq!((meta("c").nlink(), meta("d").nlink(), home.read("d")), (1, 1, "other".into()));
}

type Packer = fn(&[u8]) -> Vec<u8>;

#[test]
fn archives_follow_each_other_as_the_kernel_takes_them() {
    let early = newc(&[file("kernel/x86/microcode", "code"), file("both", "first")]);
    let main = newc(&[file("init", "#!/bin/sh"), file("both", "second")]);
    let third = newc(&[file("third", "3")]);
    let zeros = vec![0; 1000];
    let zstd = |data: &[u8]| zstd::encode_all(data, 1).unwrap();
    let packers: [Packer; 5] = [|data| data.to_vec(), gzip, lzma, xz, |data| zstd::encode_all(data, 1).unwrap()];
    for pack in packers {
        for data in [
            [early.clone(), zeros.clone(), pack(&main), zeros.clone(), zstd(&third), zeros.clone()].concat(),
            [pack(&[early.clone(), zeros.clone(), main.clone()].concat()), zeros.clone(), third.clone()].concat(),
            [pack(&early), pack(&main), pack(&third)].concat(),
        ] {
            let home = Home::new();
            assert_eq!(home.unpack(&data).unwrap().entries, 5);
            assert_eq!((home.read("kernel/x86/microcode"), home.read("both")), ("code".into(), "second".into()));
            assert_eq!((home.read("init"), home.read("third")), ("#!/bin/sh".into(), "3".into()));
        }
    }
}

#[test]
fn names_and_targets_may_be_filled_up_with_zeros() {
    let home = Home::new();
    let long = Record { name: b"name\0\0\0\0\0".to_vec(), ..file("", "x") };
    home.unpack(&newc(&[long, record("link", 0o120_777, "name\0")])).unwrap();
    assert_eq!((home.read("name"), home.read("link")), ("x".into(), "x".into()));
}

#[test]
fn the_same_archive_gives_the_same_hash() {
    let records = [file("a/b/c", "x"), record("a/b", 0o040_700, ""), linked("l", 1, ""), linked("m", 1, "y")];
    let node = Record { node: (1, 3), ..record("null", 0o020_666, "") };
    let hash = |data: &[u8]| Home::new().unpack(data).unwrap().diff_id;
    let first = hash(&newc(&records));
    assert!(first.starts_with("sha256:") && first.len() == 71);
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(first, hash(&lzma(&archive("070702", &records))));
    assert_ne!(first, hash(&newc(&[&records[..], &[node]].concat())));
}
