//! The record of a container, and whether what it names still lives.

use crate::{
    cgroup::{Group, oom::PostMortem},
    plan::limits::Limited,
    spec::{Limits, Raw},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

/// How long a turn is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// `containers/<id>/container.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Of this format.
    pub version: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// `--name`.
    #[serde(default)]
    pub name: Option<String>,
    /// What it was made from, in the user's words.
    pub image: String,
    /// The folders of its image's layers.
    #[serde(default)]
    pub layers: Vec<Raw>,
    /// The command and its arguments.
    pub command: Vec<Raw>,
    /// When, as RFC 3339 in UTC.
    pub created: String,
    /// `--rm`.
    #[serde(default)]
    pub remove: bool,
    /// The name of the machine: another one that shares the store cannot tell whether it runs.
    pub machine: String,
    /// The process that started it and waits for it.
    pub runner: Process,
    /// Its first process.
    #[serde(default)]
    pub init: Option<Process>,
    /// How it ended.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// What was decided for it and why.
    #[serde(default)]
    pub choices: Vec<String>,
    /// The folder of its cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Raw>,
    /// What became of each limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limited>,
    /// `Labels` of its image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to end, as its image has it; empty: TERM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// `ExposedPorts` of its image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed_ports: Vec<String>,
    /// `Volumes` of its image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Raw>,
    /// The limits that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Limits>,
}

/// A process that may be gone, or whose number may be another's by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number on this machine.
    pub pid: i32,
    /// When it was started, in clock ticks since the boot (field 22 of proc_pid_stat(5)).
    pub start_time: u64,
    /// Which boot (/proc/sys/kernel/random/boot_id).
    pub boot_id: String,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit status that `run` had.
    pub code: u8,
    /// When, as RFC 3339 in UTC.
    pub at: String,
    /// What the kernel killed of it for want of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<PostMortem>,
}

/// What a container is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its runner and its first process live.
    Running,
    /// Its runner lives, and it has not begun.
    Starting,
    /// It ended, and this is how.
    Exited(Exit),
    /// Its runner was killed, so that nobody saw how it ended.
    Killed,
    /// It belongs to another machine that shares this store.
    Elsewhere(String),
}

impl Process {
    /// This process.
    pub fn own() -> Option<Process> {
        let pid = std::process::id();
        Some(Process { pid: pid as i32, start_time: own_start_time()?, boot_id: boot_id() })
    }

    /// The process that has this number now.
    pub fn of(pid: i32) -> Option<Process> {
        Some(Process { pid, start_time: start_time(pid)?, boot_id: boot_id() })
    }

    /// Whether it still lives.
    pub fn lives(&self) -> bool {
        self.boot_id == boot_id() && start_time(self.pid) == Some(self.start_time)
    }
}

/// When the process of this number was started, in clock ticks since the boot; none where there is no such process, or
/// where it has ended and only waits to be reaped.
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in brackets, may hold anything.
    let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The same of this process; asked of the kernel once, as every start needs it several times.
pub fn own_start_time() -> Option<u64> {
    static KNOWN: OnceLock<(u32, Option<u64>)> = OnceLock::new();
    let pid = std::process::id();
    let ask = || start_time(pid as i32);
    let (of, time) = *KNOWN.get_or_init(|| (pid, ask()));
    // In a child that was split off, what its parent knew is about the parent.
    if of == pid { time } else { ask() }
}

/// This boot; asked of the kernel once.
pub fn boot_id() -> String {
    static KNOWN: OnceLock<String> = OnceLock::new();
    let ask = || fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|t| t.trim().to_owned()).unwrap_or_default();
    KNOWN.get_or_init(ask).clone()
}

/// Now, as RFC 3339 in UTC, always with three digits of the second: as text, the later one is the greater one.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

impl Record {
    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read, or is not whole.
    pub fn read(folder: &Path) -> anyhow::Result<Record> {
        let content = fs::read(folder.join("container.json"))?;
        let record: Record = serde_json::from_slice(&content)?;
        // Ids become paths: what a record says of itself must be what it was found by.
        if !super::is_id(&record.id) || folder.file_name() != Some(record.id.as_ref()) {
            anyhow::bail!("it is of another container");
        }
        Ok(record)
    }

    /// Writes it.
    ///
    /// # Errors
    /// Those of [`super::write_atomically`].
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        Ok(super::write_atomically(&folder.join("container.json"), &serde_json::to_vec(self)?)?)
    }

    /// A turn to read it, change it and write it back, until the end of what this returns (flock(2)). None: somebody else has
    /// had it for long, or the folder is gone.
    pub fn turn(folder: &Path) -> Option<fs::File> {
        let file = fs::File::open(folder).ok()?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Some(file),
                // Some file systems have no locks. What they would prevent is rare.
                Err(fs::TryLockError::Error(_)) => return Some(file),
                Err(fs::TryLockError::WouldBlock) if start.elapsed() > PATIENCE => return None,
                Err(fs::TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Its cgroup, if it is still there.
    pub fn group(&self) -> Option<Group> {
        Group::known(self.group.as_ref()?.path(), &self.id)
    }

    /// What it is doing, as seen from the machine of this name.
    pub fn status(&self, machine: &str) -> Status {
        match (&self.exit, &self.init) {
            (Some(exit), _) => Status::Exited(exit.clone()),
            _ if self.machine != machine => Status::Elsewhere(self.machine.clone()),
            (None, Some(init)) if init.lives() => Status::Running,
            (None, None) if self.runner.lives() => Status::Starting,
            // Between the end of the one and the word of the other.
            (None, Some(_)) if self.runner.lives() => Status::Running,
            _ => Status::Killed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_more_than_its_number() {
        let own = Process::own().unwrap();
        assert!(own.lives());
        assert!(!Process { start_time: own.start_time + 1, ..own.clone() }.lives());
        assert!(!Process { boot_id: "another".into(), ..own.clone() }.lives());
        assert_eq!(start_time(i32::MAX), None);
    }
}
