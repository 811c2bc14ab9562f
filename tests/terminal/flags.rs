//! When there is a terminal, and what stays out of reach.

use crate::{
    SETSID,
    alive::{assert_nothing_left, ended},
    pty::{Pty, at_terminal},
    support::program,
};

const SHOW: &str = "for n in 0 1 2; do [ -t $n ] && echo $n; done; readlink /proc/self/fd/0";

#[test]
fn short_flags_in_one_word() {
    let ground = ground!(SETSID);
    for flags in [&["-it"][..], &["-ti"], &["-i", "-t"], &["-t"], &["-i"], &["--tty=true", "--interactive=true"], &[]] {
        let mut pty = Pty::run(&ground, flags, &["sh", "-c", SHOW]);
        pty.end_with(0, "0\r\n1\r\n2\r\n/dev/pts/0\r\n");
        let out = ended(ground.lc(["run", "--rm"]).args(flags).arg("--rootfs").arg(ground.rootfs()).arg("tty"));
        let terminal = flags.concat().replace("interactive", "").contains('t');
        let expected = if terminal { "/dev/pts/0\r\n" } else { "not a tty\n" };
        assert_eq!(out.stdout, expected, "{flags:?} {}", out.stderr);
    }
}

#[test]
fn no_terminal_where_the_output_is_a_pipe() {
    let ground = ground!(SETSID);
    let mut command = at_terminal(&ground);
    command.args(["sh", "-c", "\"$@\" | cat", "sh"]).arg(program()).args(["run", "--rm", "--rootfs"]);
    let mut pty = Pty::start(command.arg(ground.rootfs()).args(["sh", "-c", "[ -t 1 ] || echo pipe; ls /dev/console"]));
    assert_eq!(pty.end(), 0);
    pty.output.await_text("pipe\r\n");
    assert_eq!(pty.modes(), pty.before);
    assert_nothing_left(&ground);
}

#[test]
fn no_terminal_where_none_is_wanted() {
    let ground = ground!(SETSID);
    let mut pty =
        Pty::run(&ground, &["--interactive=false"], &["sh", "-c", "readlink /proc/self/fd/0; cat; ls /dev/pts"]);
    pty.end_with(0, "/dev/null\r\nptmx\r\n");
    let mut pty = Pty::run(&ground, &["--tty=false"], &["sh", "-c", "ls /dev/pts; echo ready; read x; echo got $x"]);
    pty.output.await_text("ready\r\n");
    assert_eq!(pty.modes(), pty.before);
    pty.type_in("word\r");
    pty.end_with(0, "got word\r\n");
}

/// The program has the caller's terminal as a descriptor only: neither is it the one of its session (TIOCSTI would take bytes
/// for typed ones), nor can it be made so.
#[test]
fn nobody_inside_types_into_the_callers_terminal() {
    let ground = ground!(SETSID);
    let script = "awk '{ print \"session\", $6, \"terminal\", $7 }' /proc/self/stat; echo x > /dev/tty";
    let mut pty = Pty::run(&ground, &["--tty=false"], &["sh", "-c", script]);
    assert_eq!(pty.end(), 1);
    pty.output.await_text("session 1 terminal 0\r\n");
    // setsid -c asks for it as the terminal of a new session (TIOCSCTTY).
    let script = "setsid -c awk '{ print $6 == $1, $7 }' /proc/self/stat; echo end";
    let mut pty = Pty::run(&ground, &["--tty=false"], &["sh", "-c", script]);
    pty.end_with(0, "1 0\r\nend\r\n");
}
