//! The image `host`: the machine's own programs under a copy-on-write layer, with no download.
//!
//! Each of the machine's folders is an overlay of its own, since overlay does not look into mounts below a lower layer.
//! Above the machine's folder lies a mirror of it ([`super::mirror`]). So files can be made, replaced and removed there, while
//! one of the machine's files cannot be changed in place.

use super::mirror;
use crate::plan::facts::{Image, Part};
use anyhow::{Context, Result};
use std::{
    fs, io,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
};

/// The machine's folders that are shown, where they are folders and not links, and how deep ours go.
const PARTS: &[(&str, usize)] = &[
    ("usr", 3),
    ("etc", 3),
    ("opt", 2),
    ("bin", 0),
    ("sbin", 0),
    ("lib", 2),
    ("lib32", 1),
    ("lib64", 1),
    ("libx32", 1),
];

/// Folders of the root that are empty, with their modes.
const EMPTY: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
];

/// The image, made from what the machine has now. `folder` is ours in the store.
///
/// # Errors
/// Our folders cannot be made.
pub fn image(folder: &Path) -> Result<Image> {
    let stamp = folder.join("stamp");
    let now = stamp_of_machine();
    if fs::read_to_string(&stamp).ok().as_deref() != Some(now.as_str()) {
        make(folder).with_context(|| format!("make the folders of the image host in {}", folder.display()))?;
        mirror::write_stamp(&stamp, now.as_bytes()).with_context(|| format!("write {}", stamp.display()))?;
    }
    let parts = PARTS.iter().map(|(name, _)| *name).filter(|name| is_folder(&Path::new("/").join(name)));
    let part = |name: &str| Part {
        name: name.into(),
        layers: vec![folder.join("parts").join(name).into(), Path::new("/").join(name).into()],
    };
    Ok(Image { layers: vec![folder.join("root").into()], parts: parts.map(part).collect(), ..Image::default() })
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_dir())
}

/// Changes when a folder near the top comes or goes.
fn stamp_of_machine() -> String {
    let watched = ["/", "/usr", "/usr/lib", "/usr/local", "/usr/share", "/etc", "/opt", "/lib"];
    let time =
        |path: &&str| fs::metadata(path).map(|m| format!("{}.{}", m.mtime(), m.mtime_nsec())).unwrap_or_default();
    watched.iter().map(time).collect::<Vec<_>>().join(" ")
}

fn make(folder: &Path) -> Result<()> {
    let root = folder.join("root");
    for (name, mode) in EMPTY {
        mirror::make_folder(&root.join(name), *mode)?;
    }
    for (name, depth) in PARTS {
        let machine = Path::new("/").join(name);
        if let Ok(to) = fs::read_link(&machine) {
            match symlink(to, root.join(name)) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
        } else if is_folder(&machine) {
            mirror::make_folder(&root.join(name), 0o755)?;
            mirror::mirror(&machine, &folder.join("parts").join(name), *depth)?;
        }
    }
    Ok(())
}
