//! Why a limit cannot be held here, and who can change that.

use super::Wanted;
use crate::{
    plan::facts::{Facts, Groups, Hierarchy, Limiting, Manager},
    spec::limits::{Cgroups, Limits},
};

/// In a few words, why no group can be limited on this machine at all.
pub fn absence(groups: &Groups) -> Option<&'static str> {
    match groups.hierarchy {
        Hierarchy::Unified => None,
        Hierarchy::Hybrid => Some("this machine has its controllers on cgroup v1 (hybrid)"),
        Hierarchy::Legacy => Some("this machine uses cgroup v1"),
        Hierarchy::ReadOnly => Some("/sys/fs/cgroup is read-only here"),
        Hierarchy::Absent => Some("no cgroup v2 is mounted here"),
    }
}

const ADMINISTRATOR: &str = "fix (an administrator, once)";
const YOU: &str = "fix (you)";

/// What `best-effort` would do, where it would do something.
fn otherwise(wanted: Option<&Wanted>) -> &'static str {
    match wanted.map(|w| w.flag) {
        Some("--cpus" | "--cpuset-cpus") => "\n  or (you): --limits best-effort keeps it on as few CPUs instead",
        Some("--pids-limit") => "\n  or (you): --limits best-effort bounds the processes of each user id instead",
        Some(_) => "\n  or (you): --limits best-effort runs it without this limit, and says so",
        None => "",
    }
}

/// There is no group to be had.
pub fn no_group(wanted: Option<&Wanted>, limits: &Limits, facts: &Limiting) -> String {
    let what = match wanted {
        Some(wanted) => format!("{} {} cannot be held on this machine", wanted.flag, wanted.requested),
        None => match &limits.cgroup_parent {
            Some(parent) => format!("--cgroup-parent {parent}: the container cannot have a cgroup there"),
            None => "--cgroups: the container cannot have a cgroup of its own on this machine".into(),
        },
    };
    let (cause, who, remedy) = lack(limits, facts);
    format!("{what}\n  cause: {cause}\n  {who}: {remedy}{}", otherwise(wanted))
}

fn lack(limits: &Limits, facts: &Limiting) -> (String, &'static str, String) {
    let groups = &facts.groups;
    let unified = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line (GRUB_CMDLINE_LINUX in \
                   /etc/default/grub, update-grub, reboot)";
    match groups.hierarchy {
        _ if limits.cgroups == Cgroups::Disabled => {
            ("--cgroups disabled makes no cgroup, and only a cgroup holds it".into(), YOU, "leave --cgroups away".into())
        }
        Hierarchy::Hybrid => (
            "cgroup v1 and v2 are both in use here (hybrid), and the controllers are all with v1, where an ordinary user \
             cannot be given any"
                .into(),
            ADMINISTRATOR,
            unified.into(),
        ),
        Hierarchy::Legacy => {
            ("cgroup v1 is in use here, where an ordinary user cannot be given any".into(), ADMINISTRATOR, unified.into())
        }
        Hierarchy::ReadOnly => (
            "/sys/fs/cgroup is mounted read-only: an outer container keeps its cgroups to itself".into(),
            YOU,
            "run it outside of that container, or give that one a writable /sys/fs/cgroup of its own".into(),
        ),
        Hierarchy::Absent => (
            "no cgroup v2 is mounted at /sys/fs/cgroup".into(),
            ADMINISTRATOR,
            "mount -t cgroup2 -o nsdelegate none /sys/fs/cgroup".into(),
        ),
        Hierarchy::Unified if limits.cgroups == Cgroups::Cgroupfs || of_path(limits) => (
            match &limits.cgroup_parent {
                Some(parent) => format!("{parent} is not there, or processes may not be moved to it from {}", groups.own),
                None => format!("your own cgroup, {}, was not delegated to you", groups.own),
            },
            YOU,
            "--cgroups systemd asks systemd for one; or begin inside of one: systemd-run --user --scope -p Delegate=yes bash"
                .into(),
        ),
        Hierarchy::Unified => no_manager(&groups.manager, &groups.own),
    }
}

/// Why nothing can be limited, and what an administrator can do, for somebody who has asked for no limit yet.
pub fn why_none(groups: &Groups) -> (String, String) {
    let facts = Limiting { groups: groups.clone(), ..Limiting::default() };
    let (cause, who, remedy) = lack(&Limits::default(), &facts);
    let who = if who == YOU { "" } else { "(administrator) " };
    (cause, format!("{who}{remedy}"))
}

fn of_path(limits: &Limits) -> bool {
    limits.cgroup_parent.as_ref().is_some_and(|parent| parent.path().is_absolute())
}

fn no_manager(manager: &Manager, own: &str) -> (String, &'static str, String) {
    match manager {
        Manager::NoSystemd | Manager::Reachable { .. } => (
            format!("your own cgroup, {own}, was not delegated to you, and there is no systemd that could delegate one"),
            ADMINISTRATOR,
            "make one that belongs to the user, with cgroup.procs and cgroup.subtree_control, and start the shell in it".into(),
        ),
        Manager::NoUserManager { user } => (
            format!("no `systemd --user` runs for {user}, and nothing else can delegate a cgroup to you"),
            ADMINISTRATOR,
            format!("loginctl enable-linger {user}   # a login by ssh or at the console starts it, too; su and sudo do not"),
        ),
        Manager::NoSocket => (
            "your `systemd --user` runs, but neither its bus nor its own socket is in the runtime folder".into(),
            ADMINISTRATOR,
            "apt install dbus-user-session   # then log in anew".into(),
        ),
        Manager::Batch { group } => (
            format!("a batch system limits and counts what runs in {group}, and a scope of systemd would leave it"),
            YOU,
            "ask the batch system for the limit (Slurm: --mem, --cpus-per-task); --cgroups systemd leaves it all the same".into(),
        ),
    }
}

/// There is a group, but not with this controller.
pub fn no_controller(wanted: &Wanted, there: &[String], by_systemd: bool, facts: &Facts) -> String {
    let controller = wanted.controller();
    let has = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    let what = format!("{} {} cannot be held on this machine", wanted.flag, wanted.requested);
    let (cause, who, remedy) = if !facts.limits.groups.kernel.iter().any(|c| c == controller) {
        let remedy = format!(
            "boot a kernel that has it; where it was switched off: cgroup_enable={controller} on its command line"
        );
        (format!("this kernel offers no {controller} controller for cgroup v2"), ADMINISTRATOR, remedy)
    } else if by_systemd {
        let cause = format!("the {controller} controller is not delegated to users here, only: {has}");
        (cause, ADMINISTRATOR, delegation())
    } else {
        let cause = format!("the {controller} controller is not delegated to this cgroup, only: {has}");
        let remedy = format!("have it delegated where the cgroup comes from (systemd: Delegate={controller} …)");
        (cause, ADMINISTRATOR, remedy)
    };
    format!("{what}\n  cause: {cause}\n  {who}: {remedy}{}", otherwise(Some(wanted)))
}

/// What has every controller delegated to users (systemd.resource-control(5), `Delegate=`).
pub fn delegation() -> String {
    "mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' > \
     /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload   # then log out everywhere and in again"
        .into()
}
