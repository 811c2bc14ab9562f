//! The tree of an unpacked layer as a tar archive: the same tree gives the same bytes.
//!
//! The names of a folder come sorted by their bytes, a folder before what is in it. Nothing but the tree and its records
//! goes in: no clock, no user names, nothing of this machine. The walk goes by descriptors, on its own mount only and
//! through no link. Owners are those that the caller sees, so a layer written with a range of ids is packed in its user
//! namespace.

mod level;
mod records;
mod writer;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::owners::{Device, OwnerRecord, may_bring};
use super::tape::{Member, MemberKind};
use super::tree::xattrs;
use crate::sys::cred;
use crate::sys::dir::{self, Kind, Meta, Time};
use level::{Item, Level, What};
use records::Records;
use writer::Writer;

/// Folders that stay open on the way down; one that is further up is opened anew on the way back.
const OPEN: usize = 64;

/// What came of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// `sha256:<hex>` of the stream (image-spec, config.md, "Layer DiffID").
    pub diff_id: String,
    /// Bytes of the stream.
    pub size: u64,
    /// Members of the archive.
    pub entries: u64,
}

/// Writes the tree at `root` as a tar archive in pax format, with a long name that is not UTF-8 as GNU tar writes it.
///
/// What `records` says about a file comes in place of what it has on disk; a device node that was not made is put back.
/// Files of the caller belong to 0, unless recorded otherwise. A whiteout and an opaque folder of an overlay become the
/// marks of the image-spec (layer.md, "Whiteouts"); a file that is named like one stays what it is. Sockets are left out,
/// as are attributes that belong to this machine, and those whose name has a `=`, which pax cannot express.
///
/// An error names the file: one that may not be read, that lies on another mount, or that changed meanwhile.
pub fn pack(root: BorrowedFd<'_>, records: &[OwnerRecord], out: impl Write) -> Result<Packed> {
    let records = Records::new(root, records)?;
    let own = cred::effective_uid();
    let mut packing = Packing { records, own, names: HashMap::new(), out: Writer::new(out) };
    let opened = dir::open_dir_beneath(root, Path::new("")).context("the folder to pack")?;
    packing.folder(b"./".to_vec(), &dir::stat_fd(&opened)?, opened.as_fd())?;
    let mut levels = vec![Level::new(PathBuf::new(), opened, &packing.records).context("the folder to pack")?];
    while let Some(level) = levels.last_mut() {
        let Some(item) = level.rest.next() else {
            levels.pop();
            continue;
        };
        let path = level.path.join(&item.name);
        let named = || format!("\"{}\"", path.as_os_str().as_bytes().escape_ascii());
        let folder = match &level.folder {
            Some(folder) => folder,
            None => level.folder.insert(dir::open_dir_beneath(root, &level.path).with_context(named)?),
        };
        if let Some(opened) = packing.item(folder.as_fd(), &item, &path).with_context(named)? {
            let next = Level::new(path.clone(), opened, &packing.records).with_context(named)?;
            levels.push(next);
            if let Some(above) = levels.len().checked_sub(OPEN + 1) {
                levels[above].folder = None;
            }
        }
    }
    packing.out.finish()
}

struct Packing<'a, W: Write> {
    records: Records<'a>,
    /// Whom the files belong to that are root's.
    own: u32,
    /// The first path of each file with several names.
    names: HashMap<(u64, u64), Vec<u8>>,
    out: Writer<W>,
}

impl<W: Write> Packing<'_, W> {
    /// Writes one file; the folder that is to be entered, if it is one.
    fn item(&mut self, folder: BorrowedFd<'_>, item: &Item, path: &Path) -> Result<Option<OwnedFd>> {
        let name = path.as_os_str().as_bytes().to_vec();
        let meta = match &item.what {
            What::Found(meta) => meta,
            What::Recorded(record, device) => {
                let mut node = Member { mode: record.mode, ..member(name, MemberKind::Device(*device)) };
                (node.uid, node.gid) = (record.uid, record.gid);
                node.xattrs = records::xattrs(record)?;
                return self.out.member(&node).map(|()| None);
            }
            What::Mark => return self.out.member(&member(name, MemberKind::File)).map(|()| None),
        };
        if meta.kind == Kind::Directory {
            let opened = dir::open_dir_beneath(folder, Path::new(&item.name))?;
            ensure!(dir::stat_fd(&opened)?.inode == meta.inode, "it changed while it was packed");
            self.folder([&name[..], b"/"].concat(), meta, opened.as_fd())?;
            return Ok(Some(opened));
        }
        if meta.nlink > 1 {
            if let Some(first) = self.names.get(&meta.inode) {
                let link =
                    Member { link: first.clone(), ..self.described(name, MemberKind::HardLink, meta, Vec::new())? };
                return self.out.member(&Member { xattrs: Vec::new(), ..link }).map(|()| None);
            }
            self.names.insert(meta.inode, name.clone());
        }
        match meta.kind {
            Kind::File => self.file(folder, item, name, meta)?,
            Kind::Symlink => {
                let link = dir::read_link(folder, &item.name)?.into_vec();
                let member = self.described(name, MemberKind::Symlink, meta, Vec::new())?;
                self.out.member(&Member { link, ..member })?;
            }
            Kind::Fifo => {
                let member = self.described(name, MemberKind::Fifo, meta, Vec::new())?;
                self.out.member(&member)?;
            }
            _ => {
                let (block, (major, minor)) = (meta.kind == Kind::Block, meta.device);
                let kind = MemberKind::Device(Device { block, major, minor });
                let member = self.described(name, kind, meta, Vec::new())?;
                self.out.member(&member)?;
            }
        }
        Ok(None)
    }

    fn folder(&mut self, name: Vec<u8>, meta: &Meta, opened: BorrowedFd<'_>) -> Result<()> {
        let member = self.described(name, MemberKind::Directory, meta, xattrs(opened))?;
        self.out.member(&member)
    }

    fn file(&mut self, folder: BorrowedFd<'_>, item: &Item, name: Vec<u8>, meta: &Meta) -> Result<()> {
        let mut file = self.open(folder, item, meta)?;
        let now = dir::stat_fd(&file)?;
        ensure!(now.kind == Kind::File && now.inode == meta.inode, "it changed while it was packed");
        let member = self.described(name, MemberKind::File, meta, xattrs(file.as_fd()))?;
        self.out.member(&Member { size: now.size, ..member })?;
        let copied = self.out.content(&mut (&mut file).take(now.size))?;
        let more = file.read(&mut [0])?;
        ensure!(copied == now.size && more == 0, "its size changed while it was packed");
        Ok(())
    }

    /// Opens a file for reading. One without that right for its owner is given it for the moment: only root inside, who
    /// packs with a range of ids, may read everything.
    fn open(&self, folder: BorrowedFd<'_>, item: &Item, meta: &Meta) -> io::Result<File> {
        let open = || dir::open_beneath(folder, Path::new(&item.name));
        match open() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && meta.uid == self.own => {
                let place = dir::open_path(folder, &item.name)?;
                dir::chmod(&place, meta.mode | 0o400)?;
                let opened = open();
                dir::chmod(&place, meta.mode)?;
                opened
            }
            result => result,
        }
    }

    /// A member with the attributes on disk, or those on record.
    fn described(
        &self,
        path: Vec<u8>,
        kind: MemberKind,
        meta: &Meta,
        mut attributes: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Member> {
        attributes.retain(|(name, _)| may_bring(name));
        let mut member = Member { mode: meta.mode, mtime: meta.mtime, ..member(path, kind) };
        // Nobody but root has files of several owners: a group beside an own id is where the folder got it from.
        let is_own = self.own != 0 && meta.uid == self.own;
        (member.uid, member.gid) = if is_own { (0, 0) } else { (meta.uid, meta.gid) };
        if let Some(record) = self.records.of(meta.inode) {
            (member.uid, member.gid, member.mode) = (record.uid, record.gid, record.mode);
            attributes.extend(records::xattrs(record)?);
        }
        attributes.sort();
        attributes.dedup_by(|second, first| second.0 == first.0);
        member.xattrs = attributes;
        Ok(member)
    }
}

/// An empty member of root's.
fn member(path: Vec<u8>, kind: MemberKind) -> Member {
    let mtime = Time::default();
    Member { kind, path, link: Vec::new(), mode: 0o600, uid: 0, gid: 0, mtime, size: 0, xattrs: Vec::new() }
}

#[cfg(test)]
mod tests;
