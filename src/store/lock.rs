//! Locks on one blob or one layer, never on the store.
//!
//! A lock is flock(2) on a file `.lock-<hex>` beside what it is for; the kernel takes it back from a process that dies.
//! Who fetches, unpacks or removes holds it alone; who has found the thing there and goes on to name it in a record holds
//! it with others until that record is written, so that nobody removes it in between. Readers take none.

use anyhow::{Context, Result};
use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A lock that is held; its file goes with the last holder.
#[derive(Debug)]
pub struct Lock {
    /// `None` where the file system has no locks: there the atomic renames must do.
    file: Option<File>,
    path: PathBuf,
}

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By nobody else.
    Alone,
    /// With others who do not change it.
    Shared,
}

impl Lock {
    /// Waits for it; `waiting` is called once if another process has it.
    ///
    /// # Errors
    /// The file cannot be made. A file system without locks is none.
    pub fn wait(path: &Path, mode: Mode, waiting: &mut dyn FnMut()) -> Result<Lock> {
        if let Some(lock) = Lock::attempt(path, mode)? {
            return Ok(lock);
        }
        waiting();
        loop {
            let file = open(path)?;
            match mode {
                Mode::Alone => file.lock(),
                Mode::Shared => file.lock_shared(),
            }
            .with_context(|| format!("lock {}", path.display()))?;
            if is_still(&file, path) {
                return Ok(Lock { file: Some(file), path: path.into() });
            }
        }
    }

    /// The lock if it can be had at once.
    ///
    /// # Errors
    /// As for [`Lock::wait`].
    pub fn attempt(path: &Path, mode: Mode) -> Result<Option<Lock>> {
        loop {
            let file = open(path)?;
            let taken = match mode {
                Mode::Alone => file.try_lock(),
                Mode::Shared => file.try_lock_shared(),
            };
            match taken {
                Ok(()) if is_still(&file, path) => return Ok(Some(Lock { file: Some(file), path: path.into() })),
                // The last holder has just taken the file away.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(e)) if has_no_locks(&e) => {
                    return Ok(Some(Lock { file: None, path: path.into() }));
                }
                Err(TryLockError::Error(e)) => return Err(e).with_context(|| format!("lock {}", path.display())),
            }
        }
    }

    /// The lock for something that is to be there in the end: held with others where it is there (`true`), alone by who is
    /// to make it. Nobody waits for it alone, so that two who each hold what the other one needs both go on.
    ///
    /// # Errors
    /// As for [`Lock::wait`].
    pub fn claim(path: &Path, there: &dyn Fn() -> bool, waiting: &mut dyn FnMut()) -> Result<(Lock, bool)> {
        let mut told = false;
        let mut tell = || {
            if !std::mem::replace(&mut told, true) {
                waiting();
            }
        };
        loop {
            if there() {
                let lock = Lock::wait(path, Mode::Shared, &mut tell)?;
                // Whoever removes things may have been quicker.
                if there() {
                    return Ok((lock, true));
                }
            } else if let Some(lock) = Lock::attempt(path, Mode::Alone)? {
                if !there() {
                    return Ok((lock, false));
                }
            } else {
                tell();
                drop(Lock::wait(path, Mode::Shared, &mut || {})?);
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }

    /// The same lock, held with others from now on. Others may have it alone in between only where the kernel lets go of
    /// a lock to change it, so what it is for is looked at again by whoever needs to know.
    ///
    /// # Errors
    /// Those of flock(2).
    pub fn share(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::lock_shared)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let Some(file) = &self.file else {
            let _ = fs::remove_file(&self.path);
            return;
        };
        // Only who holds it alone may take the file away; others would go on with a file that nobody finds.
        if file.try_lock().is_ok() && is_still(file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn open(path: &Path) -> Result<File> {
    let open = || fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let made = match open() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| open())
        }
        made => made,
    };
    made.with_context(|| format!("make the lock {}", path.display()))
}

fn is_still(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (held.dev(), held.ino()) == (there.dev(), there.ino())
}

fn has_no_locks(error: &io::Error) -> bool {
    use crate::sys::code;
    matches!(error.raw_os_error(), Some(code::ENOLCK | code::ENOTSUP | code::ENOSYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_and_shared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/.lock-x");
        let alone = Lock::attempt(&path, Mode::Alone).unwrap().unwrap();
        assert!(Lock::attempt(&path, Mode::Shared).unwrap().is_none());
        alone.share().unwrap();
        let other = Lock::attempt(&path, Mode::Shared).unwrap().unwrap();
        assert!(Lock::attempt(&path, Mode::Alone).unwrap().is_none());
        drop(alone);
        assert!(path.exists(), "another one holds it");
        drop(other);
        assert!(!path.exists(), "nobody needs it");
        let mut waited = false;
        drop(Lock::wait(&path, Mode::Alone, &mut || waited = true).unwrap());
        assert!(!waited);
    }

    #[test]
    fn two_who_need_what_the_other_one_made() {
        let folder = tempfile::tempdir().unwrap();
        let made = |name: &str| folder.path().join(name);
        let lock = |name: &str| folder.path().join(format!(".lock-{name}"));
        let take = |name: &str| {
            let (held, there) = Lock::claim(&lock(name), &|| made(name).exists(), &mut || {}).unwrap();
            if !there {
                fs::write(made(name), "").unwrap();
                held.share().unwrap();
            }
            held
        };
        std::thread::scope(|scope| {
            for names in [["a", "b"], ["b", "a"]] {
                scope.spawn(move || {
                    let first = take(names[0]);
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    drop((take(names[1]), first));
                });
            }
        });
        assert!(!lock("a").exists() && !lock("b").exists());
    }
}
