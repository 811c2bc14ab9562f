//! Steps that put single files and folders in place: binds, small files of ours, masks.

use super::{Failure, Inside, steps};
use crate::{
    spec::Raw,
    sys::{
        mount::{self, Attributes},
        process,
        target::{self, Kind},
    },
};
use std::{io, os::fd::AsFd, path::Path};

/// A name in /dev that is gone again before the command starts.
const DRAFT: &str = ".draft";

const READ_ONLY: Attributes = Attributes { read_only: true, no_suid: false, no_dev: false, no_exec: false };

impl Inside {
    /// The machine's path is taken below the old root and was freed of links by the launcher; a link that came since is
    /// refused rather than followed into the wrong root.
    pub(super) fn bind(&self, source: &Raw, at: &Raw, folder: bool, read_only: bool) -> Result<(), Failure> {
        let roots = self.roots()?;
        let from = target::open_plain(roots.old.as_fd(), source.path())?;
        let tree = mount::clone_tree(from.as_fd(), Path::new(""), true)?;
        let kind = if folder { Kind::Folder } else { Kind::File };
        let place = self.place(at.path(), kind)?;
        if target::is_folder(place.as_fd())? != folder {
            let (a, b) = if folder { ("a folder", "a file") } else { ("a file", "a folder") };
            let detail = format!("the source is {a}, but in the image {at} is {b}");
            return Err(Failure::with(crate::sys::errno(crate::sys::code::ENOTDIR), detail));
        }
        if read_only {
            mount::set_attributes(tree.as_fd(), READ_ONLY, true)
                .map_err(|e| Failure::with(e, "a read-only bind needs Linux 5.12 (mount_setattr)"))?;
        }
        Ok(mount::attach(tree.as_fd(), place.as_fd(), Path::new(""))?)
    }

    /// The file lives in the memory of /dev, under no name: it is neither in the image nor in the container's changes.
    pub(super) fn file(&self, at: &Raw, content: &Raw) -> Result<(), Failure> {
        let dev = self.dev()?.as_fd();
        target::write_file(dev, DRAFT, content.bytes())?;
        let tree = mount::clone_tree(dev, Path::new(DRAFT), false)?;
        let place = self.place(at.path(), Kind::File)?;
        mount::attach(tree.as_fd(), place.as_fd(), Path::new(""))?;
        Ok(target::remove_file(dev, DRAFT)?)
    }

    /// A file is covered by /dev/null, a folder by an empty read-only one. What is not there needs no mask.
    pub(super) fn mask(&self, path: &Path) -> Result<(), Failure> {
        let Some(place) = self.existing(path)? else { return Ok(()) };
        let dev = self.dev()?.as_fd();
        if !target::is_folder(place.as_fd())? {
            let null = mount::clone_tree(dev, Path::new("null"), false)?;
            return Ok(mount::attach(null.as_fd(), place.as_fd(), Path::new(""))?);
        }
        // Nothing can be made in one that was removed, and the kernel mounts nothing on it: another container of ours is around
        // this one, and has hidden the same.
        if target::is_removed(place.as_fd())? {
            return Ok(());
        }
        target::make_folder(dev, DRAFT, 0o555)?;
        let empty = mount::clone_tree(dev, Path::new(DRAFT), false)?;
        let late = mount::set_attributes(empty.as_fd(), READ_ONLY, false).is_err();
        mount::attach(empty.as_fd(), place.as_fd(), Path::new(""))?;
        if late {
            mount::remount_bind(path, READ_ONLY)?;
        }
        Ok(target::remove_folder(dev, DRAFT)?)
    }

    /// Binds it on itself, read-only.
    pub(super) fn read_only_path(&self, path: &Path) -> Result<(), Failure> {
        let Some(place) = self.existing(path)? else { return Ok(()) };
        let tree = mount::clone_tree(place.as_fd(), Path::new(""), true)?;
        let late = mount::set_attributes(tree.as_fd(), READ_ONLY, true).is_err();
        mount::attach(tree.as_fd(), place.as_fd(), Path::new(""))?;
        if late {
            process::change_dir(Path::new("/"))?;
            mount::remount_bind(path, Attributes { read_only: true, no_suid: true, no_dev: true, no_exec: true })?;
        }
        Ok(())
    }

    fn existing(&self, path: &Path) -> Result<Option<std::os::fd::OwnedFd>, Failure> {
        match target::open_plain(self.roots()?.new.as_fd(), path) {
            Ok(place) => Ok(Some(place)),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(None),
            Err(_) => steps::plain(self.roots()?.new.as_fd(), path).map(Some),
        }
    }
}
