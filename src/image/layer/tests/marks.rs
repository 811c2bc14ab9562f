//! Layers of their own: what an overlay is to read.

use std::os::unix::fs::FileTypeExt;

use super::*;
use crate::image::layer::marks::OPAQUE;

impl Home {
    fn layer(&self, tar: Tar) -> Result<Unpacked> {
        unpack_layer(&tar.finish()[..], self.fd.as_fd(), &Owners::Single, &Limits::default())
    }

    fn is_gone(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name))
            .is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == 0 && meta.nlink() == 1)
    }

    fn is_opaque(&self, name: &str) -> bool {
        let folder = dir::open_root(&self.path(name)).unwrap();
        dir::read_xattr(&folder, OsStr::new(OPAQUE)).is_ok_and(|value| value == b"y")
    }
}

#[test]
fn marks_are_those_of_an_overlay() {
    let home = Home::new();
    let tar = Tar::new().folder("d", 0o750).file("d/.wh.a", "").file("o/.wh..wh..opq", "").file("o/own", "x");
    let unpacked = home.layer(tar.file("no/.wh.x", "").file(".wh..wh.plnk", "").file(".wh..wh.aufs", "")).unwrap();
    assert!(home.is_gone("d/a") && home.is_gone("no/x") && home.is_opaque("o") && !home.is_opaque("d"));
    assert_eq!((home.read("o/own"), home.mode("d"), home.mode("no")), ("x".into(), 0o750, 0o755));
    assert_eq!(fs::metadata(home.path("d")).unwrap().mtime(), 1_000_000);
    assert_eq!((unpacked.plain_whiteouts, unpacked.opaque_root, unpacked.records.len()), (false, false, 0));
    assert_eq!(fs::read_dir(home.path("")).unwrap().count(), 3);
}

#[test]
fn the_order_in_a_layer_does_not_matter() {
    let (first, second) = (Home::new(), Home::new());
    let marks = |tar: Tar| tar.file(".wh.f", "").file(".wh.d", "").file("o/.wh..wh..opq", "").file("o/.wh.own", "");
    let own = |tar: Tar| tar.file("f", "own").file("d/x", "own").file("o/own", "own").file("gone/x", "");
    first.layer(own(marks(Tar::new())).file("g/.wh.x", "").file(".wh.g", "")).unwrap();
    second.layer(marks(own(Tar::new())).file(".wh.g", "").file("g/.wh.x", "")).unwrap();
    for home in [first, second] {
        assert_eq!((home.read("f"), home.read("d/x"), home.read("o/own")), ("own".into(), "own".into(), "own".into()));
        assert!(home.is_opaque("d") && home.is_opaque("o") && home.is_gone("g"));
    }
}

#[test]
fn an_empty_layer_is_one() {
    for data in [vec![0; 1024], vec![0; 10_240]] {
        let home = Home::new();
        let unpacked = unpack_layer(&data[..], home.fd.as_fd(), &Owners::Single, &Limits::default()).unwrap();
        assert_eq!((unpacked.entries, unpacked.size), (0, 0));
    }
    let home = Home::new();
    assert!(home.layer(Tar::new().file(".wh..wh..opq", "")).unwrap().opaque_root);
}

#[test]
fn only_marks_make_marks() {
    let home = Home::new();
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Char);
    header.set_path("null").unwrap();
    header.set_mode(0o600);
    header.set_size(0);
    header.set_device_major(0).unwrap();
    header.set_device_minor(0).unwrap();
    header.set_cksum();
    let mut tar = Tar::new();
    tar.0.append(&header, io::empty()).unwrap();
    let forged: &[(&str, &[u8])] = &[
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.fuseoverlayfs.opaque", b"y"),
    ];
    let tar = tar.pax(forged).folder("d", 0o755).file(".wh.w/inside", "").file("d/.wh..wh..opq/inside", "");
    let unpacked = home.layer(tar).unwrap();
    assert!(!home.path("null").exists() && !home.is_opaque("d"));
    let of = |path: &str| unpacked.records.iter().find(|record| record.path == path).unwrap();
    assert_eq!(of("null").device, Some(Device { block: false, major: 0, minor: 0 }));
    assert_eq!(of("d").xattrs.len(), 3);
    assert_eq!(fs::read_dir(home.path("")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(home.path("d")).unwrap().count(), 0);
}

#[test]
fn marks_stay_inside_and_are_out_of_reach() {
    let home = Home::new();
    let outside = home.home.path().to_str().unwrap().to_owned();
    let tar = Tar::new()
        .symlink("etc", &outside)
        .file("etc/.wh.x", "")
        .file("etc/.wh..wh..opq", "")
        .symlink("loop", "loop")
        .file("loop/.wh.x", "");
    home.layer(tar.folder("tmp", 0o755).symlink("in", "/tmp").file("in/.wh.x", "")).unwrap();
    assert_eq!(fs::read_to_string(home.home.path().join("x")).unwrap(), "outside");
    assert_eq!(fs::read_dir(home.home.path()).unwrap().count(), 2);
    assert!(home.is_gone("tmp/x"));
    for link in [".wh.x", "x"] {
        let error = Home::new().layer(Tar::new().file(".wh.x", "").hard_link("y", link)).unwrap_err();
        assert!(format!("{error:#}").contains("hard link to"), "{error:#}");
    }
    for name in [".wh..", ".wh...", ".wh.", "../.wh.x"] {
        assert!(Home::new().layer(Tar::new().file(name, "")).is_err(), "{name}");
    }
}
