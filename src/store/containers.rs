//! Containers of the store: found by name, id or the beginning of an id; taken away with everything they wrote.

use super::{Store, record::Record};
use crate::{
    host,
    plan::ids::{self, Caller},
    say,
    spec::Userns,
    sys::{cred, dir},
    userns,
};
use anyhow::{Context, Result, bail};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    ffi::OsStr,
    fs, io,
    os::{fd::AsFd, unix::fs::symlink},
    path::Path,
};

/// A container, or the name of a folder whose record cannot be read.
pub type Listed = std::result::Result<Record, Broken>;

/// A folder whose record cannot be read.
#[derive(Debug)]
pub struct Broken {
    /// The container's id.
    pub id: String,
    /// What is wrong with the record.
    pub why: String,
}

/// All containers, the newest first. A broken record does not break the list.
///
/// # Errors
/// The folder cannot be read.
pub fn list(store: &Store) -> Result<Vec<Listed>> {
    let folder = store.root().join("containers");
    let entries = fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
    // Anything else is none: a probe's folder (host/overlay.rs), which another process may be at.
    let ids = entries.filter_map(|e| e.ok()?.file_name().into_string().ok().filter(|name| super::is_id(name)));
    let mut all: Vec<Listed> =
        ids.map(|id| Record::read(&store.container(&id)).map_err(|e| Broken { id, why: say::chain(&e) })).collect();
    all.sort_by(|a, b| created(b).cmp(created(a)));
    Ok(all)
}

fn created(listed: &Listed) -> &str {
    listed.as_ref().map(|r| r.created.as_str()).unwrap_or_default()
}

/// The id that `word` stands for: a name, an id, or the beginning of one.
///
/// # Errors
/// No container or more than one is meant.
pub fn find(store: &Store, word: &str) -> Result<String> {
    if crate::spec::check_name(word, 64).is_ok()
        && let Ok(id) = fs::read_link(store.root().join("names").join(word))
        && let Ok(id) = id.into_os_string().into_string()
        && super::is_id(&id)
        && store.container(&id).exists()
    {
        return Ok(id);
    }
    let hex = !word.is_empty() && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut found = Vec::new();
    if hex {
        for entry in fs::read_dir(store.root().join("containers"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(word) && super::is_id(&name) {
                found.push(name);
            }
        }
    }
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => bail!("no container is called {word:?}\n  fix (you): `little-container ps -a` lists them"),
        n => bail!("{n} containers have an id that starts with {word}\n  fix (you): type more of it"),
    }
}

/// Gives a container a name that no other has.
///
/// # Errors
/// Another container has it.
pub fn claim_name(store: &Store, name: &str, id: &str) -> Result<()> {
    let link = store.root().join("names").join(name);
    loop {
        match symlink(id, &link) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let holder = fs::read_link(&link).unwrap_or_default();
                if holder.to_str().is_some_and(|id| super::is_id(id) && store.container(id).exists()) {
                    bail!(
                        "the name {name:?} is taken by container {}\n  \
                         fix (you): `little-container rm {name}` frees it, or choose another --name",
                        crate::plan::short_id(&holder.to_string_lossy())
                    );
                }
                // Its container is gone.
                let _ = fs::remove_file(&link);
            }
            other => return other.with_context(|| format!("give the name {name:?}")),
        }
    }
}

/// Gives a name back, if this container has it.
pub fn release_name(store: &Store, name: &str, id: &str) {
    let link = store.root().join("names").join(name);
    if fs::read_link(&link).is_ok_and(|holder| holder == Path::new(id)) {
        let _ = fs::remove_file(link);
    }
}

fn release_names(store: &Store, id: &str) {
    let Ok(links) = fs::read_dir(store.root().join("names")) else { return };
    for name in links.filter_map(|link| link.ok()?.file_name().into_string().ok()) {
        release_name(store, &name, id);
    }
}

/// Takes a container away: its changes, its record, its name. Files of mapped owners are removed inside its namespace.
///
/// The record goes last, so that a removal that was cut short is still seen and can be repeated.
///
/// # Errors
/// Something cannot be removed; the error names it.
pub fn remove(store: &Store, id: &str) -> Result<()> {
    remove_known(store, id, Record::read(&store.container(id)).ok().as_ref())
}

/// Like [`remove`], for one whose record is known.
///
/// # Errors
/// Something cannot be removed; the error names it.
pub fn remove_known(store: &Store, id: &str, record: Option<&Record>) -> Result<()> {
    let folder = store.container(id);
    if folder.is_symlink() {
        // None of ours: what it leads to stays.
        return Ok(fs::remove_file(folder)?);
    }
    remove_content(&folder).with_context(|| format!("remove the files of container {id}"))?;
    match record {
        Some(record) => record.name.iter().for_each(|name| release_name(store, name, id)),
        // Its run was killed between the two: only the links tell.
        None => release_names(store, id),
    }
    remove_ok(fs::remove_file(folder.join("container.json")))?;
    remove_ok(fs::remove_dir(&folder)).with_context(|| format!("remove {}", folder.display()))
}

/// Takes away what was written under a container's folder, all but the record.
fn remove_content(folder: &Path) -> Result<()> {
    with_every_id(|| empty(folder))
}

/// Does it, and where that is refused does it again with every id that we have, for files of mapped owners.
///
/// # Errors
/// That of the work.
pub fn with_every_id<T: Serialize + DeserializeOwned>(work: impl Fn() -> io::Result<T>) -> Result<T> {
    let refused = match work() {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => e,
        done => return Ok(done?),
    };
    let (uid, gid) = cred::own_ids();
    let ids = host::sub_ids(Userns::Range);
    match ids::choose(Userns::Range, &Caller { uid, gid, ids: &ids }) {
        Ok(ids) => {
            let told = userns::inside(&ids.map, &ids.mapper, || Ok(serde_json::to_vec(&work()?)?))?;
            Ok(serde_json::from_slice(&told)?)
        }
        Err(_) => Err(refused.into()),
    }
}

fn empty(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let handle = fs::File::open(folder)?;
    for entry in entries {
        let name = entry?.file_name();
        if name != OsStr::new("container.json") {
            dir::remove_tree(handle.as_fd(), &name)?;
        }
    }
    Ok(())
}

fn remove_ok(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
