use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

fn fixture(at: &Path) {
    fs::create_dir_all(at.join("d/e")).unwrap();
    fs::write(at.join("d/file"), "hello").unwrap();
    fs::hard_link(at.join("d/file"), at.join("d/e/second")).unwrap();
    symlink("/etc/passwd", at.join("link")).unwrap();
    fs::set_permissions(at.join("d/file"), fs::Permissions::from_mode(0o4755)).unwrap();
    let mut sparse = fs::File::create(at.join("sparse")).unwrap();
    sparse.set_len(1 << 26).unwrap();
    std::io::Seek::seek(&mut sparse, std::io::SeekFrom::Start((1 << 25) + 77)).unwrap();
    sparse.write_all(b"in the middle").unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_000_000, 5);
    for name in ["d/file", "sparse", "d/e", "d", ""] {
        fs::File::open(at.join(name)).unwrap().set_modified(old).unwrap();
    }
    let top = dir::open_root(at).unwrap();
    let time = dir::Time { sec: 1, nsec: 2 };
    dir::set_time(top.as_fd(), "link".as_ref(), time).unwrap();
    dir::set_time(top.as_fd(), ".".as_ref(), time).unwrap();
}

type Copier = fn(BorrowedFd<'_>, BorrowedFd<'_>, &Owners) -> Result<Unpacked>;

fn run(copier: Copier, from: &Path, to: &Path) -> Unpacked {
    fs::create_dir(to).unwrap();
    let (from, to) = (dir::open_root(from).unwrap(), dir::open_root(to).unwrap());
    copier(from.as_fd(), to.as_fd(), &Owners::Single).unwrap()
}

#[test]
fn a_copy_is_the_same_tree() {
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("source");
    fs::create_dir(&source).unwrap();
    fixture(&source);
    let first = run(copy_tree, &source, &home.path().join("first"));
    assert_eq!((first.entries, first.records.len(), first.notes.len()), (7, 0, 0), "{:?}", first.notes);
    for at in ["first", "cloned"] {
        let at = home.path().join(at);
        if !at.exists() {
            assert_eq!(run(clone_tree, &source, &at).diff_id, "");
        }
        let meta = fs::metadata(at.join("d/file")).unwrap();
        assert_eq!((meta.nlink(), meta.mode() & 0o7777, meta.mtime(), meta.mtime_nsec()), (2, 0o4755, 1_000_000, 5));
        assert_eq!(fs::metadata(at.join("d")).unwrap().mtime(), 1_000_000);
        assert_eq!(fs::read_link(at.join("link")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!(fs::read(at.join("sparse")).unwrap(), fs::read(source.join("sparse")).unwrap());
        assert!(fs::metadata(at.join("sparse")).unwrap().blocks() < 1000);
    }
    // The copy of the copy has the same hash; another byte, another hash.
    let again = run(copy_tree, &home.path().join("first"), &home.path().join("again"));
    assert_eq!(first.diff_id, again.diff_id);
    fs::write(home.path().join("first/new"), "").unwrap();
    assert_ne!(run(copy_tree, &home.path().join("first"), &home.path().join("third")).diff_id, first.diff_id);
}

#[test]
fn what_cannot_be_copied_is_noted_once() {
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("source");
    fs::create_dir_all(source.join("inner")).unwrap();
    for name in ["a", "b"] {
        drop(std::os::unix::net::UnixListener::bind(source.join(name)).unwrap());
    }
    // The folder that is written to lies in the source.
    let copied = run(copy_tree, &source, &source.join("inner/target"));
    assert_eq!(
        copied.notes,
        [
            "sockets left out: 2, the first \"a\"",
            "the folder that is written to left out: 1, the first \"inner/target\""
        ]
    );
    assert!(source.join("inner/target/inner").is_dir() && !source.join("inner/target/inner/target").exists());
}

#[test]
fn a_layer_takes_away_what_it_hides() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    for folder in ["low/d/sub", "low/o", "low/p", "low/was-folder", "up/d", "up/o", "up/p", "up/was-link", "to"] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    for file in ["low/+x", "low/d/sub/a", "low/d/kept", "low/o/low", "low/p/low", "low/gone", "low/was-folder/a"] {
        fs::write(at(file), "low").unwrap();
    }
    symlink("/d", at("low/was-link")).unwrap();
    for file in ["up/+x", "up/.wh.+x", "up/o/own", "up/p/own", "up/p/.wh..wh..opq", "up/was-folder", "up/was-link/own"]
    {
        fs::write(at(file), "up").unwrap();
    }
    fs::hard_link(at("up/o/own"), at("up/z")).unwrap();
    fs::write(at("low/z"), "low").unwrap();
    let open = |name: &str| dir::open_root(&at(name)).unwrap();
    dir::make_whiteout(open("up").as_fd(), "gone".as_ref()).unwrap();
    dir::make_whiteout(open("up/d").as_fd(), "sub".as_ref()).unwrap();
    dir::set_xattr(open("up/o"), marks::OPAQUE.as_ref(), b"y").unwrap();
    for layer in ["low", "up"] {
        let done = clone_tree(open(layer).as_fd(), open("to").as_fd(), &Owners::Single).unwrap();
        assert_eq!((done.records.len(), done.notes.len()), (0, 0), "{:?}", done.notes);
    }
    let list = |name: &str| {
        let mut names = dir::list(open(name).as_fd()).unwrap();
        names.sort();
        names.into_iter().map(|name| name.into_string().unwrap()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(list("to"), "+x d o p was-folder was-link z");
    assert_eq!((list("to/d"), list("to/o"), list("to/p")), ("kept".into(), "own".into(), "own".into()));
    assert_eq!(list("to/was-link"), "own");
    assert!(dir::xattr_names(open("to/o")).unwrap().is_empty());
    for file in ["to/+x", "to/was-folder", "to/z"] {
        assert_eq!(fs::read_to_string(at(file)).unwrap(), "up");
    }
}
