//! Images as documents: parsers with bounds, and what they give.
//!
//! ```text
//! index     →  manifests, one for each platform        application/vnd.oci.image.index.v1+json, Docker's manifest list
//! manifest  →  one config, layers from the lowest up   application/vnd.oci.image.manifest.v1+json, Docker's V2 schema 2
//! config    →  what runs, diff_ids, history            application/vnd.oci.image.config.v1+json
//! ```
//!
//! OCI image-spec v1.1 and Docker image manifest V2, schema 2: the two share one shape. A document is kept and passed on
//! as the bytes it came in; what is read from them here is never written back.

mod config;
mod descriptor;
mod manifest;
pub mod media;
mod platform;

pub use config::{Config, History, Rootfs, Run};
pub use descriptor::Descriptor;
pub use manifest::{Document, Index, Manifest, parse};
pub use platform::Platform;

/// The longest manifest, index or configuration that is read, in bytes; registries refuse larger manifests, too
/// (distribution-spec, "Pushing manifests").
pub const MAX_DOCUMENT: usize = 4 << 20;

/// The most layers of an image: what the kernel's overlay stacks (500), less a few of ours.
pub const MAX_LAYERS: usize = 480;
