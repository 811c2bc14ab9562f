//! A place where limits can be enforced: cgroup v2 below a user manager of systemd that hands its controllers down.
//!
//! That is this very machine where the tests run as the plain user who is logged in to it, and else the small machine of
//! `../shared/vm` (its README says what it is), which starts in two seconds. Other machines than the usual one, without
//! controllers, without D-Bus, are only to be had there. Where neither is possible a test is skipped with the reason; with
//! `CI=true` that fails, unless `LITTLE_CONTAINER_TEST_LIMITS=skip` allows it.
//!
//! A bed belongs to one test at a time, so what is on it was made by that test.

mod here;
mod machine;
mod within;

use super::Outcome;
use here::Here;
use machine::Machine;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// How long a command may take unless a test says otherwise: the small machine has one CPU, and that may be a busy one.
const PATIENCE: u64 = 60;
/// How long systemd may take to forget a unit.
const FORGETS: Duration = Duration::from_secs(2);

/// What the program must not leave: units, groups, processes of its own. A line for each.
const LEFT: &str =
    "systemctl --user list-units --all --plain --no-legend 'little-container-*' 2>/dev/null | awk '{ print $1 }'
find /sys/fs/cgroup -type d -name 'little-container-*' 2>/dev/null
for p in /proc/[0-9]*; do
    { read -r name <$p/comm; } 2>/dev/null && [ \"$name\" = little-containe ] && echo \"$name ${p#/proc/}\"
done
true";

/// A machine, and its user, for one test.
pub struct Bed {
    place: Place,
    left_before: Vec<String>,
}

enum Place {
    Here(Here),
    /// Always there; the end of a test gives it back.
    Machine(Option<Machine>),
}

/// A bed, or the end of a test that cannot be run here: `bed!()`, `bed!("nocpu")`.
#[macro_export]
macro_rules! bed {
    () => {
        $crate::bed!("")
    };
    ($variant:expr) => {
        match $crate::support::bed::Bed::new($variant) {
            Some(bed) => bed,
            None => return,
        }
    };
}

/// A bed that has a root, which the small machine alone has, or the end of the test.
#[macro_export]
macro_rules! bed_with_root {
    ($variant:expr) => {
        match $crate::support::bed::Bed::machine($variant) {
            Some(bed) => bed,
            None => return,
        }
    };
}

impl Bed {
    /// The usual machine by the empty name, or one of vm-run's variants.
    pub fn new(variant: &str) -> Option<Bed> {
        if variant.is_empty() && here::refusal().is_none() {
            return Some(Bed::of(Place::Here(Here::new()?)));
        }
        Bed::machine(variant)
    }

    /// The small machine, also where this one would do.
    pub fn machine(variant: &str) -> Option<Bed> {
        if let Some(why) = machine::refusal(variant) {
            let here = here::refusal();
            let why_not_here = here.as_deref().unwrap_or("this machine does not have it");
            // A clone alone has no small machine. Where the usual tests run all the same, CI does not insist on it.
            let may = !machine::is_known() && here.is_none();
            return skipped(&format!("no place for limits: {why_not_here}; {why}"), may);
        }
        Some(Bed::of(Place::Machine(Some(machine::take(variant)))))
    }

    fn of(place: Place) -> Bed {
        let mut bed = Bed { place, left_before: vec![] };
        if let Place::Here(_) = bed.place {
            bed.left_before = bed.left();
        }
        bed
    }

    /// The root file system: busybox, and a user `web` with the ids 33 and 34.
    pub fn rootfs(&self) -> &str {
        match &self.place {
            Place::Here(here) => here.rootfs(),
            Place::Machine(_) => machine::ROOTFS,
        }
    }

    /// The program with these words, as the plain user, in the user's own folder.
    pub fn lc(&self, words: &[&str]) -> Outcome {
        self.execute(&[&["little-container"], words].concat(), Who::User, PATIENCE)
    }

    /// `run --rm FLAGS --rootfs ROOTFS sh -c SCRIPT`
    pub fn run(&self, flags: &[&str], script: &str) -> Outcome {
        self.lc(&[&["run", "--rm"], flags, &["--rootfs", self.rootfs(), "sh", "-c", script]].concat())
    }

    /// A script as the plain user. `little-container` is in PATH, the root file system is `$ROOTFS`.
    pub fn sh(&self, script: &str) -> Outcome {
        self.sh_for(PATIENCE, script)
    }

    /// A script that may take so many seconds.
    pub fn sh_for(&self, seconds: u64, script: &str) -> Outcome {
        self.execute(&["sh", "-c", script], Who::User, seconds)
    }

    /// A script as the plain user without a login: no session, not one variable of it.
    pub fn sessionless_sh(&self, script: &str) -> Outcome {
        self.execute(&["sh", "-c", script], Who::Sessionless, PATIENCE)
    }

    /// A script as root, for a bed that was asked for with one.
    pub fn root_sh(&self, script: &str) -> Outcome {
        self.execute(&["sh", "-c", script], Who::Root, PATIENCE)
    }

    /// Takes a program along; where it then is, for the plain user.
    pub fn bring(&self, program: &Path, name: &str) -> String {
        match &self.place {
            Place::Here(here) => here.bring(program, name),
            Place::Machine(machine) => machine.as_ref().unwrap().bring(program, name),
        }
    }

    /// What this place is, in a few words.
    pub fn what(&self) -> &'static str {
        match &self.place {
            Place::Here(_) => "this machine",
            Place::Machine(_) => "the small machine (User-Mode Linux: one CPU, slow system calls)",
        }
    }

    /// A script that must end with 0; what it printed.
    #[track_caller]
    pub fn says(&self, script: &str) -> String {
        let out = self.sh(script);
        assert_eq!(out.status, 0, "{}\n{}\nof: {script}", out.stdout, out.stderr);
        out.stdout
    }

    /// `inspect NAME`: the one object of its list.
    #[track_caller]
    pub fn inspect(&self, name: &str) -> serde_json::Value {
        let out = self.lc(&["inspect", name]);
        assert_eq!((out.status, out.stderr.as_str()), (0, ""), "{out:?}");
        let all: Vec<serde_json::Value> = serde_json::from_str(&out.stdout).unwrap();
        let [one] = &all[..] else { panic!("not one object: {}", out.stdout) };
        one.clone()
    }

    /// What is there of the program now: units, groups, processes.
    pub fn left(&self) -> Vec<String> {
        self.execute(&["sh", "-c", LEFT], Who::User, PATIENCE).stdout.lines().map(String::from).collect()
    }

    /// Nothing has been left since the test began. systemd may need a moment.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let start = Instant::now();
        let left = || self.left().into_iter().filter(|l| !self.left_before.contains(l)).collect::<Vec<_>>();
        let mut now = left();
        while !now.is_empty() && start.elapsed() < FORGETS {
            now = left();
        }
        assert_eq!(now, [""; 0]);
    }

    fn execute(&self, words: &[&str], who: Who, seconds: u64) -> Outcome {
        match &self.place {
            Place::Here(here) => here.execute(words, who, seconds),
            Place::Machine(machine) => machine.as_ref().unwrap().execute(words, who, seconds),
        }
    }
}

impl Drop for Bed {
    /// What a failed test has left on a machine is nothing for the next one.
    fn drop(&mut self) {
        if let Place::Machine(machine) = &mut self.place {
            machine::give_back(machine.take().unwrap(), !std::thread::panicking());
        }
    }
}

/// As whom a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    User,
    Sessionless,
    Root,
}

fn skipped(why: &str, may: bool) -> Option<Bed> {
    let is = |name: &str, value: &str| std::env::var(name).as_deref() == Ok(value);
    assert!(may || !is("CI", "true") || is("LITTLE_CONTAINER_TEST_LIMITS", "skip"), "needed here: {why}");
    eprintln!("skipped: {why}");
    None
}
