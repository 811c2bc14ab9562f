//! The process that the command becomes: what it starts with, what reaches it, and how it ends.

#[macro_use]
mod support;
#[path = "support/alive.rs"]
mod alive;
#[path = "process/killed.rs"]
mod killed;
#[path = "process/reaper.rs"]
mod reaper;
#[path = "process/signals.rs"]
mod signals;
#[path = "process/streams.rs"]
mod streams;

use alive::ended;
use support::Need;

/// The lines of /proc/self/status with these names, of a process 1.
const STATUS: [&str; 2] = ["grep", "-E"];

fn lines(names: &[&str], values: &[&str]) -> String {
    names.iter().zip(values).map(|(name, value)| format!("{name}:\t{value}\n")).collect()
}

const CAPABILITIES: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
const NONE: &str = "0000000000000000";
/// What docker leaves to root: chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw
/// sys_chroot mknod audit_write setfcap.
const DOCKERS: &str = "00000000a80425fb";

#[test]
fn the_environment_is_exactly_this() {
    let ground = ground!();
    let mut command = ground.run(["env"]);
    command.env("SECRET", "of the caller").env("LD_PRELOAD", "").env("TERM", "xterm");
    let out = ended(&mut command);
    let mut lines: Vec<&str> = out.stdout.lines().collect();
    lines.sort_unstable();
    let hostname = lines.remove(1);
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(lines, ["HOME=/root", path], "{}", out.stderr);
    let id = hostname.strip_prefix("HOSTNAME=").unwrap();
    assert!(id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
}

#[test]
fn variables_are_set_as_asked_for() {
    let ground = ground!();
    let flags = ["-e", "A=1", "-e", "OWN", "-e", "UNSET", "-e", "PATH=/bin", "-e", "HOME=/h", "--hostname", "box"];
    let mut command = ground.lc(["run", "--rm"]);
    command.args(flags).arg("--rootfs").arg(ground.rootfs()).arg("env").env("OWN", "a b=c");
    let out = ended(&mut command);
    let mut lines: Vec<&str> = out.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=1", "HOME=/h", "HOSTNAME=box", "OWN=a b=c", "PATH=/bin"], "{}", out.stderr);
}

#[test]
fn signals_have_their_defaults_and_none_is_blocked() {
    let ground = ground!();
    let [grep, e] = STATUS;
    let words = [grep, e, "^Sig(Blk|Ign|Cgt)", "/proc/self/status"];
    let expected = lines(&["SigBlk", "SigIgn", "SigCgt"], &[NONE, NONE, NONE]);
    assert_eq!(ended(&mut ground.run(words)).stdout, expected);
}

#[test]
fn signals_have_their_defaults_whatever_the_caller_had() {
    let ground = ground!(Need::Program("env"));
    let mut command = ground.command("env");
    command.args(["--ignore-signal=PIPE,HUP,INT,TERM,USR1,CHLD,TTOU", "--block-signal=HUP,INT,ALRM,USR2,CHLD,WINCH"]);
    command.arg(support::program()).args(["run", "--rm", "--rootfs"]).arg(ground.rootfs());
    command.args(["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]);
    let out = ended(&mut command);
    let expected = lines(&["SigBlk", "SigIgn", "SigCgt"], &[NONE, NONE, NONE]);
    assert_eq!((out.stdout, out.stderr.as_str()), (expected, ""));
}

#[test]
fn only_the_three_descriptors_are_open() {
    let ground = ground!(Need::Program("bash"));
    // Fifty of all kinds: folders of the machine, files, pipes, sockets of bash.
    let script = "for n in $(seq 3 40); do eval \"exec $n</\"; done; for n in $(seq 41 60); do eval \"exec $n</etc/passwd\"; \
                  done; for n in $(seq 61 70); do eval \"exec $n<>/dev/null\"; done; exec \"$@\"";
    for init in [false, true] {
        let mut command = ground.command("bash");
        command.args(["-c", script, "bash"]).arg(support::program()).args(["run", "--rm"]);
        command.args(init.then_some("--init")).arg("--rootfs").arg(ground.rootfs());
        let out = ended(command.args(["sh", "-c", "ls /proc/$$/fd; true"]));
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("0\n1\n2\n", ""), "--init: {init}");
    }
}

#[test]
fn root_has_the_capabilities_that_docker_gives_it() {
    let ground = ground!();
    let [grep, e] = STATUS;
    for flags in [&[][..], &["--userns", "single"], &["--init"]] {
        let mut command = ground.lc(["run", "--rm"]);
        command.args(flags).arg("--rootfs").arg(ground.rootfs()).args([grep, e, "^Cap", "/proc/self/status"]);
        let expected = lines(&CAPABILITIES, &[NONE, DOCKERS, DOCKERS, DOCKERS, NONE]);
        assert_eq!(ended(&mut command).stdout, expected, "{flags:?}");
    }
}

#[test]
fn another_user_has_no_capability() {
    let ground = ground!(Need::Range);
    let [grep, e] = STATUS;
    for flags in [&["-u", "web"][..], &["-u", "web", "--init"], &["-u", "4711:4711"], &["--userns", "keep-id"]] {
        let mut command = ground.lc(["run", "--rm"]);
        command.args(flags).arg("--rootfs").arg(ground.rootfs()).args([grep, e, "^Cap", "/proc/self/status"]);
        let expected = lines(&CAPABILITIES, &[NONE, NONE, NONE, DOCKERS, NONE]);
        assert_eq!(ended(&mut command).stdout, expected, "{flags:?}");
    }
}

#[test]
fn nothing_can_gain_privileges() {
    let ground = ground!();
    let out = alive::sh(&ground, &[], "grep NoNewPrivs /proc/self/status; grep NoNewPrivs /proc/1/status");
    assert_eq!(out.stdout, "NoNewPrivs:\t1\nNoNewPrivs:\t1\n");
}

#[test]
fn the_umask_is_022_whatever_the_caller_has() {
    let ground = ground!();
    for umask in ["000", "022", "077", "777"] {
        let mut command = ground.command("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]).arg(support::program());
        command.args(["run", "--rm", "--rootfs"]).arg(ground.rootfs());
        let out = ended(command.args(["sh", "-c", "umask; touch f; mkdir d; stat -c %a f d"]));
        assert_eq!(out.stdout, "0022\n644\n755\n", "{umask} {}", out.stderr);
    }
}

#[test]
fn the_command_leads_a_session_of_its_own_without_a_terminal() {
    let ground = ground!();
    // Fields 5 to 7 of proc_pid_stat(5): process group, session, terminal.
    let out = ended(&mut ground.run(["awk", "{ print $1, $4, $5, $6, $7 }", "/proc/self/stat"]));
    assert_eq!(out.stdout, "1 0 1 1 0\n", "{}", out.stderr);
}
