//! `stats`, of containers without a group of their own: what can be had on every machine.

#[macro_use]
mod support;
#[path = "support/alive.rs"]
mod alive;
#[path = "support/kit.rs"]
mod kit;
#[path = "support/pty.rs"]
mod pty;

use alive::{Live, family, until};
use kit::{Running, assert_advice, assert_error, wait_for};
use nix::sys::signal::Signal;
use pty::{Pty, at_terminal};
use serde_json::Value;
use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};
use support::{Ground, Need, outcome, program};

const SETSID: Need = Need::Program("setsid");

/// A container with this script; it has begun when this comes back.
fn busy(ground: &Ground, flags: &[&str], script: &str) -> Live {
    let mut command = ground.lc(["run", "--rm"]);
    command.args(flags).arg("--rootfs").arg(ground.rootfs()).args(["sh", "-c", &format!("echo ready; {script}")]);
    Live::ready(&mut command)
}

/// `stats --no-stream --format json` and these words.
#[track_caller]
fn look(ground: &Ground, words: &[&str]) -> Vec<Value> {
    let mut all = vec!["stats", "--no-stream", "--format", "json"];
    all.extend(words);
    serde_json::from_str(&ground.ok(all)).unwrap()
}

/// What the kernel says that a process and those it waited for have used, in microseconds.
fn time_of(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = text[text.rfind(')').unwrap() + 2..].split(' ').collect();
    fields[11..15].iter().map(|ticks| ticks.parse::<u64>().unwrap() * 10_000).sum()
}

#[test]
fn nothing_runs() {
    let ground = ground!();
    assert_eq!(look(&ground, &[]), [Value::Null; 0]);
    let table = ground.ok(["stats", "--no-stream"]);
    assert!(table.starts_with("CONTAINER ID   NAME   CPU %   MEM USAGE / LIMIT   MEM %"), "{table}");
    assert_eq!((table.lines().count(), ground.ok(["stats", "-q"]).as_str()), (1, ""));
}

#[test]
fn memory_and_processes_of_one_that_sleeps() {
    let ground = ground!();
    let _running = busy(&ground, &["--name", "web"], "sleep 1000 & sleep 1000 & sleep 1000 & wait");
    wait_for("four processes", || look(&ground, &["web"])[0]["Raw"]["pids"] == 4);
    let found = look(&ground, &[]);
    let (one, raw) = (&found[0], &found[0]["Raw"]);
    assert_eq!(
        (found.len(), &one["Name"], &one["Container"], &one["PIDs"]),
        (1, &"web".into(), &one["ID"], &"4".into())
    );
    let memory = raw["memory_bytes"].as_u64().unwrap();
    assert!((100_000..100_000_000).contains(&memory), "{memory}");
    assert!(raw["cpu_percent"].as_f64().unwrap() < 20.0, "{raw}");
    assert_eq!(raw["source"], "processes");
    for unknown in ["memory_limit_bytes", "memory_peak_bytes", "throttled_usec", "periods", "pids_limit", "pressure"] {
        assert_eq!(raw.get(unknown), Some(&Value::Null), "{unknown}");
    }
    let total = fs::read_to_string("/proc/meminfo").unwrap();
    let total: f64 = total.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(one["MemUsage"].as_str().unwrap().ends_with(&format!(" / {:.1}GiB", total / 1_048_576.0)), "{one}");
    // By any word that stands for it, and once.
    let id = one["ID"].as_str().unwrap();
    let named = look(&ground, &[id, "web", &id[..6]]);
    assert_eq!((named.len(), &named[0]["Container"]), (1, &id.into()));
    assert_eq!(ground.ok(["stats", "-q", "web"]), format!("{id}\n"));
}

#[test]
fn time_on_cpus() {
    let ground = ground!();
    let loops = busy(&ground, &["--name", "loops"], "while :; do :; done");
    let forks = busy(&ground, &["--name", "forks"], "while :; do ls /bin >/dev/null 2>&1; done");
    let _idle = ground.running(&["--rm", "--name", "idle"]);
    for (name, container) in [("loops", &loops), ("forks", &forks)] {
        let pid = container.init().pid;
        let (start, before) = (Instant::now(), time_of(pid));
        std::thread::sleep(Duration::from_millis(500));
        let raw = look(&ground, &[name])[0]["Raw"].clone();
        let (used, after) = (raw["cpu_usec"].as_u64().unwrap(), time_of(pid));
        // A little more, for the child that is under way.
        assert!(before <= used && used <= after + 100_000, "{name}: {before} {used} {after}");
        // How much it gets is the machine's business, but it is never more than there are CPUs to one after the other.
        let percent = raw["cpu_percent"].as_f64().unwrap();
        let real = (after - before) as f64 / start.elapsed().as_micros() as f64 * 100.0;
        assert!((2.0..=150.0).contains(&percent), "{name}: {percent} % {real} %");
    }
    // On a machine with nothing else to do: one CPU.
    let mut seen = Vec::new();
    let near = |percent: f64| (50.0..=150.0).contains(&percent);
    for _ in 0..10 {
        let pid = loops.init().pid;
        let (start, before) = (Instant::now(), time_of(pid));
        let percent = look(&ground, &["loops"])[0]["Raw"]["cpu_percent"].as_f64().unwrap();
        let real = (time_of(pid) - before) as f64 / start.elapsed().as_micros() as f64 * 100.0;
        seen.push((percent, real));
        if near(percent) {
            break;
        }
    }
    // Where others take the CPUs the kernel's own numbers say so.
    assert!(seen.iter().any(|(percent, real)| near(*percent) || *real < 60.0), "{seen:?}");
    let idle = look(&ground, &["idle"])[0]["Raw"]["cpu_percent"].as_f64().unwrap();
    assert!(idle < 20.0, "{idle}");
}

#[test]
fn a_reaper_another_user_and_namespaces_within() {
    let ground = ground!(Need::Range);
    let _reaped = busy(&ground, &["--init", "--name", "reaped"], "sleep 1000 & sleep 1000 & wait");
    let _web = busy(&ground, &["-u", "web", "--name", "web"], "sleep 1000 & sleep 1000 & wait");
    let _inner = busy(&ground, &["--name", "inner"], "unshare -r -p -f sh -c 'sleep 1000 & sleep 1000 & wait'; :");
    let pids = |name: &str| look(&ground, &[name])[0]["Raw"]["pids"].as_u64().unwrap();
    for (name, expected) in [("reaped", 4), ("web", 3), ("inner", 5)] {
        let start = Instant::now();
        while pids(name) != expected {
            assert!(start.elapsed() < Duration::from_secs(10), "{name}: {} processes", pids(name));
        }
        assert!(look(&ground, &[name])[0]["Raw"]["memory_bytes"].as_u64().unwrap() > 100_000);
    }
}

#[test]
fn what_cannot_be_shown_is_said() {
    let ground = ground!();
    let mut ended = ground.lc(["run", "--name", "job", "--rootfs"]);
    assert_eq!(outcome(ended.arg(ground.rootfs()).arg("true")).status, 0);
    let _running = ground.running(&["--rm", "--name", "web"]);
    assert_advice(&ground.end(["stats", "job"]), 1, &["container job is not running", "`little-container ps` lists"]);
    assert_advice(&ground.end(["stats", "nobody"]), 1, &["no container is called \"nobody\"", "ps -a"]);
    assert_error(&ground.end(["stats", "../x"]), 1, &["no container is called"]);
    for words in [&["stats", "web", "job", "nobody"][..], &["stats", "-q", "web", "job", "nobody"]] {
        let out = ground.end(words);
        assert_error(&out, 1, &["job is not running", "no container is called \"nobody\""]);
        assert_eq!(out.stdout, "");
    }
    for interval in ["0", "-1", "x", "1e99"] {
        assert_eq!(ground.end([&format!("--interval={interval}")]).status, 2, "{interval}");
        assert_eq!(ground.end(["stats", &format!("--interval={interval}")]).status, 2, "{interval}");
    }
}

/// Rewrites the record of the container, which is then shown or is not.
fn forged(ground: &Ground, change: impl Fn(&mut Value)) -> Vec<Value> {
    let id = ground.containers()[0]["id"].as_str().unwrap().to_owned();
    let path = ground.store().join("containers").join(id).join("container.json");
    let before = fs::read(&path).unwrap();
    let mut record: Value = serde_json::from_slice(&before).unwrap();
    change(&mut record);
    fs::write(&path, record.to_string()).unwrap();
    let found = look(ground, &[]);
    fs::write(&path, before).unwrap();
    found
}

#[test]
fn a_record_is_not_believed() {
    let ground = ground!();
    let _running = ground.running(&["--rm", "--name", "web"]);
    assert_eq!(forged(&ground, |_| {}).len(), 1);
    // A process of another time, of another machine, and one that is in no container.
    assert_eq!(forged(&ground, |record| record["init"]["start_time"] = 1.into()).len(), 0);
    assert_eq!(forged(&ground, |record| record["machine"] = "elsewhere-1".into()).len(), 0);
    let own = std::process::id();
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let start: u64 = stat.rsplit(')').next().unwrap().split(' ').nth(20).unwrap().parse().unwrap();
    let forge = |record: &mut Value| {
        record["init"]["pid"] = own.into();
        record["init"]["start_time"] = start.into();
    };
    if ground.user.uid == nix::unistd::getuid().as_raw() {
        assert_eq!(forged(&ground, forge).len(), 0);
    }
    // A folder that is no group of its own, and a name that would move the cursor.
    let found = forged(&ground, |record| record["group"] = "/sys/fs/cgroup".into());
    assert_eq!(found[0]["Raw"]["source"], "processes");
    let found = forged(&ground, |record| record["name"] = "a\u{1b}[2Jb".into());
    assert_eq!(found[0]["Name"], "a?[2Jb");
}

#[test]
fn containers_come_and_go() {
    let ground = ground!();
    let mut command = ground.lc(["stats", "--interval", "0.1", "--format", "json"]);
    let all = Live::start(&mut command);
    let last = |live: &Live| -> usize {
        let text = live.stdout.text();
        let line = text.split_inclusive('\n').rfind(|line| line.ends_with('\n')).unwrap_or("[]");
        serde_json::from_str::<Vec<Value>>(line).unwrap().len()
    };
    until("an empty list", || all.stdout.text().starts_with("[]\n"));
    let first = busy(&ground, &["--name", "first"], "sleep 1000; :");
    until("one", || last(&all) == 1);
    let _second = ground.running(&["--rm", "--name", "second"]);
    until("two", || last(&all) == 2);
    // One that was named is waited for to its end.
    let named = Live::start(&mut ground.lc(["stats", "--interval", "0.1", "first"]));
    until("a line", || named.stdout.text().lines().count() > 2);
    ground.ok(["rm", "-f", "first"]);
    drop(first);
    until("one again", || last(&all) == 1);
    let out = named.end();
    assert_eq!((out.status, out.stderr.as_str()), (0, ""));
    assert!(out.stdout.lines().skip(1).all(|line| line.contains("   first   ")), "{}", out.stdout);
    assert_eq!(out.stdout.matches("CONTAINER ID").count(), 1);
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let live = Live::start(&mut ground.lc(["stats", "--interval", "0.1"]));
        until("a line", || live.stdout.text().lines().count() > 2);
        live.signal(signal);
        assert_eq!(live.end().status, 128 + signal as i32);
    }
}

#[test]
fn a_reader_that_goes_ends_it() {
    let ground = ground!();
    let lines = |n: usize, words: &str| {
        let script = format!("\"$0\" stats {words} | head -{n}; echo end");
        let mut command = ground.command("bash");
        command.args(["-c", &format!("set -o pipefail; {script} $?")]).arg(program());
        let start = Instant::now();
        let out = alive::ended(&mut command);
        assert!(start.elapsed() < Duration::from_secs(10), "{words}");
        assert_eq!((out.status, out.stderr.as_str()), (0, ""), "{words}");
        assert!(out.stdout.ends_with("end 0\n"), "{words}: {}", out.stdout);
        out.stdout.lines().count() - 1
    };
    // With nothing to show there is nothing to write, and it is noticed all the same.
    assert_eq!(lines(1, "--interval 100"), 1);
    let _running = ground.running(&["--rm", "--name", "web"]);
    assert_eq!(lines(1, "--interval 100"), 1);
    assert_eq!(lines(4, "--interval 0.1 web"), 4);
    assert_eq!(lines(2, "--interval 0.1 --format json"), 2);
}

/// `stats WORDS` at a terminal of 33 lines and 99 columns.
fn at_pty(ground: &Ground, variables: &[(&str, &str)], words: &[&str]) -> Pty {
    let mut command = at_terminal(ground);
    command.envs(variables.iter().copied()).arg(program()).arg("stats").args(words);
    Pty::start(&mut command)
}

#[test]
fn a_terminal_has_one_table_that_is_drawn_again() {
    let ground = ground!(SETSID);
    let _running = busy(&ground, &["--name", "web"], "while :; do :; done");
    let mut pty = at_pty(&ground, &[("LANG", "C.UTF-8")], &["--interval", "0.2"]);
    let frames = |pty: &Pty| pty.output.text().matches("\x1b[J").count();
    until("three frames", || frames(&pty) >= 3);
    assert_eq!(pty.modes(), pty.before);
    let text = pty.output.text();
    // What stood in the window is moved up once.
    assert!(text.starts_with(&format!("{}\x1b[HCONTAINER ID   NAME ", "\r\n".repeat(32))), "{text:?}");
    assert_eq!(text.matches(&"\r\n".repeat(3)).count() * 3, 30, "{text:?}");
    assert!(text.contains('█') || text.contains('▏'), "{text:?}");
    assert!(text.contains("\x1b[3") && text.contains("   web "), "{text:?}");
    // Neither another screen nor a hidden cursor: nothing has to be put back.
    assert!(!text.contains("\x1b[?"), "{text:?}");
    let before = frames(&pty);
    pty.resize(10, 40);
    until("frames of another size", || frames(&pty) >= before + 3);
    let text = pty.output.text();
    let last = text.rsplit("\x1b[H").nth(1).unwrap();
    assert!(last.starts_with("NAME ") && !last.contains("CONTAINER ID") && last.contains("web"), "{last:?}");
    pty.type_in("\x03");
    assert_eq!(pty.end(), 130);
    assert_eq!(pty.modes(), pty.before);
    let text = pty.output.text();
    assert!(text.ends_with("\x1b[J") || text.ends_with("\x1b[J^C"), "{text:?}");
}

#[test]
fn a_terminal_is_asked_for_no_more_than_it_has() {
    let ground = ground!(SETSID);
    let all: Vec<Running> = (0..3).map(|_| ground.running(&["--rm"])).collect();
    let pty = at_pty(&ground, &[("LC_ALL", "C"), ("LANG", "C.UTF-8"), ("NO_COLOR", "1")], &["--interval", "0.1"]);
    until("a frame", || pty.output.text().contains("\x1b[J"));
    assert!(!pty.output.text().contains("\x1b[3") && pty.output.text().is_ascii(), "{:?}", pty.output.text());
    pty.resize(4, 99);
    until("a cut table", || pty.output.text().contains("and 2 more"));
    pty.signal(Signal::SIGTERM);
    let mut pty = pty;
    assert_eq!(pty.end(), 143);
    // Once, and below what was there.
    let mut pty = at_pty(&ground, &[], &["--no-stream"]);
    assert_eq!(pty.end(), 0);
    pty.output.await_text("\r\n");
    let text = pty.output.text();
    assert!(text.starts_with("CONTAINER ID") && !text.contains("\x1b[H"), "{text:?}");
    // A terminal that cannot move its cursor has lines.
    let mut pty = at_pty(&ground, &[("TERM", "dumb")], &["--interval", "0.1"]);
    until("lines", || pty.output.text().matches("\r\n").count() > 6);
    pty.type_in("\x03");
    assert_eq!(pty.end(), 130);
    assert!(!pty.output.text().contains('\x1b'), "{:?}", pty.output.text());
    drop(all);
}

#[test]
fn stopped_and_gone_on_it_draws_anew() {
    let ground = ground!(SETSID);
    let mut pty = at_pty(&ground, &[], &["--interval", "100"]);
    until("a frame", || pty.output.text().contains("\x1b[J"));
    let stats = family(pty.pid()).pop().unwrap();
    pty.signal(Signal::SIGSTOP);
    until("it has stopped", || stats.is_stopped());
    pty.signal(Signal::SIGCONT);
    let start = format!("{}\x1b[H", "\r\n".repeat(32));
    until("another table", || pty.output.text().matches(&start).count() == 2);
    pty.type_in("\x03");
    assert_eq!(pty.end(), 130);
}

#[test]
fn many_containers_cost_little() {
    let ground = ground!();
    let mut command = ground.lc(["run", "--rm", "--rootfs"]);
    command.arg(ground.rootfs()).args(["sleep", "1000"]).stdout(Stdio::null()).stderr(Stdio::null());
    let all: Vec<Running> = (0..20).map(|_| Running(command.spawn().unwrap())).collect();
    wait_for("all run", || ground.ok(["stats", "-q"]).lines().count() == all.len());
    let start = Instant::now();
    assert_eq!(look(&ground, &[]).len(), all.len());
    let took = start.elapsed();
    assert!(took < Duration::from_millis(1500), "{took:?}");
}
