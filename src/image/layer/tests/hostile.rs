//! Archives that want out of the root, or more than they may have.

use super::*;

fn refusal(tar: Tar) -> String {
    let home = Home::new();
    let error = format!("{:#}", home.unpack(tar).unwrap_err());
    assert_eq!(fs::read_to_string(home.home.path().join("x")).unwrap(), "outside");
    assert_eq!(fs::read_dir(home.home.path()).unwrap().count(), 2);
    error
}

#[test]
fn names_that_leave_are_refused() {
    for name in ["../x", "a/../../x", "/../x", ".."] {
        let error = refusal(Tar::new().file(name, "inside"));
        assert!(error.contains("entry 1 \"") && error.contains("leaves the root"), "{error}");
    }
    assert!(refusal(Tar::new().pax(&[("path", b"a/../../x")]).file("ok", "")).contains("leaves the root"));
    assert!(refusal(Tar::new().file("a", "").hard_link("b", "../x")).contains("leaves the root"));
    assert!(refusal(Tar::new().pax(&[("path", b"a\0b")]).file("ok", "")).contains("zero byte"));
    assert!(refusal(Tar::new().symlink(".", "/tmp")).contains("not a folder"));
    for name in [".wh..", ".wh...", ".wh."] {
        assert!(refusal(Tar::new().file("d/a", "").file(&format!("d/{name}"), "")).contains("bad whiteout"), "{name}");
    }
}

#[test]
fn a_path_through_a_link_lands_inside() {
    let home = Home::new();
    let outside = home.home.path().to_str().unwrap().to_owned();
    let tar = Tar::new()
        .folder("tmp", 0o755)
        .symlink("abs", "/tmp")
        .symlink("up", "../../../tmp")
        .file("abs/a", "1")
        .file("up/b", "2");
    home.unpack(tar).unwrap();
    assert_eq!((home.read("tmp/a"), home.read("tmp/b")), ("1".into(), "2".into()));
    // A link to a folder that exists on the host only leads nowhere.
    assert!(refusal(Tar::new().symlink("out", &outside).file("out/x", "inside")).contains("entry 2"));
    assert!(refusal(Tar::new().symlink("loop", "loop").file("loop/x", "inside")).contains("entry 2"));
}

#[test]
fn a_whiteout_through_a_link_stays_inside() {
    let home = Home::new();
    let outside = home.home.path().to_str().unwrap().to_owned();
    home.unpack(Tar::new().symlink("etc", &outside).file("etc/.wh.x", "").symlink("l", "/x").file(".wh.l", ""))
        .unwrap();
    assert!(home.home.path().join("x").exists());
    assert!(fs::symlink_metadata(home.path("l")).is_err());
}

#[test]
fn a_hard_link_to_the_host_is_not_found() {
    for target in ["/etc/passwd", "etc/passwd"] {
        let error = refusal(Tar::new().hard_link("stolen", target));
        assert!(error.contains("hard link to") && error.contains("os error 2"), "{error}");
    }
    // Through a link, then: the link itself gets another name, and nothing is read.
    let home = Home::new();
    home.unpack(Tar::new().symlink("s", "/etc/passwd").hard_link("t", "s")).unwrap();
    assert_eq!(fs::read_link(home.path("t")).unwrap(), Path::new("/etc/passwd"));
}

#[test]
fn a_folder_over_a_link_leaves_the_target_alone() {
    let home = Home::new();
    let tar = Tar::new().folder("real", 0o700).symlink("link", "real").folder("link", 0o777);
    home.unpack(tar).unwrap();
    assert_eq!((home.mode("real"), home.mode("link")), (0o700, 0o777));
    assert!(!fs::symlink_metadata(home.path("link")).unwrap().is_symlink());
    // A folder whose place is taken by a link afterwards: its late mode must not reach the link's target.
    let home = Home::new();
    home.unpack(Tar::new().folder("a", 0o700).folder("b", 0o777).symlink("b", "a")).unwrap();
    assert_eq!(home.mode("a"), 0o700);
}

#[test]
fn a_file_over_a_link_does_not_write_through_it() {
    let home = Home::new();
    home.unpack(Tar::new().file("t", "target").symlink("l", "t").file("l", "new")).unwrap();
    assert_eq!((home.read("t"), home.read("l")), ("target".into(), "new".into()));
}

#[test]
fn names_of_any_bytes_are_kept() {
    let home = Home::new();
    let name = b"a\nb\xff\x80%";
    let tar = Tar::new().add(EntryType::Char, b"\xff\n", b"", 0, b"").add(EntryType::Regular, name, b"", 0o644, b"x");
    let unpacked = home.unpack(tar).unwrap();
    assert!(home.path("").join(OsStr::from_bytes(name)).exists());
    assert_eq!(unpacked.records[0].path, "%FF%0A");
    assert_eq!(unpacked.notes, ["device nodes left out: 1, the first \"\\xff\\n\""]);
}

#[test]
fn damaged_archives_are_errors() {
    let home = Home::new();
    let whole = Tar::new().file("a", &"x".repeat(2000)).finish();
    for length in [100, 512, 600, 1500, 2511] {
        let error = unpack(&whole[..length], home.fd.as_fd(), &Owners::Single).unwrap_err();
        let chained = error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some());
        assert!(chained, "{length}: {error:#}");
    }
    for data in [vec![b'g'; 5000], vec![0; 5000], Vec::new()] {
        assert!(unpack(&data[..], home.fd.as_fd(), &Owners::Single).is_err());
    }
}

#[test]
fn bounds_hold_before_memory_is_taken() {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    let mut tar = Tar::new();
    tar.0.append(&header, io::empty()).unwrap();
    assert!(refusal(tar).contains("too long"));
    let long = "n/".repeat(3000);
    assert!(refusal(Tar::new().pax(&[("path", long.as_bytes())]).file("a", "")).contains("longer than"));
    assert!(refusal(Tar::new().pax(&[("GNU.sparse.major", b"1")]).file("a", "")).contains("sparse"));
    let home = Home::new();
    let limits = Limits { max_bytes: 10, max_entries: 2, ..Limits::default() };
    let big = Tar::new().file("a", "12345678901").finish();
    assert!(unpack_within(&big[..], home.fd.as_fd(), &Owners::Single, &limits).is_err());
    let many = Tar::new().file("a", "").file("b", "").file("c", "").finish();
    assert!(unpack_within(&many[..], home.fd.as_fd(), &Owners::Single, &limits).is_err());
}
