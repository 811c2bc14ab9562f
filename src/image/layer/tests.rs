use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use tar::{Builder, EntryType, Header};

use super::*;
use crate::image::Device;

mod formats;
mod hostile;
mod marks;

/// An archive that is being written, with no check of names.
struct Tar(Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn add(mut self, kind: EntryType, name: &[u8], link: &[u8], mode: u32, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_000_000);
        header.set_size(data.len() as u64);
        if let Some(gnu) = header.as_gnu_mut() {
            gnu.set_device_major(5);
            gnu.set_device_minor(1);
            gnu.name[..name.len()].copy_from_slice(name);
            gnu.linkname[..link.len()].copy_from_slice(link);
        }
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    fn file(self, name: &str, data: &str) -> Self {
        self.add(EntryType::Regular, name.as_bytes(), b"", 0o644, data.as_bytes())
    }

    fn folder(self, name: &str, mode: u32) -> Self {
        self.add(EntryType::Directory, name.as_bytes(), b"", mode, b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, name.as_bytes(), target.as_bytes(), 0o777, b"")
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Link, name.as_bytes(), target.as_bytes(), 0o644, b"")
    }

    fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// A folder with `root`, where archives go, beside a file that must not change.
struct Home {
    home: tempfile::TempDir,
    fd: OwnedFd,
}

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("root")).unwrap();
        fs::write(home.path().join("x"), "outside").unwrap();
        let fd = dir::open_root(&home.path().join("root")).unwrap();
        Self { home, fd }
    }

    fn unpack(&self, tar: Tar) -> Result<Unpacked> {
        unpack(&tar.finish()[..], self.fd.as_fd(), &Owners::Single)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("root").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::symlink_metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }
}

#[test]
fn each_kind_of_member_comes_to_disk() {
    let home = Home::new();
    let tar = Tar::new()
        .folder("./", 0o711)
        .folder("./d/", 0o1555)
        .file("d/file", "hello")
        .hard_link("a/link", "./d/file")
        .symlink("soft", "/etc/passwd")
        .add(EntryType::Regular, b"setuid", b"", 0o6755, b"x")
        .add(EntryType::Fifo, b"fifo", b"", 0o622, b"")
        .add(EntryType::Char, b"dev/console", b"", 0o600, b"")
        .file("/absolute", "y");
    let unpacked = home.unpack(tar).unwrap();
    assert_eq!((unpacked.size, unpacked.entries), (7, 9));
    assert_eq!(
        (home.read("d/file"), home.read("a/link"), home.read("absolute")),
        ("hello".into(), "hello".into(), "y".into())
    );
    assert_eq!(fs::metadata(home.path("d/file")).unwrap().nlink(), 2);
    assert_eq!(fs::read_link(home.path("soft")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!((home.mode("setuid"), home.mode("fifo"), home.mode("a")), (0o6755, 0o622, 0o755));
    assert_eq!((home.mode("d"), home.mode("")), (0o1755, 0o711));
    for name in ["d", "d/file", "soft", "fifo", ""] {
        assert_eq!(fs::symlink_metadata(home.path(name)).unwrap().mtime(), 1_000_000, "{name}");
    }
    assert!(!home.path("dev/console").exists());
    let paths: Vec<_> = unpacked.records.iter().map(|record| (record.path.as_str(), record.mode)).collect();
    assert_eq!(paths, [("d", 0o1555), ("dev/console", 0o600)]);
    assert_eq!(unpacked.records[1].device, Some(Device { block: false, major: 5, minor: 1 }));
    assert_eq!(unpacked.notes, ["device nodes left out: 1, the first \"dev/console\""]);
}

#[test]
fn the_hash_is_that_of_the_whole_stream() {
    let mut data = Tar::new().file("a", "b").finish();
    data.extend([0; 10_240]);
    let digest = ring::digest::digest(&ring::digest::SHA256, &data);
    let home = Home::new();
    let unpacked = unpack(&data[..], home.fd.as_fd(), &Owners::Single).unwrap();
    assert_eq!(unpacked.diff_id, format!("sha256:{}", crate::image::digest::hex(digest.as_ref())));
}

#[test]
fn later_members_win() {
    let home = Home::new();
    let tar = Tar::new()
        .file("a", "first")
        .file("a", "second")
        .symlink("b", "a")
        .file("b", "no link")
        .folder("c", 0o755)
        .file("c/kept", "kept")
        .folder("c", 0o700)
        .folder("d", 0o755)
        .file("d/gone/deep", "x")
        .file("d", "a file now")
        .hard_link("a", "a")
        .file("e", "")
        .folder("e", 0o755);
    home.unpack(tar).unwrap();
    assert_eq!(
        (home.read("a"), home.read("b"), home.read("c/kept")),
        ("second".into(), "no link".into(), "kept".into())
    );
    assert_eq!((home.read("d"), home.mode("c")), ("a file now".into(), 0o700));
    assert!(home.path("e").is_dir());
}

#[test]
fn whiteouts_remove_and_are_not_made() {
    let home = Home::new();
    let tar = Tar::new()
        .file("d/a", "")
        .file("d/b/c", "")
        .file("d/.wh.a", "")
        .file("d/.wh.b", "")
        .file("d/.wh..wh..opq", "")
        .file("no/.wh.x", "");
    home.unpack(tar).unwrap();
    assert_eq!(fs::read_dir(home.path("d")).unwrap().count(), 0);
    assert!(!home.path("no").exists());
}

#[test]
fn ten_thousand_members_and_two_thousand_levels() {
    let home = Home::new();
    let mut tar = Tar::new();
    for number in 0..10_000 {
        tar = tar.file(&format!("many/{}/{number}", number % 7), "");
    }
    let deep = "d/".repeat(2000);
    tar = tar.pax(&[("path", deep.as_bytes())]).folder("x", 0o755);
    assert_eq!(home.unpack(tar).unwrap().entries, 10_001);
    assert_eq!(fs::read_dir(home.path("many/3")).unwrap().count(), 1429);
    assert!(dir::resolve_dir(home.fd.as_fd(), Path::new(&deep)).is_ok());
    dir::remove_tree(home.fd.as_fd(), OsStr::new("d")).unwrap();
}

#[test]
fn owners_outside_the_map_are_recorded() {
    let home = Home::new();
    let mut header = Header::new_gnu();
    header.set_path("game").unwrap();
    header.set_mode(0o4755);
    header.set_uid(u64::from(u32::MAX));
    header.set_gid(0);
    header.set_size(0);
    header.set_cksum();
    let mut tar = Tar::new();
    tar.0.append(&header, io::empty()).unwrap();
    let unpacked = unpack(&tar.finish()[..], home.fd.as_fd(), &Owners::Mapped).unwrap();
    assert_eq!((unpacked.records[0].uid, unpacked.records[0].mode), (u32::MAX, 0o4755));
    assert_eq!(home.mode("game"), 0o755);
    assert_eq!(unpacked.notes.len(), 1);
}

#[test]
fn the_record_of_a_file_goes_with_it() {
    let home = Home::new();
    let owned = |tar: Tar, name: &str| tar.pax(&[("uid", b"33")]).file(name, "x");
    let console = |tar: Tar, name: &[u8]| tar.add(EntryType::Char, name, b"", 0o600, b"");
    let mut tar = Tar::new();
    for name in ["again", "d/in", "d/.sub/deep", "d.kept", "linked", "removed"] {
        tar = owned(tar, name);
    }
    tar = console(console(console(tar, b"node"), b"d/node"), b"gone");
    let tar = tar.file("again", "").file("d", "").file("node", "").symlink("linked", "x").file(".wh.removed", "");
    let unpacked = home.unpack(tar.file(".wh.gone", "")).unwrap();
    let paths: Vec<_> = unpacked.records.iter().map(|record| record.path.as_str()).collect();
    assert_eq!(paths, ["d.kept"]);
}
