//! What the kernel did for want of memory: watched while the container runs, told when it has ended.
//!
//! When it kills, it says so in a counter and nothing else; who was large is gone by then. So each time the group comes to its
//! limit, which is before anything is killed, its processes are looked at, but not more often than a few times a second.

use super::{Group, tree};
use crate::sys::limit::page_size;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileExt,
    },
    time::{Duration, Instant},
};

/// How long no other look is taken after one, at least; and how many times as long as the look took. A container may have any
/// number of processes and groups, and must not keep us busy with them.
const REST: Duration = Duration::from_millis(200);
const RESTS: u32 = 10;

/// How long a look takes at most, however much is not seen then.
const LONGEST_LOOK: Duration = Duration::from_millis(200);

/// How many processes are told.
const TOLD: usize = 3;

/// A process by its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Large {
    /// The first 15 characters of its program's name.
    pub name: String,
    /// Its resident set, in bytes.
    pub bytes: u64,
}

/// What the kernel killed for want of memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostMortem {
    /// How many processes.
    pub killed: u64,
    /// Whether it was the group's own limit, and not that of a group above or the machine's end of memory.
    pub own_limit: bool,
    /// `memory.max`, in bytes; none: there was none.
    pub limit: Option<u64>,
    /// The most that the group ever used, in bytes.
    pub peak: u64,
    /// The largest processes at the last look, the largest first.
    pub largest: Vec<Large>,
}

/// Watches a group.
#[derive(Debug)]
pub struct Watch {
    group: Group,
    events: fs::File,
    rest_until: Option<Instant>,
    peak: u64,
    largest: Vec<Large>,
}

impl Watch {
    /// Begins; none where the group does not count memory.
    pub fn start(group: &Group) -> Option<Watch> {
        let events = fs::File::open(group.path().join("memory.events")).ok()?;
        let watch = Watch { group: group.clone(), events, rest_until: None, peak: 0, largest: Vec::new() };
        watch.arm().ok()?;
        Some(watch)
    }

    /// Only what is read anew tells of the next change.
    fn arm(&self) -> io::Result<()> {
        self.events.read_at(&mut [0; 512], 0).map(drop)
    }

    /// How long not to look at the descriptor; none: it is worth waiting for.
    pub fn rests(&self) -> Option<Duration> {
        let left = self.rest_until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// The group has come to its limit, or something was killed.
    pub fn look(&mut self) {
        let start = Instant::now();
        let seen = self.largest_now(start + LONGEST_LOOK);
        // When all have gone already, what was seen before is worth more.
        if !seen.is_empty() {
            self.largest = seen;
        }
        self.peak = self.peak.max(self.group.read("memory.current").ok().and_then(|n| n.parse().ok()).unwrap_or(0));
        self.rest_until = Some(Instant::now() + REST.max(start.elapsed() * RESTS));
        let _ = self.arm();
    }

    fn largest_now(&self, until: Instant) -> Vec<Large> {
        let mut all: Vec<Large> = Vec::new();
        tree::processes(self.group.path(), |pids| {
            all.extend(pids.iter().take_while(|_| Instant::now() < until).filter_map(|pid| large(*pid)));
            Instant::now() < until
        });
        all.sort_by_key(|one| std::cmp::Reverse(one.bytes));
        all.truncate(TOLD);
        all
    }

    /// What is left to tell when all is over; none: nothing was killed for want of memory. `first`: the first process, if it
    /// was killed, as large as it ever was.
    pub fn end(mut self, first: Option<Large>) -> Option<PostMortem> {
        let count = |key| self.group.count("memory.events", key).unwrap_or(0);
        let killed = count("oom_kill");
        if killed == 0 {
            return None;
        }
        if let Some(first) = first.filter(|one| self.largest.iter().all(|other| other.name != one.name)) {
            self.largest.push(first);
            self.largest.sort_by_key(|one| std::cmp::Reverse(one.bytes));
            self.largest.truncate(TOLD);
        }
        let number = |file| self.group.read(file).ok().and_then(|n| n.parse::<u64>().ok());
        let limit = number("memory.max");
        // memory.peak is there since Linux 5.19.
        let peak = number("memory.peak").unwrap_or(0).max(self.peak);
        let own_limit = limit.is_some() && self.group.count("memory.events", "oom").unwrap_or(0) > 0;
        Some(PostMortem { killed, own_limit, limit, peak, largest: self.largest })
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// A process by its number (proc_pid_statm(5)).
fn large(pid: i32) -> Option<Large> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(Large { name: name_of(pid)?, bytes: pages * page_size() })
}

/// The name of its program, also of one that has ended and was not waited for. What a container calls itself must not
/// reach a terminal as it is.
pub fn name_of(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name = String::from_utf8_lossy(&name);
    Some(printable(name.trim_end()))
}

/// Neither what steers a terminal nor what turns the direction of the text around.
fn printable(name: &str) -> String {
    let shows = |c: char| c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric();
    name.chars().map(|c| if shows(c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_terminal_would_obey() {
        assert_eq!(printable("\u{1b}[2J\u{9b}x\ny"), "?[2J?x?y");
        assert_eq!(printable("a\u{202e}b\u{200b}\u{fffd}"), "a?b??");
        assert_eq!(printable("Web Content (é)"), "Web Content (é)");
    }
}
