//! Where our folders are. Needed: neither a login session, nor a home, nor any variable.

use crate::sys::cred;
use anyhow::{Context, Result, bail};
use directories::ProjectDirs;
use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Our name in other people's folders.
const NAME: &str = "little-container";

fn project() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", NAME)
}

/// The configuration file, which need not be there.
pub fn config_file() -> Option<PathBuf> {
    let named = env::var_os("LITTLE_CONTAINER_CONFIG").map(PathBuf::from);
    named.or_else(|| project().map(|dirs| dirs.config_dir().join("config.toml")))
}

/// The store where nobody has said where: XDG's data folder; for a user with no home, a folder of its own in /tmp.
///
/// # Errors
/// There is no home, and the folder in /tmp belongs to somebody else.
pub fn default_store() -> Result<PathBuf> {
    if let Some(dirs) = project().filter(|dirs| has_home(dirs.data_dir())) {
        return Ok(dirs.data_dir().into());
    }
    Ok(private_in("/tmp")?.join("store"))
}

/// Whether some folder above this one is there and may be ours to write to; a service user's home is often /nonexistent.
fn has_home(data: &Path) -> bool {
    let existing = data.ancestors().find(|p| p.exists());
    existing.is_some_and(|p| p != Path::new("/") || cred::effective_uid() == 0)
}

/// The folder for what lives until the next boot, and whether it was made just now: `$XDG_RUNTIME_DIR` or the place where
/// systemd puts it, if it is ours; else a folder in /dev/shm or /tmp. Others' folders, as `su` and `sudo -E` leave in the
/// variable, are passed over.
///
/// # Errors
/// No folder can be had.
pub fn runtime() -> Result<(PathBuf, bool)> {
    let uid = cred::effective_uid();
    let given = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|p| p.is_absolute());
    let usual = Path::new("/run/user").join(uid.to_string());
    for base in given.into_iter().chain([usual]) {
        if !is_ours(&base, uid) {
            continue;
        }
        // Where others may write to the base, too, ours in it may be one that they have made.
        if let Ok(made) = make(&base.join(NAME))
            && is_private(&base.join(NAME), uid)
        {
            return Ok((base.join(NAME), made));
        }
    }
    // In memory first: it is quicker than a disk, and as with /run nothing of it outlives the boot.
    let base = private_in("/dev/shm").or_else(|_| private_in("/tmp"))?;
    let made = make(&base.join("run"))?;
    Ok((base.join("run"), made))
}

fn is_ours(folder: &Path, uid: u32) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|m| m.is_dir() && m.uid() == uid && m.permissions().mode() & 0o200 != 0)
}

fn is_private(folder: &Path, uid: u32) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|m| m.is_dir() && m.uid() == uid && m.permissions().mode() & 0o077 == 0)
}

fn make(folder: &Path) -> io::Result<bool> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    }
}

/// A folder, in one that all may write to, that only we can write to. Anybody may make a folder of that name first, so it is
/// checked.
fn private_in(base: &str) -> Result<PathBuf> {
    let uid = cred::effective_uid();
    let folder = PathBuf::from(format!("{base}/{NAME}-{uid}"));
    make(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
    if !is_private(&folder, uid) {
        bail!(
            "{} is not a folder of yours alone\n  cause: somebody else made it, or opened it to others\n  \
             fix (you): set XDG_RUNTIME_DIR and LITTLE_CONTAINER_STORE to folders of your own",
            folder.display()
        );
    }
    Ok(folder)
}
