//! The groups below a group. By descriptors, and back by `..`: who makes groups inside of a container may nest them deeper than
//! a path can be long, and than we may have files open.

use crate::sys::{code, dir};
use std::{
    ffi::OsString,
    fs,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// Removes it with all that are below it: a folder of this file system goes with its files, but not with the folders in it.
///
/// # Errors
/// EBUSY: one of them holds a process.
pub fn remove(folder: &Path) -> io::Result<()> {
    let done = match fs::remove_dir(folder) {
        Err(e) if holds_something(&e) => empty(folder).and_then(|()| fs::remove_dir(folder)),
        done => done,
    };
    match done {
        // Another run may be at it as well.
        Err(e) if e.kind() == io::ErrorKind::NotFound && !folder.exists() => Ok(()),
        done => done,
    }
}

fn empty(folder: &Path) -> io::Result<()> {
    let mut at = dir::open_root(folder)?;
    let mut left = vec![dir::list_folders(at.as_fd())?];
    while let Some(here) = left.last_mut() {
        let Some(name) = here.pop() else {
            at = up(at, &mut left)?;
            continue;
        };
        match dir::remove_dir(at.as_fd(), &name) {
            Err(e) if holds_something(&e) => {
                let child = dir::open_dir_beneath(at.as_fd(), Path::new(&name))?;
                let inner = dir::list_folders(child.as_fd())?;
                if inner.is_empty() {
                    return Err(e);
                }
                // Once more, when it is empty.
                here.push(name);
                left.push(inner);
                at = child;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

/// A folder or a process; other file systems than this one say it in another way.
fn holds_something(e: &io::Error) -> bool {
    e.raw_os_error() == Some(code::EBUSY) || e.kind() == io::ErrorKind::DirectoryNotEmpty
}

/// Tells the processes of the group and of each that is below it, until `each` has enough.
pub fn processes(folder: &Path, mut each: impl FnMut(&[i32]) -> bool) {
    let _ = walk(folder, &mut each);
}

fn walk(folder: &Path, each: &mut dyn FnMut(&[i32]) -> bool) -> io::Result<()> {
    let mut at = dir::open_root(folder)?;
    if !each(&own_processes(at.as_fd())) {
        return Ok(());
    }
    let mut left = vec![dir::list_folders(at.as_fd())?];
    while let Some(here) = left.last_mut() {
        let Some(name) = here.pop() else {
            at = up(at, &mut left)?;
            continue;
        };
        // It may have gone meanwhile.
        let Ok(child) = dir::open_dir_beneath(at.as_fd(), Path::new(&name)) else { continue };
        if !each(&own_processes(child.as_fd())) {
            return Ok(());
        }
        left.push(dir::list_folders(child.as_fd()).unwrap_or_default());
        at = child;
    }
    Ok(())
}

/// From a folder that is done with to the one above, if the way began there.
fn up(at: OwnedFd, left: &mut Vec<Vec<OsString>>) -> io::Result<OwnedFd> {
    left.pop();
    if left.is_empty() { Ok(at) } else { dir::open_parent(at.as_fd()) }
}

fn own_processes(folder: BorrowedFd<'_>) -> Vec<i32> {
    let mut text = String::new();
    // A threaded group tells none; its threads are among the processes of one above.
    let _ = dir::open_beneath(folder, Path::new("cgroup.procs")).and_then(|mut file| file.read_to_string(&mut text));
    text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeper_than_a_path_can_be_long() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        fs::create_dir(&top).unwrap();
        let name = "n".repeat(200);
        let mut at = dir::open_root(&top).unwrap();
        for _ in 0..2000 {
            dir::make_dir(at.as_fd(), name.as_ref(), 0o755).unwrap();
            dir::make_dir(at.as_fd(), "aside".as_ref(), 0o755).unwrap();
            at = dir::open_dir_beneath(at.as_fd(), Path::new(&name)).unwrap();
        }
        let mut groups = 0;
        processes(&top, |_| {
            groups += 1;
            true
        });
        assert_eq!(groups, 4001);
        remove(&top).unwrap();
        assert!(!top.exists());
        remove(&top).unwrap();
    }
}
