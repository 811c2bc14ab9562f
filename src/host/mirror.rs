//! A layer of empty folders over somebody else's: what makes a foreign folder writable under a copy-on-write layer.
//!
//! The owner of a foreign folder has no id inside, and the kernel refuses to copy such a folder up before something is made
//! in it (EOVERFLOW, or EACCES before that). A folder of ours it copies. So a folder with the same folders, to a depth of a
//! few levels, and no files is put on top of it as a layer: its folders are ours, the files below still show through.

use crate::spec::Raw;
use anyhow::{Context, Result};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
};

/// How many levels are mirrored: `/usr/local/bin`, `/home/ana/work`.
const DEPTH: usize = 3;

/// The layers for a root file system that is any folder, the uppermost first: itself, under a mirror where it is not ours.
/// Mirrors are kept in `folder` of the store and made anew when folders near the top have changed.
///
/// # Errors
/// The mirror cannot be made.
pub fn layers(dir: &Path, own: u32, folder: &Path) -> Result<Vec<Raw>> {
    let Ok(metadata) = fs::metadata(dir) else { return Ok(vec![dir.into()]) };
    let foreign = |path: &Path| fs::symlink_metadata(path).is_ok_and(|m| m.is_dir() && m.uid() != own);
    if ![dir.into(), dir.join("etc"), dir.join("usr")].iter().any(|path| foreign(path)) {
        return Ok(vec![dir.into()]);
    }
    let place = folder.join(format!("{:x}.{:x}", metadata.dev(), metadata.ino()));
    let stamp = place.join("stamp");
    let now = stamp_of(dir);
    let root = place.join("root");
    if fs::read_to_string(&stamp).ok().as_deref() != Some(now.as_str()) {
        mirror(dir, &root, DEPTH)
            .and_then(|()| write_stamp(&stamp, now.as_bytes()))
            .with_context(|| format!("make the folders over {} in {}", dir.display(), place.display()))?;
    }
    Ok(vec![root.into(), dir.into()])
}

/// Changes when a folder comes or goes at the top or one level below.
fn stamp_of(dir: &Path) -> String {
    let time = |path: &Path| {
        fs::symlink_metadata(path).map(|m| format!("{}.{} ", m.mtime(), m.mtime_nsec())).unwrap_or_default()
    };
    let mut below: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    below.sort();
    below.iter().fold(time(dir), |all, path| all + &time(path))
}

/// A folder of this mode, and those above it.
///
/// # Errors
/// Those of mkdir(2) and chmod(2).
pub fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The same folders again, `depth` levels of them, without their files. What cannot be read is left out, for nobody inside
/// could read it either.
///
/// # Errors
/// Those of mkdir(2).
pub fn mirror(from: &Path, to: &Path, depth: usize) -> io::Result<()> {
    make_folder(to, 0o755)?;
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    if depth == 0 {
        return Ok(());
    }
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) && fs::read_dir(entry.path()).is_ok() {
            mirror(&entry.path(), &to.join(entry.file_name()), depth - 1)?;
        }
    }
    Ok(())
}

/// Beside its place, then renamed: two first runs at once do not see half of it.
///
/// # Errors
/// Those of open(2), write(2) and rename(2).
pub fn write_stamp(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(std::process::id().to_string());
    fs::write(&draft, content)?;
    fs::rename(draft, path)
}
