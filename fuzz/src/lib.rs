//! What the targets share: a ground to unpack on, and a way to change archives that leaves them archives.

mod archive;

pub use archive::change;

use little_container::sys::dir;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// What must stay as it is, by its path in the ground's folder; the empty one is the folder itself.
const BESIDE: [&str; 6] = ["", "here", "file", "folder", "folder/file", "link"];

/// A folder in memory, in which `root` is what an archive may write to and all else is what it must not reach.
pub struct Ground {
    home: PathBuf,
    fd: OwnedFd,
}

/// What is beside the root: names and, for each of [`BESIDE`], what inode(7) tells of it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    names: Vec<OsString>,
    files: Vec<[u64; 8]>,
    content: Vec<u8>,
}

impl Ground {
    /// Makes the folder, and goes into `here` in it, so that a relative path that is used by mistake shows there.
    pub fn new() -> Ground {
        let shm = Path::new("/dev/shm");
        let top = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let home = top.join(format!("little-container-fuzz.{}", std::process::id()));
        for folder in ["", "here", "folder"] {
            fs::create_dir(home.join(folder)).unwrap();
        }
        fs::write(home.join("file"), "outside").unwrap();
        fs::write(home.join("folder/file"), "outside").unwrap();
        symlink("folder", home.join("link")).unwrap();
        std::env::set_current_dir(home.join("here")).unwrap();
        let fd = dir::open_root(&home).unwrap();
        Ground { home, fd }
    }

    /// Makes an empty root, hands it over, and looks at what is beside it. Whatever is in the root can be removed.
    pub fn with_root<T>(&self, work: impl FnOnce(&OwnedFd) -> T) -> T {
        self.with(["root"], |[root]| work(root))
    }

    /// The same with two roots.
    pub fn with_two<T>(&self, work: impl FnOnce(&OwnedFd, &OwnedFd) -> T) -> T {
        self.with(["root", "second"], |[root, second]| work(root, second))
    }

    fn with<T, const N: usize>(&self, names: [&str; N], work: impl FnOnce(&[OwnedFd; N]) -> T) -> T {
        names.iter().for_each(|name| fs::create_dir(self.home.join(name)).unwrap());
        let before = self.look();
        let roots = names.map(|name| dir::open_root(&self.home.join(name)).unwrap());
        let result = work(&roots);
        assert_eq!(self.look(), before, "something outside the root changed");
        names.iter().for_each(|name| dir::remove_tree(self.fd.as_fd(), OsStr::new(name)).unwrap());
        result
    }

    fn look(&self) -> Seen {
        let mut names = dir::list(self.fd.as_fd()).unwrap();
        for folder in ["here", "folder"] {
            let inside = dir::resolve_dir(self.fd.as_fd(), Path::new(folder)).unwrap();
            names.extend(dir::list(inside.as_fd()).unwrap());
        }
        names.sort();
        let facts = |name: &&str| {
            let m = fs::symlink_metadata(self.home.join(name)).unwrap();
            let times = [m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()].map(i64::cast_unsigned);
            let [a, b, c, d] = times;
            [m.ino(), m.mode().into(), m.nlink(), m.size(), a, b, c, d]
        };
        let content = ["file", "folder/file"].map(|name| fs::read(self.home.join(name)).unwrap()).concat();
        Seen { names, files: BESIDE.iter().map(facts).collect(), content }
    }
}

impl Default for Ground {
    fn default() -> Self {
        Self::new()
    }
}
