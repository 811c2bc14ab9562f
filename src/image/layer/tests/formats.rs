//! The dialects of tar.

use super::*;

#[test]
fn pax_headers_are_applied() {
    let home = Home::new();
    let long = format!("{}/f", "long/".repeat(80));
    let tar = Tar::new()
        .pax(&[
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.note", b"a\nb"),
            ("path", long.as_bytes()),
            ("mtime", b"12.000000345"),
            ("uid", b"4000000000"),
        ])
        .file("short", "x")
        .file("next", "y");
    let unpacked = home.unpack(tar).unwrap();
    let meta = fs::metadata(home.path(&long)).unwrap();
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (12, 345));
    assert_eq!(home.read("next"), "y");
    let record = &unpacked.records[0];
    assert_eq!(
        (record.path.as_str(), record.uid, record.gid),
        (Path::new(&long).to_str().unwrap().replace("//", "/").as_str(), 4_000_000_000, 0)
    );
    assert_eq!(record.xattrs.get("user.overlay.opaque").map(String::as_str), Some("79"));
    let file = fs::File::open(home.path(&long)).unwrap();
    assert!(dir::read_xattr(&file, "user.overlay.opaque".as_ref()).is_err());
    if !record.xattrs.contains_key("user.note") {
        assert_eq!(dir::read_xattr(&file, "user.note".as_ref()).unwrap(), b"a\nb");
    }
}

#[test]
fn a_size_in_pax_counts_even_after_a_newline() {
    let home = Home::new();
    let mut builder = Tar::new().pax(&[("SCHILY.xattr.user.x", b"\n"), ("size", b"600")]).0;
    let mut header = Header::new_ustar();
    header.set_path("file").unwrap();
    header.set_mode(0o644);
    header.set_size(0);
    header.set_cksum();
    builder.append(&header, &[b'z'; 600][..]).unwrap();
    home.unpack(Tar(builder).file("after", "x")).unwrap();
    assert_eq!((home.read("file").len(), home.read("after")), (600, "x".into()));
}

#[test]
fn an_archive_that_was_never_closed_is_whole_but_one_cut_in_a_file_is_not() {
    let tar = Tar::new().file("a", "x").file("b", "yz").finish();
    let end = 512 + 512 + 512;
    let home = Home::new();
    let unpacked = unpack(&tar[..end + 2], home.fd.as_fd(), &Owners::Single);
    unpacked.unwrap();
    assert_eq!(home.read("b"), "yz");
    let cut = unpack(&tar[..=end], Home::new().fd.as_fd(), &Owners::Single).unwrap_err();
    assert!(format!("{cut:#}").contains("ends in the middle"), "{cut:#}");
}

#[test]
fn an_old_sparse_file_has_its_holes() {
    let home = Home::new();
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_size(512);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..1].copy_from_slice(b"s");
    gnu.sparse[0].set_offset(1 << 20);
    gnu.sparse[0].set_length(512);
    gnu.set_real_size(1 << 30);
    header.set_cksum();
    let mut tar = Tar::new();
    tar.0.append(&header, &[b'q'; 512][..]).unwrap();
    assert_eq!(home.unpack(tar.file("after", "x")).unwrap().size, (1 << 30) + 1);
    let file = fs::File::open(home.path("s")).unwrap();
    let mut data = [0; 514];
    file.read_exact_at(&mut data, (1 << 20) - 1).unwrap();
    assert_eq!((data[0], data[1], data[512], data[513]), (0, b'q', b'q', 0));
    assert!(file.metadata().unwrap().blocks() < 100);
    assert_eq!(home.read("after"), "x");
}
