//! `push`: an image of the store goes to a registry, byte for byte as it came.
//!
//! ```text
//! each layer, then the configuration:  there already?  →  can it be mounted from another repository?  →  upload
//! then the manifest, by its tag
//! ```

use super::Progress;
use crate::{
    oci::Descriptor,
    registry::{self, Client},
    spec::{Digest, Reference},
    store::{
        Store,
        images::{self, Image},
    },
};
use anyhow::{Context, Result, bail};
use std::{
    io::{self, Read},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How many layers are on their way at once.
const AT_ONCE: usize = 3;

/// How often the same is tried where it may go well a moment later, and the pause before the second time.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// From how many other repositories a blob is tried to be taken.
const SOURCES: usize = 2;

/// An image that is to go to a registry.
pub struct Push<'a> {
    /// Where it is.
    pub store: &'a Store,
    /// Which.
    pub image: &'a Image,
    /// The repository it goes to.
    pub client: &'a Client,
    /// What it is called there.
    pub tag: &'a str,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

impl Push<'_> {
    /// Brings there what is not there yet; the digest of the manifest. The manifest goes last, so that the name never leads
    /// to an image in part.
    ///
    /// # Errors
    /// A blob is not in the store, or the registry refuses.
    pub fn push(&self) -> Result<Digest> {
        let name = &self.image.name;
        let Some(manifest) = &self.image.manifest else {
            bail!(
                "the image {name} was imported by an earlier version, which kept no manifest\n  \
                 fix (you): import it once more"
            );
        };
        let missing = |part: &str| format!("read the {part} of {name}\n  fix (you): `little-container pull {name}`");
        let bytes = self.store.read_blob(&manifest.digest).with_context(|| missing("manifest"))?;
        let config = self.image.config_digest().with_context(|| missing("configuration"))?;
        let size = self.store.read_blob(&config).with_context(|| missing("configuration"))?.len();
        let there = self.client.head_manifest(self.tag).ok().flatten();
        if there.is_some_and(|(digest, ..)| digest == manifest.digest) {
            self.image.blobs.iter().for_each(|layer| self.progress.done(&layer.digest, false));
            return Ok(manifest.digest.clone());
        }
        self.layers()?;
        self.blob(&Descriptor::new("", config, size as u64), false)?;
        again(|| self.client.put_manifest(self.tag, &manifest.media_type, &bytes))
    }

    /// Several at once, each only once.
    fn layers(&self) -> Result<()> {
        let mut todo: Vec<&Descriptor> = self.image.blobs.iter().collect();
        todo.sort_by_key(|layer| (std::cmp::Reverse(layer.size), &layer.digest));
        todo.dedup_by_key(|layer| &layer.digest);
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
        let failure = || failed.lock().unwrap_or_else(PoisonError::into_inner);
        let work = || {
            while failure().is_none()
                && let Some(layer) = todo.get(next.fetch_add(1, Ordering::Relaxed))
            {
                if let Err(e) = self.blob(layer, true) {
                    failure().get_or_insert(e);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..AT_ONCE.min(todo.len()) {
                scope.spawn(work);
            }
            work();
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn blob(&self, blob: &Descriptor, told: bool) -> Result<()> {
        let digest = &blob.digest;
        let tell = |new: bool| {
            if told {
                self.progress.done(digest, new)
            }
        };
        if again(|| self.client.has_blob(digest))? {
            tell(false);
            return Ok(());
        }
        for repository in self.others_with(digest) {
            if self.client.mount_blob(digest, &repository)? {
                self.progress.tell(digest, &format!("taken from {repository} there"));
                tell(false);
                return Ok(());
            }
        }
        again(|| {
            if told {
                self.progress.begin(digest, blob.size, 0);
            }
            let name = &self.image.name;
            let file = self.store.open_blob(digest).with_context(|| {
                format!(
                    "the packed layer {digest} of {name} is not in the store\n  \
                     cause: it was removed to save space, or lost; the registry does not have it either\n  \
                     fix (you): `little-container rmi {name}` and `little-container pull {name}` bring it again"
                )
            })?;
            let mut content = Counted { file, told: told.then_some((digest, self.progress)) };
            self.client.upload_blob(digest, blob.size, &mut content)
        })?;
        tell(true);
        Ok(())
    }

    /// The repositories of the same registry that may have it: those of images of this store with the same blob.
    fn others_with(&self, digest: &Digest) -> Vec<String> {
        let has = |image: &Image| {
            let config = image.config_digest();
            config.as_ref() == Some(digest) || image.blobs.iter().any(|blob| blob.digest == *digest)
        };
        let images = images::list(self.store.root()).into_iter().flatten().filter(has);
        let named = images.filter_map(|image| image.name.parse::<Reference>().ok());
        let mut repositories: Vec<String> = named
            .filter(|name| name.host == self.client.host() && name.repository != self.client.repository())
            .map(|name| name.repository)
            .collect();
        repositories.dedup();
        repositories.truncate(SOURCES);
        repositories
    }
}

/// Tries what may go well a moment later.
fn again<T>(mut act: impl FnMut() -> Result<T>) -> Result<T> {
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match act() {
            Err(e) if e.downcast_ref::<registry::Error>().is_some_and(registry::Error::is_transient) => {
                std::thread::sleep(pause);
                pause *= 2;
            }
            done => return done,
        }
    }
    act()
}

/// A blob that tells how far it has been read.
struct Counted<'a> {
    file: std::fs::File,
    told: Option<(&'a Digest, &'a dyn Progress)>,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        if let Some((digest, progress)) = self.told {
            progress.more(digest, read as u64);
        }
        Ok(read)
    }
}
