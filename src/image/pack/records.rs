//! What could not be applied to the files of a tree, found again by the files.
//!
//! A record has the path by which its archive named the file, which may lead through a link, and a file may have more
//! names: so each is resolved once, and from then on the inode counts.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::image::owners::{Device, OwnerRecord, decode};
use crate::sys::dir;

/// Device number and inode.
type Inode = (u64, u64);

/// The records of one tree.
pub struct Records<'a> {
    files: HashMap<Inode, &'a OwnerRecord>,
    nodes: HashMap<Inode, BTreeMap<OsString, (&'a OwnerRecord, Device)>>,
}

impl<'a> Records<'a> {
    /// Looks up each; one whose file is gone is left out.
    pub fn new(root: BorrowedFd<'_>, records: &'a [OwnerRecord]) -> Result<Self> {
        let mut found = Self { files: HashMap::new(), nodes: HashMap::new() };
        for record in records {
            found.add(root, record).with_context(|| format!("the record of {:?}", record.path))?;
        }
        Ok(found)
    }

    fn add(&mut self, root: BorrowedFd<'_>, record: &'a OwnerRecord) -> Result<()> {
        let path = PathBuf::from(OsString::from_vec(decode(&record.path)?));
        let name = path.file_name().unwrap_or(OsStr::new("."));
        let folder = match dir::resolve_dir(root, path.parent().unwrap_or(Path::new(""))) {
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) || dir::is_loop(&error) => return Ok(()),
            folder => folder?,
        };
        match (dir::stat(folder.as_fd(), name), record.device) {
            (Ok(meta), None) => drop(self.files.insert(meta.inode, record)),
            (Err(error), Some(device)) if error.kind() == NotFound => {
                let nodes = self.nodes.entry(dir::stat_fd(&folder)?.inode).or_default();
                nodes.insert(name.to_owned(), (record, device));
            }
            // A file has come in place of the node.
            (Ok(_), Some(_)) => {}
            (Err(error), _) if error.kind() == NotFound => {}
            (Err(error), _) => return Err(error.into()),
        }
        Ok(())
    }

    /// The record of a file.
    pub fn of(&self, file: Inode) -> Option<&'a OwnerRecord> {
        self.files.get(&file).copied()
    }

    /// The device nodes that belong into a folder.
    pub fn nodes_in(&self, folder: Inode) -> impl Iterator<Item = (&OsStr, &'a OwnerRecord, Device)> {
        let nodes = self.nodes.get(&folder).into_iter().flatten();
        nodes.map(|(name, (record, device))| (name.as_os_str(), *record, *device))
    }
}

/// The refused attributes of a record, as they were.
pub fn xattrs(record: &OwnerRecord) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let one = |(name, value): (&String, &String)| Some((decode(name).ok()?, bytes(value)?));
    let all: Option<_> = record.xattrs.iter().map(one).collect();
    all.with_context(|| format!("the record of {:?}: an attribute that is no hexadecimal number", record.path))
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let value = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { value } else { None }
}
