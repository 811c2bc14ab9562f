//! What makes an image of a root file system: a layer as a blob, a configuration, a manifest.
//!
//! ```text
//! tar, plain or with gzip or zstd   the layer is the archive as it came
//! tar with xz or lzma               the same plain stream, packed with gzip
//! folder, cpio                      the tree as a tar archive, packed with gzip
//! ```
//!
//! No clock goes in: what has the same content and the same settings has the same id, whenever it was imported.

mod change;

use super::load;
use crate::{
    image::{self, OwnerRecord, digest::Hashing, source},
    oci::{Config, Descriptor, History, Platform, Rootfs, Run, media},
    spec::Digest,
    store::{Store, blobs::Claim, lock::Lock, unneeded::Thing},
};
use anyhow::{Context, Result, anyhow};
use std::{
    cell::RefCell,
    fs::File,
    io::{self, Read, Write},
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    rc::Rc,
};

/// What is said of an image that is made here.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// What a container of it runs.
    pub run: Run,
    /// For which machine; none: read from its programs.
    pub platform: Option<Platform>,
    /// For its history.
    pub message: String,
}

/// The documents of an image that was made.
pub struct Documents {
    /// What the manifest is.
    pub manifest: Descriptor,
    /// The digest of the configuration, which is the image's id.
    pub id: Digest,
    /// The configuration.
    pub config: Config,
}

impl About {
    /// Puts the layer, which lies in `file`, and the documents of the image into the store. Nobody takes them or the
    /// unpacked layer away while the locks are held.
    ///
    /// # Errors
    /// Those of writing.
    pub fn keep(
        &self,
        store: &Store,
        layer: &Descriptor,
        diff_id: &Digest,
        architecture: Option<&str>,
        file: &Path,
    ) -> Result<(Documents, Vec<Lock>)> {
        let platform = self.platform.clone().unwrap_or_else(|| Platform::linux(architecture.unwrap_or_default()));
        let config = Config {
            architecture: platform.architecture,
            variant: platform.variant,
            os: platform.os,
            config: self.run.clone(),
            rootfs: Rootfs { kind: "layers".into(), diff_ids: vec![diff_id.clone()] },
            history: vec![History { created_by: "import".into(), comment: self.message.clone(), ..History::default() }],
            ..Config::default()
        };
        let bytes = serde_json::to_vec(&config)?;
        let id = hash(&bytes)?;
        let (manifest, document) = load::manifest(&id, bytes.len() as u64, std::iter::once(layer))?;
        let mut locks = vec![Thing::Layer(diff_id.clone()).hold(store)?];
        for blob in [&id, &manifest.digest] {
            locks.push(Thing::Blob(blob.clone()).hold(store)?);
        }
        store.keep_blob(&id, &bytes)?;
        store.keep_blob(&manifest.digest, &document)?;
        locks.push(match store.claim_blob(&layer.digest, &mut || {})? {
            Claim::There(lock) => lock,
            Claim::Missing(part) => part.adopt(file)?,
        });
        std::fs::remove_file(file).with_context(|| format!("remove {}", file.display()))?;
        Ok((Documents { manifest, id, config }, locks))
    }
}

fn hash(bytes: &[u8]) -> Result<Digest> {
    let mut hashing = Hashing::new(bytes);
    io::copy(&mut hashing, &mut io::sink())?;
    hashing.finish().parse().map_err(anyhow::Error::msg)
}

/// A file that takes what is read from an archive as it came.
pub struct Tee {
    path: PathBuf,
    file: Rc<RefCell<File>>,
}

struct Through {
    input: Box<dyn Read>,
    file: Rc<RefCell<File>>,
}

impl Read for Through {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(into)?;
        self.file.borrow_mut().write_all(&into[..got])?;
        Ok(got)
    }
}

impl Tee {
    /// Makes the file, which is not there yet.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn new(path: &Path) -> io::Result<Tee> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        Ok(Tee { path: path.into(), file: Rc::new(RefCell::new(file)) })
    }

    /// What is read from this goes into the file, too.
    pub fn behind(&self, input: Box<dyn Read>) -> Box<dyn Read> {
        Box::new(Through { input, file: Rc::clone(&self.file) })
    }

    /// The archive as a layer, if it is packed as layers are.
    ///
    /// # Errors
    /// Those of reading.
    pub fn as_it_came(&self) -> Result<Option<Descriptor>> {
        let mut head = [0; 262];
        let mut hashing = Hashing::new(File::open(&self.path)?);
        let got = hashing.read(&mut head)?;
        let media_type = match head[..got] {
            [0x1f, 0x8b, ..] => media::LAYER_GZIP,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => media::LAYER_ZSTD,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => return Ok(None),
            // LZMA has no magic; a tar archive of nearly every kind has one.
            _ if head.get(257..262) == Some(b"ustar") => media::LAYER,
            _ => return Ok(None),
        };
        let rest = io::copy(&mut hashing, &mut io::sink())?;
        let digest = hashing.finish().parse().map_err(anyhow::Error::msg)?;
        Ok(Some(Descriptor::new(media_type, digest, got as u64 + rest)))
    }

    /// The same plain stream, packed with gzip.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn packed_again(&self) -> Result<Descriptor> {
        let source::Source::Archive(mut plain) = source::archive(File::open(&self.path)?)? else {
            return Err(anyhow!("what came is no tar archive any more"));
        };
        self.pack(|out| Ok(io::copy(&mut plain, out).map(drop)?)).map(|(layer, ())| layer)
    }

    /// The tree as a layer, and its diff id.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn of_tree(&self, root: BorrowedFd<'_>, records: &[OwnerRecord]) -> Result<(Descriptor, String)> {
        let (layer, packed) = self.pack(|out| image::pack(root, records, out))?;
        Ok((layer, packed.diff_id))
    }

    /// Writes a packed layer in place of what came.
    fn pack<T>(&self, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<(Descriptor, T)> {
        let draft = self.path.with_extension("gz");
        let mut out = flate2::GzBuilder::new()
            .write(io::BufWriter::with_capacity(1 << 18, File::create_new(&draft)?), flate2::Compression::fast());
        let made = write(&mut out)?;
        let mut file = out.finish()?;
        file.flush()?;
        std::fs::rename(&draft, &self.path)?;
        let mut hashing = Hashing::new(File::open(&self.path)?);
        let size = io::copy(&mut hashing, &mut io::sink())?;
        let digest = hashing.finish().parse().map_err(anyhow::Error::msg)?;
        Ok((Descriptor::new(media::LAYER_GZIP, digest, size), made))
    }
}
