//! From a registry into the store.
//!
//! ```text
//! tag → HEAD → is it here already? → manifest | index → manifest → configuration → room on the disk → install
//! ```
//!
//! HEAD is not counted by registries that limit how often one may ask. What has come is kept, whatever happens.

mod fetch;
mod space;

pub use fetch::{Patience, in_one_line};
pub use space::{full, size};

use super::{Install, Progress, install};
use crate::{
    oci::{self, Config, Descriptor, Document, Index, Manifest, Platform, media},
    plan::ids::Ids,
    registry::{self, Client, Kind, Settings},
    spec::{Digest, Reference},
    store::{
        Store,
        images::{self, Image},
    },
};
use anyhow::{Context as _, Result, anyhow, bail};
use fetch::Layers;

/// An image that is wanted from its registry.
pub struct Pull<'a> {
    /// Which.
    pub reference: &'a Reference,
    /// For which machines; `true`: somebody has said so, and nothing else will do.
    pub platform: (&'a Platform, bool),
    /// The registries of this machine.
    pub settings: &'a Settings,
    /// Where to.
    pub store: &'a Store,
    /// How failures are borne.
    pub patience: Patience,
}

/// What came of it.
#[derive(Debug)]
pub enum Pulled {
    /// It was here already.
    Same(Image),
    /// The registry could not be asked; this is what is here.
    Kept(Image, registry::Error),
}

/// What is known of an image before its layers are fetched.
pub struct Found {
    /// The registry.
    pub client: Client,
    /// The manifest, as described and as it came.
    pub manifest: (Descriptor, Vec<u8>),
    /// The configuration as it came.
    pub config: Vec<u8>,
    /// What the name led to, if not the manifest itself.
    pub index: Option<Digest>,
    /// Its layers.
    pub layers: Vec<Descriptor>,
    /// The machines that it is for.
    pub platform: Platform,
    /// How much there is to do.
    pub todo: Todo,
}

/// How much of an image is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Todo {
    /// Layers in all.
    pub layers: usize,
    /// Layers that are to be fetched.
    pub fetch: usize,
    /// How many bytes these have, packed, less what came before.
    pub bytes: u64,
}

/// What asking the registry led to.
pub enum Asked {
    /// Nothing is to be done.
    Done(Box<Pulled>),
    /// It is to be fetched.
    Found(Box<Found>),
}

impl Pull<'_> {
    /// Asks the registry, and looks at what is here.
    ///
    /// # Errors
    /// The registry cannot be asked, and no copy is here that would do instead; or what it has is no image, or none for
    /// this platform.
    pub fn ask(&self) -> Result<Asked> {
        let name = self.reference.familiar();
        let here = images::named(self.store.root(), &name)?.filter(|image| self.does(image));
        if let (Some(image), Some(digest)) = (&here, &self.reference.digest)
            && image.leads_from(digest)
            && self.is_whole(image)
        {
            // Its content cannot have changed.
            return Ok(Asked::Done(Box::new(Pulled::Same(image.clone()))));
        }
        let here = here.filter(|_| self.reference.digest.is_none());
        let patience = if here.is_some() { Patience { tries: 2, ..self.patience } } else { self.patience };
        match self.ask_registry(&patience) {
            Err(e) => match (here, e.downcast::<registry::Error>()) {
                (Some(image), Ok(e)) if would_do(&e.kind) => Ok(Asked::Done(Box::new(Pulled::Kept(image, e)))),
                (_, Ok(e)) => Err(e.into()),
                (_, Err(e)) => Err(e),
            },
            asked => asked,
        }
    }

    fn ask_registry(&self, patience: &Patience) -> Result<Asked> {
        let client = Client::new(self.reference, self.settings)?;
        let tag = self.reference.tag.as_deref().unwrap_or("latest");
        let wanted = self.reference.digest.as_ref().map_or_else(|| tag.to_owned(), Digest::to_string);
        // A registry that does not like HEAD is asked plainly, and what is wrong is said by that.
        if self.reference.digest.is_none()
            && let Some((digest, ..)) = patience.bear(|| client.head_manifest(&wanted))?
            && let Some(image) = self.known(&digest)
        {
            return Ok(Asked::Done(Box::new(Pulled::Same(self.named(image)?))));
        }
        let first = patience.bear(|| client.manifest(&wanted, media::ACCEPTED))?;
        let digest = first.digest.clone();
        let (descriptor, bytes, manifest) = self.resolve(&client, first, patience)?;
        if let Some(image) = self.known(&descriptor.digest) {
            return Ok(Asked::Done(Box::new(Pulled::Same(self.named(image)?))));
        }
        let config = self.config(&client, &manifest.config, patience)?;
        let parsed = Config::parse(&config, manifest.layers.len()).map_err(|e| self.wrong("its configuration", &e))?;
        let platform = parsed.platform();
        self.check_platform(&platform)?;
        let todo = self.todo(&manifest, &parsed);
        let index = (digest != descriptor.digest).then_some(digest);
        let manifest = (descriptor, bytes, manifest.layers);
        let (descriptor, bytes, layers) = manifest;
        Ok(Asked::Found(Box::new(Found {
            client,
            manifest: (descriptor, bytes),
            config,
            index,
            layers,
            platform,
            todo,
        })))
    }

    /// Fetches and unpacks it.
    ///
    /// # Errors
    /// There is no room for it, or a layer cannot be had.
    pub fn fetch(&self, found: &Found, ids: &Ids, progress: &dyn Progress) -> Result<Image> {
        space::check(self.store, found)?;
        let source = self.reference.to_string();
        let installed = install(&Install {
            store: self.store,
            names: &[images::canonical(&self.reference.familiar()).to_owned()],
            manifest: (&found.manifest.0, &found.manifest.1),
            config: &found.config,
            index: found.index.clone(),
            origin: &Layers { client: &found.client, patience: self.patience },
            ids,
            source: &source,
            progress,
        });
        installed.map_err(|e| space::explain(e, self.store, found)).with_context(|| format!("pull {source}"))
    }

    /// Whether an image of the store is whole, and for the machines that are wanted.
    fn does(&self, image: &Image) -> bool {
        let (wanted, strictly) = self.platform;
        let whole = image.layers.iter().all(|layer| images::layer_dir(self.store.root(), layer).is_dir());
        whole && (!strictly || wanted.fit(&image.platform()) > 0)
    }

    /// Whether its packed layers are here, too, for those who push and save it and for `system check`.
    fn is_whole(&self, image: &Image) -> bool {
        image.blobs.iter().all(|blob| self.store.blob(&blob.digest).exists())
    }

    /// The image of the store that a digest leads to.
    fn known(&self, digest: &Digest) -> Option<Image> {
        let name = self.reference.familiar();
        let fits = |image: &Image| {
            let by_manifest = image.manifest.as_ref().is_some_and(|manifest| manifest.digest == *digest);
            // An index has one for every machine: that under another name may be for another one.
            let (wanted, _) = self.platform;
            let own = wanted.architecture == image.architecture;
            self.does(image) && self.is_whole(image) && (by_manifest || own && image.leads_from(digest))
        };
        let mut all: Vec<Image> = images::list(self.store.root()).into_iter().flatten().filter(fits).collect();
        let exact = all.iter().position(|image| images::same(&image.name, &name)).unwrap_or(0);
        (!all.is_empty()).then(|| all.swap_remove(exact))
    }

    /// The same image under the name that was asked for.
    fn named(&self, image: Image) -> Result<Image> {
        let name = self.reference.familiar();
        if images::same(&image.name, &name) {
            return Ok(image);
        }
        let image = Image { name: images::canonical(&name).into(), stored: images::now(), ..image };
        images::record(self.store.root(), &image)?;
        Ok(image)
    }

    /// From what the name led to, down to the manifest of one image.
    fn resolve(
        &self,
        client: &Client,
        first: registry::Document,
        patience: &Patience,
    ) -> Result<(Descriptor, Vec<u8>, Manifest)> {
        let mut document = first;
        // An index may stand in an index, once.
        for _ in 0..3 {
            let parsed = oci::parse(&document.bytes, Some(&document.media_type)).map_err(|e| self.wrong("it", &e))?;
            match parsed {
                Document::Manifest(manifest) => {
                    let size = document.bytes.len() as u64;
                    let descriptor = Descriptor::new(&manifest.media_type, document.digest, size);
                    return Ok((descriptor, document.bytes, manifest));
                }
                Document::Index(index) => {
                    let chosen = self.choose(&index)?;
                    let next = patience.bear(|| client.manifest(&chosen.digest.to_string(), media::ACCEPTED))?;
                    if next.bytes.len() as u64 != chosen.size {
                        let told = format!("{} bytes came, and its index says {}", next.bytes.len(), chosen.size);
                        return Err(self.wrong("its manifest", &told));
                    }
                    document = next;
                }
            }
        }
        Err(self.wrong("it", "an index in an index in an index"))
    }

    fn choose<'i>(&self, index: &'i Index) -> Result<&'i Descriptor> {
        let (wanted, strictly) = self.platform;
        let nested = || match index.manifests.as_slice() {
            [one] if media::is_index(&one.media_type) => Some(one),
            _ => None,
        };
        let chosen = index.choose(wanted);
        chosen.or_else(|told| nested().ok_or(told)).map_err(|told| {
            let remedy = if strictly {
                "name one of these with --platform"
            } else {
                "--platform takes one of these; to run it, this machine needs an interpreter (qemu-user-static)"
            };
            anyhow!("pull {}\n  cause: {told}\n  fix (you): {remedy}", self.reference)
        })
    }

    /// The configuration: from the store, or from the registry.
    fn config(&self, client: &Client, wanted: &Descriptor, patience: &Patience) -> Result<Vec<u8>> {
        if wanted.size > oci::MAX_DOCUMENT as u64 {
            let told = format!("it has {} bytes; {} are allowed", wanted.size, oci::MAX_DOCUMENT);
            return Err(self.wrong("its configuration", &told));
        }
        if let Ok(bytes) = self.store.read_blob(&wanted.digest)
            && fetch::is_it(wanted, &bytes).is_ok()
        {
            return Ok(bytes);
        }
        let bytes = patience.bear(|| fetch::whole(client, wanted))?;
        fetch::is_it(wanted, &bytes).map_err(|e| self.wrong("its configuration", &e))?;
        Ok(bytes)
    }

    /// One image that is no part of an index may be for any machine.
    fn check_platform(&self, is: &Platform) -> Result<()> {
        let (wanted, strictly) = self.platform;
        if strictly && wanted.fit(is) == 0 {
            bail!(
                "pull {}\n  cause: there is no image for {wanted}, only for {is}\n  fix (you): leave --platform away, or \
                 look for another image",
                self.reference
            );
        }
        Ok(())
    }

    fn todo(&self, manifest: &Manifest, config: &Config) -> Todo {
        let mut todo = Todo { layers: manifest.layers.len(), ..Todo::default() };
        let mut seen = std::collections::BTreeSet::new();
        for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            let is_here = self.store.layer(diff_id).join("root").is_dir() || self.store.blob(&layer.digest).exists();
            if is_here || !seen.insert(&layer.digest) {
                continue;
            }
            let part = self.store.blob(&layer.digest).with_extension("part");
            let have = std::fs::metadata(part).map_or(0, |part| part.len());
            todo.fetch += 1;
            todo.bytes += layer.size.saturating_sub(have);
        }
        todo
    }

    fn wrong(&self, what: &str, told: &str) -> anyhow::Error {
        anyhow!(
            "pull {}\n  cause: the registry sent something wrong: {what}: {told}\n  \
             fix (you): try again; if it stays so, the image has to be pushed again by its maker",
            self.reference
        )
    }
}

/// Whether a copy that is here does for one that cannot be had.
fn would_do(kind: &Kind) -> bool {
    matches!(kind, Kind::TooManyRequests { .. } | Kind::Unavailable | Kind::Offline)
}
