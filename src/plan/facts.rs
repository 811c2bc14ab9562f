//! What a plan must know of this machine. `host/` reads it once; here it is only a value.

mod groups;

pub use groups::{Groups, Hierarchy, Limiting, Manager, Subtree};

use crate::spec::{Raw, ids::Range};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// This machine, this user, this image: everything that a plan depends on besides the spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The id of the container to be: 64 hexadecimal digits.
    pub id: String,
    /// The caller's user id.
    pub uid: u32,
    /// The caller's group id.
    pub gid: u32,
    /// Which other ids the caller may map.
    pub ids: SubIds,
    /// The image, as it lies on the disk.
    pub image: Image,
    /// What the kernel's overlay does where this container's writes will go.
    pub overlay: Ability,
    /// The program fuse-overlayfs.
    pub fuse: Ability,
    /// Folders of ours.
    pub dirs: Dirs,
    /// `-v`, in the order of the spec: where each really is.
    pub volumes: Vec<Source>,
    /// The content of the resolv.conf that fits the network.
    pub resolv_conf: Raw,
    /// TERM of the caller.
    pub term: Option<Raw>,
    /// Rows and columns of the caller's terminal.
    pub window: Option<(u16, u16)>,
    /// Whether a cgroup v2 hierarchy is mounted on this machine.
    pub cgroup2: bool,
    /// What a limit depends on; looked at only where one was asked for.
    #[serde(default)]
    pub limits: Limiting,
}

/// Whether something works here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// It works; for a program, where it is.
    Works(Raw),
    /// It does not, and why.
    Fails(String),
}

impl Default for Ability {
    fn default() -> Ability {
        Ability::Fails("not looked at".into())
    }
}

/// Which other ids the caller may map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubIds {
    /// Subordinate ranges, and the programs that map them.
    Helpers {
        /// Of /etc/subuid.
        uid: Vec<Range>,
        /// Of /etc/subgid.
        gid: Vec<Range>,
        /// Where newuidmap(1) is.
        newuidmap: Raw,
        /// Where newgidmap(1) is.
        newgidmap: Raw,
    },
    /// We are root and may write any map: these ids are handed on as they are.
    Privileged {
        /// User ids of our own namespace.
        uid: Vec<Range>,
        /// Group ids of our own namespace.
        gid: Vec<Range>,
    },
    /// None, and the cause.
    None(String),
}

impl Default for SubIds {
    fn default() -> SubIds {
        SubIds::None("not looked at".into())
    }
}

/// An image, as it lies on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The folders of its layers, the uppermost first.
    pub layers: Vec<Raw>,
    /// For the image `host`: the machine's own folders, each with the layers that stand for it, the uppermost first.
    pub parts: Vec<Part>,
    /// Its programs are for another machine, and an interpreter for them is registered in binfmt_misc.
    #[serde(default)]
    pub foreign: bool,
    /// `Env`, `KEY=VALUE`.
    pub env: Vec<Raw>,
    /// `Entrypoint`.
    pub entrypoint: Vec<Raw>,
    /// `Cmd`.
    pub cmd: Vec<Raw>,
    /// `WorkingDir`; empty: `/`.
    pub working_dir: Raw,
    /// `User`; empty: root.
    pub user: String,
    /// `Volumes`: folders whose content is not part of the image.
    #[serde(default)]
    pub volumes: Vec<Raw>,
    /// `ExposedPorts`.
    #[serde(default)]
    pub exposed_ports: Vec<String>,
    /// `Labels`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `StopSignal`; empty: TERM.
    #[serde(default)]
    pub stop_signal: String,
    /// A layer lies on the disk in a form that the kernel's overlay does not read.
    #[serde(default)]
    pub plain_whiteouts: bool,
}

/// A folder of the machine in the image `host`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name below `/`: `usr`, `etc`.
    pub name: String,
    /// Its layers, the uppermost first.
    pub layers: Vec<Raw>,
}

/// Folders of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dirs {
    /// The folder of this container in the store: its record, its writes.
    pub container: Raw,
    /// The empty folder of the store on which roots are mounted, each in a mount namespace of its own.
    pub mount_point: Raw,
    /// The folder of the store with a place for everything that is mounted in a root: the lowest layer. Empty: there is none.
    #[serde(default)]
    pub points: Raw,
    /// The mark that this container is on its way: `<id>.<pid>.<start time>` in the runtime folder.
    pub mark: Raw,
}

/// Where a volume really is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Absolute, without links.
    pub path: Raw,
    /// Whether it is a folder.
    pub folder: bool,
}
