//! Marks of runs, and taking away what killed runs have left.
//!
//! A run's first act is to make a link `<id>.<pid>.<start time>` to its store in the runtime folder and its last to remove
//! it. One symlink(2) says atomically which container of which store is on its way and who is responsible. Whoever finds a
//! mark whose process is gone ends what is left of that container. The runtime folder is in memory: when it is made anew, after a reboot,
//! every container of the store is looked at once instead.

use super::{
    Store, containers,
    record::{Process, Record, Status, boot_id, own_start_time, start_time},
};
use crate::{
    cgroup::Group,
    sys::{clone, signal::number},
};
use std::{
    fs,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

/// The name of this process's mark for a container.
///
/// # Errors
/// /proc does not tell when we were started.
pub fn mark_name(id: &str) -> anyhow::Result<String> {
    let pid = std::process::id();
    let start = own_start_time().ok_or_else(|| anyhow::anyhow!("read /proc/self/stat: is /proc mounted?"))?;
    Ok(format!("{id}.{pid}.{start}"))
}

struct Mark<'a> {
    id: &'a str,
    pid: i32,
    start_time: u64,
}

fn parse(name: &str) -> Option<Mark<'_>> {
    let mut parts = name.split('.');
    let (id, pid, start) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let valid = super::is_id(id) && parts.next().is_none();
    valid.then_some(Mark { id, pid, start_time: start })
}

/// Looks at every mark but `own`, whichever store it is of, and clears up after those whose run is gone. Failures are left to
/// the next one.
pub fn marks(runtime: &Path, own: Option<&str>) {
    let Ok(entries) = fs::read_dir(runtime) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|n| Some(*n) != own) else { continue };
        let Some(mark) = parse(name) else { continue };
        let Ok(root) = fs::read_link(entry.path()) else { continue };
        let gone = start_time(mark.pid) != Some(mark.start_time);
        if gone && end_group(runtime, mark.id) && Store::known(root).is_none_or(|store| clear(&store, mark.id)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Where the path of a container's cgroup is written down while it runs.
pub fn group_link(runtime: &Path, id: &str) -> PathBuf {
    runtime.join(format!("{id}.group"))
}

/// Ends what is left in the cgroup of a container whose run is gone, and takes it away. Whether nothing of it is left.
fn end_group(runtime: &Path, id: &str) -> bool {
    let link = group_link(runtime, id);
    let Ok(path) = fs::read_link(&link) else { return true };
    let ended = Group::known(&path, id).is_none_or(|group| {
        let ended = group.end().is_ok();
        group.end_scope(id);
        ended
    });
    if ended {
        let _ = fs::remove_file(link);
    }
    ended
}

/// Looks at every container: for the first run after a reboot, when no marks are left.
pub fn everything(store: &Store, runtime: &Path, machine: &str) {
    let Ok(all) = containers::list(store) else { return };
    let marks: Vec<String> = fs::read_dir(runtime)
        .map(|entries| entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    for listed in all {
        match listed {
            Ok(record) if record.remove && record.status(machine) == Status::Killed => {
                clear(store, &record.id);
            }
            // No record: a start that never came so far, unless it is one that is just under way, whose mark may lie in
            // another login's runtime folder or on another machine.
            Err(broken)
                if !marks.iter().any(|m| m.starts_with(&broken.id))
                    && !has_record(store, &broken.id)
                    && is_old(&store.container(&broken.id)) =>
            {
                let _ = containers::remove(store, &broken.id);
            }
            _ => {}
        }
    }
}

/// Longer than any start takes, a copy of a large image included.
fn is_old(folder: &Path) -> bool {
    let age = fs::metadata(folder).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
    age.is_some_and(|age| age > std::time::Duration::from_secs(3600))
}

fn has_record(store: &Store, id: &str) -> bool {
    store.container(id).join("container.json").exists()
}

/// Ends what is left of a container whose run is gone. Whether its mark may go.
fn clear(store: &Store, id: &str) -> bool {
    let folder = store.container(id);
    if !folder.exists() {
        return true;
    }
    match Record::read(&folder) {
        Ok(record) => {
            if let Some(init) = &record.init {
                kill(init);
            }
            // Its note may have gone with another runtime folder.
            let ungrouped = record.group().is_none_or(|group| group.end().is_ok());
            ungrouped && (!record.remove || containers::remove(store, id).is_ok())
        }
        // Killed before the record was written: nothing was started that anybody could miss.
        Err(_) if !has_record(store, id) => containers::remove(store, id).is_ok(),
        Err(_) => true,
    }
}

/// Kills a first process that has outlived its runner: it had changed its ids, which takes the death signal back, and the
/// guard had been killed as well.
pub fn kill(init: &Process) {
    if init.boot_id != boot_id() {
        return;
    }
    let Ok(pidfd) = clone::open(init.pid) else { return };
    // Only now: what the descriptor means can no longer change.
    if init.lives() && clone::signal(pidfd.as_fd(), number::SIGKILL).is_ok() {
        let patience = Some(std::time::Duration::from_secs(2));
        let _ = crate::sys::signal::poll(&[(pidfd.as_fd(), crate::sys::signal::Wait::Read)], patience);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_marks() {
        let id = "a1".repeat(32);
        let name = mark_name(&id).unwrap();
        let mark = parse(&name).unwrap();
        assert_eq!((mark.id, mark.pid), (id.as_str(), std::process::id() as i32));
        assert_eq!(start_time(mark.pid), Some(mark.start_time));
        for other in ["overlay.1.2", "x", "", &format!("{id}.1"), &format!("{id}.1.2.3"), &format!("../{id}.1.2")] {
            assert!(parse(other).is_none(), "{other}");
        }
    }
}
