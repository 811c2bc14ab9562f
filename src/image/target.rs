//! The tree that is being written: every file of a layer comes to disk through here, and only below one descriptor.
//!
//! The folder of a path is resolved with the root taken for `/`, so a link in it leads somewhere inside; the last
//! component is never followed. Folders stay open to their owner while the work goes on and get their mode and time
//! in [`Target::finish`], children first.

mod kept;
mod late;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail};

use late::Late;

use super::digest::hex;
use super::notes::Notes;
use super::owners::{Device, Given, OwnerRecord, Owners, encode, may_bring};
use crate::sys::dir::{self, Kind, Time};

/// What a file is to have besides its content.
#[derive(Debug, Clone)]
pub struct Attributes {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where a path leads: its folder, resolved, and its last component.
pub struct Spot<'p> {
    pub folder: Rc<OwnedFd>,
    pub name: &'p OsStr,
    pub path: &'p Path,
}

/// The tree and what there is to tell about it.
pub struct Target<'a> {
    root: BorrowedFd<'a>,
    owners: Owners,
    home: (u32, u32),
    /// The folder of the last path. Good until something is removed, as only that can lead the same path elsewhere.
    last: Option<(PathBuf, Rc<OwnedFd>)>,
    late: BTreeMap<PathBuf, Late>,
    /// The time of folders that are made only because something lies in them; else it is the time of the work.
    implied: Option<Time>,
    /// By their path, so that a file that takes the place of another takes that of its record, too.
    records: BTreeMap<String, OwnerRecord>,
    pub notes: Notes,
}

impl<'a> Target<'a> {
    /// An empty tree at `root`; for `home` see [`Owners::give`].
    pub fn new(root: BorrowedFd<'a>, owners: Owners, home: (u32, u32)) -> Self {
        Self {
            root,
            owners,
            home,
            last: None,
            late: BTreeMap::new(),
            implied: None,
            records: BTreeMap::new(),
            notes: Notes::default(),
        }
    }

    /// Gives this time to the folders that nobody lists, the root for one: the same archive then gives the same tree.
    pub fn set_implied(&mut self, mtime: Time) -> io::Result<()> {
        self.implied = Some(mtime);
        let meta = dir::stat_fd(self.root)?;
        self.late.insert(PathBuf::new(), Late { mode: meta.mode, mtime, inode: meta.inode });
        Ok(())
    }

    /// Resolves the folder of `path` (relative, without `..`, empty for the root) and makes what is missing of it.
    pub fn spot<'p>(&mut self, path: &'p Path) -> Result<Spot<'p>> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or(OsStr::new("."));
        if let Some((known, folder)) = &self.last
            && known == parent
        {
            return Ok(Spot { folder: Rc::clone(folder), name, path });
        }
        let folder = Rc::new(self.make_folders(parent)?);
        self.last = Some((parent.to_owned(), Rc::clone(&folder)));
        Ok(Spot { folder, name, path })
    }

    /// Resolves the folder of `path` only if it is there.
    pub fn existing<'p>(&self, path: &'p Path) -> io::Result<Spot<'p>> {
        let folder = dir::resolve_dir(self.root, path.parent().unwrap_or(Path::new("")))?;
        Ok(Spot { folder: Rc::new(folder), name: path.file_name().unwrap_or(OsStr::new(".")), path })
    }

    fn make_folders(&mut self, path: &Path) -> Result<OwnedFd> {
        // From the deepest folder that is there, down again; an archive mostly lists a folder before its files.
        let mut missing = Vec::new();
        let mut above = path;
        let mut folder = loop {
            match dir::resolve_dir(self.root, above) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => break result.with_context(|| format!("folder {above:?}"))?,
            }
            let Some(parent) = above.parent() else {
                bail!(io::Error::from(io::ErrorKind::NotFound));
            };
            missing.push(above);
            above = parent;
        };
        for above in missing.into_iter().rev() {
            let name = above.file_name().unwrap_or(OsStr::new("."));
            let made = dir::make_dir(folder.as_fd(), name, 0o755);
            // What exists and yet did not resolve is a link to nowhere: nothing is made behind it.
            made.with_context(|| format!("folder {name:?} of {path:?}"))?;
            folder = dir::open_dir_beneath(folder.as_fd(), Path::new(name))?;
            dir::chmod(&folder, 0o755)?;
            if let Some(mtime) = self.implied {
                let inode = dir::stat_fd(&folder)?.inode;
                self.late.insert(above.to_owned(), Late { mode: 0o755, mtime, inode });
            }
        }
        Ok(folder)
    }

    /// Removes whatever has the name; a link is removed, not followed.
    pub fn clear(&mut self, spot: &Spot<'_>) -> io::Result<()> {
        self.forget(spot.path);
        match dir::unlink(spot.folder.as_fd(), spot.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => dir::remove_tree(spot.folder.as_fd(), spot.name)?,
            Ok(()) => {}
        }
        self.last = None;
        Ok(())
    }

    /// A new empty regular file in place of what was there; [`Target::dress`] comes after its content. Of `mode` it
    /// mostly has already what it is to have in the end: then nothing has to be set later.
    pub fn file(&mut self, spot: &Spot<'_>, mode: u32) -> io::Result<File> {
        let mode = mode & 0o777;
        match dir::create_file(spot.folder.as_fd(), spot.name, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result,
        }
        self.clear(spot)?;
        dir::create_file(spot.folder.as_fd(), spot.name, mode)
    }

    /// A folder: kept if it is one already, else in place of what was there, a link to a folder too.
    pub fn folder(&mut self, spot: &Spot<'_>, attributes: &Attributes) -> Result<()> {
        let kept = match dir::stat(spot.folder.as_fd(), spot.name) {
            Ok(meta) => meta.kind == Kind::Directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error.into()),
        };
        if !kept {
            self.clear(spot)?;
            dir::make_dir(spot.folder.as_fd(), spot.name, 0o700)?;
        }
        let opened = dir::open_dir_beneath(spot.folder.as_fd(), Path::new(spot.name))?;
        let given = self.owners.give(spot.folder.as_fd(), spot.name, (attributes.uid, attributes.gid), self.home)?;
        let refused = self.set_xattrs(opened.as_fd(), spot.path, attributes);
        let mut mode = self.mode(given, attributes.mode);
        if self.owners == Owners::Single {
            // So that its owner can list, empty and remove it without being root.
            mode |= 0o700;
        }
        self.keep_record(spot.path, attributes, given.all() && mode == attributes.mode, None, refused);
        let inode = dir::stat_fd(&opened)?.inode;
        self.late.insert(spot.path.to_owned(), Late { mode, mtime: attributes.mtime, inode });
        Ok(())
    }

    /// Owner, attributes, mode and time of a file that was just made: in this order, as chown(2) clears setuid bits and
    /// file capabilities. `file` is the descriptor of a regular file; a FIFO or a link has none.
    pub fn dress(&mut self, spot: &Spot<'_>, attributes: &Attributes, file: Option<&File>, link: bool) -> Result<()> {
        // To look costs little; each thing that is set is a change to the file system's journal.
        let is = file.map(dir::stat_fd).transpose()?;
        let wanted = (attributes.uid, attributes.gid);
        let given = match is {
            // Ids that have no number here look like some other one, but never like 0.
            Some(is) if self.owners == Owners::Mapped && wanted == (0, 0) && (is.uid, is.gid) == (0, 0) => {
                Given { uid: true, gid: true }
            }
            _ => self.owners.give(spot.folder.as_fd(), spot.name, wanted, self.home)?,
        };
        let mode = self.mode(given, attributes.mode);
        let mut refused = BTreeMap::new();
        // A link has no mode, and hardly ever an attribute.
        if !link || !attributes.xattrs.is_empty() {
            let opened;
            let fd = if let Some(file) = file {
                file.as_fd()
            } else {
                opened = dir::open_path(spot.folder.as_fd(), spot.name)?;
                opened.as_fd()
            };
            refused = self.set_xattrs(fd, spot.path, attributes);
            // It was made without setuid bits, so that chown(2) had none to clear.
            if !link && is.is_none_or(|is| is.mode != mode) {
                dir::chmod(fd, mode)?;
            }
        }
        match file {
            Some(file) => dir::set_time_fd(file, attributes.mtime)?,
            None => dir::set_time(spot.folder.as_fd(), spot.name, attributes.mtime)?,
        }
        let complete = given.all() && (link || mode == attributes.mode);
        self.keep_record(spot.path, attributes, complete, None, refused);
        Ok(())
    }

    /// A device node is recorded and not made: the kernel refuses mknod(2) in a user namespace.
    pub fn device(&mut self, spot: &Spot<'_>, attributes: &Attributes, device: Device) -> io::Result<()> {
        self.clear(spot)?;
        self.notes.add("device nodes left out", spot.path.as_os_str().as_bytes());
        self.keep_record(spot.path, attributes, false, Some(device), BTreeMap::new());
        Ok(())
    }

    fn mode(&self, given: Given, mode: u32) -> u32 {
        // With one id there is no other owner whose rights a setuid bit could turn into root's.
        if self.owners == Owners::Mapped { given.safe_mode(mode) } else { mode }
    }

    /// Sets what an image may bring along, and returns what was refused.
    fn set_xattrs(&mut self, fd: BorrowedFd<'_>, path: &Path, attributes: &Attributes) -> BTreeMap<String, String> {
        let mut refused = BTreeMap::new();
        for (name, value) in &attributes.xattrs {
            if !may_bring(name) || dir::set_xattr(fd, OsStr::from_bytes(name), value).is_err() {
                refused.insert(encode(name), hex(value));
            }
        }
        if !refused.is_empty() {
            let kind = "files with extended attributes that cannot be set";
            self.notes.add(kind, path.as_os_str().as_bytes());
        }
        refused
    }
}
