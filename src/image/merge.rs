//! Layers one onto the other, as one tree with one list of owners.

use std::fs::File;
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
};

use anyhow::{Context, Result};

use super::layer::{clone_tree, marks};
use super::owners::{OwnerRecord, Owners, decode};
use crate::sys::cred;
use crate::sys::dir::{self, Kind};

/// One layer of those that are merged.
#[derive(Debug)]
pub struct Part {
    /// Its tree.
    pub root: PathBuf,
    /// Its files are in a part above it already, so that only its owners and its marks count.
    pub known: bool,
    /// What its tree could not keep.
    pub records: Vec<OwnerRecord>,
    /// It is what a container wrote: a file of ours that was changed there still has the owner it had below.
    pub changes: bool,
}

/// Copies `parts`, the lowest first, into the empty folder `root`, so that whiteouts and opaque folders are honoured.
/// Gives the owners of the whole, and what was left out, line by line.
///
/// # Errors
/// Those of reading the parts and of writing; the error names the file.
pub fn merge(parts: Vec<Part>, root: BorrowedFd<'_>, owners: &Owners) -> Result<(Vec<OwnerRecord>, Vec<String>)> {
    let (mut records, mut notes) = (Vec::<OwnerRecord>::new(), Vec::new());
    for part in parts {
        let tree = File::open(&part.root).with_context(|| format!("open {}", part.root.display()))?;
        let mut kept = Vec::with_capacity(records.len());
        for record in records {
            let path = record.path.clone();
            kept.extend(survives(tree.as_fd(), record, part.changes).with_context(|| format!("{path:?}"))?);
        }
        records = kept;
        if !part.known {
            let copied = clone_tree(tree.as_fd(), root, owners)?;
            notes.extend(copied.notes);
            records.extend(copied.records);
        }
        let newer: HashSet<&str> = part.records.iter().map(|record| record.path.as_str()).collect();
        records.retain(|record| !newer.contains(record.path.as_str()));
        records.extend(part.records);
    }
    Ok((records, notes))
}

/// What a record of a lower layer is once the layer `top` lies on it.
fn survives(top: BorrowedFd<'_>, record: OwnerRecord, changes: bool) -> Result<Option<OwnerRecord>> {
    let path = PathBuf::from(OsString::from_vec(decode(&record.path)?));
    let mut names: Vec<&OsStr> = path.components().filter_map(normal).collect();
    let last = names.pop().unwrap_or(OsStr::new("."));
    let mut folder = dir::open_dir_beneath(top, Path::new(""))?;
    for name in names {
        if hides(folder.as_fd(), name)? {
            return Ok(None);
        }
        match dir::stat(folder.as_fd(), name) {
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(Some(record)),
            Err(error) => return Err(error.into()),
            Ok(meta) if meta.kind == Kind::Directory => {
                folder = dir::open_dir_beneath(folder.as_fd(), Path::new(name))?
            }
            // The path may have led through a link in its own layer, too: the whole tree tells.
            Ok(meta) if meta.kind == Kind::Symlink => return Ok(Some(record)),
            Ok(_) => return Ok(None),
        }
    }
    if hides(folder.as_fd(), last)? {
        return Ok(None);
    }
    match dir::stat(folder.as_fd(), last) {
        Err(error) if error.kind() == NotFound => Ok(Some(record)),
        Err(error) => Err(error.into()),
        Ok(meta) => {
            let same = changes && record.device.is_none() && meta.uid == cred::effective_uid();
            let same = same && matches!(meta.kind, Kind::File | Kind::Directory);
            // Without the bits that an owner who could not be given took along it is the mode that was on the disk.
            let mode = if meta.mode & 0o1777 == record.mode & 0o1777 { record.mode } else { meta.mode };
            Ok(same.then_some(OwnerRecord { mode, ..record }))
        }
    }
}

fn normal(component: Component<'_>) -> Option<&OsStr> {
    match component {
        Component::Normal(name) => Some(name),
        _ => None,
    }
}

/// Whether a folder of a layer hides what lower layers have there by this name, by a mark of either form.
fn hides(folder: BorrowedFd<'_>, name: &OsStr) -> Result<bool> {
    if name == "." {
        return Ok(false);
    }
    let there = |name: &OsStr| dir::stat(folder, name).is_ok();
    let mut mark = OsString::from_vec(marks::PREFIX.to_vec());
    mark.push(name);
    if marks::is_opaque(folder) || there(OsStr::new(marks::OPAQUE_FILE)) || there(&mark) {
        return Ok(true);
    }
    Ok(dir::stat(folder, name).is_ok_and(|meta| meta.kind == Kind::Char && meta.device == (0, 0)))
}
