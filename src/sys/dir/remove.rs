//! Removal of a whole tree, as `rm -rf` does it, but relative to descriptors and safe against what is in the tree.
//!
//! A walk keeps one open folder a level. A hostile tree can be deeper than the limit of open files and its paths longer
//! than `PATH_MAX`, so below [`DEPTH`] levels a folder is not entered but moved up to the top one, which is listed again
//! until it is empty: the number of descriptors is bounded and nothing is recursive.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{chmod, list, open_dir_beneath, open_how, remove_dir, rename, stat_fd, unlink};

/// Levels entered before folders are moved up instead; each holds one descriptor.
const DEPTH: usize = 32;

/// One folder that is being emptied.
struct Level {
    fd: OwnedFd,
    name: OsString,
    rest: Vec<OsString>,
}

/// Removes `name` in `parent` and all below it. It never follows a symbolic link (only the link goes), does not enter
/// another mount (`EXDEV`, openat2(2) `RESOLVE_NO_XDEV`), gives itself `u+rwx` on folders that lack it (overlayfs leaves
/// a `work/work` of mode 000), and takes what is already gone for done. `name` is one plain component, else `EINVAL`.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    // `..` would be the folder above the root, `.` the root itself.
    let mut parts = Path::new(name).components();
    if !matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name) {
        return Err(Errno::INVAL.into());
    }
    let Some(top) = enter(parent, name)? else {
        return Ok(());
    };
    let mut levels = vec![top];
    let mut moved = 0;
    while let Some(level) = levels.last_mut() {
        let Some(child) = level.rest.pop() else {
            leave(parent, &mut levels)?;
            continue;
        };
        if levels.len() < DEPTH {
            let entered = enter(levels[levels.len() - 1].fd.as_fd(), &child)?;
            levels.extend(entered);
        } else {
            let (top, deep) = (&levels[0], &levels[levels.len() - 1]);
            move_up(deep.fd.as_fd(), &child, top.fd.as_fd(), &mut moved)?;
        }
    }
    Ok(())
}

/// Removes `name` if that is all there is to do, else opens it and lists it.
fn enter(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Level>> {
    let Some(fd) = unlink_or_open(dir, name)? else {
        return Ok(None);
    };
    let rest = list(fd.as_fd())?;
    Ok(Some(Level { fd, name: name.to_owned(), rest }))
}

/// Removes the emptied folder at the end of `levels`. When something came into it since, it is listed once more.
fn leave(parent: BorrowedFd<'_>, levels: &mut Vec<Level>) -> io::Result<()> {
    let Some(level) = levels.pop() else {
        return Ok(());
    };
    let above = levels.last().map_or(parent, |above| above.fd.as_fd());
    match remove_dir(above, &level.name) {
        Err(error) if is(&error, Errno::NOTEMPTY) || is(&error, Errno::EXIST) => {
            let rest = list(level.fd.as_fd())?;
            levels.push(Level { rest, ..level });
            Ok(())
        }
        result => gone(result),
    }
}

/// Moves a folder that lies too deep into the top one, under a name that is free there.
fn move_up(dir: BorrowedFd<'_>, name: &OsStr, top: BorrowedFd<'_>, moved: &mut u64) -> io::Result<()> {
    // Opened only for its modes: rename(2) writes the `..` of the folder it moves.
    if unlink_or_open(dir, name)?.is_none() || gone(remove_dir(dir, name)).is_ok() {
        return Ok(());
    }
    loop {
        *moved += 1;
        let free = OsString::from(format!(".removed-{moved}"));
        match rename(dir, name, top, &free) {
            // The name is taken: by a folder with content, or by a file.
            Err(error) if [Errno::NOTEMPTY, Errno::EXIST, Errno::NOTDIR].iter().any(|errno| is(&error, *errno)) => {}
            result => return gone(result),
        }
    }
}

/// Unlinks anything but a folder (`None`); opens a folder, readable and writable for us.
fn unlink_or_open(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    let refused = match unlink(dir, name) {
        // unlink(2) of a directory: EISDIR on Linux, EPERM as POSIX has it.
        Err(error) if is(&error, Errno::ISDIR) || is(&error, Errno::PERM) => error,
        result => return gone(result).map(|()| None),
    };
    let path = Path::new(name);
    let fd = match open_dir_beneath(dir, path) {
        Err(error) if is(&error, Errno::ACCESS) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let unreadable = open_how(dir, path, flags, super::beneath())?;
            chmod(&unreadable, 0o700)?;
            open_dir_beneath(dir, path)
        }
        opened => opened,
    };
    let fd = match fd {
        Ok(fd) => fd,
        Err(error) if is(&error, Errno::NOENT) => return Ok(None),
        // Not a folder after all: what unlink(2) said is the reason.
        Err(error) if is(&error, Errno::NOTDIR) || is(&error, Errno::LOOP) => return Err(refused),
        Err(error) => return Err(error),
    };
    let mode = stat_fd(&fd)?.mode;
    if mode & 0o700 != 0o700 {
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode | 0o700))?;
    }
    Ok(Some(fd))
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is(&error, Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}
