//! The first process: inside the new namespaces, from the clone until it becomes the command.
//!
//! It walks the plan's inner list and looks at nothing else: no option, no environment, no file of the machine. Whatever
//! goes wrong is said to the launcher with the number of the step; then it exits, and the namespaces go with it.
//!
//! Must not: start threads, print anything but what `--explain` asks for, or touch a path of the machine after
//! [`InitStep::LeaveOldRoot`].

mod exec;
mod files;
mod program;
mod reaper;
mod steps;
mod terminal;
mod user;

use crate::{
    plan::InitStep,
    spec::Raw,
    sync::{Failed, Init},
    sys::{clone, process},
};
use std::{io, os::fd::OwnedFd};

/// What the steps hand on to one another.
struct Inside {
    /// The way to the launcher.
    channel: Init,
    /// Whether each step is told on stderr before it is done.
    /// How many steps come before ours, where they are to be told.
    explain: Option<usize>,
    /// The new root and the old one, from [`InitStep::EnterRoot`] on.
    roots: Option<Roots>,
    /// Where the root file system is mounted: on the root, and for the image `host` on folders below it.
    layered: Vec<Raw>,
    /// The mounts in which a place for another mount may be made: not those of the machine's folders.
    own: Vec<u64>,
    /// /dev, from the mount of it on.
    dev: Option<OwnedFd>,
    /// The home of the user, from [`InitStep::Become`] on.
    home: Option<String>,
}

struct Roots {
    new: OwnedFd,
    old: OwnedFd,
}

/// Why a step failed.
struct Failure {
    errno: i32,
    status: u8,
    detail: String,
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Failure {
        Failure { errno: e.raw_os_error().unwrap_or(0), status: crate::EXIT_OURS, detail: String::new() }
    }
}

impl Failure {
    fn with(e: io::Error, detail: impl Into<String>) -> Failure {
        Failure { detail: detail.into(), ..Failure::from(e) }
    }
}

/// Walks the steps, one of which is to wait for the launcher's word, and becomes the command.
///
/// `explain`: how many steps of the launcher come before these, where each is to be told.
pub fn run(steps: &[InitStep], channel: Init, explain: Option<usize>) -> ! {
    // Before anything else: were the launcher killed from here on, so are we.
    if process::die_with_parent().is_err() || process::new_session().is_err() {
        clone::exit_now(crate::EXIT_OURS);
    }
    process::set_umask(0o022);
    let mut inside =
        Inside { channel, explain, roots: None, layered: Vec::new(), own: Vec::new(), dev: None, home: None };
    let mut status = crate::EXIT_OURS;
    for (n, step) in steps.iter().enumerate() {
        inside.tell(n, step, steps.len());
        if let Err(failure) = inside.apply(step) {
            status = failure.status;
            let Failure { errno, status, detail } = failure;
            // Were the launcher gone, nobody would be left to hear it.
            let _ = inside.channel.failed(&Failed { step: n, errno, status, detail });
            break;
        }
    }
    clone::exit_now(status);
}

impl Inside {
    fn tell(&self, n: usize, step: &InitStep, of: usize) {
        crash_point(&self.channel, n);
        if let Some(before) = self.explain {
            crate::say::explain("inside", before + n + 1, before + of, step, step.why());
        }
    }

    fn roots(&self) -> Result<&Roots, Failure> {
        self.roots.as_ref().ok_or_else(|| Failure::with(crate::sys::errno(0), "the plan has no root yet"))
    }

    fn dev(&self) -> Result<&OwnedFd, Failure> {
        self.dev.as_ref().ok_or_else(|| Failure::with(crate::sys::errno(0), "the plan has no /dev yet"))
    }
}

/// For the crash tests of a debug build: has the launcher killed before inner step N, so that every moment can be tried. No
/// process of a PID namespace can signal one outside it, so that the launcher does it when it is told.
#[cfg(debug_assertions)]
fn crash_point(channel: &Init, n: usize) {
    if std::env::var("LITTLE_CONTAINER_TEST_CRASH").is_ok_and(|wanted| wanted == format!("init:{n}")) {
        let _ = channel.warn(crate::sync::CRASH);
        // We are killed with it.
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}

#[cfg(not(debug_assertions))]
fn crash_point(_: &Init, _: usize) {}
