use std::fs;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::level::WHITEOUT;
use super::*;
use crate::image::layer::{Limits, Members, unpack};
use crate::image::owners::{Owners, encode};
use crate::image::tape::Tape;

/// A folder, and what is packed from it and unpacked into others.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("tree")).unwrap();
        Self(home)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("tree").join(name)
    }

    fn pack(&self, tree: &str, records: &[OwnerRecord]) -> (Packed, Vec<u8>) {
        let root = dir::open_root(&self.0.path().join(tree)).unwrap();
        let mut out = Vec::new();
        let packed = pack(root.as_fd(), records, &mut out).unwrap();
        assert_eq!(packed.size, out.len() as u64);
        (packed, out)
    }

    /// Packs, unpacks and packs again; the members of the archive.
    fn round(&self, records: &[OwnerRecord]) -> Vec<Member> {
        let (packed, first) = self.pack("tree", records);
        fs::create_dir(self.0.path().join("again")).unwrap();
        let again = dir::open_root(&self.0.path().join("again")).unwrap();
        let unpacked = unpack(&first[..], again.as_fd(), &Owners::Single).unwrap();
        assert_eq!((&unpacked.diff_id, unpacked.entries), (&packed.diff_id, packed.entries));
        let (_, second) = self.pack("again", &unpacked.records);
        dir::remove_tree(dir::open_root(self.0.path()).unwrap().as_fd(), "again".as_ref()).unwrap();
        let (one, two) = (members(&first), members(&second));
        let texts = |members: &[Member]| members.iter().map(|member| format!("{member:?}")).collect::<Vec<_>>();
        assert_eq!(texts(&one), texts(&two));
        assert!(first == second);
        one
    }
}

fn members(data: &[u8]) -> Vec<Member> {
    let limits = Limits::default();
    let mut tape = Tape::new(data, &limits);
    std::iter::from_fn(|| tape.next_member().unwrap()).collect()
}

fn names(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| member.path.escape_ascii().to_string()).collect()
}

fn record(path: &[u8], uid: u32, gid: u32, mode: u32) -> OwnerRecord {
    OwnerRecord { path: encode(path), uid, gid, mode, device: None, xattrs: Default::default() }
}

fn named<'m>(members: &'m [Member], name: &[u8]) -> &'m Member {
    members.iter().find(|member| member.path == name).unwrap()
}

#[test]
fn a_tree_comes_back_as_the_same_bytes() {
    let home = Home::new();
    for folder in ["b", "b.d", "b/inner", "a"] {
        fs::create_dir(home.path(folder)).unwrap();
    }
    fs::write(home.path("b/z"), "content").unwrap();
    fs::hard_link(home.path("b/z"), home.path("a/first")).unwrap();
    fs::hard_link(home.path("b/z"), home.path("z")).unwrap();
    symlink("/somewhere/else", home.path("b/inner/link")).unwrap();
    fs::write(home.path("setuid"), "x").unwrap();
    fs::set_permissions(home.path("setuid"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::write(home.path("hidden"), "not for reading").unwrap();
    fs::set_permissions(home.path("hidden"), fs::Permissions::from_mode(0o000)).unwrap();
    let root = dir::open_root(&home.path("")).unwrap();
    dir::make_fifo(root.as_fd(), "fifo".as_ref(), 0o622).unwrap();
    drop(std::os::unix::net::UnixListener::bind(home.path("socket")).unwrap());
    dir::set_time(root.as_fd(), "setuid".as_ref(), Time { sec: 5, nsec: 250 }).unwrap();
    let members = home.round(&[]);
    assert_eq!(
        names(&members),
        ["./", "a/", "a/first", "b/", "b/inner/", "b/inner/link", "b/z", "b.d/", "fifo", "hidden", "setuid", "z"]
    );
    assert_eq!(
        (&named(&members, b"z").kind, &named(&members, b"z").link[..]),
        (&MemberKind::HardLink, &b"a/first"[..])
    );
    assert_eq!((named(&members, b"setuid").mode, named(&members, b"hidden").mode), (0o4755, 0));
    assert_eq!(named(&members, b"setuid").mtime, Time { sec: 5, nsec: 250 });
    assert!(members.iter().all(|member| (member.uid, member.gid) == (0, 0)));
    assert_eq!(fs::metadata(home.path("hidden")).unwrap().permissions().mode() & 0o777, 0);
}

#[test]
fn names_of_any_bytes_and_length() {
    let home = Home::new();
    let long = "long-".repeat(40);
    let mut raw = vec![0xff; 150];
    raw.push(b'\n');
    let short = [&b"short-"[..], &[0xfe, b'\n', 0x80]].concat();
    let at = |name: &[u8]| home.path("").join(std::ffi::OsStr::from_bytes(name));
    fs::create_dir(home.path(&long)).unwrap();
    fs::write(home.path(&long).join("f\u{fc}\n"), "x").unwrap();
    fs::write(at(&raw), "y").unwrap();
    fs::write(at(&short), "z").unwrap();
    symlink("t".repeat(300), home.path("to-long")).unwrap();
    symlink(std::ffi::OsStr::from_bytes(&raw), home.path("to-raw")).unwrap();
    let linked = [0xff; 151];
    fs::hard_link(at(&raw), at(&linked)).unwrap();
    for length in [99, 100, 101] {
        fs::write(home.path(&"n".repeat(length)), "").unwrap();
        fs::create_dir(home.path(&"d".repeat(length))).unwrap();
    }
    let members = home.round(&[]);
    assert_eq!(members.len(), 14);
    assert_eq!(named(&members, b"to-long").link.len(), 300);
    assert!(named(&members, b"to-raw").link == raw && named(&members, &raw).size == 1);
    assert!(named(&members, &linked).link == raw && named(&members, &short).size == 1);
}

#[test]
fn what_is_on_record_is_put_back() {
    let home = Home::new();
    fs::create_dir_all(home.path("usr/lib")).unwrap();
    symlink("usr/lib", home.path("lib")).unwrap();
    for name in ["usr/lib/through", "zlinked", "plain"] {
        fs::write(home.path(name), name).unwrap();
    }
    fs::hard_link(home.path("zlinked"), home.path("alinked")).unwrap();
    let device = |path: &str, block, numbers: (u32, u32)| OwnerRecord {
        device: Some(Device { block, major: numbers.0, minor: numbers.1 }),
        ..record(path.as_bytes(), 0, 6, 0o660)
    };
    let mut attributes = record(b"plain", 2_097_151, 2_097_152, 0o600);
    attributes.xattrs =
        [("security.capability".into(), "0100000200200000".into()), ("user.overlay.opaque".into(), "79".into())].into();
    let records = [
        record(b"", 1, 2, 0o1777),
        record(b"lib/through", 33, 34, 0o6755),
        record(b"zlinked", 35, 0, 0o644),
        attributes,
        record(b"gone/long/ago", 9, 9, 0o600),
        device("usr/sda", true, (8, 1 << 19)),
        device("aaa", false, (1, 3)),
        // Something else has come in its place.
        device("usr/lib", false, (1, 3)),
    ];
    let members = home.round(&records);
    let expected =
        ["./", "aaa", "alinked", "lib", "plain", "usr/", "usr/lib/", "usr/lib/through", "usr/sda", "zlinked"];
    assert_eq!(names(&members), expected);
    let of = |name: &[u8]| (named(&members, name).uid, named(&members, name).gid, named(&members, name).mode);
    assert_eq!((of(b"./"), of(b"usr/lib/through")), ((1, 2, 0o1777), (33, 34, 0o6755)));
    assert_eq!((of(b"alinked"), of(b"zlinked").0), ((35, 0, 0o644), 35));
    assert_eq!(of(b"plain"), (2_097_151, 2_097_152, 0o600));
    let given = &named(&members, b"plain").xattrs;
    assert_eq!(given.len(), 2);
    assert_eq!((&given[0].0[..], &given[0].1[..]), (&b"security.capability"[..], &b"\x01\0\0\x02\0 \0\0"[..]));
    assert_eq!(named(&members, b"usr/sda").kind, MemberKind::Device(Device { block: true, major: 8, minor: 1 << 19 }));
    assert_eq!(of(b"aaa"), (0, 6, 0o660));
}

#[test]
fn marks_of_an_overlay_become_those_of_the_specification() {
    let home = Home::new();
    let hidden = |path: &str| OwnerRecord { device: Some(WHITEOUT), ..record(path.as_bytes(), 0, 0, 0) };
    fs::create_dir(home.path("d")).unwrap();
    for name in ["d/.wh.twice", ".wh.kept", "d/sub"] {
        fs::write(home.path(name), "").unwrap();
    }
    let folder = fs::File::open(home.path("d")).unwrap();
    let has_xattrs = dir::set_xattr(&folder, "user.overlay.opaque".as_ref(), b"y").is_ok();
    drop(dir::set_xattr(&folder, "user.note".as_ref(), b"kept"));
    let (_, out) = home.pack("tree", &[hidden("removed"), hidden("d/twice")]);
    let members = members(&out);
    let mut expected = vec!["./", ".wh.kept", ".wh.removed", "d/", "d/.wh..wh..opq", "d/.wh.twice", "d/sub"];
    expected.retain(|name| has_xattrs || !name.ends_with("opq"));
    assert_eq!(names(&members), expected);
    let mark = named(&members, b".wh.removed");
    assert_eq!((&mark.kind, mark.size, mark.mtime), (&MemberKind::File, 0, Time::default()));
    let attributes = &named(&members, b"d/").xattrs;
    assert_eq!(attributes.len(), usize::from(has_xattrs));
}

#[test]
fn what_does_not_fit_a_header() {
    let mut data = Vec::new();
    let mut writer = Writer::new(&mut data);
    let huge = Member {
        size: 1 << 33,
        uid: u32::MAX - 1,
        gid: 0o10_000_000,
        mtime: Time { sec: -5, nsec: 5 },
        ..member(b"huge".to_vec(), MemberKind::File)
    };
    writer.member(&huge).unwrap();
    writer.finish().unwrap();
    let limits = Limits::default();
    let mut tape = Tape::new(&data[..], &limits);
    let read = tape.next_member().unwrap().unwrap();
    assert_eq!((read.size, read.uid, read.gid, read.mtime), (huge.size, huge.uid, huge.gid, huge.mtime));
}

#[test]
fn a_large_sparse_file_and_a_deep_tree() {
    let home = Home::new();
    let mut sparse = fs::File::create(home.path("sparse")).unwrap();
    sparse.set_len((3 << 20) + 1).unwrap();
    sparse.seek(SeekFrom::Start(1 << 20)).unwrap();
    sparse.write_all(b"middle").unwrap();
    fs::create_dir_all(home.path(&"d/".repeat(300))).unwrap();
    fs::write(home.path("d/d/zz"), "on the way back").unwrap();
    let members = home.round(&[]);
    assert_eq!((members.len(), named(&members, b"sparse").size), (303, (3 << 20) + 1));
    assert_eq!(names(&members)[301], "d/d/zz");
}

#[test]
fn a_file_that_changes_is_an_error() {
    let home = Home::new();
    fs::write(home.path("f"), "1234").unwrap();
    let root = dir::open_root(&home.path("")).unwrap();
    let item = |meta| Item { name: "f".into(), what: What::Found(meta) };
    let meta = dir::stat(root.as_fd(), "f".as_ref()).unwrap();
    let records = Records::new(root.as_fd(), &[]).unwrap();
    let own = cred::effective_uid();
    let mut packing = Packing { records, own, names: HashMap::new(), out: Writer::new(io::sink()) };
    assert!(packing.item(root.as_fd(), &item(meta), Path::new("f")).is_ok());
    fs::rename(home.path("f"), home.path("g")).unwrap();
    fs::write(home.path("f"), "1234").unwrap();
    assert!(packing.item(root.as_fd(), &item(meta), Path::new("f")).is_err());
    fs::remove_file(home.path("f")).unwrap();
    symlink("g", home.path("f")).unwrap();
    assert!(packing.item(root.as_fd(), &item(meta), Path::new("f")).is_err());
    // A file of /proc has no size, and content all the same.
    let proc = dir::open_root(Path::new("/proc")).unwrap();
    let meta = dir::stat(proc.as_fd(), "version".as_ref()).unwrap();
    let version = Item { name: "version".into(), what: What::Found(meta) };
    let error = packing.item(proc.as_fd(), &version, Path::new("version")).unwrap_err();
    assert!(error.to_string().contains("its size changed"), "{error}");
}
