//! Steps: what the launcher does outside and what the first process does inside, as plain values.
//!
//! A step prints itself in one line; that line is the dry run, the log and the error. [`InitStep::why`] and
//! [`HostStep::why`] say in one more line what it is for, which is what `--explain` tells.

#![allow(missing_docs, reason = "the fields are those of the system calls, and each variant says what it does")]

use crate::spec::{Raw, User, ids::IdMap, limits::Ulimit};
use serde::{Deserialize, Serialize};

/// A kind of namespace (namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// user_namespaces(7)
    User,
    /// mount_namespaces(7)
    Mount,
    /// pid_namespaces(7)
    Pid,
    /// uts_namespaces(7)
    Uts,
    /// ipc_namespaces(7)
    Ipc,
    /// cgroup_namespaces(7)
    Cgroup,
}

/// Who writes the id maps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mapper {
    /// We do: a single id of our own, or any when we are root.
    Ourselves {
        /// Whether setgroups(2) must be given up first, as an unprivileged writer must.
        deny_setgroups: bool,
    },
    /// newuidmap(1) and newgidmap(1).
    Helpers {
        /// Where newuidmap is.
        newuidmap: Raw,
        /// Where newgidmap is.
        newgidmap: Raw,
    },
}

impl Default for Mapper {
    fn default() -> Mapper {
        Mapper::Ourselves { deny_setgroups: true }
    }
}

/// What the launcher does, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum HostStep {
    /// Leaves a mark by which a later run finds what this one may leave behind when it is killed.
    Mark { path: Raw },
    /// Makes a cgroup below `parent`, which is ours. `plain`: without controllers.
    MakeGroup { group: Group, parent: Raw, crowded: bool, plain: bool },
    /// Asks systemd for a scope for the first process (org.freedesktop.systemd1(5)). The answer is waited for later.
    AskScope { unit: String, description: String, slice: Option<String> },
    /// Waits for the scope and puts the first process into a cgroup below it.
    JoinScope { group: Group, unit: String },
    /// Writes a limit into a file of the container's cgroup, and reads it back.
    Limit { flag: String, file: String, value: String, optional: bool },
    /// Makes the first process in namespaces of its own. It waits there for [`HostStep::Go`]. `grouped`: it is
    /// born in the container's cgroup.
    Clone { namespaces: Vec<Namespace>, grouped: bool },
    /// Has the id maps written; helpers are only started.
    MapIds { map: IdMap, mapper: Mapper },
    /// Makes a folder.
    MakeFolder { path: Raw, mode: u32 },
    /// Takes a name that no other container has.
    ClaimName { name: String },
    /// Copies layers, the lowest first, into a folder.
    Copy { layers: Vec<Raw>, to: Raw },
    /// Waits for the helpers that write the id maps.
    AwaitMaps,
    /// Starts fuse-overlayfs in the namespaces of the first process, outside its PID namespace.
    Fuse { program: Raw, overlay: Overlay, squash: bool },
    /// Lets the first process go on.
    Go,
    /// Starts the process that ends the container when the launcher is killed. `for_scope`: it goes into the container's scope
    /// as well, and waits for that.
    Guard { for_scope: bool },
    /// Writes the container's record.
    Record { path: Raw },
    /// Looks for what killed runs have left and takes it away.
    Sweep,
}

/// The cgroup of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The name of its folder.
    pub name: String,
    /// Controllers that it must have.
    pub needed: Vec<String>,
    /// Where its path is written down, for the run that clears up after us.
    pub link: Raw,
}

/// The folders of an overlay (the kernel's Documentation/filesystems/overlayfs.rst).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// `lowerdir`, the uppermost first.
    pub lower: Vec<Raw>,
    /// `upperdir`
    pub upper: Raw,
    /// `workdir`
    pub work: Raw,
    /// Where it is mounted.
    pub target: Raw,
}

impl Overlay {
    /// As options for mount(2) and for fuse-overlayfs(1): a colon separates layers, a comma options, and a backslash takes
    /// that meaning away.
    pub fn options(&self) -> Vec<u8> {
        let mut options = Vec::with_capacity(512);
        let mut add = |name: &str, path: &Raw| {
            options.extend(name.as_bytes());
            for byte in path.bytes() {
                if b":,\\".contains(byte) {
                    options.push(b'\\');
                }
                options.push(*byte);
            }
        };
        for (n, layer) in self.lower.iter().enumerate() {
            add(if n == 0 { "lowerdir=" } else { ":" }, layer);
        }
        add(",upperdir=", &self.upper);
        add(",workdir=", &self.work);
        options
    }
}

/// What the first process does, in order, until it becomes the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum InitStep {
    /// Cuts our mounts off from the machine's.
    PrivateMounts,
    /// Goes into a network namespace of our own (network_namespaces(7)).
    OwnNetwork,
    /// Makes our cgroup the root of those that can be seen (cgroup_namespaces(7)).
    OwnCgroup,
    /// Runs on these CPUs alone, which the command can take back.
    Affinity { cpus: Vec<u32> },
    /// Sets how readily the kernel ends us where memory runs out (proc_pid_oom_score_adj(5)).
    OomScoreAdj { value: i16 },
    /// Bounds every process (getrlimit(2)).
    Rlimit { limit: Ulimit },
    /// Waits for [`HostStep::Go`].
    AwaitGo,
    /// Mounts the kernel's overlay. `volatile`: it is never synced to the disk.
    MountOverlay { overlay: Overlay, volatile: bool },
    /// Waits until fuse-overlayfs has mounted `target`.
    AwaitFuse { target: Raw },
    /// Goes into a mount namespace of our own, apart from that of fuse-overlayfs.
    OwnMounts,
    /// Binds a copied root file system onto `target`.
    BindRoot { source: Raw, target: Raw },
    /// Makes `root` the root; the old one is out of reach for paths from here on, but still there.
    EnterRoot { root: Raw },
    /// Mounts a tmpfs.
    MountTmpfs { target: Raw, data: String, exec: bool, read_only: bool },
    /// Makes a device of the machine appear in /dev.
    Device { name: String },
    /// Makes a symbolic link in /dev.
    Link { name: String, to: String },
    /// Mounts a devpts of our own on /dev/pts.
    MountDevpts { gid: Option<u32> },
    /// Mounts a tmpfs on /dev/shm.
    MountShm,
    /// Mounts POSIX message queues on /dev/mqueue.
    MountMqueue,
    /// Mounts /proc.
    MountProc,
    /// Mounts a sysfs of our own network namespace.
    MountSys,
    /// Shows the machine's /sys, read-only.
    BindSys,
    /// Mounts our own cgroup, read-only, on /sys/fs/cgroup.
    MountCgroup,
    /// Makes a small file of ours appear.
    File { target: Raw, content: Raw },
    /// Makes a file or folder of the machine appear.
    Bind { source: Raw, target: Raw, folder: bool, read_only: bool },
    /// Makes a folder where there is none.
    Folder { path: Raw },
    /// Makes a terminal, hands its master to the launcher, and puts the other side on 0, 1, 2 and /dev/console.
    OpenTerminal { size: Option<(u16, u16)>, stderr: bool },
    /// Puts /dev/null on standard input.
    NoInput,
    /// Hides a file or folder of /proc or /sys.
    Mask { path: Raw },
    /// Makes a folder of /proc read-only.
    ReadOnlyPath { path: Raw },
    /// Lets go of the old root: from here on nothing of the machine can be reached by any path.
    LeaveOldRoot,
    /// Makes the root file system read-only.
    ReadOnlyRoot,
    /// Sets the host name.
    Hostname { name: String },
    /// Brings the loopback device up.
    Loopback,
    /// Changes into the working directory, making it where it is missing.
    WorkDir { path: Raw },
    /// Takes capabilities out of the bounding set.
    LimitCapabilities { keep: Vec<String> },
    /// Becomes the user the command runs as; sets HOME.
    Become { user: User },
    /// Gives up gaining privileges by exec.
    NoNewPrivs,
    /// Has these system calls answered as by a kernel without them.
    RefuseCalls { names: Vec<String> },
    /// Stays as process 1 and goes on with the command as a child.
    Reaper,
    /// Becomes the command. `foreign`: the image's programs are another machine's, run by what binfmt_misc has for them.
    Exec { args: Vec<Raw>, env: Vec<Raw>, foreign: bool },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_paths_are_no_separators() {
        let overlay = Overlay {
            lower: vec!["/a:b".into(), "/c".into()],
            upper: "/u,v".into(),
            work: r"/w\x".into(),
            target: "/t".into(),
        };
        assert_eq!(overlay.options(), br"lowerdir=/a\:b:/c,upperdir=/u\,v,workdir=/w\\x");
    }
}
