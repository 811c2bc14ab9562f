//! Signals to the runner, and what becomes of the command.

use crate::{
    alive::{Live, PATIENCE, assert_nothing_left, await_gone, ended, until},
    support::{Ground, Need, program},
};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    os::unix::process::CommandExt,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Short sleeps: a shell handles a signal when the program it waits for has ended.
const LOOP: &str = "echo ready; while :; do sleep 0.02; done";

fn sh(ground: &Ground, flags: &[&str], script: &str) -> Command {
    let mut command = ground.lc(["run", "--rm"]);
    command.args(flags).arg("--rootfs").arg(ground.rootfs()).args(["sh", "-c", script]);
    command
}

#[test]
fn a_signal_to_the_runner_reaches_the_handler() {
    let ground = ground!();
    for name in ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "ALRM"] {
        for flags in [&[][..], &["--init"]] {
            let script = format!("trap 'echo got {name}; exit 7' {name}; {LOOP}");
            let live = Live::ready(&mut sh(&ground, flags, &script));
            live.signal(format!("SIG{name}").parse().unwrap());
            let out = live.end();
            let expected = (7, format!("ready\ngot {name}\n"), "");
            assert_eq!((out.status, out.stdout, out.stderr.as_str()), expected, "{flags:?}");
        }
    }
    assert_nothing_left(&ground);
}

#[test]
fn a_command_without_a_handler_ends_by_the_signal_all_the_same() {
    let ground = ground!();
    for (signal, status) in [
        (Signal::SIGTERM, 143),
        (Signal::SIGINT, 130),
        (Signal::SIGHUP, 129),
        (Signal::SIGQUIT, 131),
        (Signal::SIGUSR1, 138),
        (Signal::SIGUSR2, 140),
        (Signal::SIGALRM, 142),
    ] {
        for flags in [&[][..], &["--init"]] {
            let mut command = ground.lc(["run", "--rm"]);
            command.args(flags).arg("--rootfs").arg(ground.rootfs()).args(["sleep", "1000"]);
            let live = Live::start(&mut command);
            until("the command", || live.family().iter().any(|s| s.name == "busybox"));
            live.signal(signal);
            let out = live.end();
            assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (status, "", ""), "{signal} {flags:?}");
        }
    }
    assert_nothing_left(&ground);
}

#[test]
fn an_ignored_signal_is_ignored() {
    let ground = ground!();
    let script = "trap '' TERM INT USR1; echo ready; while ! [ -e /tmp/go ]; do sleep 0.02; done; echo end";
    let script = format!("trap 'touch /tmp/go' USR2; {script}");
    let live = Live::ready(&mut sh(&ground, &[], &script));
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1, Signal::SIGUSR2] {
        live.signal(signal);
    }
    let out = live.end();
    assert_eq!((out.status, out.stdout.as_str()), (0, "ready\nend\n"));
}

/// A daemon reads its configuration anew: that must not be the beginning of its end.
#[test]
fn a_command_that_handles_sighup_goes_on() {
    let ground = ground!();
    let script = format!("trap 'echo again' HUP; trap 'echo end; exit 0' TERM; {LOOP}");
    let live = Live::ready(&mut sh(&ground, &[], &script));
    live.signal(Signal::SIGHUP);
    live.stdout.await_text("again\n");
    let start = Instant::now();
    until("eleven seconds", || {
        assert!(live.init().lives());
        thread::sleep(Duration::from_millis(100));
        start.elapsed() > Duration::from_secs(11)
    });
    live.signal(Signal::SIGTERM);
    let out = live.end();
    assert_eq!((out.status, out.stdout.as_str()), (0, "ready\nagain\nend\n"));
}

#[test]
fn nohup_keeps_the_hangup_away() {
    let ground = ground!(Need::Program("env"));
    let mut command = ground.command("env");
    command.arg("--ignore-signal=HUP").arg(program()).args(["run", "--rm", "--rootfs"]).arg(ground.rootfs());
    let live = Live::ready(command.args(["sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.02; done"]));
    let init = live.init();
    for _ in 0..5 {
        live.signal(Signal::SIGHUP);
        thread::sleep(Duration::from_millis(20));
    }
    assert!(init.lives(), "the hangup reached the command");
    live.signal(Signal::SIGTERM);
    assert_eq!(live.end().status, 3);
}

#[test]
fn stop_and_continue_reach_the_command() {
    let ground = ground!();
    for flags in [&[][..], &["--init"]] {
        let live = Live::ready(&mut sh(&ground, flags, "trap 'exit 4' TERM; echo ready; while :; do sleep 0.02; done"));
        // With --init the command is not the first process: the shell is meant as well.
        let family = live.family();
        let wanted = |inner: Option<i32>| inner == Some(1) || !flags.is_empty() && inner == Some(2);
        let all: Vec<_> = family.iter().filter(|s| s.pid == live.pid() || wanted(s.inner_pid())).collect();
        assert_eq!(all.len(), 2 + flags.len());
        live.signal(Signal::SIGTSTP);
        until("the stop", || all.iter().all(|s| s.is_stopped()));
        live.signal(Signal::SIGCONT);
        until("the continuation", || !all.iter().any(|s| s.is_stopped()));
        live.signal(Signal::SIGTERM);
        assert_eq!(live.end().status, 4);
    }
    assert_nothing_left(&ground);
}

#[test]
fn a_storm_of_interrupts_ends_it_once() {
    let ground = ground!();
    let live = Live::ready(&mut sh(&ground, &[], "echo ready; sleep 1000"));
    let family = live.family();
    for _ in 0..500 {
        let _ = kill(Pid::from_raw(live.pid()), Signal::SIGINT);
    }
    let out = live.end();
    assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (130, "ready\n", ""));
    await_gone(&family);
    assert_nothing_left(&ground);
}

/// Interrupts from the first moment on, as fast as can be, whatever step the start is at.
#[test]
fn an_interrupted_start_leaves_nothing() {
    let ground = ground!();
    for n in 0..60 {
        // The first ones are interrupted while they try out the kernel's overlay, the later ones after that.
        if n == 20 {
            assert_eq!(ended(&mut ground.run(["true"])).status, 0);
        }
        let mut command = sh(&ground, &["--name", "x"], "sleep 1000");
        let mut live = Live::start(command.process_group(0));
        let family = live.family();
        thread::sleep(Duration::from_micros(n % 20 * 700));
        let start = Instant::now();
        while live.child.try_wait().unwrap().is_none() {
            // To the group, as a terminal does it.
            let _ = killpg(Pid::from_raw(live.pid()), Signal::SIGINT);
            assert!(start.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_micros(300));
        }
        let out = live.end();
        await_gone(&family);
        assert_eq!((out.status, out.stderr.as_str()), (130, ""), "{n}");
    }
    ended(&mut ground.run(["true"]));
    assert_nothing_left(&ground);
}
