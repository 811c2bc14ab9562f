//! The container's cgroup: made or asked for, limited, watched, and taken away.

use super::{Kind, LaunchError, guard::Guard, other, steps::Run};
use crate::{
    cgroup::{
        self, Group,
        oom::{self, Large, PostMortem, Watch},
        place, systemd,
    },
    plan::{limits::Limited, step},
    store::{record::Record, sweep},
    sys::{
        clone::{self, Child, End},
        code, cred, errno, limit,
    },
};
use std::{fs, io, os::fd::AsFd, path::Path, time::Duration};

/// How long systemd may take to make a scope.
const PATIENCE: Duration = Duration::from_secs(15);

/// What there is of it so far.
#[derive(Default)]
pub(super) struct Grouping {
    pub(super) asked: Option<systemd::Asked>,
    pub(super) group: Option<Group>,
    pub(super) watch: Option<Watch>,
    /// Whether it was written down where it is.
    noted: bool,
}

fn failed(kind: Kind, e: &io::Error, detail: impl Into<String>) -> LaunchError {
    LaunchError { kind, detail: detail.into(), ..other("", e) }
}

fn unmade(e: &io::Error) -> LaunchError {
    failed(Kind::Group, e, "")
}

fn refused(refusal: &systemd::Refusal) -> LaunchError {
    failed(Kind::Scope, &errno(0), refusal.to_string())
}

impl Run<'_> {
    pub(super) fn make_group(
        &mut self,
        group: &step::Group,
        parent: &Path,
        crowded: bool,
        plain: bool,
    ) -> Result<(), LaunchError> {
        self.note_down(&group.link, &parent.join(&group.name))?;
        if crowded {
            cgroup::make_room(parent).map_err(|e| unmade(&e))?;
        }
        let made = if plain {
            Group::make_plain(parent, &group.name)
        } else {
            Group::make(parent, &group.name, &group.needed)
        };
        self.grouping.group = Some(made.map_err(|e| unmade(&e))?);
        Ok(())
    }

    /// Makes the first process, in its group where there is one and the kernel can do it (CLONE_INTO_CGROUP, since Linux 5.7).
    /// Whether it must be moved there still.
    pub(super) fn fork(&self, namespaces: i32) -> Result<(Option<Child>, bool), LaunchError> {
        let namespaces_only =
            || clone::fork_into(namespaces, None).map_err(|e| LaunchError { kind: Kind::Clone, ..other("", &e) });
        let Some(group) = &self.grouping.group else { return Ok((namespaces_only()?, false)) };
        let folder = group.open().map_err(|e| unmade(&e))?;
        match clone::fork_into(namespaces, Some(folder.as_fd())) {
            Ok(child) => Ok((child, false)),
            Err(e) if matches!(e.raw_os_error(), Some(code::ENOSYS | code::E2BIG)) => Ok((namespaces_only()?, true)),
            Err(e) => Err(LaunchError { kind: Kind::Clone, ..other("", &e) }),
        }
    }

    pub(super) fn move_in(&self, pid: i32) -> Result<(), LaunchError> {
        self.grouping.group.as_ref().map_or(Ok(()), |group| group.add(pid).map_err(|e| unmade(&e)))
    }

    /// Before it is made: who is killed in between leaves a note of nothing, not a group without a note.
    fn note_down(&mut self, link: &crate::spec::Raw, path: &Path) -> Result<(), LaunchError> {
        std::os::unix::fs::symlink(path, link.path()).map_err(|e| other("", &e))?;
        self.grouping.noted = true;
        Ok(())
    }

    pub(super) fn ask_scope(&mut self, unit: &str, description: &str, slice: Option<&str>) -> Result<(), LaunchError> {
        let Some(child) = &self.child else { return Ok(()) };
        let uid = cred::effective_uid();
        let guard = self.guard.as_ref().map(|guard| guard.pid());
        let pids: Vec<u32> = [Some(child.pid), guard].into_iter().flatten().map(|pid| pid as u32).collect();
        let scope = systemd::Scope { unit, description, slice, pids: &pids };
        self.guard.iter().for_each(|guard| guard.asked(&self.task.record.id));
        self.grouping.asked = Some(systemd::ask(&systemd::buses(uid), uid, &scope, PATIENCE).map_err(|e| refused(&e))?);
        Ok(())
    }

    pub(super) fn join_scope(&mut self, group: &step::Group, unit: &str) -> Result<(), LaunchError> {
        let (Some(child), Some(asked)) = (&self.child, self.grouping.asked.take()) else { return Ok(()) };
        asked.wait().map_err(|e| refused(&e))?;
        let pid = child.pid;
        let own = place::group_of(&pid.to_string()).unwrap_or_default();
        let scope = Path::new(cgroup::MOUNT).join(own.trim_start_matches('/'));
        if scope.file_name() != Some(unit.as_ref()) {
            let detail = format!("systemd says it is done, but the process is in {own}");
            return Err(failed(Kind::Scope, &errno(0), detail));
        }
        self.note_down(&group.link, &scope.join(&group.name))?;
        let there = place::words(&scope.join("cgroup.controllers"));
        if let Some(missing) = group.needed.iter().find(|controller| !there.contains(controller)) {
            // It was told beforehand what it may hand on: this one was promised.
            let detail = format!("systemd has not delegated the {missing} controller, only: {}", there.join(", "));
            return Err(failed(Kind::Group, &errno(0), detail));
        }
        let guard = self.guard.as_ref().map_or(pid, Guard::pid);
        let made = Group::make_for(&scope, &group.name, &there.join(" "), &group.needed, (pid, guard));
        self.grouping.group = Some(made.map_err(|e| unmade(&e))?);
        self.tell_guard();
        Ok(())
    }

    /// From now on it takes the group away as well, should we be killed.
    pub(super) fn tell_guard(&mut self) {
        if let (Some(guard), Some(group)) = (&self.guard, &self.grouping.group) {
            guard.tell(group);
        }
    }

    /// Writes the limit and reads it back: what the kernel holds is what it says that it holds.
    pub(super) fn limit(&mut self, flag: &str, file: &str, value: &str, optional: bool) -> Result<(), LaunchError> {
        let Some(group) = &self.grouping.group else { return Ok(()) };
        let kind = || Kind::Limit { flag: flag.into(), file: file.into() };
        let limits = &mut self.task.record.limits;
        match group.limit(file, value) {
            Ok(read) => {
                let Some(held) = cgroup::held(file, value, &read) else {
                    return Err(failed(kind(), &errno(0), format!("the kernel made {read:?} of it")));
                };
                let place = limits.iter_mut().find(|l| l.file == file && l.flag == flag && l.enforced.is_none());
                place.into_iter().for_each(|limit| limit.enforced = Some(held.clone()));
                Ok(())
            }
            Err(e) if optional && e.raw_os_error() == Some(code::ENOENT) => {
                limits.retain(|limit| limit.file != file || limit.flag != flag);
                Ok(())
            }
            Err(e) => Err(failed(kind(), &e, "")),
        }
    }

    /// From now on the command runs.
    pub(super) fn watch_memory(&mut self) {
        self.grouping.watch = self.grouping.group.as_ref().and_then(Watch::start);
    }

    /// What became of its memory. To be asked when the first process has ended.
    pub(super) fn post_mortem(&mut self, name: Option<String>, end: End) -> Option<PostMortem> {
        let killed = end == End::Signal(crate::sys::signal::number::SIGKILL as u8);
        let first = name.filter(|_| killed).map(|name| Large { name, bytes: limit::largest_child() });
        self.grouping.watch.take()?.end(first)
    }

    /// The name of the first process, which has ended and was not waited for.
    pub(super) fn name_of_first(&self) -> Option<String> {
        self.grouping.watch.as_ref()?;
        self.child.as_ref().and_then(|child| oom::name_of(child.pid))
    }

    /// Those of the record on the disk, to which `update` has written.
    pub(super) fn limits_now(&self) -> Vec<Limited> {
        let record = &self.task.record;
        let newer = Record::read(&self.task.store.container(&record.id));
        newer.map_or_else(|_| record.limits.clone(), |newer| newer.limits)
    }

    /// How often a fork was refused for `--pids-limit`.
    pub(super) fn forks_refused(&self) -> u64 {
        self.grouping.group.as_ref().and_then(|group| group.count("pids.events", "max")).unwrap_or(0)
    }

    /// Takes the group away. Whether nothing of it is left.
    pub(super) fn end_group(&mut self) -> bool {
        if let Some(asked) = self.grouping.asked.take() {
            // Not before it is there: with nobody alive to be put into it, systemd would keep it empty and for ever.
            let _ = asked.wait();
        }
        let ended = self.grouping.group.take().is_none_or(|group| group.end().is_ok());
        if ended && std::mem::take(&mut self.grouping.noted) {
            let link = sweep::group_link(self.task.runtime, &self.task.record.id);
            let _ = fs::remove_file(link);
        }
        ended
    }
}
