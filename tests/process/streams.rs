//! Standard input, output and errors without a terminal.

use crate::{
    alive::{Live, assert_nothing_left, ended, until},
    support::{Need, program},
};
use std::{
    fs,
    io::{Read, Write},
    process::Stdio,
    thread,
};

#[test]
fn pipes_are_byte_exact_both_ways() {
    let ground = ground!();
    let mut sent = vec![0; 1 << 20];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut sent).unwrap();
    sent.extend(b"\0\0\x03\x04\x1a\x10\x11\r\n\r\0\xff");
    for flags in [&[][..], &["--init"], &["-i"], &["--tty=false"]] {
        let mut command = ground.lc(["run", "--rm"]);
        command.args(flags).arg("--rootfs").arg(ground.rootfs()).arg("cat").stdin(Stdio::piped());
        let mut live = Live::start(&mut command);
        let mut stdin = live.child.stdin.take().unwrap();
        let content = sent.clone();
        let writer = thread::spawn(move || stdin.write_all(&content));
        until("all of it", || live.stdout.has_ended());
        writer.join().unwrap().unwrap();
        assert!(live.stdout.bytes() == sent, "what came back is not what was sent: {flags:?}");
        let out = live.end();
        assert_eq!((out.status, out.stderr.as_str()), (0, ""));
    }
}

#[test]
fn the_end_of_the_input_is_seen() {
    let ground = ground!();
    let mut live = Live::start(ground.run(["wc", "-c"]).stdin(Stdio::piped()));
    live.child.stdin.take().unwrap().write_all(b"no newline").unwrap();
    assert_eq!(live.end().stdout, "10\n");
    // Without any input at all.
    assert_eq!(ended(&mut ground.run(["wc", "-c"])).stdout, "0\n");
}

#[test]
fn input_that_is_not_handed_on_stays_with_the_caller() {
    let ground = ground!(Need::Program("bash"));
    let script = "{ \"$@\"; cat; } <<< kept";
    let mut command = ground.command("bash");
    command.args(["-c", script, "bash"]).arg(program()).args(["run", "--rm", "--interactive=false", "--rootfs"]);
    let out = ended(command.arg(ground.rootfs()).args(["cat"]));
    assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (0, "kept\n", ""));
}

#[test]
fn output_and_errors_stay_apart() {
    let ground = ground!();
    for flags in [&[][..], &["--init"]] {
        let out = crate::alive::sh(&ground, flags, "echo out; echo err >&2; echo out2");
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\nout2\n", "err\n"));
    }
}

#[test]
fn a_broken_pipe_inside_ends_the_writer() {
    let ground = ground!();
    let out = crate::alive::sh(&ground, &[], "yes | head -1; echo done");
    assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (0, "y\ndone\n", ""));
}

#[test]
fn a_reader_that_goes_ends_the_command() {
    let ground = ground!(Need::Program("bash"));
    // A process 1 gets no SIGPIPE from the kernel, only the error (pid_namespaces(7)); any other gets both.
    for (flags, expected) in [(&[][..], "y\n1\n"), (&["--init"], "y\n141\n")] {
        let mut command = ground.command("bash");
        command.args(["-c", "\"$@\" 2>/dev/null | head -1; echo ${PIPESTATUS[0]}", "bash"]).arg(program());
        command.args(["run", "--rm"]).args(flags).arg("--rootfs").arg(ground.rootfs()).arg("yes");
        assert_eq!(Live::start(&mut command).end().stdout, expected, "{flags:?}");
        assert_nothing_left(&ground);
    }
}

#[test]
fn closed_descriptors_of_the_caller_are_dev_null() {
    let ground = ground!(Need::Program("bash"));
    let folder = ground.file("shared/x", "").parent().unwrap().to_owned();
    for (closing, left) in [("<&- >&- 2>&-", 3), ("<&-", 1), (">&- 2>&-", 3), ("2>&-", 2)] {
        let mut command = ground.command("bash");
        command.args(["-c", &format!("exec \"$@\" {closing}"), "bash"]).arg(program());
        command.args(["run", "--rm", "-v", &format!("{}:/s", folder.display()), "--rootfs"]).arg(ground.rootfs());
        command.args([
            "sh",
            "-c",
            "x=$(for n in 0 1 2; do readlink /proc/1/fd/$n; done); echo \"$x\" > /s/out; cat; echo x; echo y >&2",
        ]);
        let out = Live::start(&mut command).end();
        assert_eq!(out.status, 0, "{closing} {}", out.stderr);
        let seen = fs::read_to_string(folder.join("out")).unwrap();
        assert_eq!(seen.lines().filter(|l| *l == "/dev/null").count(), left, "{closing}: {seen}");
    }
    assert_nothing_left(&ground);
}
