//! Running commands side by side, and what comes out of it.

use crate::support::Ground;
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};
use tempfile::TempDir;

/// Rounds whose times are thrown away.
const WARM_UP: usize = 5;

/// Something that starts a container, to be compared with the others of its group.
pub struct Contender<'a> {
    pub name: String,
    /// The command for a round of this number.
    pub make: Box<dyn Fn(usize) -> Command + 'a>,
    /// It runs in every so-manieth round: for those that take long.
    pub every: usize,
}

impl<'a> Contender<'a> {
    pub fn new(name: impl Into<String>, make: impl Fn(usize) -> Command + 'a) -> Contender<'a> {
        Contender { name: name.into(), make: Box::new(make), every: 1 }
    }

    pub fn every(self, every: usize) -> Contender<'a> {
        Contender { every, ..self }
    }
}

/// What came out for one contender: times in milliseconds, sorted, and the peak of its memory.
pub struct Row {
    pub name: String,
    pub times: Vec<f64>,
    pub peak_kb: i64,
}

impl Row {
    pub fn sorted(name: impl Into<String>, mut times: Vec<f64>) -> Row {
        times.sort_by(f64::total_cmp);
        Row { name: name.into(), times, peak_kb: 0 }
    }

    pub fn min(&self) -> f64 {
        self.times.first().copied().unwrap_or(f64::NAN)
    }

    pub fn at(&self, part: f64) -> f64 {
        let place = (self.times.len() as f64 * part) as usize;
        self.times.get(place.min(self.times.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.at(0.5)
    }
}

/// The runtime folder: in memory, as every login session has it. The machine's /tmp need not be.
fn runtime(ground: &Ground) -> TempDir {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix("lc-bench-").tempdir_in(base).expect("a folder in /dev/shm or /tmp");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("it is ours");
    ground.own(folder.path());
    folder
}

/// Ends the process that podman leaves behind for its next call, by the number it has written down.
pub fn end_pause(runtime: &Path) {
    let text = fs::read_to_string(runtime.join("libpod/tmp/pause.pid")).unwrap_or_default();
    if let Ok(pid) = text.trim().parse() {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

/// Something of a group that is timed, command or not.
pub struct Part<'a> {
    pub name: String,
    pub every: usize,
    /// One run, in a round of this number.
    pub once: Once<'a>,
}

/// Milliseconds and the peak of the memory in KB, or why it failed.
pub type Once<'a> = Box<dyn FnMut(usize) -> Result<(f64, i64), String> + 'a>;

/// Commands, as the ground's user.
pub fn rounds(ground: &Ground, contenders: Vec<Contender<'_>>, runs: usize) -> Vec<Row> {
    let runtime = runtime(ground);
    let part = |Contender { name, make, every }| {
        let path = runtime.path();
        Part { name, every, once: Box::new(move |round| once(ground, path, make(round))) }
    };
    let rows = in_turn(contenders.into_iter().map(part).collect(), runs);
    end_pause(runtime.path());
    rows
}

/// All of them in turn, round after round, every second round backwards: what one leaves to the kernel to clear up does not
/// always fall on the same one. Who fails is said and left out.
pub fn in_turn(parts: Vec<Part<'_>>, runs: usize) -> Vec<Row> {
    let row = |part: &Part<'_>| Row { name: part.name.clone(), times: Vec::with_capacity(runs), peak_kb: 0 };
    let mut all: Vec<(Part<'_>, Row)> = Vec::new();
    for part in parts {
        let row = row(&part);
        all.push((part, row));
    }
    for round in 0..runs + WARM_UP {
        let mut failed = None;
        let mut order: Vec<usize> = (0..all.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for n in order {
            let (part, row) = &mut all[n];
            if round % part.every != 0 {
                continue;
            }
            match (part.once)(round) {
                Ok((time, peak)) => {
                    row.peak_kb = row.peak_kb.max(peak);
                    if round >= WARM_UP {
                        row.times.push(time);
                    }
                }
                Err(why) => {
                    eprintln!("{} is left out: {why}", part.name);
                    failed = Some(n);
                    break;
                }
            }
        }
        failed.map(|n| all.remove(n));
    }
    let sorted = |row: Row| Row { peak_kb: row.peak_kb, ..Row::sorted(row.name, row.times) };
    all.into_iter().map(|(_, row)| sorted(row)).filter(|row| !row.times.is_empty()).collect()
}

/// From before the fork to the end of the process, and the greatest memory of it or of a child it waited for.
fn once(ground: &Ground, runtime: &Path, mut command: Command) -> Result<(f64, i64), String> {
    let said = ground.path("stderr");
    let file = fs::File::create(&said).map_err(|e| e.to_string())?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).env_remove("RUST_BACKTRACE");
    command.env("XDG_RUNTIME_DIR", runtime);
    let begin = Instant::now();
    let child = command.spawn().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    let (status, peak) = wait(child.id() as i32).map_err(|e| e.to_string())?;
    let time = begin.elapsed().as_secs_f64() * 1e3;
    if status != 0 {
        let text = fs::read_to_string(&said).unwrap_or_default();
        return Err(format!("wait status {status:#x}: {}", text.lines().last().unwrap_or("it said nothing")));
    }
    Ok((time, peak))
}

/// wait4(2). The peak cannot be less than our own memory at the fork, which the kernel counts in.
pub fn wait(pid: i32) -> io::Result<(i32, i64)> {
    let mut status = 0;
    // SAFETY: rusage is plain data; zeroes are a valid one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child is ours and nobody else waits for it; both places outlive the call.
    if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((status, usage.ru_maxrss))
}
