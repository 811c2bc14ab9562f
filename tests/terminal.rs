//! `run` at a terminal.

#[macro_use]
mod support;
#[path = "support/alive.rs"]
mod alive;
#[path = "terminal/flags.rs"]
mod flags;
#[path = "terminal/keys.rs"]
mod keys;
#[path = "support/pty.rs"]
mod pty;
#[path = "terminal/streams.rs"]
mod streams;

use alive::{assert_nothing_left, await_gone, ended, until};
use nix::sys::signal::Signal;
use pty::Pty;
use std::time::{Duration, Instant};
use support::Need;

const SETSID: Need = Need::Program("setsid");

#[test]
fn the_command_has_a_terminal_of_its_own() {
    let ground = ground!(SETSID);
    let script =
        "tty; tty <&1; tty <&2; ls -1 /dev/pts; echo $TERM; awk '{ print $5, $6, $7 == 34816 }' /proc/self/stat; id -u";
    let mut pty = Pty::run(&ground, &[], &["sh", "-c", script]);
    let tty = "/dev/pts/0\r\n/dev/pts/0\r\n/dev/pts/0\r\n0\r\nptmx\r\nxterm\r\n1 1 1\r\n0\r\n";
    pty.end_with(0, tty);
    assert_eq!(pty.output.text(), tty);
    assert_nothing_left(&ground);
}

#[test]
fn the_console_is_the_terminal() {
    let ground = ground!(SETSID);
    let script =
        "[ $(stat -c %t:%T /dev/console) = $(stat -c %t:%T /dev/pts/0) ] && echo same; echo hello > /dev/console";
    let mut pty = Pty::run(&ground, &[], &["sh", "-c", script]);
    pty.end_with(0, "same\r\nhello\r\n");
}

#[test]
fn a_user_without_rights_can_open_the_terminal() {
    let ground = ground!(SETSID, Need::Range);
    let mut pty = Pty::run(&ground, &["-u", "web"], &["sh", "-c", "echo by name > /dev/tty; tty"]);
    pty.end_with(0, "by name\r\n/dev/pts/0\r\n");
}

#[test]
fn the_size_is_there_before_the_command_and_is_kept() {
    let ground = ground!(SETSID);
    let mut pty = Pty::run(&ground, &[], &["stty", "size"]);
    pty.end_with(0, "33 99\r\n");
    for flags in [&[][..], &["--init"]] {
        let script = "trap 'stty size; exit 3' WINCH; stty size; echo ready; while :; do sleep 0.02; done";
        let mut pty = Pty::ready(&ground, flags, script);
        pty.resize(40, 132);
        pty.end_with(3, "33 99\r\nready\r\n40 132\r\n");
    }
}

#[test]
fn the_modes_are_restored_on_every_way_out() {
    let ground = ground!(SETSID);
    let wait = "echo ready; read x; exit 0";
    for (way, script, status) in [
        ("end", wait, 0),
        ("failure", "echo ready; read x; exit 3", 3),
        ("signal to itself", "echo ready; read x; sh -c 'kill -9 1'; kill -9 1; exit 4", 4),
        ("modes of its own", "stty raw -echo; echo ready; head -c 1; exit 5", 5),
    ] {
        let pty = Pty::run(&ground, &[], &["sh", "-c", script]);
        pty.output.await_text("ready");
        until("raw mode", || pty.is_raw());
        let mut pty = pty;
        pty.type_in("\r");
        assert_eq!(pty.end(), status, "{way}");
        assert_eq!(pty.modes(), pty.before, "{way}");
    }
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129), (Signal::SIGKILL, 137)] {
        for init in [&[][..], &["--init"]] {
            let mut pty = Pty::ready(&ground, init, wait);
            until("raw mode", || pty.is_raw());
            let family = pty.family();
            pty.signal(signal);
            assert_eq!(pty.end(), status, "{}", pty.output.text());
            await_gone(&family);
            assert_eq!(pty.modes(), pty.before, "{signal}");
        }
    }
    assert_eq!(ended(&mut ground.run(["true"])).status, 0);
    assert_nothing_left(&ground);
}

#[test]
fn the_modes_are_restored_when_the_command_cannot_be_started() {
    let ground = ground!(SETSID);
    let mut pty = Pty::run(&ground, &[], &["no-such-command"]);
    assert_eq!(pty.end(), 127);
    assert_eq!(pty.modes(), pty.before);
    let text = "little-container: error: the image has no command no-such-command";
    pty.output.await_text(text);
}

#[test]
fn a_closed_terminal_ends_the_container() {
    let ground = ground!(SETSID, Need::Range);
    for (flags, script) in [
        (&[][..], "echo ready; sleep 1000"),
        (&[], "echo ready; exec sleep 1000"),
        (&[], "echo ready; exec sh -i"),
        (&["--init"], "echo ready; sleep 1000 & sleep 1000"),
        (&[], "echo ready; exec su web -c 'sleep 1000'"),
        (&[], "echo ready; while :; do echo more; done"),
    ] {
        let pty = Pty::ready(&ground, flags, script);
        let family = pty.family();
        let start = Instant::now();
        let mut child = pty.hang_up();
        until("the end", || child.try_wait().unwrap().is_some());
        await_gone(&family);
        assert!(start.elapsed() < Duration::from_secs(8), "{script}: {:?}", start.elapsed());
        assert_nothing_left(&ground);
    }
}

/// It is told, it may put things in order, and then it is ended.
#[test]
fn a_closed_terminal_ends_what_will_not_end() {
    let ground = ground!(SETSID);
    let script = "trap '' HUP TERM INT; echo ready; while :; do sleep 0.1; done";
    let pty = Pty::ready(&ground, &[], script);
    let family = pty.family();
    let start = Instant::now();
    let mut child = pty.hang_up();
    until("the end", || child.try_wait().unwrap().is_some());
    await_gone(&family);
    let took = start.elapsed().as_secs();
    assert!((8..15).contains(&took), "{took}");
    assert_nothing_left(&ground);
}
