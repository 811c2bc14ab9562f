//! Much output, much input, and ends of either.

use crate::{
    SETSID,
    alive::{Live, assert_nothing_left, ended},
    pty::Pty,
    support::{Need, program},
};
use nix::sys::signal::Signal;
use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

fn numbers(to: u32) -> String {
    (1..=to).map(|n| format!("{n}\r\n")).collect()
}

#[test]
fn the_output_is_complete() {
    let ground = ground!(SETSID);
    for flags in [&[][..], &["--init"]] {
        let mut pty = Pty::run(&ground, flags, &["seq", "100000"]);
        pty.end_with(0, "\r\n100000\r\n");
        assert!(pty.output.text() == numbers(100_000));
    }
}

/// The command has ended long before its output is read.
#[test]
fn a_slow_reader_gets_everything() {
    let ground = ground!(Need::Program("bash"));
    let mut command = ground.command("bash");
    command.args(["-c", "\"$@\" | { sleep 2.5; cat; }; echo ${PIPESTATUS[0]}", "bash"]).arg(program());
    command.args(["run", "--rm", "-t", "--rootfs"]).arg(ground.rootfs()).args(["seq", "20000"]);
    let out = Live::start(&mut command).end();
    assert!(out.stdout == numbers(20_000) + "0\n", "{} bytes", out.stdout.len());
}

/// A reader that never reads must not make us deaf to signals.
#[test]
fn a_reader_that_stops_does_not_keep_us() {
    let ground = ground!();
    for words in [&["seq", "100000"][..], &["yes"]] {
        let mut command = ground.lc(["run", "--rm", "-t", "--rootfs"]);
        let mut child = command.arg(ground.rootfs()).args(words).stdout(Stdio::piped()).spawn().unwrap();
        // Long enough to fill the pipe.
        thread::sleep(Duration::from_millis(700));
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
        let start = Instant::now();
        crate::alive::until("the end", || child.try_wait().unwrap().is_some());
        assert!(start.elapsed() < Duration::from_secs(10), "{words:?}");
        assert_nothing_left(&ground);
    }
}

#[test]
fn a_large_paste_is_not_lost() {
    let ground = ground!(SETSID);
    let paste: String = (0..2000).map(|n| format!("{n:049}\n")).collect();
    assert_eq!(paste.len(), 100_000);
    for script in [
        "head -c 100000 > /tmp/p",
        // It does not read at first.
        "sleep 0.7; head -c 100000 > /tmp/p",
        // It prints much before it reads: neither direction may wait for the other.
        "sleep 0.5; seq 30000; head -c 100000 > /tmp/p",
        // It answers every byte.
        "head -c 100000 | tee /tmp/p",
    ] {
        let script = format!("stty raw -echo; echo ready; {script}; echo; md5sum < /tmp/p; wc -c < /tmp/p");
        let mut pty = Pty::run(&ground, &[], &["sh", "-c", &script]);
        pty.output.await_text("ready");
        pty.type_in(&paste);
        assert_eq!(pty.end(), 0, "{script}");
        pty.output.await_text("100000\n");
        assert!(pty.output.text().contains(&sum(&paste)), "{script}");
    }
}

fn sum(text: &str) -> String {
    let mut child = std::process::Command::new("busybox")
        .arg("md5sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn a_program_that_never_reads_can_be_ended() {
    let ground = ground!(SETSID);
    let mut pty = Pty::run(&ground, &[], &["sh", "-c", "stty raw -echo; echo ready; exec sleep 1000"]);
    pty.output.await_text("ready");
    pty.await_program("sleep");
    // As much as both terminals hold.
    let typed = pty.type_while_taken("x".repeat(300_000));
    assert!((10_000..300_000).contains(&typed), "{typed}");
    pty.signal(Signal::SIGTERM);
    assert_eq!(pty.end(), 143);
    assert_eq!(pty.modes(), pty.before);
    assert_nothing_left(&ground);
}

#[test]
fn a_terminal_with_pipes_sees_the_end_of_the_input() {
    let ground = ground!();
    for (input, output) in [("line\n", "line\r\nline\r\n"), ("", ""), ("no newline", "no newlineno newline")] {
        for flags in [&["-t"][..], &["-it"], &["-t", "--init"]] {
            let mut command = ground.lc(["run", "--rm"]);
            command.args(flags).arg("--rootfs").arg(ground.rootfs()).arg("cat").stdin(Stdio::piped());
            let mut live = Live::start(&mut command);
            std::io::Write::write_all(&mut live.child.stdin.take().unwrap(), input.as_bytes()).unwrap();
            let out = live.end();
            assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (0, output, ""), "{flags:?}");
        }
    }
}

#[test]
fn a_terminal_with_pipes_is_a_terminal() {
    let ground = ground!();
    let script = "tty; echo err >&2";
    let out = ended(ground.lc(["run", "--rm", "-t", "--rootfs"]).arg(ground.rootfs()).args(["sh", "-c", script]));
    assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (0, "/dev/pts/0\r\nerr\r\n", ""));
}
