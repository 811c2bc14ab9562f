//! Images: from what a user has (a folder, an archive) to one unpacked layer with a content hash.
//!
//! ```text
//! source   what was given: folder, tar or cpio (plain, gzip, xz, zstd, lzma), standard input; all else is named and refused
//!   tape   a tar archive as members (pax, GNU); bounded before anything is read into memory
//!   cpio   an initramfs as the same members
//!   tree   the folder as files
//!   pack   a tree as a tar archive again, always the same
//!   layer  unpacks, copies: hash, size, records, notes
//!   target the tree on disk: the one writer, over sys::dir
//!   merge  layers onto each other, with their owners
//!   exact  a tree as it is, for a store that moves
//!   same   whether a tree is still what it was
//! ```

pub mod arch;
mod cpio;
pub mod digest;
mod exact;
pub mod layer;
pub mod members;
pub mod merge;
mod notes;
pub mod owners;
mod pack;
mod pax;
mod same;
pub mod source;
mod tape;
mod target;
mod tree;

pub use arch::architecture_of;
pub use exact::copy_exactly;
pub use layer::{Limits, Unpacked, clone_tree, copy_tree, unpack, unpack_cpio, unpack_layer, unpack_within};
pub use owners::{Device, OwnerRecord, Owners};
pub use pack::{Packed, pack};
pub use same::difference;
pub use source::{Source, Stream, open};
