//! Many starts: one after another, all at once, and all at once where there is nothing yet.

#[macro_use]
mod support;
#[path = "support/alive.rs"]
mod alive;

use alive::{Live, assert_nothing_left, ended, names};
use std::fs;
use support::Ground;

/// What the kernel keeps for the user and for the ids of its range: keys that pile up end every start one day.
fn keys(ground: &Ground) -> Vec<String> {
    let text = fs::read_to_string("/proc/key-users").unwrap_or_default();
    let ours = |line: &&str| {
        let uid = line.split(':').next().and_then(|uid| uid.trim().parse::<u32>().ok()).unwrap_or(0);
        uid == ground.user.uid || uid >= 100_000
    };
    text.lines().filter(ours).map(String::from).collect()
}

/// What a store that has been used and is empty again looks like.
fn assert_as_new(ground: &Ground) {
    assert_nothing_left(ground);
    for folder in ["containers", "images", "layers", "mnt", "names"] {
        assert_eq!(names(ground, folder), [""; 0], "{folder}");
    }
    let mut top = names(ground, ".");
    top.sort();
    assert_eq!(top, ["containers", "host", "images", "layers", "mnt", "names", "points", "version"]);
}

fn at_once(ground: &Ground, count: usize, flags: &[&str]) {
    let start = |n: usize| {
        let mut command = ground.lc(["run", "--rm", "--name", &format!("c{n}")]);
        command.args(flags).arg("--rootfs").arg(ground.rootfs());
        (n, Live::start(command.args(["sh", "-c", &format!("echo $$ {n} > /f; cat /f; exit {}", n % 100)])))
    };
    // All of them run before the first is waited for.
    let all: Vec<(usize, Live)> = (0..count).map(start).collect();
    for (n, live) in all {
        let out = live.end();
        let expected = (n % 100) as i32;
        assert_eq!((out.status, out.stdout, out.stderr.as_str()), (expected, format!("1 {n}\n"), ""), "{n}");
    }
}

#[test]
fn two_hundred_one_after_another() {
    let ground = ground!();
    assert_eq!(ended(&mut ground.run(["true"])).status, 0);
    let before = keys(&ground);
    for n in 0..200 {
        let out = ended(&mut ground.run(["sh", "-c", &format!("exit {n}")]));
        assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (n, "", ""));
    }
    assert_as_new(&ground);
    assert_eq!(keys(&ground), before);
}

#[test]
fn a_hundred_at_once() {
    let ground = ground!();
    assert_eq!(ended(&mut ground.run(["true"])).status, 0);
    let before = keys(&ground);
    at_once(&ground, 100, &[]);
    assert_as_new(&ground);
    assert_eq!(keys(&ground), before);
}

/// The first run makes the store and the runtime folder, tries out the kernel's overlay and clears up. All at the same time.
#[test]
fn a_hundred_at_once_where_there_is_nothing_yet() {
    for _ in 0..3 {
        let ground = ground!();
        ground.rootfs();
        at_once(&ground, 100, &["--storage", "overlay"]);
        assert_as_new(&ground);
        // What the probes said is remembered as it is.
        let runtime = ground.path("run/little-container");
        let [memory] = &fs::read_dir(runtime).unwrap().flatten().collect::<Vec<_>>()[..] else {
            panic!("not one file")
        };
        assert_eq!(fs::read_to_string(memory.path()).unwrap(), "works");
    }
}

#[test]
fn one_name_is_given_once() {
    let ground = ground!();
    assert_eq!(ended(&mut ground.run(["true"])).status, 0);
    let start = || {
        let mut command = ground.lc(["run", "--rm", "--name", "only", "--rootfs"]);
        let mut live =
            Live::start(command.arg(ground.rootfs()).args(["sh", "-c", "cat"]).stdin(std::process::Stdio::piped()));
        (live.child.stdin.take(), live)
    };
    let all: Vec<_> = (0..20).map(|_| start()).collect();
    // One runs until its input ends, which it does when all the others have been refused.
    let refused = |live: &mut Live| live.child.try_wait().unwrap().is_some();
    let mut all = all;
    alive::until("nineteen refusals", || {
        all.iter_mut().filter_map(|(_, live)| refused(live).then_some(())).count() == 19
    });
    let mut statuses = Vec::new();
    for (stdin, live) in all {
        drop(stdin);
        let out = live.end();
        let named = out.stderr.contains("the name \"only\" is taken by container");
        assert_eq!(named, out.status == 125, "{out:?}");
        statuses.push(out.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses[..2], [0, 125]);
    assert_as_new(&ground);
}
