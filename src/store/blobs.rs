//! Content by its hash, as it came: manifests, configurations, packed layers.
//!
//! ```text
//! <root>/blobs/sha256/<hex>          whole, and what its name says
//! <root>/blobs/sha256/<hex>.part     what has come of it until now; continued by whoever wants it next
//! <root>/blobs/sha256/.lock-<hex>    held while it is fetched, unpacked, removed
//! ```
//!
//! This is the truth of an image: a layer's tree can always be made again from its blob.

use super::{
    Store,
    lock::{Lock, Mode},
};
use crate::spec::Digest;
use anyhow::{Context, Result};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

/// What came of asking for a blob in order to fetch it.
#[derive(Debug)]
pub enum Claim {
    /// It is there; nobody removes it while the lock is held.
    There(Lock),
    /// It is to be fetched by the caller, who alone may.
    Missing(Part),
}

/// A blob that is being fetched.
#[derive(Debug)]
pub struct Part {
    /// Opened for reading and appending.
    pub file: File,
    /// What has come until now, in bytes.
    pub have: u64,
    path: PathBuf,
    place: PathBuf,
    lock: Lock,
}

impl Store {
    /// Where a blob lies, or would.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// Opens a blob.
    ///
    /// # Errors
    /// `NotFound` where it is not there, in the chain.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.blob(digest);
        File::open(&path).with_context(|| format!("open the blob {}", path.display()))
    }

    /// Reads a document of at most [`crate::oci::MAX_DOCUMENT`] bytes.
    ///
    /// # Errors
    /// It is not there, or longer.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let most = crate::oci::MAX_DOCUMENT as u64;
        io::Read::read_to_end(&mut io::Read::take(self.open_blob(digest)?, most + 1), &mut bytes)?;
        anyhow::ensure!(bytes.len() as u64 <= most, "the document {digest} is longer than {most} bytes");
        Ok(bytes)
    }

    /// Keeps a document whose digest the caller has computed.
    ///
    /// # Errors
    /// Those of writing.
    pub fn keep_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let place = self.blob(digest);
        if let Some(folder) = place.parent() {
            super::make_private_folder(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        super::write_atomically(&place, bytes).with_context(|| format!("write the blob {}", place.display()))
    }

    /// The lock for removing a blob, if nobody fetches or needs it now.
    ///
    /// # Errors
    /// Those of making the lock.
    pub fn lock_blob(&self, digest: &Digest) -> Result<Option<Lock>> {
        Lock::attempt(&self.blob(digest).with_file_name(format!(".lock-{}", digest.hex())), Mode::Alone)
    }

    /// Asks for a blob that may have to be fetched. `waiting` is called once if another process is at it.
    ///
    /// # Errors
    /// Those of making files.
    pub fn claim_blob(&self, digest: &Digest, waiting: &mut dyn FnMut()) -> Result<Claim> {
        let place = self.blob(digest);
        let lock = place.with_file_name(format!(".lock-{}", digest.hex()));
        let (lock, there) = Lock::claim(&lock, &|| place.exists(), waiting)?;
        if there {
            return Ok(Claim::There(lock));
        }
        let path = place.with_extension("part");
        let open = fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
        let file = open.with_context(|| format!("make {}", path.display()))?;
        let have = file.metadata()?.len();
        Ok(Claim::Missing(Part { file, have, path, place, lock }))
    }
}

impl Part {
    /// What has come is wrong: it starts again from nothing.
    ///
    /// # Errors
    /// Those of ftruncate(2).
    pub fn restart(&mut self) -> io::Result<()> {
        self.have = 0;
        self.file.set_len(0)
    }

    /// All of it has come and hashes to its name: it takes its place.
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn commit(self) -> Result<Lock> {
        fs::rename(&self.path, &self.place).with_context(|| format!("rename {}", self.path.display()))?;
        self.lock.share()?;
        Ok(self.lock)
    }

    /// It is a file of the store's own folders whose content the caller has hashed: that takes its place, without a second
    /// copy where the file system has hard links.
    ///
    /// # Errors
    /// Those of link(2) or of copying.
    pub fn adopt(self, file: &std::path::Path) -> Result<Lock> {
        let take = || -> io::Result<()> {
            fs::remove_file(&self.path)?;
            fs::hard_link(file, &self.path).or_else(|_| fs::copy(file, &self.path).map(drop))
        };
        take().with_context(|| format!("write the blob {}", self.place.display()))?;
        self.commit()
    }

    /// It was needed only once, or is wrong: it goes away.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn discard(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}
