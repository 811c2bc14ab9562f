//! How steps print themselves, and what each is for.

use super::step::{HostStep, InitStep, Mapper, Namespace, Overlay};
use crate::spec::Raw;
use std::fmt;

impl Namespace {
    /// Its name in /proc/PID/ns and in unshare(1).
    pub fn name(self) -> &'static str {
        match self {
            Namespace::User => "user",
            Namespace::Mount => "mount",
            Namespace::Pid => "pid",
            Namespace::Uts => "uts",
            Namespace::Ipc => "ipc",
            Namespace::Cgroup => "cgroup",
        }
    }
}

fn joined<T: fmt::Display>(items: impl IntoIterator<Item = T>, with: &str) -> String {
    items.into_iter().map(|i| i.to_string()).collect::<Vec<_>>().join(with)
}

impl fmt::Display for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "on {}: lowerdir={} upperdir={} workdir={}",
            self.target,
            joined(&self.lower, ":"),
            self.upper,
            self.work
        )
    }
}

impl fmt::Display for HostStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostStep::Mark { path } => write!(f, "mark the run by {path}"),
            HostStep::MakeGroup { group, parent, crowded, .. } => {
                let first =
                    if *crowded { ", after moving the processes of that one into one of their own" } else { "" };
                write!(f, "make the cgroup {} below {parent}{first}", group.name)
            }
            HostStep::AskScope { unit, slice, .. } => {
                let slice = slice.as_ref().map(|s| format!(" in {s}")).unwrap_or_default();
                write!(f, "ask systemd for {unit}{slice}, delegated")
            }
            HostStep::JoinScope { group, unit } => {
                write!(f, "wait for {unit} and go into the cgroup {} below it", group.name)
            }
            HostStep::Limit { file, value, .. } => write!(f, "write {value} to {file}"),
            HostStep::Clone { namespaces, grouped } => {
                let spaces = joined(namespaces.iter().map(|n| n.name()), ", ");
                let group = if *grouped { ", in its cgroup" } else { "" };
                write!(f, "make the first process in new namespaces: {spaces}{group}")
            }
            HostStep::MapIds { map, mapper } => {
                let by = match mapper {
                    Mapper::Ourselves { .. } => "directly".to_owned(),
                    Mapper::Helpers { newuidmap, newgidmap } => format!("by {newuidmap} and {newgidmap}"),
                };
                write!(f, "write uid_map ({}) and gid_map ({}) {by}", joined(&map.uid, ", "), joined(&map.gid, ", "))
            }
            HostStep::MakeFolder { path, mode } => write!(f, "make the folder {path} ({mode:o})"),
            HostStep::ClaimName { name } => write!(f, "take the name {name}"),
            HostStep::Copy { layers, to } => write!(f, "copy {} to {to}", joined(layers, ", ")),
            HostStep::AwaitMaps => f.write_str("wait until the id maps are written"),
            HostStep::Fuse { program, overlay, squash } => {
                let squash = if *squash { ", everything owned by root" } else { "" };
                write!(f, "start {program} {overlay}{squash}")
            }
            HostStep::Go => f.write_str("let the first process go on"),
            HostStep::Guard { .. } => f.write_str("start the guard"),
            HostStep::Record { path } => write!(f, "write the record {path}"),
            HostStep::Sweep => f.write_str("take away what killed runs have left"),
        }
    }
}

impl HostStep {
    /// What the step is for.
    pub fn why(&self) -> &'static str {
        match self {
            HostStep::Mark { .. } => "a killed run is found by its mark, and the next one cleans up after it",
            HostStep::MakeGroup { plain: true, .. } => {
                "your own cgroup belongs to you, and is out of the container's reach so"
            }
            HostStep::MakeGroup { .. } => "what it holds can be limited, counted and ended as one",
            HostStep::AskScope { .. } => {
                "an ordinary user may limit only what systemd has delegated; the guard comes along"
            }
            HostStep::JoinScope { .. } => "the scope's own files are systemd's to write; those below it are ours",
            HostStep::Limit { .. } => "the kernel holds it from now on; what it made of the number is read back",
            HostStep::Clone { .. } => {
                "the user namespace comes first and owns the others, so no root is needed outside"
            }
            HostStep::MapIds { mapper: Mapper::Ourselves { .. }, .. } => "root inside is you outside",
            HostStep::MapIds { mapper: Mapper::Helpers { .. }, .. } => {
                "root inside is you outside; the other ids are your subordinate ones, which only these programs may map"
            }
            HostStep::MakeFolder { .. } => "the container's own changes go here, never into the image",
            HostStep::ClaimName { .. } => "other commands find the container by it",
            HostStep::Copy { .. } => "the container writes to a copy of its own, never into the image",
            HostStep::AwaitMaps => "no file can be made inside before its owner has an id",
            HostStep::Fuse { .. } => "it lays the container's changes over the image; it dies with the launcher",
            HostStep::Go => "everything it needs from outside is there",
            HostStep::Guard { for_scope: false } => {
                "it ends the container, and puts the terminal back, when the launcher is killed by SIGKILL"
            }
            HostStep::Guard { for_scope: true } => {
                "it ends the container when the launcher is killed by SIGKILL; and systemd takes a scope away, with all that it \
                 has counted, as soon as nobody is in it"
            }
            HostStep::Record { .. } => "`ps` reads it",
            HostStep::Sweep => "nobody has to clean up by hand",
        }
    }
}

impl fmt::Display for InitStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InitStep::PrivateMounts => f.write_str("make every mount private"),
            InitStep::OwnNetwork => f.write_str("make a network namespace"),
            InitStep::OwnCgroup => f.write_str("make a cgroup namespace"),
            InitStep::Affinity { cpus } => write!(f, "run on CPU {} alone", joined(cpus, ", ")),
            InitStep::OomScoreAdj { value } => write!(f, "write {value} to /proc/self/oom_score_adj"),
            InitStep::Rlimit { limit } => write!(f, "set the rlimit {limit}"),
            InitStep::AwaitGo => f.write_str("wait for the launcher's word"),
            InitStep::MountOverlay { overlay, volatile } => {
                write!(f, "mount overlay {overlay}{}", if *volatile { " volatile" } else { "" })
            }
            InitStep::AwaitFuse { target } => write!(f, "wait for fuse-overlayfs on {target}"),
            InitStep::OwnMounts => f.write_str("make another mount namespace"),
            InitStep::BindRoot { source, target } => write!(f, "bind {source} on {target}"),
            InitStep::EnterRoot { root } => write!(f, "pivot_root to {root}"),
            InitStep::MountTmpfs { target, data, exec, read_only } => {
                let exec = if *exec { "" } else { ",noexec" };
                let read_only = if *read_only { ",ro" } else { "" };
                write!(f, "mount tmpfs on {target} ({data},nosuid,nodev{exec}{read_only})")
            }
            InitStep::Device { name } => write!(f, "bind the machine's /dev/{name} on /dev/{name}"),
            InitStep::Link { name, to } => write!(f, "link /dev/{name} to {to}"),
            InitStep::MountDevpts { .. } => f.write_str("mount devpts on /dev/pts (newinstance)"),
            InitStep::MountShm => f.write_str("mount tmpfs on /dev/shm (64 MiB)"),
            InitStep::MountMqueue => f.write_str("mount mqueue on /dev/mqueue"),
            InitStep::MountProc => f.write_str("mount proc on /proc"),
            InitStep::MountSys => f.write_str("mount sysfs on /sys (read-only)"),
            InitStep::BindSys => f.write_str("bind the machine's /sys on /sys (read-only)"),
            InitStep::MountCgroup => f.write_str("mount cgroup2 on /sys/fs/cgroup (read-only)"),
            InitStep::File { target, content } => write!(f, "put {} bytes at {target}", content.bytes().len()),
            InitStep::Bind { source, target, read_only, .. } => {
                write!(f, "bind the machine's {source} on {target}{}", if *read_only { " (read-only)" } else { "" })
            }
            InitStep::OpenTerminal { size: Some((rows, columns)), .. } => {
                write!(f, "open a terminal of {rows} rows and {columns} columns")
            }
            InitStep::OpenTerminal { size: None, .. } => f.write_str("open a terminal"),
            InitStep::NoInput => f.write_str("read from /dev/null"),
            InitStep::Mask { path } => write!(f, "mask {path}"),
            InitStep::ReadOnlyPath { path } => write!(f, "make {path} read-only"),
            InitStep::LeaveOldRoot => f.write_str("detach the old root"),
            InitStep::ReadOnlyRoot => f.write_str("make / read-only"),
            InitStep::Hostname { name } => write!(f, "set the host name to {name}"),
            InitStep::Loopback => f.write_str("bring the loopback device up"),
            InitStep::Folder { path } => write!(f, "see that {path} is there"),
            InitStep::WorkDir { path } => write!(f, "change to {path}"),
            InitStep::LimitCapabilities { keep } => write!(f, "keep only these capabilities: {}", joined(keep, " ")),
            InitStep::Become { user } => write!(f, "become user {user}"),
            InitStep::NoNewPrivs => f.write_str("set no_new_privs"),
            InitStep::RefuseCalls { names } => write!(f, "refuse the system calls {}", joined(names, ", ")),
            InitStep::Reaper => f.write_str("stay as process 1 and start the command as a child"),
            InitStep::Exec { args, .. } => write!(f, "exec {}", joined(args, " ")),
        }
    }
}

impl InitStep {
    /// What the step is for.
    pub fn why(&self) -> &'static str {
        match self {
            InitStep::PrivateMounts => "nothing mounted here may ever show on the machine",
            InitStep::OwnCgroup => "the container sees its own cgroup as the root, and none above it",
            InitStep::Affinity { .. } => "without a cgroup this comes nearest to a limit of CPU time",
            InitStep::OomScoreAdj { .. } => "the kernel goes by it when it must end something for want of memory",
            InitStep::Rlimit { .. } => {
                "the kernel holds it for each process, and only root outside could raise it again"
            }
            InitStep::OwnNetwork => "the machine's networks are out of reach, as --network none asks for",
            InitStep::AwaitGo => "ids and folders come from outside; all before this needs neither",
            InitStep::MountOverlay { volatile: false, .. } => {
                "reads come from the image, writes go to the container's own folder"
            }
            InitStep::MountOverlay { volatile: true, .. } => {
                "reads come from the image, writes go to a folder that is thrown away, so that nothing waits for the disk"
            }
            InitStep::AwaitFuse { .. } => "reads come from the image, writes go to the container's own folder",
            InitStep::OwnMounts => {
                "pivot_root changes the root of every process of a namespace, and fuse-overlayfs must keep its own"
            }
            InitStep::BindRoot { .. } => "pivot_root needs a mount",
            InitStep::EnterRoot { .. } => {
                "unlike chroot it can be made final: no path leads back once the old root is detached"
            }
            InitStep::MountTmpfs { .. } => "an empty place in memory",
            InitStep::Device { .. } => "mknod is refused in a user namespace, a bind is not",
            InitStep::Link { .. } => "programs expect it",
            InitStep::MountDevpts { .. } => "terminals of the container's own, none of the machine's",
            InitStep::MountShm => "shm_open(3) works there",
            InitStep::MountMqueue => "message queues of the container's own",
            InitStep::MountProc => "it shows the processes of our own PID namespace only",
            InitStep::MountSys => "it shows the devices of our own network namespace",
            InitStep::BindSys => "with the machine's network the kernel refuses a new one",
            InitStep::MountCgroup => "it shows our own cgroup as the root",
            InitStep::File { .. } => "made fresh for each start",
            InitStep::Bind { .. } => "you asked for it",
            InitStep::OpenTerminal { .. } => "no program inside can type into your own terminal",
            InitStep::NoInput => "standard input was not asked for",
            InitStep::Mask { .. } => "it tells about the machine, not about the container",
            InitStep::ReadOnlyPath { .. } => "it changes the machine, not the container",
            InitStep::LeaveOldRoot => "from here on no path leads to the machine",
            InitStep::ReadOnlyRoot => "you asked for it",
            InitStep::Hostname { .. } => "the name is the container's own",
            InitStep::Loopback => "programs expect 127.0.0.1 to work",
            InitStep::Folder { .. } => "the image keeps its data there",
            InitStep::WorkDir { .. } => "the command starts there",
            InitStep::LimitCapabilities { .. } => "root inside needs no more than docker gives it",
            InitStep::Become { .. } => "the user's name, ids and home are those of the image's own /etc/passwd",
            InitStep::NoNewPrivs => "no setuid program can give more than this",
            InitStep::RefuseCalls { .. } => {
                "the keys of your login (Kerberos, file encryption) are not the container's"
            }
            InitStep::Reaper => "it collects orphans and passes signals on",
            InitStep::Exec { .. } => "from here on it is the command",
        }
    }
}

/// The words of a command line.
pub fn words(args: &[Raw]) -> String {
    joined(args, " ")
}
