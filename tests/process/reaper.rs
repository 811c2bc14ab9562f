//! `--init`: process 1 is ours, and the command is its child.

use crate::{
    alive::{Live, assert_nothing_left, await_gone, ended, until},
    support::Need,
};
use nix::sys::signal::Signal;

#[test]
fn the_command_is_not_process_1_and_its_status_passes() {
    let ground = ground!();
    for (script, status) in [("exit 0", 0), ("exit 42", 42), ("exit 255", 255), ("kill -9 $$", 137), ("kill $$", 143)] {
        let out = crate::alive::sh(&ground, &["--init"], &format!("[ $$ = 1 ] && exit 99; {script}"));
        assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (status, "", ""), "{script}");
    }
}

#[test]
fn a_command_that_is_not_there_is_still_127() {
    let ground = ground!();
    let mut command = ground.lc(["run", "--rm", "--init", "--rootfs"]);
    let out = ended(command.arg(ground.rootfs()).arg("no-such"));
    assert_eq!(out.status, 127, "{}", out.stderr);
    assert!(out.stderr.contains("the image has no command no-such"), "{}", out.stderr);
    assert_nothing_left(&ground);
}

#[test]
fn orphans_are_collected() {
    let ground = ground!();
    // The middle shell ends at once, so the sleep becomes a child of process 1; then it ends.
    let script = "for n in 1 2 3 4 5; do sh -c 'sleep 0.05 & echo $! >> /tmp/pids'; done
        for pid in $(cat /tmp/pids); do
            grep -q '^PPid:.1$' /proc/$pid/status && echo orphan
        done
        for n in $(seq 500); do
            left=0; for pid in $(cat /tmp/pids); do [ -e /proc/$pid ] && left=1; done
            [ $left = 0 ] && echo gone && exit 0
            sleep 0.02
        done
        grep -H State /proc/[0-9]*/status; exit 1";
    let out = crate::alive::sh(&ground, &["--init"], script);
    assert_eq!(out.stdout, "orphan\norphan\norphan\norphan\norphan\ngone\n", "{}", out.stderr);
    assert_eq!(out.status, 0);
}

#[test]
fn the_rest_ends_with_the_command() {
    let ground = ground!();
    for flags in [&[][..], &["--init"]] {
        let script = "sleep 1000 & setsid sleep 1000 & (trap '' TERM INT HUP; sleep 1000) & echo ready; read x; exit 5";
        let mut command = ground.lc(["run", "--rm"]);
        command.args(flags).arg("--rootfs").arg(ground.rootfs()).args(["sh", "-c", script]);
        let mut live = Live::ready(command.stdin(std::process::Stdio::piped()));
        until("the three", || live.family().iter().filter(|s| s.name == "sleep").count() == 3);
        let family = live.family();
        drop(live.child.stdin.take());
        assert_eq!(live.end().status, 5);
        await_gone(&family);
        assert_nothing_left(&ground);
    }
}

#[test]
fn process_1_shows_nothing_of_the_caller() {
    let ground = ground!();
    let script = "cat /proc/1/comm; tr '\\0' ' ' < /proc/1/cmdline; echo
        for f in environ maps auxv mem; do cat /proc/1/$f 2> /dev/null | wc -c; done
        for f in exe cwd root; do readlink /proc/1/$f || echo refused; done
        ls /proc/1/fd /proc/1/map_files 2> /dev/null | grep -v : | grep -v '^$'";
    let mut command = ground.lc(["run", "--rm", "--init", "-e", "X=secret-word", "--rootfs"]);
    command.arg(ground.rootfs()).args(["sh", "-c", script]).env("SECRET", "secret-variable");
    let out = ended(&mut command);
    let shown = "init\ninit \n0\n0\n0\n0\nrefused\nrefused\nrefused\n";
    let normal = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(normal(&out.stdout), normal(shown), "{}", out.stderr);
}

/// The command line is wiped to its end, not only its first word.
#[test]
fn nothing_of_a_long_command_line_is_left() {
    let ground = ground!();
    let long = "x".repeat(100_000);
    let mut command = ground.lc(["run", "--rm", "--init", "-e", &format!("LONG={long}"), "--rootfs"]);
    command.arg(ground.rootfs()).args(["sh", "-c", "tr -d '\\0' < /proc/1/cmdline"]);
    let out = ended(&mut command);
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("init", ""));
}

#[test]
fn a_command_that_changed_its_user_is_reached() {
    let ground = ground!(Need::Range);
    let mut command = ground.lc(["run", "--rm", "--init", "--rootfs"]);
    let script = "su web -c 'trap \"echo got; exit 6\" USR1; echo ready; while :; do sleep 0.02; done'";
    let live = Live::ready(command.arg(ground.rootfs()).args(["sh", "-c", &format!("exec {script}")]));
    live.signal(Signal::SIGUSR1);
    let out = live.end();
    assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (6, "ready\ngot\n", ""));
}
