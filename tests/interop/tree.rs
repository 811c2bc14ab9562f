//! What is in a tree: the same script says it of a folder of this machine and of a container.

use super::{
    layout::Layout,
    support::{Ground, find, outcome},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Kind and mode, size, links, owner, group, time, device, name and target; then the contents.
const SCRIPT: &str = "busybox find data -exec busybox stat -c '%f|%s|%h|%u|%g|%Y|%t,%T|%N' {} +
busybox find data -type f -exec busybox sha256sum {} +";

/// The lines of the listing, sorted.
pub type Listing = Vec<String>;

/// Sizes and link counts of folders are the file system's, times of folders the moment's.
fn listing(out: &[u8], owners: bool) -> Listing {
    let line = |line: &[u8]| {
        let line = line.escape_ascii().to_string();
        let mut parts: Vec<&str> = line.splitn(8, '|').collect();
        let [kind, size, links, uid, gid, time, ..] = &mut parts[..] else { return line };
        let folder = kind.starts_with('4');
        if folder {
            (*size, *links, *time) = ("-", "-", "-");
        }
        if !owners {
            (*uid, *gid) = ("-", "-");
        }
        parts.join("|")
    };
    let mut all: Listing = out.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()).map(line).collect();
    all.sort();
    all
}

/// Owners can be kept by root only.
fn is_root() -> bool {
    nix::unistd::getuid().is_root()
}

fn quiet(command: &mut Command) -> Vec<u8> {
    let out = command.output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// `data` of an image as umoci unpacks it.
pub fn by_umoci(ground: &Ground, layout: &Layout, tag: &str) -> Listing {
    let bundle = ground.path(&format!("bundle-{tag}"));
    let mut command = Command::new("umoci");
    command.arg("unpack").arg("--image").arg(format!("{}:{tag}", layout.folder.display()));
    if !is_root() {
        command.arg("--rootless");
    }
    let out = outcome(command.arg(&bundle));
    assert_eq!(out.status, 0, "{out:?}");
    let listing = of_folder(&bundle.join("rootfs"));
    let _ = Command::new("rm").arg("-rf").arg(bundle).status();
    listing
}

/// `data` of these layers as GNU tar unpacks them one over the other.
pub fn by_tar(ground: &Ground, layers: &[Vec<u8>]) -> Listing {
    let folder = ground.path("by-tar");
    fs::create_dir(&folder).unwrap();
    for (at, layer) in layers.iter().enumerate() {
        let file = ground.file(&format!("layer-{at}.tar"), layer);
        let out = outcome(Command::new("tar").arg("-xpf").arg(file).args(["--numeric-owner", "-C"]).arg(&folder));
        assert_eq!(out.status, 0, "{out:?}");
    }
    of_folder(&folder)
}

pub fn of_folder(folder: &Path) -> Listing {
    let busybox = find("busybox").unwrap();
    let out = quiet(Command::new(busybox).args(["sh", "-c", SCRIPT]).current_dir(folder));
    listing(&out, is_root())
}

/// `data` of an image of the store as a container sees it.
pub fn inside(ground: &Ground, store: &Path, storage: &str, image: &str) -> Listing {
    let mut command = ground.lc(["--store"]);
    command.arg(store).args(["run", "--rm", "--storage", storage, image, "sh", "-c", &format!("cd /; {SCRIPT}")]);
    listing(&quiet(&mut command), is_root())
}

/// Which ways of keeping writes apart work on this machine.
pub fn drivers(ground: &Ground) -> Vec<&'static str> {
    let all = ["overlay", "fuse-overlayfs", "copy"];
    let works = |storage: &&str| ground.sh(&["--storage", storage], "true").status == 0;
    let all: Vec<_> = all.into_iter().filter(works).collect();
    assert!(all.contains(&"copy"));
    all
}

/// The first differences, for one who has to mend it.
#[track_caller]
pub fn assert_same(what: &str, got: &Listing, expected: &Listing) {
    let missing: Vec<_> = expected.iter().filter(|line| got.binary_search(line).is_err()).take(10).collect();
    let surplus: Vec<_> = got.iter().filter(|line| expected.binary_search(line).is_err()).take(10).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "{what}\nmissing {missing:#?}\nsurplus {surplus:#?}");
    assert!(got.len() == expected.len() && got.len() > 2, "{what}: {} lines, {}", got.len(), expected.len());
}

/// A file beside the working folder's.
pub fn place(ground: &Ground, name: &str) -> PathBuf {
    ground.path("work").join(name)
}
