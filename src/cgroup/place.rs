//! Where a container's group can be had: which part of the tree was delegated to us, and whether systemd can be asked.
//!
//! Only looks. That a folder can be written to does not make it ours: everything below a user's own systemd belongs to the
//! user, and is systemd's to arrange (systemd's "Control Group APIs and Delegation").

use super::{
    group::{MOUNT, PREFIX},
    stats, systemd,
};
use crate::{
    plan::facts::{Groups, Hierarchy, Manager, Subtree},
    spec::{
        Raw,
        limits::{Cgroups, Limits},
    },
    sys::{
        cred, limit,
        mount::{self, magic},
    },
};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What there is for this user, as far as `limits` asks for it.
pub fn look(uid: u32, limits: &Limits) -> Groups {
    let mount = Path::new(MOUNT);
    let hierarchy = hierarchy(mount);
    if hierarchy != Hierarchy::Unified {
        return Groups { hierarchy, ..Groups::default() };
    }
    let own = own_group().unwrap_or_default();
    let tree = Tree { mount, uid, systemd: Path::new("/run/systemd/system").exists() };
    let subtree = match &limits.cgroup_parent {
        Some(parent) if parent.path().is_absolute() => tree.named(parent, &own),
        // A slice is systemd's, wherever we are.
        Some(_) => None,
        None => tree.delegated(&own).or_else(|| tree.any(&own, limits.cgroups)),
    };
    let manager = match (&subtree, limits.cgroups) {
        // Not needed, and so not looked for.
        (Some(_), Cgroups::Auto | Cgroups::Cgroupfs) | (None, Cgroups::Cgroupfs) => Manager::NoSystemd,
        (_, how) => tree.manager(&own, how == Cgroups::Systemd),
    };
    Groups { hierarchy, kernel: words(&mount.join("cgroup.controllers")), own, subtree, manager }
}

/// Which version is mounted where everybody looks for it.
fn hierarchy(mount: &Path) -> Hierarchy {
    let is_v2 = |path: &Path| mount::file_system(path).ok().filter(|fs| fs.kind == magic::CGROUP2);
    match is_v2(mount) {
        Some(fs) if fs.attributes.read_only => Hierarchy::ReadOnly,
        Some(_) => Hierarchy::Unified,
        None if is_v2(&mount.join("unified")).is_some() => Hierarchy::Hybrid,
        None if ["memory", "cpu", "pids", "systemd"].iter().any(|name| mount.join(name).exists()) => Hierarchy::Legacy,
        None => Hierarchy::Absent,
    }
}

/// The folder of our own group, if we may write to it. To be asked by every start: it opens one file.
pub fn exposed() -> Option<PathBuf> {
    let own = own_group()?;
    let folder = Path::new(MOUNT).join(own.trim_start_matches('/'));
    limit::may_write(&folder.join("cgroup.procs")).then_some(folder)
}

/// Our own group of version 2, from /proc/self/cgroup; none if it lies outside of what our namespace shows.
pub fn own_group() -> Option<String> {
    group_of("self")
}

/// The same of any process, by its number or `self`.
pub fn group_of(pid: &str) -> Option<String> {
    let text = stats::read(Path::new(&format!("/proc/{pid}/cgroup"))).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    (!path.split('/').any(|part| part == "..")).then(|| path.to_owned())
}

/// The words of a file such as cgroup.controllers.
pub fn words(path: &Path) -> Vec<String> {
    stats::read(path).unwrap_or_default().split_whitespace().map(String::from).collect()
}

struct Tree<'a> {
    mount: &'a Path,
    uid: u32,
    systemd: bool,
}

impl Tree<'_> {
    fn folder(&self, group: &str) -> PathBuf {
        self.mount.join(group.trim_start_matches('/'))
    }

    /// The part that our own group is in, if there is a sign that it was handed to us.
    fn delegated(&self, own: &str) -> Option<Subtree> {
        let folder = self.folder(own);
        let inside = folder.ancestors().take_while(|path| path.starts_with(self.mount));
        for path in inside {
            if is_manager(path) {
                return None;
            }
            if let Some(why) = self.sign(path) {
                return self.place(&folder, path, why);
            }
        }
        None
    }

    /// A sign that this folder is where our part begins.
    fn sign(&self, path: &Path) -> Option<String> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let top = path == self.mount;
        if top && self.systemd {
            return None;
        }
        if !top && limit::short_xattr(path, "user.delegate").as_deref() == Some(b"1") && owner(path) == Some(self.uid) {
            return Some(format!("{name} was delegated"));
        }
        if name.starts_with(PREFIX) && name.ends_with(".scope") {
            return Some(format!("{name} is ours"));
        }
        let handed = match path.parent() {
            _ if top => true,
            // To root belongs everything.
            Some(above) => self.uid != 0 && owner(above) != Some(self.uid),
            None => false,
        };
        (handed && owner(path) == Some(self.uid)).then(|| match top {
            true => "the root of what can be seen here".into(),
            false => format!("{name} belongs to you, and what is above it does not"),
        })
    }

    /// Where in our part a group can be made: the lowest above our own that holds no process, else the uppermost, from
    /// which the processes must first go.
    fn place(&self, own: &Path, top: &Path, why: String) -> Option<Subtree> {
        let inside = own.ancestors().take_while(|path| path.starts_with(top));
        let empty = |path: &&Path| words(&path.join("cgroup.procs")).is_empty();
        let free = inside.skip(1).find(empty);
        let path = free.unwrap_or(top);
        // The real root of the tree may hold processes and hand on controllers as well: only there is no cgroup.type.
        let crowded = free.is_none() && !empty(&path) && path.join("cgroup.type").exists();
        self.usable(path, crowded, why)
    }

    /// What `--cgroups cgroupfs` takes where there is no sign: our own group, if it can be written to.
    fn any(&self, own: &str, how: Cgroups) -> Option<Subtree> {
        if how != Cgroups::Cgroupfs {
            return None;
        }
        let folder = self.folder(own);
        let why = "you may write to it, and asked for --cgroups cgroupfs".to_owned();
        let crowded = !words(&folder.join("cgroup.procs")).is_empty();
        match folder.file_name() {
            // We have been here before.
            Some(name) if name == "little-container-callers" => self.usable(folder.parent()?, false, why),
            _ => self.usable(&folder, crowded, why),
        }
    }

    /// `--cgroup-parent`: below a group of that path. A process may be moved there only by who may write to the nearest group
    /// that is above both.
    fn named(&self, parent: &Raw, own: &str) -> Option<Subtree> {
        let path = parent.path().strip_prefix(self.mount).unwrap_or_else(|_| parent.path());
        let folder = self.folder(&path.to_string_lossy());
        let own = self.folder(own);
        let common = folder.ancestors().find(|above| own.starts_with(above))?;
        let movable = limit::may_write(&common.join("cgroup.procs"));
        let crowded = !words(&folder.join("cgroup.procs")).is_empty() && folder.join("cgroup.type").exists();
        self.usable(&folder, crowded, "--cgroup-parent".into()).filter(|_| movable)
    }

    fn usable(&self, path: &Path, crowded: bool, why: String) -> Option<Subtree> {
        let writable = [path.to_owned(), path.join("cgroup.procs"), path.join("cgroup.subtree_control")];
        // At the real root of the tree the second one may be all that is asked for; root may write anywhere.
        let ours = writable.iter().all(|path| limit::may_write(path));
        let controllers = words(&path.join("cgroup.controllers"));
        ours.then(|| Subtree { path: path.into(), controllers, crowded, why })
    }

    /// systemd, if it can be asked. `asked`: the user insists on it.
    fn manager(&self, own: &str, asked: bool) -> Manager {
        if !self.systemd {
            return Manager::NoSystemd;
        }
        if !asked && own.split('/').any(|part| part.starts_with("slurm")) {
            return Manager::Batch { group: own.into() };
        }
        let uid = self.uid;
        let user = || cred::user_name(uid).unwrap_or_else(|| uid.to_string());
        let unit = match uid {
            0 => self.mount.to_owned(),
            _ => self.mount.join(format!("user.slice/user-{uid}.slice/user@{uid}.service")),
        };
        match (unit.exists(), systemd::buses(uid).is_empty()) {
            (false, true) => Manager::NoUserManager { user: user() },
            (true, true) => Manager::NoSocket,
            (true, false) => Manager::Reachable { controllers: words(&unit.join("cgroup.controllers")) },
            // It sits elsewhere; what it has is seen when it has made the scope.
            (false, false) => Manager::Reachable { controllers: words(&self.mount.join("cgroup.controllers")) },
        }
    }
}

/// The group of a user's own systemd.
fn is_manager(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix("user@").is_some_and(|rest| rest.ends_with(".service"))
}

fn owner(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|metadata| metadata.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_managers_own_group_is_not_ours() {
        assert!(is_manager(Path::new("/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service")));
        for other in ["/sys/fs/cgroup", "/x/user-1000.slice", "/x/user@.slice", "/x/session-1.scope"] {
            assert!(!is_manager(Path::new(other)), "{other}");
        }
    }
}
