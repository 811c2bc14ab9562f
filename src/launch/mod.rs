//! The launcher: the plan's outer list, outside the namespaces, then the wait for the command's end.
//!
//! One thread until the clone, checked at run time: a child of a process with threads could not go on safely.

mod group;
mod guard;
mod steps;
mod terminal;
mod wait;

pub use wait::Signalled;

use crate::{
    cgroup::oom::PostMortem,
    plan::{HostStep, InitStep, Plan, limits::Limited},
    store::{Store, record::Record},
    sync::Failed,
    sys::{
        clone::End,
        errno,
        signal::{ASKING, Signals},
    },
};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// What is to be launched.
pub struct Task<'a> {
    /// How.
    pub plan: &'a Plan,
    /// The record to write, not yet with the processes.
    pub record: Record,
    /// Where.
    pub store: &'a Store,
    /// The folder of marks.
    pub runtime: &'a Path,
    /// Tell every step on stderr.
    pub explain: bool,
    /// Whether process 1 is our reaper.
    pub reaper: bool,
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// The command's end.
    pub end: End,
    /// The FUSE program died and the container was ended for it: what it said last.
    pub fuse_died: Option<String>,
    /// What the kernel killed for want of memory.
    pub memory: Option<PostMortem>,
    /// How often a fork was refused for want of processes.
    pub forks_refused: u64,
    /// The limits at the end, where one of these two has something to tell.
    pub limits: Vec<Limited>,
}

impl Outcome {
    fn of(end: End) -> Outcome {
        Outcome { end, fuse_died: None, memory: None, forks_refused: 0, limits: Vec::new() }
    }
}

/// A step that failed.
#[derive(Debug)]
pub struct LaunchError {
    /// The step, as it prints itself.
    pub step: String,
    /// Its place among all, from 1, and how many there are.
    pub place: (usize, usize),
    /// Which kind of step: for the search for the cause.
    pub kind: Kind,
    /// The errno, or 0.
    pub errno: i32,
    /// What is known besides, or nothing.
    pub detail: String,
    /// 125, 126 or 127.
    pub status: u8,
}

/// Kinds of steps that have causes of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The namespaces themselves.
    Clone,
    /// The id maps.
    MapIds,
    /// A folder of the store, by its path.
    Folder(PathBuf),
    /// The scope that systemd was asked for.
    Scope,
    /// The container's cgroup.
    Group,
    /// A limit, by its flag and the file of the cgroup.
    Limit {
        /// The flag.
        flag: String,
        /// The file, or `rlimit`.
        file: String,
    },
    /// The first thing that needs a right inside.
    PrivateMounts,
    /// The overlay.
    Overlay,
    /// Who the command runs as.
    Become,
    /// The command.
    Exec,
    /// Anything else.
    Other,
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = self.detail.as_str();
        if self.kind == Kind::Exec && !detail.is_empty() {
            return f.write_str(detail);
        }
        // Before the first step and after the last there is no number.
        if let (n, of @ 1..) = self.place {
            write!(f, "step {n} of {of}: ")?;
        }
        match (detail, self.errno) {
            ("", code) => write!(f, "{}: {}", self.step, text_of(code)),
            (detail, code) if code == 0 || detail.contains(&text_of(code)) => write!(f, "{}: {detail}", self.step),
            (detail, code) => write!(f, "{}: {detail} ({})", self.step, text_of(code)),
        }
    }
}

impl std::error::Error for LaunchError {}

/// The C library's words for an errno, without its number.
fn text_of(code: i32) -> String {
    crate::say::words(&errno(code))
}

/// Takes the signals that wait; the first that asks to end, if there is one.
fn asks_to_end(signals: &mut Signals) -> Option<i32> {
    while let Ok(Some(received)) = signals.take() {
        if ASKING.contains(&received.number) {
            return Some(received.number);
        }
    }
    None
}

/// Launches and waits. Whatever happens, nothing of it is left running, and with `--rm` nothing on the disk.
///
/// # Errors
/// A step failed, in here or inside.
pub fn run(task: Task<'_>) -> Result<Outcome, LaunchError> {
    let mut run = steps::Run::new(task)?;
    let outcome = run.walk().and_then(|()| run.wait());
    run.clean_up(&outcome);
    match outcome {
        // Ctrl-C goes to the helper programs as well: what then fails is no error of ours.
        Err(e) if e.status == crate::EXIT_OURS => run.interrupted().map_or(Err(e), |end| Ok(Outcome::of(end))),
        outcome => outcome,
    }
}

/// For the crash tests of a debug build: ends the launcher by SIGKILL before step N of its own list (`host`), as
/// `LITTLE_CONTAINER_TEST_CRASH=host:N` says; `init:N` comes by the channel.
#[cfg(debug_assertions)]
fn crash_point(n: usize) {
    if std::env::var("LITTLE_CONTAINER_TEST_CRASH").is_ok_and(|wanted| wanted == format!("host:{n}")) {
        crash();
    }
}

#[cfg(debug_assertions)]
fn crash() {
    use std::os::fd::AsFd;
    if let Ok(pidfd) = crate::sys::clone::open(std::process::id() as i32) {
        let _ = crate::sys::clone::signal(pidfd.as_fd(), crate::sys::signal::number::SIGKILL);
    }
}

fn other(step: &str, e: &std::io::Error) -> LaunchError {
    LaunchError {
        step: step.into(),
        place: (0, 0),
        kind: Kind::Other,
        errno: e.raw_os_error().unwrap_or(0),
        detail: String::new(),
        status: crate::EXIT_OURS,
    }
}

fn kind_of(step: &InitStep) -> Kind {
    match step {
        InitStep::PrivateMounts => Kind::PrivateMounts,
        InitStep::OwnNetwork => Kind::Clone,
        InitStep::MountOverlay { .. } | InitStep::AwaitFuse { .. } => Kind::Overlay,
        InitStep::Become { .. } => Kind::Become,
        InitStep::OomScoreAdj { .. } => of_process("--oom-score-adj", "oom_score_adj"),
        InitStep::Rlimit { .. } => of_process("--ulimit", "rlimit"),
        InitStep::Exec { .. } => Kind::Exec,
        _ => Kind::Other,
    }
}

fn of_process(flag: &str, file: &str) -> Kind {
    Kind::Limit { flag: flag.into(), file: file.into() }
}

fn inner_failure(plan: &Plan, failed: &Failed) -> LaunchError {
    let step = plan.init.get(failed.step);
    LaunchError {
        step: step.map(ToString::to_string).unwrap_or_default(),
        place: (plan.host.len() + failed.step + 1, plan.host.len() + plan.init.len()),
        kind: step.map_or(Kind::Other, kind_of),
        errno: failed.errno,
        detail: failed.detail.clone(),
        status: failed.status,
    }
}
