//! Images on their way: from a registry or an archive into the store, and out of it again.
//!
//! ```text
//! pull   registry  →┐
//! load   archive   →┤  install: blobs → layers → record     each layer in one pass, several at once
//! import a root    →┘
//! push   store  →  registry        save   store  →  archive
//! export a root  →  archive
//! ```
//!
//! [`install`] is the one way in: whatever brings an image has its manifest and configuration as bytes, and an [`Origin`]
//! that opens its packed layers.

mod archive;
pub mod check;
pub mod export;
pub mod import;
pub mod install;
mod layers;
pub mod load;
pub mod moving;
mod packed;
mod plain;
pub mod progress;
pub mod pull;
pub mod push;
pub mod save;

pub use install::{Install, Origin, Stream, install};
pub use progress::{Progress, Silent};
