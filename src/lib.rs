//! little-container runs containers without root: no sudo, no daemon, one file, milliseconds.
//!
//! There is one way through:
//!
//! ```text
//! cli  →  Spec  →  plan(&Spec, &Facts)  →  Plan { host: [HostStep], init: [InitStep] }  →  launch | init  →  exec
//! ```
//!
//! The rooms, in the order in which they build on each other (`tests/layers.rs` holds it):
//!
//! | room | what | may touch |
//! |---|---|---|
//! | [`spec`] | what the user wants | nothing: pure values and parsers |
//! | [`sys`] | system calls and programs: the only `unsafe` | the kernel |
//! | [`say`] | our own words on stderr | stderr |
//! | [`plan`] | how, on this machine | nothing: a pure function |
//! | [`sync`] | the protocol between the launcher and the first process | a socket |
//! | [`userns`] | making a user namespace, and work inside one | /proc/PID, helpers |
//! | [`init`] | the first process, inside | the container |
//! | [`host`] | facts about this machine | reads; writes only what the overlay probe found, empty folders, the configuration |
//! | [`cgroup`] | groups of processes: limits, counters, systemd | /sys/fs/cgroup, D-Bus |
//! | [`oci`] | images as documents: manifests, configurations, platforms | nothing: pure values and parsers |
//! | [`registry`] | the client of registries, and credentials | the network, docker's and podman's files |
//! | [`store`] | what lies on the disk | the store and the runtime folder |
//! | [`image`] | unpacking and packing | a folder it is given |
//! | [`transfer`] | images on their way: pull, push, load, save, import | the rooms above |
//! | [`launch`] | the launcher, outside | processes, the container's folder |
//! | [`cli`] | flags and verbs | everything above |

#![deny(unsafe_code)]
#![warn(missing_docs, rust_2018_idioms, clippy::too_many_lines)]

pub mod cgroup;
pub mod cli;
pub mod host;
pub mod image;
pub mod init;
pub mod launch;
pub mod oci;
pub mod plan;
pub mod registry;
pub mod say;
pub mod spec;
pub mod store;
pub mod sync;
#[allow(unsafe_code, reason = "this is the fence")]
pub mod sys;
pub mod transfer;
pub mod userns;

/// Our own failures: the command was never started.
pub const EXIT_OURS: u8 = 125;
/// The command was found and cannot be run.
pub const EXIT_NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub const EXIT_NOT_FOUND: u8 = 127;
