//! Puts an image into the store.

use super::Progress;
use crate::{
    oci::Descriptor,
    plan::ids::Ids,
    spec::Digest,
    store::{Store, images::Image},
};
use anyhow::Result;
use std::io::Read;

/// Where packed layers come from when the store does not have them.
pub trait Origin: Sync {
    /// Opens a layer from byte `from` on. The error may be transient: see [`Origin::again`].
    ///
    /// # Errors
    /// It cannot be had.
    fn open(&self, layer: &Descriptor, from: u64) -> Result<Stream>;

    /// After which pause it is worth trying again, for the n-th time (from 1) after this error; `None`: never.
    fn again(&self, _error: &anyhow::Error, _n: u32) -> Option<std::time::Duration> {
        None
    }
}

/// The bytes of a layer.
pub struct Stream {
    /// Read to its end.
    pub reader: Box<dyn Read + Send>,
    /// The byte at which it begins: what was asked for, or 0 where the origin can only begin at the beginning.
    pub start: u64,
}

/// An image that is to be put into the store.
pub struct Install<'a> {
    /// Where to.
    pub store: &'a Store,
    /// What it is to be called, in the form of [`crate::store::images::canonical`]; none: only blobs and layers.
    pub names: &'a [String],
    /// The manifest as it came, and what it is.
    pub manifest: (&'a Descriptor, &'a [u8]),
    /// The configuration as it came.
    pub config: &'a [u8],
    /// What the name led to in a registry, if not the manifest itself.
    pub index: Option<Digest>,
    /// Where the layers come from.
    pub origin: &'a dyn Origin,
    /// Which ids its files are given to.
    pub ids: &'a Ids,
    /// For [`Image::source`].
    pub source: &'a str,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

/// Puts the image into the store: fetches and unpacks what is missing, several layers at once, then writes its records.
/// What is whole is kept whatever happens, and taken up by the next try.
///
/// # Errors
/// A layer cannot be had, is not what it was announced as, or does not fit; the error names it.
pub fn install(_wanted: &Install<'_>) -> Result<Image> {
    anyhow::bail!("not built yet")
}
