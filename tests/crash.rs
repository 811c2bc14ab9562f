//! The crash matrix: kill -9 before every step of a plan, and at random moments. Nothing may stay behind.

#[macro_use]
mod support;
#[path = "support/alive.rs"]
mod alive;

use alive::{Live, assert_nothing_left, await_gone, ended, names, until};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};
use support::{Ground, Need};

const WORKERS: usize = 4;

/// What every run of the matrix has: names, folders of the machine, a mount point that the image does not have.
fn command(ground: &Ground, flags: &[&str]) -> Command {
    let repository = ground.path("work/repository");
    let mut command = ground.lc(["run", "--rm", "--name", "crash", "-v"]);
    command.arg(format!("{}:/repository", repository.display()));
    command.arg("-v").arg(format!("{}:/not/there/yet:ro", repository.join("sub").display()));
    command.args(["--tmpfs", "/scratch"]).args(flags).arg("--rootfs").arg(ground.rootfs());
    // The words name the ground, so that it is found among the processes.
    command.args(["sh", "-c", "sleep 1000; true", &ground.path("").display().to_string()]);
    command
}

fn git(ground: &Ground, words: &[&str]) -> String {
    let mut command = ground.command("git");
    command.arg("-C").arg(ground.path("work/repository")).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]);
    let out = command.args(words).output().unwrap();
    assert!(out.status.success(), "{words:?} {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn repository(ground: &Ground) {
    ground.file("repository/sub/file", "content\n");
    ground.file("repository/other", "content\n");
    ground.own(&ground.path("work/repository"));
    git(ground, &["init", "-q"]);
    git(ground, &["add", "-A"]);
    git(ground, &["commit", "-q", "-m", "all"]);
}

/// Every crash point of the plan, as `host:N` and `init:N`.
fn points(ground: &Ground, flags: &[&str]) -> Vec<String> {
    let mut plan = command(ground, &[flags, &["--dry-run"]].concat());
    let out = ended(&mut plan);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let (outside, inside) = out.stdout.split_once("\ninside").expect("no inner list");
    let steps = |text: &str| {
        let first = |line: &str| line.split_whitespace().next().is_some_and(|word| word.parse::<usize>().is_ok());
        text.lines().filter(|line| line.starts_with("  ") && first(line)).count()
    };
    let (outer, inner) = (steps(outside), steps(inside));
    assert!(outer >= 8 && inner >= 20, "{outer} {inner} {}", out.stdout);
    (0..outer).map(|n| format!("host:{n}")).chain((0..inner).map(|n| format!("init:{n}"))).collect()
}

fn crash(ground: &Ground, flags: &[&str], point: &str) {
    let out = ended(command(ground, flags).env("LITTLE_CONTAINER_TEST_CRASH", point));
    assert_eq!(out.status, 137, "{point}: {}", out.stderr);
    until(&format!("{point}: the end of {:?}", ground.left_processes()), || ground.left_processes().is_empty());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&ground.path("").display().to_string()), "{point}: {mounts}");
    assert_eq!(git(ground, &["status", "--porcelain", "--ignored"]), "", "{point}");
    let next = ended(&mut ground.run(["true"]));
    assert_eq!((next.status, next.stderr.as_str()), (0, ""), "after {point}");
    assert_nothing_left(ground);
    assert!(names(ground, "mnt").is_empty(), "{point}");
}

/// Tries those points for which `wanted` is true, each worker on a ground of its own.
fn matrix(needs: &[Need], flags: &[&str], wanted: impl Fn(usize) -> bool) {
    let Some(ground) = Ground::new(needs) else { return };
    repository(&ground);
    let all: Vec<String> =
        points(&ground, flags).into_iter().enumerate().filter(|(n, _)| wanted(*n)).map(|(_, point)| point).collect();
    let next = AtomicUsize::new(0);
    let work = |ground: &Ground| {
        while let Some(point) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            crash(ground, flags, point);
        }
    };
    thread::scope(|scope| {
        for _ in 1..WORKERS {
            scope.spawn(|| {
                let own = Ground::new(needs).unwrap();
                repository(&own);
                work(&own);
            });
        }
        work(&ground);
    });
}

#[test]
fn before_every_step() {
    matrix(&[Need::Program("git")], &["--storage", "overlay"], |_| true);
}

#[test]
fn before_steps_of_a_run_with_everything() {
    let flags = ["-t", "--init", "--read-only", "--network", "none", "--userns", "single", "-w", "/made"];
    matrix(&[Need::Program("git")], &flags, |n| n % 3 != 1);
}

#[test]
fn before_steps_with_fuse() {
    matrix(&[Need::Program("git"), Need::Fuse], &["--storage", "fuse-overlayfs"], |n| n < 22 || n % 4 == 0);
}

#[test]
fn before_steps_with_a_copy() {
    matrix(&[Need::Program("git")], &["--storage", "copy", "--init"], |n| n < 20 || n % 4 == 0);
}

/// The steps are not all: the clone, the wait and the end have moments of their own.
#[test]
fn at_random_moments() {
    let ground = ground!(Need::Program("git"));
    repository(&ground);
    assert_eq!(ended(&mut ground.run(["true"])).status, 0);
    for n in 0..60 {
        let mut command = ground.lc(["run", "--rm", "--name", "crash", "-v"]);
        command.arg(format!("{}:/repository", ground.path("work/repository").display())).arg("--rootfs");
        let live = Live::start(command.arg(ground.rootfs()).arg("true"));
        let runner = alive::Seen::of(live.pid());
        thread::sleep(Duration::from_micros(n * 500));
        if let Some(runner) = runner.filter(alive::Seen::lives) {
            let family = live.family();
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(runner.pid), nix::sys::signal::Signal::SIGKILL);
            await_gone(&family);
        }
        let status = live.end().status;
        assert!([0, 137].contains(&status), "{status}");
        assert_eq!(ended(&mut ground.run(["true"])).status, 0);
        assert_nothing_left(&ground);
    }
    assert_eq!(git(&ground, &["status", "--porcelain", "--ignored"]), "");
}

fn archive(ground: &Ground) -> PathBuf {
    let root = ground.rootfs();
    for n in 0..8 {
        let content: Vec<u8> = (0..1u32 << 20).map(|i| (i * 7 + n) as u8).collect();
        fs::write(root.join(format!("big{n}")), content).unwrap();
    }
    let path = ground.path("work/rootfs.tar");
    let done = Command::new("tar").arg("-cf").arg(&path).arg("-C").arg(&root).arg(".").stdin(Stdio::null()).output();
    assert!(done.unwrap().status.success());
    path
}

fn staged(ground: &Ground) -> usize {
    names(ground, "layers").iter().filter(|n| n.starts_with(".tmp-")).count()
}

fn import(ground: &Ground, archive: &Path) -> Command {
    let mut command = ground.lc(["import", "box"]);
    command.arg(archive);
    command
}

#[test]
fn an_import_that_was_killed_is_taken_away_by_the_next() {
    let ground = ground!();
    let archive = archive(&ground);
    let mut half_done = 0;
    for n in 0..12 {
        let live = Live::start(&mut import(&ground, &archive));
        if n % 2 == 0 {
            // In the middle of the unpacking, for certain.
            until("the beginning", || staged(&ground) > 0 || live.stdout.has_ended());
        }
        thread::sleep(Duration::from_millis(n * 4));
        let family = live.family();
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(live.pid()), nix::sys::signal::Signal::SIGKILL);
        await_gone(&family);
        drop(live);
        half_done += staged(&ground);
        // Either there or not, never half.
        let run =
            ended(ground.lc(["run", "--rm", "--image", "box", "sh", "-c", "cat /big7 | wc -c"]).env("PATH", "/bin"));
        assert!((run.status, run.stdout.as_str()) == (0, "1048576\n") || run.status == 125, "{run:?}");
        let done = ended(&mut import(&ground, &archive));
        assert_eq!((done.status, done.stderr.as_str()), (0, ""));
        assert_nothing_left(&ground);
        assert_eq!(names(&ground, "layers").len(), 1);
        assert_eq!(ended(&mut ground.lc(["run", "--rm", "box", "true"])).status, 0);
        assert_eq!(ended(&mut ground.lc(["rmi", "box"])).status, 0);
        assert_eq!(names(&ground, "layers"), [""; 0]);
    }
    assert!(half_done > 0, "no import was caught in the middle");
}
