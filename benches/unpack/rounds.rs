//! Running them in turn, and what comes out.

use crate::{measure::Row, support::Ground};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// The commands for one round, in a folder of their own.
type Make<'a> = dyn Fn(&Path) -> Vec<Command> + 'a;

/// Something that brings an image here.
pub struct Contender<'a> {
    pub name: String,
    pub ground: &'a Ground,
    /// The commands, one after the other, for a folder that is new.
    pub make: Box<Make<'a>>,
}

/// What one run took.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// Milliseconds.
    wall: f64,
    /// Milliseconds of processors, in user mode and in the kernel.
    user: f64,
    system: f64,
    peak_kb: i64,
}

/// All that came out for one.
pub struct Costs {
    pub name: String,
    all: Vec<Cost>,
}

impl Costs {
    fn median(&self, what: impl Fn(&Cost) -> f64) -> f64 {
        Row::sorted("", self.all.iter().map(what).collect()).median()
    }

    fn wall(&self) -> f64 {
        self.median(|cost| cost.wall)
    }
}

/// One round to warm up, then as many as are wanted, every second one backwards. Who fails is said and left out.
pub fn rounds(contenders: Vec<Contender<'_>>, runs: usize) -> Vec<Costs> {
    let mut all: Vec<(Contender<'_>, Vec<Cost>)> = contenders.into_iter().map(|one| (one, Vec::new())).collect();
    for round in 0..=runs {
        let mut order: Vec<usize> = (0..all.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        let mut failed = Vec::new();
        for n in order {
            let (contender, costs) = &mut all[n];
            match once(contender) {
                Ok(cost) if round > 0 => costs.push(cost),
                Ok(_) => {}
                Err(why) => {
                    eprintln!("{} is left out: {why}", contender.name);
                    failed.push(n);
                }
            }
        }
        failed.sort_unstable();
        failed.into_iter().rev().for_each(|n| drop(all.remove(n)));
    }
    all.into_iter().map(|(contender, all)| Costs { name: contender.name, all }).filter(|c| !c.all.is_empty()).collect()
}

fn once(contender: &Contender<'_>) -> Result<Cost, String> {
    let ground = contender.ground;
    let folder = ground.path("work/unpack");
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    ground.own(&folder);
    let mut sum = Cost::default();
    let mut outcome = Ok(());
    for command in (contender.make)(&folder) {
        match run(ground, command) {
            Ok(cost) => {
                sum.wall += cost.wall;
                sum.user += cost.user;
                sum.system += cost.system;
                sum.peak_kb = sum.peak_kb.max(cost.peak_kb);
            }
            Err(e) => {
                outcome = Err(e);
                break;
            }
        }
    }
    clear(ground, folder)?;
    outcome.map(|()| sum)
}

/// Nothing of it is left for the next one, nor for the disk to write meanwhile.
fn clear(ground: &Ground, folder: PathBuf) -> Result<(), String> {
    if fs::remove_dir_all(&folder).is_err() {
        // Files of mapped owners, and nobody is root.
        let _ = ground.command("podman").args(["unshare", "rm", "-rf"]).arg(&folder).output();
    }
    if folder.exists() { Err(format!("{} cannot be removed", folder.display())) } else { Ok(()) }
}

fn run(ground: &Ground, mut command: Command) -> Result<Cost, String> {
    let said = ground.path("stderr");
    let file = fs::File::create(&said).map_err(|e| e.to_string())?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let begin = Instant::now();
    let child = command.spawn().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    let (status, cost) = wait(child.id().cast_signed()).map_err(|e| e.to_string())?;
    let wall = begin.elapsed().as_secs_f64() * 1e3;
    if status != 0 {
        let text = fs::read_to_string(&said).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(3).collect();
        return Err(format!("wait status {status:#x}: {}", last.into_iter().rev().collect::<Vec<_>>().join(" / ")));
    }
    Ok(Cost { wall, ..cost })
}

/// wait4(2): what the process has used, and all of its children that it waited for.
fn wait(pid: i32) -> std::io::Result<(i32, Cost)> {
    let mut status = 0;
    // SAFETY: rusage is plain data; zeroes are a valid one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child is ours and nobody else waits for it; both places outlive the call.
    if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    let time = |time: libc::timeval| time.tv_sec as f64 * 1e3 + time.tv_usec as f64 / 1e3;
    let (user, system) = (time(usage.ru_utime), time(usage.ru_stime));
    Ok((status, Cost { wall: 0.0, user, system, peak_kb: usage.ru_maxrss }))
}

/// Prints one group, compared with its first row, and gives it back for the file.
pub fn print(title: &str, rows: &[Costs]) -> Value {
    let Some(first) = rows.first() else {
        println!("\n{title}: nothing ran");
        return json!({ "title": title, "rows": [] });
    };
    println!("\n{title} ({} runs, medians, milliseconds)", first.all.len());
    println!(
        "{:<40}{:>8}{:>8}{:>8}{:>8}{:>10}  {} / it",
        "", "wall", "minimum", "user", "system", "peak KB", first.name
    );
    let mut kept = Vec::new();
    for row in rows {
        let (wall, user, system) = (row.wall(), row.median(|c| c.user), row.median(|c| c.system));
        let min = row.all.iter().map(|c| c.wall).fold(f64::INFINITY, f64::min);
        let peak = row.all.iter().map(|c| c.peak_kb).max().unwrap_or(0);
        let ratio = first.wall() / wall;
        println!("{:<40}{wall:>8.0}{min:>8.0}{user:>8.0}{system:>8.0}{peak:>10}  {ratio:>8.2}", row.name);
        kept.push(json!({
            "name": row.name, "runs": row.all.len(), "median_ms": wall, "min_ms": min, "user_ms": user,
            "system_ms": system, "peak_kb": peak, "first_to_it_median": ratio,
        }));
    }
    json!({ "title": title, "rows": kept })
}
