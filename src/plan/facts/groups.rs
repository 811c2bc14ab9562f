//! What limits depend on: groups of processes, CPUs, the caller's own bounds.

use crate::spec::Raw;
use serde::{Deserialize, Serialize};

/// What a limit depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limiting {
    /// Groups of processes (cgroups(7)).
    pub groups: Groups,
    /// The folder of our own group, if we may write to it: then so might a container that is in it. Looked at in any case.
    #[serde(default)]
    pub exposed: Option<Raw>,
    /// The CPUs that are there.
    pub cpus: Vec<u32>,
    /// Those that we may run on.
    pub affinity: Vec<u32>,
    /// RLIMIT_NPROC counts within a user namespace: since Linux 5.14.
    pub nproc_per_namespace: bool,
    /// Our own hard bounds, of what `--ulimit` names, in its order.
    pub hard: Vec<Option<u64>>,
    /// The numbers of the block devices that limits name, in their order.
    pub devices: Vec<(u32, u32)>,
}

/// What this machine has for groups of processes (cgroups(7)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// Which version, and whether it can be written to.
    pub hierarchy: Hierarchy,
    /// The controllers that the kernel offers for version 2.
    pub kernel: Vec<String>,
    /// Our own group, as /proc/self/cgroup has it.
    pub own: String,
    /// Where we may make groups ourselves.
    pub subtree: Option<Subtree>,
    /// Whether systemd makes one for us.
    pub manager: Manager,
}

/// Which version of cgroups is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hierarchy {
    /// Version 2 alone.
    Unified,
    /// Version 2 without controllers, which are all with version 1.
    Hybrid,
    /// Version 1.
    Legacy,
    /// Version 2, mounted read-only: an outer container.
    ReadOnly,
    /// Nothing at /sys/fs/cgroup.
    #[default]
    Absent,
}

/// A group below which we may make others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subtree {
    /// Its folder.
    pub path: Raw,
    /// Its controllers.
    pub controllers: Vec<String>,
    /// It holds processes, which must go into a group below it before its controllers can be handed on
    /// (cgroups(7), "no internal processes").
    pub crowded: bool,
    /// How we know that it is ours.
    pub why: String,
}

/// Whether systemd makes a group for us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// It can be asked, and hands these controllers on.
    Reachable {
        /// As in its own cgroup.controllers.
        controllers: Vec<String>,
    },
    /// This machine does not run systemd.
    #[default]
    NoSystemd,
    /// No `systemd --user` runs for this user.
    NoUserManager {
        /// Its name.
        user: String,
    },
    /// It runs, and none of its sockets is there.
    NoSocket,
    /// A batch system limits and accounts for our own group, which a scope of systemd would leave.
    Batch {
        /// Our own group.
        group: String,
    },
}
