//! One arm for each of the launcher's steps.

use super::{HostStep, Kind, LaunchError, Outcome, Task, group::Grouping, guard::Guard, other, terminal::OwnTerminal};
use crate::{
    image, init,
    plan::step::{Namespace, Overlay},
    say,
    store::{
        self, containers,
        record::{Process, Record},
        sweep,
    },
    sync::{self, Heard, Launcher},
    sys::{
        clone::{self, Child, End, namespace},
        helper::{self, Running},
        process,
        signal::{self, Signals, is_ignored, number},
    },
    userns::{self, MapError, Mapping},
};
use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStringExt, fs::DirBuilderExt},
    },
    path::Path,
};

/// A launch that is under way: what has been made so far and must be taken away again.
pub(super) struct Run<'a> {
    pub(super) task: Task<'a>,
    pub(super) signals: Signals,
    pub(super) channel: Launcher,
    pub(super) init_end: Option<sync::Init>,
    pub(super) child: Option<Child>,
    pub(super) mapping: Mapping,
    pub(super) fuse: Vec<(Running, OwnedFd)>,
    pub(super) guard: Option<Guard>,
    pub(super) grouping: Grouping,
    pub(super) terminal: Option<OwnTerminal>,
    /// Taken by the wait: the child must not be waited for twice.
    pub(super) reaped: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(task: Task<'a>) -> Result<Run<'a>, LaunchError> {
        let threads = clone::threads().map_err(|e| other("count our threads", &e))?;
        if threads != 1 {
            let detail =
                format!("this process has {threads} threads, and only one with a single thread can be split safely");
            return Err(LaunchError { detail, ..other("start", &io::Error::from_raw_os_error(0)) });
        }
        // nohup(1) has made us deaf to this one, and who is blocked hears it all the same.
        let deaf = |number: &i32| *number == number::SIGHUP && is_ignored(number::SIGHUP);
        let caught: Vec<i32> =
            [&signal::ENDING[..], &signal::CONTROL].concat().into_iter().filter(|n| !deaf(n)).collect();
        let signals = Signals::catch(&caught).map_err(|e| other("catch signals", &e))?;
        let (channel, init_end) = sync::channel().map_err(|e| other("open the channel to the first process", &e))?;
        Ok(Run {
            task,
            signals,
            channel,
            init_end: Some(init_end),
            child: None,
            mapping: Mapping::default(),
            fuse: Vec::new(),
            guard: None,
            grouping: Grouping::default(),
            terminal: None,
            reaped: false,
        })
    }

    /// Walks the launcher's list.
    pub(super) fn walk(&mut self) -> Result<(), LaunchError> {
        let plan = self.task.plan;
        let of = plan.host.len() + plan.init.len();
        for (n, step) in plan.host.iter().enumerate() {
            #[cfg(debug_assertions)]
            super::crash_point(n);
            if self.task.explain {
                crate::say::explain("outside", n + 1, of, step, step.why());
            }
            if let Err(e) = self.apply(step) {
                return Err(self.said_inside().unwrap_or(LaunchError {
                    step: step.to_string(),
                    place: (n + 1, of),
                    ..e
                }));
            }
        }
        Ok(())
    }

    /// What the first process failed at, if it did: then our own step failed only because it is gone.
    fn said_inside(&mut self) -> Option<LaunchError> {
        self.init_end = None;
        let child = self.child.as_ref()?;
        let ended = signal::poll(&[(child.pidfd.as_fd(), signal::Wait::Read)], Some(std::time::Duration::ZERO)).ok()?;
        match ended[0].then(|| self.channel.hear()) {
            Some(Ok(Heard::Failed(failed))) => Some(super::inner_failure(self.task.plan, &failed)),
            _ => None,
        }
    }

    fn apply(&mut self, step: &HostStep) -> Result<(), LaunchError> {
        let plain = |e: io::Error| other("", &e);
        match step {
            HostStep::Mark { path } => std::os::unix::fs::symlink(self.task.store.root(), path.path()).map_err(plain),
            HostStep::MakeGroup { group, parent, crowded, plain } => {
                self.make_group(group, parent.path(), *crowded, *plain)
            }
            HostStep::AskScope { unit, description, slice } => self.ask_scope(unit, description, slice.as_deref()),
            HostStep::JoinScope { group, unit } => self.join_scope(group, unit),
            HostStep::Limit { flag, file, value, optional } => self.limit(flag, file, value, *optional),
            HostStep::Clone { namespaces, .. } => self.clone(namespaces),
            HostStep::MapIds { map, mapper } => {
                let pid = self.child.as_ref().map_or(0, |c| c.pid);
                self.mapping = userns::start(pid, map, mapper).map_err(unmapped)?;
                Ok(())
            }
            HostStep::AwaitMaps => std::mem::take(&mut self.mapping).finish().map_err(unmapped),
            HostStep::MakeFolder { path, mode } => {
                let made = fs::DirBuilder::new().mode(*mode).create(path.path());
                made.map_err(|e| LaunchError { kind: Kind::Folder(path.path().into()), ..plain(e) })
            }
            HostStep::ClaimName { name } => containers::claim_name(self.task.store, name, &self.task.record.id)
                .map_err(|e| LaunchError { detail: say::chain(&e), ..plain(io::Error::from_raw_os_error(0)) }),
            HostStep::Copy { layers, to } => {
                let (map, mapper) = self.task.plan.ids().unwrap_or_default();
                let owners = if map.is_range() { image::Owners::Mapped } else { image::Owners::Single };
                let copied = userns::inside(&map, &mapper, || {
                    let to = fs::File::open(to.path())?;
                    for layer in layers {
                        image::clone_tree(fs::File::open(layer.path())?.as_fd(), to.as_fd(), &owners)?;
                    }
                    Ok(Vec::new())
                });
                copied.map(drop).map_err(|e| {
                    let kind = Kind::Folder(to.path().into());
                    let errno = e.downcast_ref::<userns::Remote>().map_or(0, |remote| remote.errno);
                    LaunchError { kind, detail: say::chain(&e), ..other("", &io::Error::from_raw_os_error(errno)) }
                })
            }
            HostStep::Fuse { program, overlay, squash } => {
                self.start_fuse(program.path(), overlay, *squash).map_err(plain)
            }
            HostStep::Go => self.go().map_err(plain),
            HostStep::Guard { .. } => {
                let Some(child) = &self.child else { return Ok(()) };
                self.guard = Some(Guard::start(child.pidfd.as_fd()).map_err(plain)?);
                self.tell_guard();
                Ok(())
            }
            HostStep::Record { .. } => self.write_record(),
            HostStep::Sweep => {
                let own = sweep::mark_name(&self.task.record.id).ok();
                sweep::marks(self.task.runtime, own.as_deref());
                Ok(())
            }
        }
    }

    fn go(&mut self) -> io::Result<()> {
        // Only init has the other end from now on: its death must read as the end of the channel.
        self.init_end = None;
        self.watch_memory();
        match self.channel.go() {
            // It has failed before it came to wait, and what it said is still to be heard.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            done => done,
        }
    }

    fn clone(&mut self, namespaces: &[Namespace]) -> Result<(), LaunchError> {
        let flags = namespaces.iter().map(|n| flag(*n)).fold(0, |all, one| all | one);
        match self.fork(flags) {
            Ok((Some(child), outside)) => {
                let pid = child.pid;
                self.child = Some(child);
                if outside { self.move_in(pid) } else { Ok(()) }
            }
            Ok((None, _)) => {
                match self.init_end.take() {
                    Some(channel) => {
                        // The launcher's end must die with the launcher alone.
                        process::close_all_but(&[channel.as_fd()]);
                        init::run(&self.task.plan.init, channel, self.task.explain.then_some(self.task.plan.host.len()))
                    }
                    None => clone::exit_now(crate::EXIT_OURS),
                }
            }
            Err(e) => Err(e),
        }
    }

    fn start_fuse(&mut self, program: &Path, overlay: &Overlay, squash: bool) -> io::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        if let Some((_, first)) = self.fuse.first() {
            let root = overlay.target.path().parent().unwrap_or(Path::new("/"));
            await_root(child.pid, root, first)?;
        }
        let running = helper::start_inside(program, fuse_words(overlay, squash), child.pidfd.as_fd())?;
        let pidfd = clone::open(running.pid())?;
        self.fuse.push((running, pidfd));
        Ok(())
    }

    fn write_record(&mut self) -> Result<(), LaunchError> {
        let folder = self.task.store.container(&self.task.record.id);
        self.task.record.init = self.child.as_ref().and_then(|c| Process::of(c.pid));
        self.task.record.group = self.grouping.group.as_ref().map(|group| group.path().into());
        self.task.record.write(&folder).map_err(|e| {
            let errno = e.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error).unwrap_or(0);
            LaunchError {
                kind: Kind::Folder(folder),
                errno,
                detail: String::new(),
                ..other("", &io::Error::from_raw_os_error(0))
            }
        })
    }

    /// The signal that asks us to end and has not been looked at yet, if one has come.
    pub(super) fn interrupted(&mut self) -> Option<End> {
        super::asks_to_end(&mut self.signals).map(|number| End::Signal(number as u8))
    }

    /// Takes back what was made, on every way out. What fails here is found again by the next run's sweep.
    pub(super) fn clean_up(&mut self, outcome: &Result<Outcome, LaunchError>) {
        self.terminal = None;
        if let (Some(child), false) = (&self.child, self.reaped) {
            let _ = clone::signal(child.pidfd.as_fd(), number::SIGKILL);
            let _ = clone::wait(child.pidfd.as_fd());
        }
        let ungrouped = self.end_group();
        // Only now is there nothing left that it would have to do in our place.
        if let Some(guard) = &mut self.guard {
            guard.dismiss();
        }
        for (running, pidfd) in self.fuse.drain(..) {
            // TERM lets it write back what it holds; nobody reads that of a container that is thrown away.
            if !self.task.record.remove && clone::signal(pidfd.as_fd(), number::SIGTERM).is_ok() {
                let patience = Some(std::time::Duration::from_secs(10));
                let _ = crate::sys::signal::poll(&[(pidfd.as_fd(), crate::sys::signal::Wait::Read)], patience);
            }
            let _ = running.end();
        }
        let done = self.settle(outcome);
        if done
            && ungrouped
            && let Ok(mark) = sweep::mark_name(&self.task.record.id)
        {
            let _ = fs::remove_file(self.task.runtime.join(mark));
        }
        if let Some(guard) = self.guard.take() {
            guard.wait();
        }
    }

    /// What stays of it on the disk: nothing, or how it ended. Whether that could be done.
    fn settle(&mut self, outcome: &Result<Outcome, LaunchError>) -> bool {
        let store = self.task.store;
        let record = &mut self.task.record;
        if outcome.is_err()
            && let Some(name) = &record.name
        {
            containers::release_name(store, name, &record.id);
        }
        let (Ok(outcome), false) = (outcome, record.remove) else {
            return containers::remove_known(store, &record.id, Some(record)).is_ok();
        };
        let folder = store.container(&record.id);
        // `update` has written to it meanwhile, or is about to. One that hangs does not keep us.
        let _turn = record.group.as_ref().and_then(|_| Record::turn(&folder));
        if record.group.is_some()
            && let Ok(newer) = Record::read(&folder)
        {
            record.limits = newer.limits;
            record.asked = newer.asked;
        }
        let memory = outcome.memory.clone();
        record.exit = Some(store::record::Exit { code: outcome.end.code(), at: store::record::now(), memory });
        record.write(&folder).is_ok()
    }
}

fn flag(namespace: Namespace) -> i32 {
    match namespace {
        Namespace::User => namespace::USER,
        Namespace::Mount => namespace::MOUNT,
        Namespace::Pid => namespace::PID,
        Namespace::Uts => namespace::UTS,
        Namespace::Ipc => namespace::IPC,
        Namespace::Cgroup => namespace::CGROUP,
    }
}

fn unmapped(e: MapError) -> LaunchError {
    let detail = e.to_string();
    LaunchError { kind: Kind::MapIds, errno: e.errno, detail, ..other("", &io::Error::from_raw_os_error(0)) }
}

/// The folders of the image `host` are mounted in its root, which must be there first. Were its program to die, the wait
/// for the command says so.
fn await_root(pid: i32, root: &Path, program: &OwnedFd) -> io::Result<()> {
    use crate::sys::{mount, signal};
    let seen = Path::new("/proc").join(pid.to_string()).join("root").join(root.strip_prefix("/").unwrap_or(root));
    let pause = Some(std::time::Duration::from_millis(1));
    while mount::file_system(&seen)?.kind != mount::magic::FUSE {
        if signal::poll(&[(program.as_fd(), signal::Wait::Read)], pause)?.contains(&true) {
            return Ok(());
        }
    }
    Ok(())
}

/// The words of fuse-overlayfs(1): in the foreground, so that it is our child and dies with us.
fn fuse_words(overlay: &Overlay, squash: bool) -> Vec<OsString> {
    let mut options = overlay.options();
    // For every id inside, not only the one by which the program runs.
    options.extend(b",allow_other");
    if squash {
        options.extend(b",squash_to_root");
    }
    vec!["-f".into(), "-o".into(), OsString::from_vec(options), (*overlay.target).to_owned()]
}
