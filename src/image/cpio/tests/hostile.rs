//! Archives that are damaged, or want more than they may have.

use super::*;

fn refusal(data: &[u8]) -> String {
    format!("{:#}", Home::new().unpack(data).unwrap_err())
}

/// A member of ten bytes, and this in place of what lies at `at` of the second header.
fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let first = newc(&[file("ok", "0123456789")]).len() - 124;
    let mut data = newc(&[file("ok", "0123456789"), file("next", "data")]);
    data[first + at..first + at + bytes.len()].copy_from_slice(bytes);
    data
}

#[test]
fn damaged_headers_are_named() {
    for (data, part) in [
        (with(0, b"070703"), "entry 2: damaged archive: no header of a cpio archive, but \"070703\""),
        (with(0, b"\0\0\0\0\0\0"), "no header of a cpio archive"),
        (with(0, b"070707"), "is no number"),
        (with(54, b"-0000004"), "\"-0000004\" in a header is no number"),
        (with(54, b"+0000004"), "is no number"),
        (with(54, b" 0000004"), "is no number"),
        (with(54, b"0x000004"), "is no number"),
        (with(94, b"00000000"), "a name of no bytes"),
        (with(94, b"FFFFFFFF"), "the name is longer than 4095"),
        (with(94, b"00001001"), "the name is longer than 4095"),
        (with(94, b"00000004"), "without a zero byte"),
        (with(114, b"x"), "without a zero byte"),
        (with(111, b"\0"), "a zero byte in the name"),
        (with(110, b"\0\0\0\0"), "empty name"),
        (with(54, b"FFFFFFFF"), "the archive is cut short"),
    ] {
        let error = refusal(&data);
        assert!(error.contains(part) && error.contains("entry 2"), "{error} (for {part})");
    }
    let huge = with(94, b"00001000");
    assert!(refusal(&huge).contains("cut short"));
}

#[test]
fn every_cut_is_an_error() {
    let whole = newc(&[file("ok", "0123456789"), linked("a", 1, ""), record("link", 0o120_777, "target")]);
    for length in 1..whole.len() - 3 {
        let home = Home::new();
        assert!(home.unpack(&whole[..length]).is_err(), "{length}");
    }
    for packed in [gzip(&whole), lzma(&whole), xz(&whole), zstd::encode_all(&whole[..], 1).unwrap()] {
        assert!(Home::new().unpack(&packed).is_ok());
        for cut in [1, 9, packed.len() / 2] {
            // What LZMA has at its end says only that it is the end.
            let error = Home::new().unpack(&packed[..packed.len() - cut]);
            assert!(error.is_err() || cut == 1 && packed[0] == 0x5d, "{cut}");
        }
    }
}

#[test]
fn sums_are_checked() {
    let bad = Record { sum: Some(1), ..file("f", "content") };
    for records in [&[bad.clone()][..], &[linked("a", 1, "x"), Record { ino: 1, nlink: 2, ..bad }]] {
        assert!(refusal(&archive("070702", records)).contains("checksum of a file does not match"));
    }
    // Only the content of files has one.
    let link = Record { sum: Some(0), ..record("l", 0o120_777, "target") };
    assert!(Home::new().unpack(&archive("070702", &[link, Record { sum: Some(9), ..file("e", "") }])).is_ok());
}

#[test]
fn names_stay_inside() {
    for name in ["../x", "a/../../x", ".."] {
        assert!(refusal(&newc(&[file(name, "inside")])).contains("leaves the root"), "{name}");
        assert!(refusal(&newc(&[linked("a", 1, "x"), linked(name, 1, "")])).contains("leaves the root"), "{name}");
    }
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let out = [record("out", 0o120_777, target), file("out/x", "inside")];
    assert!(refusal(&newc(&out)).contains("entry 2"));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert!(refusal(&newc(&[record("l", 0o120_777, "")])).contains("bad target"));
    assert!(refusal(&newc(&[Record { size: Some(9999), ..record("l", 0o120_777, "") }])).contains("longer than 4095"));
    assert!(refusal(&newc(&[file(".", "")])).contains("not a folder"));
}

#[test]
fn links_to_themselves_are_one_file() {
    let home = Home::new();
    let circle = [linked("a", 1, ""), linked("b", 1, ""), linked("a", 1, ""), linked("b", 1, "x"), linked("b", 1, "")];
    home.unpack(&newc(&circle)).unwrap();
    assert_eq!((home.read("a"), home.read("b")), ("x".into(), "x".into()));
    // A name that has become something else meanwhile leads nowhere outside.
    let home = Home::new();
    let swapped = [linked("a", 1, "x"), record("a", 0o120_777, "/etc/passwd"), linked("b", 1, "")];
    home.unpack(&newc(&swapped)).unwrap();
    assert!(fs::symlink_metadata(home.path("b")).unwrap().is_symlink());
}

#[test]
fn nothing_goes_on_for_ever() {
    let first = newc(&[file("a", "")]);
    let endless: Vec<Box<dyn Read>> =
        vec![Box::new(io::repeat(0)), Box::new(Again([gzip(b""), vec![0]].concat(), 0)), Box::new(Again(newc(&[]), 0))];
    let limits = Limits { max_entries: 1000, ..Limits::default() };
    for rest in endless {
        let input = Stream::new(Box::new(io::Cursor::new(first.clone()).chain(rest))).unwrap();
        let mut cpio = Cpio::new(input, &limits);
        assert!(cpio.next_member().unwrap().is_some());
        let error = format!("{:#}", cpio.next_member().unwrap_err());
        assert!(error.contains("more than"), "{error}");
    }
}

/// The same bytes again and again.
struct Again(Vec<u8>, usize);

impl Read for Again {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = (&self.0[self.1..]).read(into)?;
        self.1 = (self.1 + length) % self.0.len();
        Ok(length)
    }
}

#[test]
fn what_follows_is_named() {
    let good = newc(&[file("a", "x")]);
    assert!(refusal(&[&good[..], b"junk"].concat()).contains("what follows the cpio archive"));
    assert!(refusal(&[&good[..], &gzip(b"junk")].concat()).contains("what follows the cpio archive"));
    assert!(refusal(&[&good[..], &gzip(&gzip(&good))].concat()).contains("compressed twice"));
    assert!(refusal(&newc(&[])).contains("the archive is empty"));
}

#[test]
fn damage_anywhere_is_no_panic() {
    let records = [linked("a", 1, ""), record("l", 0o120_777, "a"), linked("b", 1, "x"), record("d", 0o040_755, "")];
    let limits = Limits { max_entries: 100, ..Limits::default() };
    let mut state = 1_u64;
    for magic in ["070701", "070702", "070707"] {
        let whole = [archive(magic, &records), vec![0; 9], gzip(&newc(&records))].concat();
        for _ in 0..2000 {
            let mut data = whole.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (state >> 33) as usize % data.len();
                data[at] = [b'0', b'F', b'7', 0, 0xff, (state >> 24) as u8][(state >> 60) as usize % 6];
            }
            // A first byte that is no archive is told before.
            let Ok(input) = Stream::new(Box::new(io::Cursor::new(data))) else { continue };
            let mut cpio = Cpio::new(input, &limits);
            while let Ok(Some(_)) = cpio.next_member() {}
        }
    }
}
