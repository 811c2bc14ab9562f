//! The client of registries (OCI distribution-spec 1.1): manifests and blobs, read and written, and what it takes to be
//! let in.
//!
//! | module | what |
//! |---|---|
//! | `address` | addresses of servers, and where a `Location` leads |
//! | `auth` | tokens and passwords, and to whom they may go |
//! | [`challenge`] | `WWW-Authenticate` |
//! | `client` | what callers use |
//! | [`credentials`] | docker's and podman's files and helpers |
//! | `error` | why it failed, for programs and for people |
//! | `net` | one exchange: connection, time limits, redirects |
//! | `proxy` | which proxy the environment asks for |
//! | `server` | one server that is asked: its scheme, its tokens |
//! | `tls` | whom to trust |
//!
//! A registry has no power here but to send bytes: what it names is compared with its digest, and all that is kept in
//! memory has a limit.

mod address;
mod auth;
pub mod challenge;
mod client;
pub mod credentials;
mod error;
mod net;
mod proxy;
mod server;
mod tls;

pub use client::{Body, Client, Document};
pub use error::{Error, Kind};

use std::path::PathBuf;

/// The registries of this machine, from the configuration and the flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where to ask first, in this order.
    pub mirrors: Vec<Mirror>,
    /// Hosts, with a port where theirs is not the usual one, that may speak plain HTTP or have any certificate.
    pub insecure: Vec<String>,
    /// Certificates (PEM) to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// The network is not to be used: everything fails with [`Kind::Offline`].
    pub offline: bool,
}

/// A server that has copies of another one's images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Whose images: a host as in a reference, `docker.io`.
    pub host: String,
    /// Where: `HOST[:PORT]`, `https://HOST[:PORT]` or `http://HOST[:PORT]`, with a path where it has one, below which
    /// `/v2/` stands.
    pub url: String,
}

/// The largest manifest, in bytes (distribution-spec, "Pushing Manifests": 4 MiB must be accepted, no more is common).
pub const MAX_MANIFEST: u64 = 4 << 20;
