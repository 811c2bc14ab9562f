//! The part that runs where limits can be held, as its plain user.

use crate::{
    measure::{self, Once, Part, Row},
    support::find,
    systemd,
};
use serde_json::{Value, json};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    rc::Rc,
    time::Instant,
};

/// The first argument for this part.
pub const WORD: &str = "--inside";
/// The first argument for the process that starts commands in its own cgroup, as often as it is told.
pub const SERVE: &str = "--serve";

const LIMITS: [&str; 6] = ["--memory", "64m", "--cpus", "0.5", "--pids-limit", "50"];
/// A line, so that its first byte tells that the command runs.
const COMMAND: [&str; 2] = ["/bin/echo", "here"];

/// What one run took: until its first output, until its end, in milliseconds, and the peak of its memory.
struct Timed {
    first: f64,
    end: f64,
    peak_kb: i64,
}

/// The times until the first output, by name.
type Firsts = Rc<RefCell<BTreeMap<String, Vec<f64>>>>;

pub fn main(words: &[String]) -> ExitCode {
    let [runs, rootfs, against @ ..] = words else { return ExitCode::from(2) };
    let runs = runs.parse().unwrap_or(2);
    let firsts = Firsts::default();
    let rows = measure::in_turn(starts(rootfs, against.first().map(String::as_str), &firsts), runs);
    print("three limits, until the end of the command", &rows);
    // The first rounds only warm up, and are not among the others either.
    let first = |row: &Row| {
        let all = firsts.borrow_mut().remove(&row.name)?;
        Some(Row::sorted(row.name.clone(), all[all.len().saturating_sub(row.times.len())..].to_vec()))
    };
    print("the same, until its first output", &rows.iter().filter_map(first).collect::<Vec<_>>());
    print("the D-Bus part", &measure::in_turn(systemd::parts(), runs));
    match systemd::exchange() {
        Ok(said) => println!("{said}"),
        Err(e) => eprintln!("what is said to systemd was not counted: {e}"),
    }
    clear();
    ExitCode::SUCCESS
}

pub fn print(title: &str, rows: &[Row]) {
    let row = |row: &Row| json!({ "name": row.name, "times": row.times, "peak_kb": row.peak_kb });
    println!("{}", json!({ "title": title, "rows": rows.iter().map(row).collect::<Vec<Value>>() }));
}

fn starts(rootfs: &str, against: Option<&str>, firsts: &Firsts) -> Vec<Part<'static>> {
    let ours = |program: &str, words: &[&str]| -> Vec<String> {
        let all = [&[program, "run", "--rm"], words, &["--rootfs", rootfs], &COMMAND].concat();
        all.into_iter().map(String::from).collect()
    };
    let by_systemd = [&LIMITS[..], &["--cgroups", "systemd"]].concat();
    let below = [&LIMITS[..], &["--cgroups", "cgroupfs"]].concat();
    let mut all = vec![
        commands("limits, a scope of systemd", ours("little-container", &by_systemd), firsts),
        commands("no limits", ours("little-container", &[]), firsts),
    ];
    match Server::start(&ours("little-container", &below)) {
        Ok(server) => all.push(served("limits, a delegated cgroup", server, firsts)),
        Err(e) => eprintln!("a delegated cgroup is left out: {e}"),
    }
    if let Some(other) = against {
        all.push(commands("a scope, the other build", ours(other, &by_systemd), firsts));
        all.push(commands("no limits, the other build", ours(other, &[]), firsts));
    }
    for (name, peer) in [("crun", crun as fn(&str) -> io::Result<Vec<String>>), ("podman", podman)] {
        match find(name).map(|_| peer(rootfs)) {
            Some(Ok(words)) => {
                let part = commands(&format!("{name}, a scope of systemd"), words, firsts);
                all.push(Part { every: if name == "podman" { 10 } else { 1 }, ..part });
            }
            Some(Err(e)) => eprintln!("{name} is left out: {e}"),
            None => eprintln!("{name} is left out: it is not installed"),
        }
    }
    all
}

/// A part whose first output is noted, too.
fn noted(name: &str, firsts: &Firsts, mut once: impl FnMut(usize) -> Result<Timed, String> + 'static) -> Part<'static> {
    let (name, firsts) = (name.to_owned(), firsts.clone());
    let key = name.clone();
    let once: Once<'static> = Box::new(move |round| {
        let timed = once(round)?;
        firsts.borrow_mut().entry(key.clone()).or_default().push(timed.first);
        Ok((timed.end, timed.peak_kb))
    });
    Part { name, every: 1, once }
}

/// `ROUND` in it stands for a number.
fn commands(name: &str, words: Vec<String>, firsts: &Firsts) -> Part<'static> {
    noted(name, firsts, move |round| {
        timed(&words.iter().map(|w| w.replace("ROUND", &round.to_string())).collect::<Vec<_>>())
    })
}

fn served(name: &str, mut server: Server, firsts: &Firsts) -> Part<'static> {
    noted(name, firsts, move |_| server.once())
}

/// From before the fork.
fn timed(words: &[String]) -> Result<Timed, String> {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("RUST_BACKTRACE");
    let begin = Instant::now();
    let since = || begin.elapsed().as_secs_f64() * 1e3;
    let mut child = command.spawn().map_err(|e| format!("{}: {e}", words[0]))?;
    let got = child.stdout.take().map(|mut stdout| stdout.read(&mut [0; 64]));
    let first = since();
    let (status, peak_kb) = measure::wait(child.id() as i32).map_err(|e| e.to_string())?;
    let end = since();
    if status != 0 || !matches!(got, Some(Ok(1..))) {
        let mut text = String::new();
        let _ = child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut text));
        return Err(format!("wait status {status:#x}: {}", text.lines().last().unwrap_or("it said nothing")));
    }
    Ok(Timed { first, end, peak_kb })
}

/// A process in a cgroup that systemd has delegated to us, and which starts a command whenever it is told: then nothing has
/// to be asked of systemd any more.
struct Server {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Server {
    fn start(words: &[String]) -> io::Result<Server> {
        let mut command = Command::new("systemd-run");
        command.args(["--user", "--scope", "-q", "-p", "Delegate=yes"]).arg(env::current_exe()?).arg(SERVE).args(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let (Some(to), Some(from)) = (to, from) else { return Err(io::Error::other("it has no pipes")) };
        Ok(Server { child, to, from: BufReader::new(from) })
    }

    fn once(&mut self) -> Result<Timed, String> {
        let mut line = String::new();
        let told = self.to.write_all(b"\n").and_then(|()| self.from.read_line(&mut line));
        told.map_err(|e| e.to_string())?;
        let numbers: Vec<f64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [first, end, peak_kb] = numbers[..] else { return Err(line.trim().to_owned()) };
        Ok(Timed { first, end, peak_kb: peak_kb as i64 })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn serve(words: &[String]) -> ExitCode {
    for line in io::stdin().lines() {
        if line.is_err() {
            break;
        }
        match timed(words) {
            Ok(Timed { first, end, peak_kb }) => println!("{first} {end} {peak_kb}"),
            Err(why) => println!("! {why}"),
        }
    }
    ExitCode::SUCCESS
}

fn place(name: &str) -> String {
    format!("{}/little-container-bench-{name}", env::var("HOME").unwrap_or("/tmp".into()))
}

/// A copy of the root file system that is ours to write to, as crun and podman need.
fn root(name: &str, rootfs: &str) -> io::Result<String> {
    let place = place(name);
    fs::create_dir_all(&place)?;
    let copied =
        Command::new("cp").args(["-r", rootfs]).arg(format!("{place}/rootfs")).stderr(Stdio::null()).status()?;
    if copied.success() { Ok(place) } else { Err(io::Error::other("its root file system could not be copied")) }
}

/// A bundle as `crun spec --rootless` makes it: one id, its namespaces, our limits and command.
fn crun(rootfs: &str) -> io::Result<Vec<String>> {
    let bundle = root("crun", rootfs)?;
    let config = Path::new(&bundle).join("config.json");
    let _ = fs::remove_file(&config);
    Command::new("crun").args(["spec", "--rootless"]).current_dir(&bundle).status()?;
    let mut spec: Value = serde_json::from_slice(&fs::read(&config)?)?;
    spec["root"] = json!({ "path": "rootfs", "readonly": false });
    spec["process"]["args"] = json!(COMMAND);
    spec["process"]["terminal"] = false.into();
    spec["linux"]["resources"] = json!({
        "memory": { "limit": 64 << 20 }, "cpu": { "quota": 50_000, "period": 100_000 }, "pids": { "limit": 50 }
    });
    fs::write(&config, spec.to_string())?;
    let id = format!("bench-{}-ROUND", std::process::id());
    let words = ["crun", "--systemd-cgroup", "run", "--bundle", &bundle, &id];
    Ok(words.map(String::from).to_vec())
}

/// With a home of its own, for what it keeps of each root file system.
fn podman(rootfs: &str) -> io::Result<Vec<String>> {
    let place = root("podman", rootfs)?;
    let (home, rootfs) = (format!("HOME={place}"), format!("{place}/rootfs"));
    let words = ["env", &home, "podman", "--cgroup-manager=systemd", "run", "--rm", "--network", "none"];
    Ok([&words[..], &LIMITS, &["--rootfs", &rootfs], &COMMAND].concat().into_iter().map(String::from).collect())
}

/// Takes away what was made for the peers; podman's files have mapped owners.
fn clear() {
    let _ = fs::remove_dir_all(place("crun"));
    let podman = place("podman");
    if Path::new(&podman).exists() {
        let mut command = Command::new("podman");
        command.env("HOME", &podman).args(["unshare", "rm", "-rf", &podman]).stderr(Stdio::null());
        let _ = command.status();
    }
}
