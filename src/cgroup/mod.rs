//! Control groups, version 2 (cgroups(7), the kernel's Documentation/admin-guide/cgroup-v2.rst): where a container's group
//! can be had, making, limiting, reading, ending and removing it.
//!
//! A group is a folder below /sys/fs/cgroup. It is ours to make where a part of that tree was delegated to us; else systemd
//! makes a scope and delegates it, when it is asked over D-Bus.
//!
//! Must not: start a thread (the launcher forks), or touch a group that is not below a folder with our name.

mod group;
pub mod oom;
pub mod place;
pub mod processes;
pub mod stats;
pub mod systemd;
mod tree;

pub use group::{Group, MOUNT, held, make_room};
