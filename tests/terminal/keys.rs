//! What is typed.

use crate::{
    SETSID,
    alive::{assert_nothing_left, await_gone, ended, until},
    pty::{Pty, at_terminal},
    support::{Need, program},
};
use nix::sys::signal::Signal;

#[test]
fn every_byte_reaches_the_program() {
    let ground = ground!(SETSID);
    let script = "stty raw -echo; echo ready; head -c 256 | od -An -v -tx1 | tr -d ' \\n'";
    let mut pty = Pty::run(&ground, &[], &["sh", "-c", script]);
    pty.output.await_text("ready");
    // Ctrl-P Ctrl-Q are docker's detach keys; Ctrl-C, Ctrl-Z, Ctrl-S, Ctrl-D and the others are in it as well.
    let all: Vec<u8> = (0..=255).collect();
    pty.type_in(&all);
    let hex: String = all.iter().map(|b| format!("{b:02x}")).collect();
    pty.end_with(0, &hex);
}

#[test]
fn interrupt_and_quit_end_a_command_that_does_not_handle_them() {
    let ground = ground!(SETSID);
    for (key, status) in [("\x03", 130), ("\x1c", 131), ("\x03\x03\x03", 130), ("text\x03", 130)] {
        for flags in [&[][..], &["--init"]] {
            let mut pty = Pty::run(&ground, flags, &["sleep", "1000"]);
            pty.await_program("busybox");
            until("raw mode", || pty.is_raw());
            pty.type_in(key);
            assert_eq!(pty.end(), status, "{key:?} {flags:?}");
        }
    }
    assert_nothing_left(&ground);
}

#[test]
fn a_handler_gets_the_interrupt_once() {
    let ground = ground!(SETSID);
    let script = "trap 'echo got it' INT; trap 'exit 6' QUIT; echo ready; while :; do sleep 0.02; done";
    for flags in [&[][..], &["--init"]] {
        let mut pty = Pty::ready(&ground, flags, script);
        pty.type_in("\x03");
        pty.output.await_text("got it\r\n");
        pty.type_in("\x1c");
        assert_eq!(pty.end(), 6);
        assert_eq!(pty.output.text().matches("got it").count(), 1, "{}", pty.output.text());
    }
}

#[test]
fn a_shell_goes_on_after_an_interrupt() {
    let ground = ground!(SETSID);
    let mut pty = Pty::run(&ground, &["-e", "PS1=> "], &["sh", "-i"]);
    pty.output.await_text("> ");
    pty.type_in("\x03");
    pty.type_in("echo ali''ve $$\r");
    pty.output.await_text("alive 1\r\n");
    pty.type_in("sleep 1000\r");
    pty.await_program("sleep");
    pty.type_in("\x03");
    pty.type_in("echo status'' $?\r");
    pty.output.await_text("status 130\r\n");
    // Job control: Ctrl-Z stops the program inside, not us.
    pty.type_in("sleep 1001\r");
    pty.await_program("sleep");
    pty.type_in("\x1a");
    pty.output.await_text("Stopped");
    // The first exit only warns of a stopped job.
    pty.type_in("exit 5\rexit 5\r");
    assert_eq!(pty.end(), 5);
    assert_nothing_left(&ground);
}

#[test]
fn the_end_key_ends_the_input() {
    let ground = ground!(SETSID);
    let mut pty = Pty::ready(&ground, &[], "echo ready; cat; exit 3");
    pty.type_in("line\r");
    pty.output.await_text("line\r\nline\r\n");
    pty.type_in("\x04");
    assert_eq!(pty.end(), 3);
}

/// A shell's job control around us: without a terminal of its own the container stops and goes on with the runner.
#[test]
fn ctrl_z_and_fg_in_the_callers_shell() {
    let ground = ground!(SETSID, Need::Program("bash"));
    let mut command = at_terminal(&ground);
    command.args(["bash", "--norc", "--noprofile", "-i"]).env("PS1", "$ ").env("LC", program());
    command.env("ROOT", ground.rootfs());
    let mut pty = Pty::start(&mut command);
    pty.output.await_text("$ ");
    pty.type_in("$LC run --rm --rootfs $ROOT sleep 1000 | cat\r");
    pty.await_program("busybox");
    let inside = pty.family().into_iter().find(|s| s.name == "busybox").unwrap();
    pty.type_in("\x1a");
    pty.output.await_text("Stopped");
    until("the stop", || inside.is_stopped());
    pty.type_in("fg\r");
    until("the continuation", || !inside.is_stopped());
    pty.type_in("\x03");
    await_gone(&[inside]);
    pty.type_in("echo status ${PIPESTATUS[0]}.\r");
    pty.output.await_text("status 130.\r\n");
    // With a terminal of its own, in the background: it waits for the foreground like any other program.
    pty.type_in("exit 0\r");
    assert_eq!(pty.end(), 0);
    assert_nothing_left(&ground);
}

#[test]
fn stopped_and_continued_the_terminal_is_raw_again() {
    let ground = ground!(SETSID, Need::Program("bash"));
    let mut command = at_terminal(&ground);
    command.args(["bash", "--norc", "--noprofile", "-i"]).env("PS1", "$ ").env("LC", program());
    command.env("ROOT", ground.rootfs());
    let mut pty = Pty::start(&mut command);
    pty.output.await_text("$ ");
    pty.type_in("$LC run --rm --rootfs $ROOT sh -c 'echo rea''dy; read x; echo got $x; exit 9'\r");
    pty.output.await_text("ready\r\n");
    until("raw mode", || pty.is_raw());
    let runner = pty.family().into_iter().find(|s| s.name == "little-containe").unwrap();
    runner.signal(Signal::SIGTSTP);
    pty.output.await_text("Stopped");
    until("the shell's modes", || !pty.is_raw());
    pty.type_in("fg\r");
    until("raw mode", || pty.is_raw());
    pty.type_in("word\r");
    pty.output.await_text("got word\r\n");
    // What is typed before the prompt may still go to the container.
    pty.output.await_text("$ ");
    pty.type_in("echo status $?.\r");
    pty.output.await_text("status 9.\r\n");
    pty.type_in("exit 0\r");
    assert_eq!(pty.end(), 0);
    assert_eq!(ended(&mut ground.run(["true"])).status, 0);
    assert_nothing_left(&ground);
}
