//! What a container that waits costs: the launcher and the guard, while the command sleeps.

use crate::support::Ground;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// One process, in kilobytes.
pub struct Usage {
    pub name: &'static str,
    /// Pages that nobody else has.
    pub private: u64,
    /// With its part of those that others have as well.
    pub proportional: u64,
    /// The most it ever had.
    pub peak: u64,
}

/// Starts `sleep` in a container, looks, and ends it.
pub fn waiting(ground: &Ground) -> Result<Vec<Usage>, String> {
    let launcher = ground.run(["sleep", "60"]).spawn().map_err(|e| e.to_string())?;
    let pid = launcher.id() as i32;
    let begin = Instant::now();
    let children = loop {
        let children = children_of(pid);
        let asleep = children.iter().any(|c| line_of(*c).starts_with("sleep"));
        // The launcher waits and the guard has closed what it had once both sleep in poll(2) and recvmsg(2).
        if asleep && children.len() > 1 && children.iter().chain([&pid]).all(|p| state_of(*p) == 'S') {
            break Ok(children);
        }
        if begin.elapsed() > Duration::from_secs(5) {
            break Err("the container did not start within 5 s".to_owned());
        }
        thread::sleep(Duration::from_millis(20));
    };
    thread::sleep(Duration::from_millis(100));
    let all = children.map(|children| {
        let others = children.into_iter().filter(|c| !line_of(*c).starts_with("sleep")).map(|c| ("guard", c));
        [("launcher", pid)].into_iter().chain(others).filter_map(|(name, pid)| usage(name, pid)).collect()
    });
    let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    let _ = nix::sys::wait::waitpid(Pid::from_raw(pid), None);
    all
}

fn usage(name: &'static str, pid: i32) -> Option<Usage> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let private = field(&rollup, "Private_Clean:") + field(&rollup, "Private_Dirty:");
    Some(Usage { name, private, proportional: field(&rollup, "Pss:"), peak: field(&status, "VmHWM:") })
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn line_of(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ")
}

/// State and parent, fields 3 and 4 of proc_pid_stat(5).
fn stat_of(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn state_of(pid: i32) -> char {
    stat_of(pid).map_or('?', |(state, _)| state)
}

fn children_of(parent: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|e| e.file_name().to_str()?.parse().ok());
    numbers.filter(|pid| stat_of(*pid).is_some_and(|(_, of)| of == parent)).collect()
}
