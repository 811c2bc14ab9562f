//! kill -9 of each of the processes that a run consists of.

use crate::{
    alive::{Live, Seen, assert_nothing_left, await_gone, ended, names, until},
    support::{Ground, Need},
};
use std::process::Command;

const PLAIN: &str = "echo ready; sleep 1000";
/// A change of ids takes the kernel's death signal back.
const OTHER_USER: &str = "exec su web -c 'echo ready; sleep 1000'";
const MANY: &str =
    "sleep 1000 & setsid sleep 1000 & su web -c 'sleep 1000' & trap '' TERM HUP INT; echo ready; sleep 1000";

fn command(ground: &Ground, flags: &[&str], script: &str) -> Command {
    let mut command = ground.lc(["run"]);
    command.args(flags).arg("--rootfs").arg(ground.rootfs()).args(["sh", "-c", script]);
    command
}

/// After a kill: all processes end by themselves, no mount is left, and the next run takes what lies on the disk.
fn assert_collected(ground: &Ground, live: Live, family: &[Seen]) {
    await_gone(family);
    drop(live);
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&ground.path("").display().to_string()), "{mounts}");
    let out = ended(&mut ground.run(["true"]));
    assert_eq!((out.status, out.stderr.as_str()), (0, ""));
    assert_nothing_left(ground);
}

fn kill_the_runner(ground: &Ground, cases: &[(&[&str], &str)]) {
    for (flags, script) in cases {
        let live = Live::ready(&mut command(ground, flags, script));
        let family = live.family();
        assert!(family.len() >= 3, "{family:?}");
        family[0].kill();
        assert_collected(ground, live, &family);
    }
}

#[test]
fn the_runner() {
    let ground = ground!();
    kill_the_runner(&ground, &[(&["--rm"], PLAIN), (&["--rm", "--init", "--name", "x"], PLAIN)]);
}

#[test]
fn the_runner_of_a_command_that_changed_its_user() {
    let ground = ground!(Need::Range);
    kill_the_runner(
        &ground,
        &[
            (&["--rm", "--name", "x"], OTHER_USER),
            (&["--rm", "--init"], OTHER_USER),
            (&["--rm", "-u", "web"], PLAIN),
            (&["--rm"], MANY),
            (&["--rm", "--init"], MANY),
            (&["--rm", "--storage", "copy"], OTHER_USER),
        ],
    );
}

#[test]
fn the_runner_with_fuse() {
    let ground = ground!(Need::Range, Need::Fuse);
    kill_the_runner(&ground, &[(&["--rm", "--storage", "fuse-overlayfs"], OTHER_USER)]);
    kill_the_runner(&ground, &[(&["--rm", "--storage", "fuse-overlayfs", "--init"], PLAIN)]);
}

#[test]
fn the_runner_of_a_container_that_is_to_be_kept() {
    let ground = ground!();
    let live = Live::ready(&mut command(&ground, &["--name", "kept"], "echo data > /f; echo ready; sleep 1000"));
    let family = live.family();
    family[0].kill();
    await_gone(&family);
    drop(live);
    assert_eq!(ended(&mut ground.run(["true"])).status, 0);
    // Its files stay until it is removed; the mark does not.
    let [id] = &names(&ground, "containers")[..] else { panic!("not one container") };
    assert_eq!(std::fs::read_to_string(ground.store().join("containers").join(id).join("upper/f")).unwrap(), "data\n");
    assert_eq!(names(&ground, "../../../../run/little-container").iter().filter(|n| n.starts_with(id)).count(), 0);
    let out = ended(&mut ground.lc(["rm", "kept"]));
    assert_eq!((out.status, out.stderr.as_str()), (0, ""));
    assert_nothing_left(&ground);
}

#[test]
fn the_runner_and_the_guard() {
    let ground = ground!(Need::Range);
    for (flags, script, survives) in [
        (&["--rm"][..], PLAIN, false),
        (&["--rm", "--name", "x"], OTHER_USER, true),
        (&["--rm", "--init"], OTHER_USER, false),
    ] {
        let live = Live::ready(&mut command(&ground, flags, script));
        let (family, init, guard) = (live.family(), live.init(), live.guard());
        guard.kill();
        until("the end of the guard", || !guard.lives());
        family[0].kill();
        if survives {
            until("the end of the runner", || !family[0].lives());
            assert!(init.lives());
            // The next run ends it.
            assert_eq!(ended(&mut ground.run(["true"])).status, 0);
        }
        assert_collected(&ground, live, &family);
    }
}

#[test]
fn the_guard_alone_changes_nothing() {
    let ground = ground!();
    let script = "trap 'echo end; exit 8' TERM; echo ready; while :; do sleep 0.02; done";
    let live = Live::ready(&mut command(&ground, &["--rm"], script));
    let guard = live.guard();
    guard.kill();
    until("the end of the guard", || !guard.lives());
    live.signal(nix::sys::signal::Signal::SIGTERM);
    let out = live.end();
    assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (8, "ready\nend\n", ""));
    assert_nothing_left(&ground);
}

#[test]
fn the_first_process() {
    let ground = ground!(Need::Range);
    for (flags, script) in [(&["--rm"][..], PLAIN), (&["--rm", "--init"], PLAIN), (&["--rm"], OTHER_USER)] {
        let live = Live::ready(&mut command(&ground, flags, script));
        let family = live.family();
        live.init().kill();
        let out = live.end();
        assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (137, "ready\n", ""), "{flags:?}");
        await_gone(&family);
        assert_nothing_left(&ground);
    }
}

#[test]
fn the_fuse_program() {
    let ground = ground!(Need::Fuse);
    // Also while the command is in the middle of a read from it.
    for script in [PLAIN, "echo ready; while :; do cat /bin/busybox > /f; done"] {
        let live = Live::ready(&mut command(&ground, &["--rm", "--storage", "fuse-overlayfs"], script));
        let family = live.family();
        let fuse = family.iter().find(|s| s.name == "fuse-overlayfs").expect("no fuse-overlayfs");
        fuse.kill();
        let out = live.end();
        let said = "little-container: error: fuse-overlayfs, which held the root file system, has died, so the container was \
                    ended\n  cause: fuse-overlayfs: signal: 9 (SIGKILL)\n  \
                    fix (you): --storage copy needs no such program\n";
        assert!(out.stderr.ends_with(said), "{}", out.stderr);
        assert_eq!(out.status, 125);
        await_gone(&family);
        assert_nothing_left(&ground);
    }
}
