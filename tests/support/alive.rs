//! Processes that a test has started, seen from outside: who descends from whom, what they say, and whether they are gone.
#![allow(dead_code, reason = "each test program uses a part")]

use crate::support::{Ground, Outcome};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::Read,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a condition, with a limit.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A process by its number and its start, so that it is never taken for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub pid: i32,
    pub name: String,
    start: u64,
}

impl Seen {
    pub fn of(pid: i32) -> Option<Seen> {
        stat(pid).map(|s| s.seen)
    }

    pub fn lives(&self) -> bool {
        Seen::of(self.pid).is_some_and(|now| now.start == self.start)
    }

    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    pub fn signal(&self, signal: Signal) {
        assert!(self.lives(), "{self:?} is gone");
        kill(Pid::from_raw(self.pid), signal).unwrap();
    }

    /// Its number in the innermost PID namespace.
    pub fn inner_pid(&self) -> Option<i32> {
        let line = self.status("NSpid:")?;
        line.split_whitespace().last()?.parse().ok()
    }

    /// A line of /proc/PID/status.
    pub fn status(&self, field: &str) -> Option<String> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        Some(text.lines().find_map(|l| l.strip_prefix(field))?.trim().to_owned())
    }

    /// Whether it has a number of its own inside a container.
    pub fn is_inside(&self) -> bool {
        self.status("NSpid:").is_some_and(|line| line.split_whitespace().count() > 1)
    }

    /// Whether it has been stopped.
    pub fn is_stopped(&self) -> bool {
        self.status("State:").is_some_and(|state| state.starts_with('T'))
    }
}

struct Stat {
    parent: i32,
    seen: Seen,
}

/// None also for a process that only waits to be reaped.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = (text.find('(')?, text.rfind(')')?);
    let fields: Vec<&str> = text.get(tail + 2..)?.split(' ').collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    let seen = Seen { pid, name: text.get(head + 1..tail)?.into(), start: fields.get(19)?.parse().ok()? };
    Some(Stat { parent: fields.get(1)?.parse().ok()?, seen })
}

/// Everything below a process, itself first.
pub fn family(pid: i32) -> Vec<Seen> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let all: Vec<Stat> = entries.filter_map(|e| stat(e.file_name().to_str()?.parse().ok()?)).collect();
    let mut found: Vec<Seen> = Seen::of(pid).into_iter().collect();
    let mut at = 0;
    while at < found.len() {
        let parent = found[at].pid;
        found.extend(all.iter().filter(|s| s.parent == parent).map(|s| s.seen.clone()));
        at += 1;
    }
    found
}

/// Waits until all of them have ended.
pub fn await_gone(all: &[Seen]) {
    until(&format!("the end of {all:?}"), || !all.iter().any(Seen::lives));
}

/// What a stream has brought so far, and whether it has ended.
#[derive(Clone, Default)]
pub struct Stream(Arc<Mutex<(Vec<u8>, bool)>>);

impl Stream {
    pub fn of(mut source: impl Read + Send + 'static) -> Stream {
        let stream = Stream::default();
        let ours = stream.clone();
        thread::spawn(move || {
            let mut piece = [0; 65536];
            loop {
                let length = source.read(&mut piece).unwrap_or(0);
                let mut state = ours.0.lock().unwrap();
                state.0.extend(&piece[..length]);
                state.1 |= length == 0;
                if length == 0 {
                    return;
                }
            }
        });
        stream
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap().0).into_owned()
    }

    pub fn has_ended(&self) -> bool {
        self.0.lock().unwrap().1
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().0.clone()
    }

    /// Waits until a text has come.
    pub fn await_text(&self, wanted: &str) {
        let start = Instant::now();
        while !self.text().contains(wanted) {
            assert!(start.elapsed() < PATIENCE && !self.has_ended(), "no {wanted:?} in {:?}", self.text());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A program that runs, killed with the test.
pub struct Live {
    pub child: Child,
    pub stdout: Stream,
    pub stderr: Stream,
}

impl Live {
    pub fn start(command: &mut Command) -> Live {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Stream::of(child.stdout.take().unwrap());
        let stderr = Stream::of(child.stderr.take().unwrap());
        Live { child, stdout, stderr }
    }

    /// Starts it and waits until it has said `ready`.
    pub fn ready(command: &mut Command) -> Live {
        let live = Live::start(command);
        until("ready", || {
            assert!(!live.stdout.has_ended(), "it ended before it was ready: {}", live.stderr.text());
            live.stdout.text().contains("ready\n")
        });
        live
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    pub fn family(&self) -> Vec<Seen> {
        family(self.pid())
    }

    /// The first process of the container.
    pub fn init(&self) -> Seen {
        self.family().into_iter().find(|s| s.is_inside() && s.inner_pid() == Some(1)).expect("no first process")
    }

    /// Our guard: the child that is outside and no helper.
    pub fn guard(&self) -> Seen {
        let outside = |s: &Seen| s.pid != self.pid() && !s.is_inside() && s.name == "little-containe";
        self.family().into_iter().find(outside).expect("no guard")
    }

    /// Waits for its end and the end of its streams.
    pub fn end(mut self) -> Outcome {
        let mut status = None;
        until("the end of the program", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        until("the end of its streams", || self.stdout.has_ended() && self.stderr.has_ended());
        let status = status.unwrap();
        Outcome {
            status: status.code().or(status.signal().map(|s| 128 + s)).unwrap(),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end, with a limit: what hangs fails.
pub fn ended(command: &mut Command) -> Outcome {
    Live::start(command).end()
}

/// `run --rm FLAGS --rootfs ROOTFS sh -c SCRIPT`, with a limit.
pub fn sh(ground: &Ground, flags: &[&str], script: &str) -> Outcome {
    let mut command = ground.lc(["run", "--rm"]);
    ended(command.args(flags).arg("--rootfs").arg(ground.rootfs()).args(["sh", "-c", script]))
}

/// No process of the ground, no mount, no container, mark or name, nothing half made.
pub fn assert_nothing_left(ground: &Ground) {
    until(&format!("the end of {:?}", ground.left_processes()), || ground.left_processes().is_empty());
    assert_eq!(ground.leftovers(), [""; 0]);
    assert_eq!(names(ground, "names"), [""; 0]);
    let drafts = names(ground, "layers").into_iter().filter(|n| n.starts_with(".tmp-")).collect::<Vec<_>>();
    assert_eq!(drafts, [""; 0]);
}

/// What a folder of the store holds.
pub fn names(ground: &Ground, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(ground.store().join(folder)).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}
