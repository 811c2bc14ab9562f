//! A store that goes to another place.
//!
//! On the same file system the folder and a link to its new place change names in one step, so that at any moment the old
//! path leads to the store. Elsewhere it is copied beside its new place, compared, and renamed; the old one goes last.

use crate::{
    image,
    plan::ids::Ids,
    store::{Store, containers, lock, record::Status, unneeded},
    sys::{code, dir, process},
    userns,
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs, io,
    os::{fd::AsFd, unix::fs::symlink},
    path::{Path, PathBuf},
};

/// A store that is at its new place; the old one is there still, or a link is in its place.
#[must_use]
pub struct Moved {
    old: PathBuf,
}

/// Moves it. Until [`Moved::finish`] both paths lead to a whole store.
///
/// # Errors
/// The store is in use, `new` is taken, or there is no room.
pub fn move_store(store: &Store, new: &Path, ids: &Ids) -> Result<Moved> {
    is_idle(store)?;
    let real = fs::canonicalize(store.root()).with_context(|| format!("open {}", store.root().display()))?;
    if real == new {
        // An attempt was ended after the step that counts.
        ensure!(store.root().is_symlink(), "the store is {} already", new.display());
        rewrite(&[store.root()], new)?;
        return Ok(Moved { old: store.root().into() });
    }
    let old = real.as_path();
    let inside = |a: &Path, b: &Path| a.starts_with(b);
    ensure!(!inside(new, old) && !inside(old, new), "{} and {} lie within each other", old.display(), new.display());
    let parent = new.parent().context("the root folder cannot be a store")?;
    fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    // What an attempt has left that was ended before it began.
    if fs::read_link(new).is_ok_and(|target| target == new) {
        fs::remove_file(new)?;
    }
    match fs::read_dir(new) {
        Ok(mut entries) => {
            ensure!(
                entries.next().is_none(),
                "{} is not empty\n  fix (you): name a folder that is new or empty",
                new.display()
            );
            fs::remove_dir(new)?;
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("look into {}", new.display())),
    }
    match exchange(old, new) {
        Err(e) if matches!(e.raw_os_error(), Some(code::EXDEV | code::EBUSY)) => copy(old, new, ids)?,
        done => done.with_context(|| format!("move {} to {}", old.display(), new.display()))?,
    }
    rewrite(&[old, store.root()], new)?;
    Ok(Moved { old: real })
}

impl Moved {
    /// Nothing names the old place any more: it goes.
    ///
    /// # Errors
    /// Something cannot be removed; the error names it.
    pub fn finish(self) -> Result<()> {
        unneeded::remove_folder(&self.old)
    }
}

/// Nobody may be at the store while it goes.
fn is_idle(store: &Store) -> Result<()> {
    let machine = process::uname().0;
    for record in containers::list(store)?.into_iter().flatten() {
        let status = record.status(&machine);
        if matches!(status, Status::Running | Status::Starting | Status::Elsewhere(_)) {
            let name = record.name.unwrap_or_else(|| crate::plan::short_id(&record.id).into());
            bail!(
                "the container {name} runs in this store\n  fix (you): end it first (`little-container rm -f {name}`)"
            );
        }
    }
    for folder in ["layers", "blobs/sha256"] {
        for entry in fs::read_dir(store.root().join(folder)).into_iter().flatten().flatten() {
            let is_lock = entry.file_name().as_encoded_bytes().starts_with(b".lock-");
            if is_lock && lock::Lock::attempt(&entry.path(), lock::Mode::Alone)?.is_none() {
                bail!("another process is at work in this store\n  fix (you): wait for it and try again");
            }
        }
    }
    Ok(())
}

/// A link to itself at the new place changes names with the store: then it leads from the old place to the new one.
fn exchange(old: &Path, new: &Path) -> io::Result<()> {
    let open = |path: &Path| dir::open_root(path.parent().unwrap_or(Path::new("/")));
    let (from, to) = (open(old)?, open(new)?);
    let (from_name, to_name) = (old.file_name().unwrap_or_default(), new.file_name().unwrap_or_default());
    symlink(new, new)?;
    let done = dir::exchange(from.as_fd(), from_name, to.as_fd(), to_name);
    if done.is_err() {
        let _ = fs::remove_file(new);
    }
    match done {
        // Some file systems cannot do both at once.
        Err(e) if matches!(e.raw_os_error(), Some(code::EINVAL | code::ENOSYS)) => {
            dir::rename(from.as_fd(), from_name, to.as_fd(), to_name)?;
            symlink(new, old)
        }
        done => done,
    }
}

fn copy(old: &Path, new: &Path, ids: &Ids) -> Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(new.file_name().unwrap_or_default());
    name.push(".moving");
    let draft = new.with_file_name(name);
    unneeded::remove_folder(&draft)?;
    crate::store::make_private_folder(&draft).with_context(|| format!("make {}", draft.display()))?;
    let work = || -> Result<Vec<u8>> {
        let (from, to) = (fs::File::open(old)?, fs::File::open(&draft)?);
        image::copy_exactly(from.as_fd(), to.as_fd()).with_context(|| format!("copy to {}", draft.display()))?;
        let differs = image::difference(from.as_fd(), to.as_fd()).context("compare the copy")?;
        match differs {
            Some(what) => bail!("the copy is not the same: {what}"),
            None => Ok(Vec::new()),
        }
    };
    userns::inside(&ids.map, &ids.mapper, work).inspect_err(|_| drop(unneeded::remove_folder(&draft)))?;
    fs::rename(&draft, new).with_context(|| format!("rename {}", draft.display()))
}

/// The records of containers name the folders of their layers.
fn rewrite(old: &[&Path], new: &Path) -> Result<()> {
    let Some(store) = Store::known(new.into()) else { bail!("the store is not whole at {}", new.display()) };
    for mut record in containers::list(&store)?.into_iter().flatten() {
        for layer in &mut record.layers {
            if let Some(rest) = old.iter().find_map(|old| layer.path().strip_prefix(old).ok()) {
                *layer = new.join(rest).into();
            }
        }
        record.write(&store.container(&record.id))?;
    }
    Ok(())
}
