//! The files of an image archive, by their names in it.
//!
//! ```text
//! <root>/loads/<pid>.<start time>.<n>/      what a load took from an archive; gone with its process
//! <root>/loads/.lock-<pid>.<start time>.<n> held while it lives
//! ```
//!
//! An archive is read once, from its first byte to its last, for it may come from a pipe: what is in it lies in files of
//! their own afterwards, hashed. Names are keys and never paths: nothing in an archive decides where something is written,
//! and a link in it leads to another name or to nothing. A folder is read where it is, and nothing outside of it.

use crate::{
    image::{
        digest::Hashing,
        members::{self, Entry, What},
    },
    oci::MAX_DOCUMENT,
    spec::Digest,
    store::{
        self, Store,
        lock::{Lock, Mode},
        record,
    },
    sys::dir,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// The most entries of an archive: an image has 480 layers at most, and old archives three files for each.
const MOST_ENTRIES: u64 = 20_000;

/// How many links are followed from one name to the next.
const MOST_LINKS: u32 = 8;

/// What a root file system has and an archive of images has not.
const OF_A_ROOT: &[&str] = &["bin", "boot", "dev", "etc", "home", "lib", "opt", "proc", "root", "sbin", "usr", "var"];

/// The files of an archive or of a folder.
pub enum Files {
    /// Taken from an archive.
    Taken(Taken),
    /// An unpacked archive.
    Folder(OwnedFd),
}

/// What was taken from an archive; goes away with this value.
pub struct Taken {
    folder: PathBuf,
    members: BTreeMap<String, Member>,
    _lock: Lock,
}

enum Member {
    File { path: PathBuf, size: u64, digest: Digest },
    Link(String),
}

/// A file, ready to be read.
pub struct Found {
    /// At its beginning.
    pub file: File,
    /// Where it lies in the store, if it was taken from an archive.
    pub path: Option<PathBuf>,
    /// Bytes.
    pub size: u64,
    /// What it hashes to, where that is known already.
    pub digest: Option<Digest>,
}

impl Files {
    /// Takes the files from a plain tar stream into a folder of the store.
    ///
    /// # Errors
    /// The archive is damaged, has names that lead out of it, the same name twice, or blobs that are not what their names
    /// say; or it cannot be written.
    pub fn take(input: impl Read, store: &Store) -> Result<Files> {
        sweep(store);
        let mut taken = Taken::new(store)?;
        members::each(input, MOST_ENTRIES, &mut |entry, content| taken.member(entry, content))?;
        Ok(Files::Taken(taken))
    }

    /// Whether there is such a file.
    pub fn has(&self, name: &str) -> bool {
        matches!(self.find(name), Ok(Some(_)))
    }

    /// Opens a file; none: there is no such name.
    ///
    /// # Errors
    /// It cannot be opened, or is no file.
    pub fn find(&self, name: &str) -> Result<Option<Found>> {
        match self {
            Files::Taken(taken) => taken.find(name),
            Files::Folder(folder) => {
                let path = clean(name.as_bytes())?;
                let file = match dir::open_beneath(folder.as_fd(), Path::new(&path)) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                    file => file.with_context(|| format!("open {name}"))?,
                };
                let meta = file.metadata()?;
                ensure!(meta.is_file(), "{name} is no file");
                Ok(Some(Found { file, path: None, size: meta.len(), digest: None }))
            }
        }
    }

    /// Reads a document of at most [`MAX_DOCUMENT`] bytes; none: there is no such name.
    ///
    /// # Errors
    /// It is longer, or cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(found) = self.find(name)? else { return Ok(None) };
        let most = MAX_DOCUMENT as u64;
        ensure!(found.size <= most, "{name} has {} bytes; {most} are allowed", found.size);
        let mut bytes = Vec::new();
        found.file.take(most).read_to_end(&mut bytes).with_context(|| format!("read {name}"))?;
        Ok(Some(bytes))
    }
}

impl Taken {
    fn new(store: &Store) -> Result<Taken> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let start = record::own_start_time().context("read /proc/self/stat: is /proc mounted?")?;
        let name = format!("{}.{start}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let loads = store.root().join("loads");
        store::make_private_folder(&loads).with_context(|| format!("make {}", loads.display()))?;
        // Before the folder: whoever finds the folder without a holder of the lock may take it away.
        let lock = Lock::wait(&loads.join(format!(".lock-{name}")), Mode::Alone, &mut || {})?;
        let folder = loads.join(name);
        store::make_private_folder(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Taken { folder, members: BTreeMap::new(), _lock: lock })
    }

    fn member(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<()> {
        if entry.what == What::Folder {
            // Some programs write the top as `./`.
            return if matches!(&entry.name[..], b"." | b"./") { Ok(()) } else { clean(&entry.name).map(drop) };
        }
        let name = clean(&entry.name)?;
        let top = name.split('/').next().unwrap_or_default();
        ensure!(
            !OF_A_ROOT.contains(&top),
            "this is a root file system, not an archive of an image\n  \
             fix (you): `little-container import NAME FILE` makes an image of it"
        );
        ensure!(!self.members.contains_key(&name), "the archive has it twice");
        let member = match &entry.what {
            What::File => self.file(&name, content)?,
            // Relative to the folder that the link is in; a hard link names a member.
            What::Symlink(to) => Member::Link(beside(&name, to)?),
            What::HardLink(to) => Member::Link(clean(to).context("hard link")?),
            What::Folder | What::Other => bail!("it is neither a file nor a folder nor a link"),
        };
        self.members.insert(name, member);
        Ok(())
    }

    fn file(&mut self, name: &str, content: &mut dyn Read) -> Result<Member> {
        let path = self.folder.join(self.members.len().to_string());
        let mut file = File::create_new(&path).with_context(|| format!("make {}", path.display()))?;
        let mut hashing = Hashing::new(content);
        let size = io::copy(&mut hashing, &mut file).with_context(|| format!("write {}", path.display()))?;
        let digest: Digest = hashing.finish().parse().map_err(anyhow::Error::msg)?;
        if let Some(said) = name.strip_prefix("blobs/sha256/") {
            ensure!(said == digest.hex(), "it is damaged: it hashes to {digest}");
        }
        Ok(Member::File { path, size, digest })
    }

    fn find(&self, name: &str) -> Result<Option<Found>> {
        let mut name = clean(name.as_bytes())?;
        for _ in 0..MOST_LINKS {
            match self.members.get(&name) {
                None => return Ok(None),
                Some(Member::Link(to)) => name.clone_from(to),
                Some(Member::File { path, size, digest }) => {
                    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
                    return Ok(Some(Found {
                        file,
                        path: Some(path.clone()),
                        size: *size,
                        digest: Some(digest.clone()),
                    }));
                }
            }
        }
        Err(anyhow!("{name}: the links lead in a circle"))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What loads that were killed have left.
fn sweep(store: &Store) {
    let Ok(entries) = fs::read_dir(store.root().join("loads")) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let mut parts = name.split('.');
        let (Some(Ok(pid)), Some(Ok(start))) =
            (parts.next().map(str::parse::<i32>), parts.next().map(str::parse::<u64>))
        else {
            continue;
        };
        let gone = record::start_time(pid) != Some(start);
        let lock = Lock::attempt(&entry.path().with_file_name(format!(".lock-{name}")), Mode::Alone);
        if gone && matches!(lock, Ok(Some(_))) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A name as a key: without `./` before it and `/` behind it.
fn clean(name: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(name).ok().context("its name is not UTF-8")?;
    ensure!(!text.starts_with('/'), "its name leads out of the archive: it begins with /");
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    ensure!(!parts.contains(&".."), "its name leads out of the archive: it has ..");
    ensure!(!parts.is_empty() && !text.contains('\0'), "it has no name");
    Ok(parts.join("/"))
}

/// The name that a symbolic link called `name` leads to.
fn beside(name: &str, to: &[u8]) -> Result<String> {
    let told = || format!("the link leads out of the archive: {}", to.escape_ascii());
    let text = std::str::from_utf8(to).ok().with_context(told)?;
    ensure!(!text.starts_with('/') && !text.is_empty(), told());
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().with_context(told)?),
            part => parts.push(part),
        }
    }
    ensure!(!parts.is_empty(), told());
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_keys() {
        for (name, key) in [("a", "a"), ("./a/b/", "a/b"), ("a//b", "a/b")] {
            assert_eq!(clean(name.as_bytes()).unwrap(), key);
        }
        for bad in ["/a", "..", "a/../b", "", "./", "\0"] {
            assert!(clean(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(clean(b"\xff").is_err());
    }

    #[test]
    fn links_stay_inside() {
        assert_eq!(beside("a/layer.tar", b"../b/layer.tar").unwrap(), "b/layer.tar");
        assert_eq!(beside("x", b"y").unwrap(), "y");
        for bad in [&b"../x"[..], b"/etc/passwd", b"", b".", b"\xff"] {
            assert!(beside("x", bad).is_err());
        }
    }
}
