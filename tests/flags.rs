//! Each flag of `run`: what it does inside. `-v`, `--tmpfs`, `--storage` and `--read-only` are in rootfs.rs, `--user` and
//! `--userns` in ids.rs.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use kit::{assert_advice, assert_error};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    process::Stdio,
};
use support::{Ground, outcome};

fn lines(text: &str) -> BTreeSet<&str> {
    text.lines().collect()
}

#[test]
fn rm_removes_everything_and_without_it_the_container_stays() {
    let ground = ground!();
    let out = ground.sh(&[], "echo x > /new");
    assert_eq!(out.status, 0, "{out:?}");
    assert_eq!(ground.leftovers(), [""; 0]);
    let mut command = ground.lc(["run", "--name", "kept", "--rootfs"]);
    command.arg(ground.rootfs()).args(["sh", "-c", "echo x > /new; exit 4"]);
    assert_eq!(outcome(&mut command).status, 4);
    let all = ground.containers();
    assert_eq!(all.len(), 1);
    assert_eq!((&all[0]["name"], &all[0]["exit_code"]), (&"kept".into(), &4.into()));
    let id = all[0]["id"].as_str().unwrap();
    assert_eq!(fs::read_to_string(ground.store().join("containers").join(id).join("upper/new")).unwrap(), "x\n");
    assert!(!ground.rootfs().join("new").exists());
}

#[test]
fn stdin_is_handed_on_unless_refused() {
    let ground = ground!();
    let through = |flags: &[&str]| {
        let mut command = ground.lc(["run", "--rm"]);
        command.args(flags).arg("--rootfs").arg(ground.rootfs()).arg("cat");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // A refused stdin may close before we have written.
        let _ = child.stdin.take().unwrap().write_all(b"\0bytes\xff\n");
        child.wait_with_output().unwrap().stdout
    };
    for flags in [&[][..], &["-i"], &["--interactive"], &["--interactive=true"]] {
        assert_eq!(through(flags), b"\0bytes\xff\n", "{flags:?}");
    }
    assert_eq!(through(&["--interactive=false"]), b"");
    assert_eq!(ground.says(&["--interactive=false"], "readlink /proc/self/fd/0"), "/dev/null\n");
}

#[test]
fn a_terminal_is_made_when_asked_for() {
    let ground = ground!();
    let test = "for n in 0 1 2; do test -t $n && echo yes || echo no; done";
    assert_eq!(ground.says(&["-t"], test), "yes\r\nyes\r\nyes\r\n");
    assert_eq!(ground.says(&["-it"], "tty"), "/dev/pts/0\r\n");
    assert_eq!(ground.says(&[], test), "no\nno\nno\n");
    assert_eq!(ground.says(&["--tty=false"], test), "no\nno\nno\n");
}

#[test]
fn the_environment_is_what_was_asked_for_and_nothing_else() {
    let ground = ground!();
    let mut command = ground.run(["env"]);
    command.env("SECRET", "x").env("LANG", "C").env("TERM", "vt100").env("LD_PRELOAD", "");
    let out = outcome(&mut command);
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let names: BTreeSet<&str> = out.stdout.lines().filter(|l| !l.starts_with("HOSTNAME=")).collect();
    assert_eq!(names, BTreeSet::from(["HOME=/root", path]), "{out:?}");
    assert!(out.stdout.lines().any(|l| l.len() == "HOSTNAME=".len() + 12 && l.starts_with("HOSTNAME=")));
    // TERM is for those who get a terminal.
    let mut command = ground.lc(["run", "--rm", "-t", "--rootfs"]);
    command.arg(ground.rootfs()).args(["sh", "-c", "echo $TERM"]).env("TERM", "vt100");
    assert_eq!(outcome(&mut command).stdout, "vt100\r\n");
}

#[test]
fn variables_by_flag_and_by_file() {
    let ground = ground!();
    let first = ground.file("first.env", "# note\nA=1\nB=two words # kept\n\nOWN\nGONE\n");
    let second = ground.file("second.env", "A=2\r\nC=\"quoted\"\n");
    let flags = ["-e", "D=a=b", "--env", "OWN2", "-e", "EMPTY=", "-e", "GONE2", "-e", "HOME=/elsewhere", "-e", "B=3"];
    let mut command = ground.lc(["run", "--rm", "--env-file"]);
    command.arg(first).arg("--env-file").arg(second).args(flags).arg("--rootfs").arg(ground.rootfs()).arg("env");
    let out = outcome(command.env("OWN", "mine").env("OWN2", "mine too"));
    let seen: BTreeSet<&str> =
        out.stdout.lines().filter(|l| !l.starts_with("HOSTNAME=") && !l.starts_with("PATH=")).collect();
    let expected = "A=2\nB=3\nC=\"quoted\"\nD=a=b\nOWN=mine\nOWN2=mine too\nEMPTY=\nHOME=/elsewhere";
    assert_eq!(seen, lines(expected), "{out:?}");
    let bad = ground.file("bad.env", "ok=1\n=2\n");
    let mut command = ground.lc(["run", "--env-file"]);
    assert_error(&outcome(command.arg(bad).arg("true")), 125, &["line 2: a variable needs a name"]);
}

#[test]
fn a_variable_that_is_no_text_passes() {
    let ground = ground!();
    let value = OsStr::from_bytes(b"V=\xff\xfe");
    let mut command = ground.lc(["run", "--rm", "-e"]);
    command.arg(value).arg("--rootfs").arg(ground.rootfs()).args(["sh", "-c", "echo \"$V\""]);
    assert_eq!(command.output().unwrap().stdout, b"\xff\xfe\n");
    let mut command = ground.lc(["run", "--rm", "-e", "W", "--rootfs"]);
    command.arg(ground.rootfs()).args(["sh", "-c", "echo \"$W\""]).env("W", std::ffi::OsString::from_vec(vec![0xfe]));
    assert_eq!(command.output().unwrap().stdout, b"\xfe\n");
}

#[test]
fn path_decides_where_a_command_is_found() {
    let ground = ground!();
    fs::create_dir_all(ground.rootfs().join("opt/tools")).unwrap();
    let tool = ground.rootfs().join("opt/tools/mytool");
    fs::write(&tool, "#!/bin/sh\necho tool\n").unwrap();
    fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = ground.lc(["run", "--rm", "-e", "PATH=/opt/tools:/bin", "--rootfs"]);
    assert_eq!(outcome(command.arg(ground.rootfs()).arg("mytool")).stdout, "tool\n");
    assert_error(&outcome(&mut ground.run(["mytool"])), 127, &["looked in /usr/local/sbin:"]);
}

#[test]
fn the_working_directory() {
    let ground = ground!();
    assert_eq!(ground.says(&[], "pwd"), "/\n");
    assert_eq!(ground.says(&["-w", "/etc"], "pwd"), "/etc\n");
    assert_eq!(ground.says(&["--workdir", "home/web"], "pwd"), "/home/web\n");
    assert_eq!(ground.says(&["-w", "/new/deep"], "pwd; stat -c %a:%u . ; ls -A"), "/new/deep\n755:0\n");
    assert!(!ground.rootfs().join("new").exists());
    // It is the image's folder that counts, and a relative command starts there.
    assert_eq!(
        outcome(ground.lc(["run", "--rm", "-w", "/bin", "--rootfs"]).arg(ground.rootfs()).args(["./echo", "x"])).stdout,
        "x\n"
    );
    let mut command = ground.lc(["run", "--rm", "-w", "/bin/busybox", "--rootfs"]);
    assert_error(&outcome(command.arg(ground.rootfs()).arg("pwd")), 125, &["change to /bin/busybox"]);
}

#[test]
fn the_host_name() {
    let ground = ground!();
    let told = "hostname; cat /etc/hostname; echo $HOSTNAME; grep -c box-1 /etc/hosts";
    assert_eq!(ground.says(&["--hostname", "box-1"], told), "box-1\nbox-1\nbox-1\n2\n");
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let out = ground.says(&[], "hostname; cat /etc/hostname");
    let (first, second) = out.split_once('\n').unwrap();
    assert_eq!((first.len(), format!("{first}\n").as_str()), (12, second));
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), own);
    // Without --rm it is the beginning of the id that `ps` shows.
    let mut command = ground.lc(["run", "--rootfs"]);
    let name = outcome(command.arg(ground.rootfs()).arg("hostname")).stdout;
    assert!(ground.containers()[0]["id"].as_str().unwrap().starts_with(name.trim()));
}

#[test]
fn init_is_a_reaper_of_ours() {
    let ground = ground!();
    let script = "echo $$; readlink /proc/1/exe | grep -c little; (sleep 0.05 &) ; sleep 0.2; grep -c '^State:.Z' /proc/[0-9]*/status | grep -c ':1'; exit 6";
    let out = ground.sh(&["--init"], script);
    assert_eq!(out.status, 6, "{out:?}");
    let first = out.stdout.lines().next().unwrap();
    assert_ne!(first, "1");
    assert_eq!(out.stdout.lines().next_back(), Some("0"), "an orphan was not reaped: {out:?}");
}

#[test]
fn entrypoint_stands_before_the_words() {
    let ground = ground!();
    let mut command = ground.lc(["run", "--rm", "--entrypoint", "echo", "--rootfs"]);
    assert_eq!(outcome(command.arg(ground.rootfs()).args(["--", "-n", "cat"])).stdout, "cat");
    let mut command = ground.lc(["run", "--rm", "--entrypoint", "", "--rootfs"]);
    assert_eq!(outcome(command.arg(ground.rootfs()).args(["echo", "x"])).stdout, "x\n");
    let mut command = ground.lc(["run", "--rm", "--entrypoint", "/bin/pwd", "--rootfs"]);
    assert_eq!(outcome(command.arg(ground.rootfs())).stdout, "/\n");
}

#[test]
fn the_network_is_the_machines_or_none() {
    let ground = ground!();
    let own = fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    let look = "readlink /proc/self/ns/net; cut -d: -f1 -s /proc/net/dev | tr -d ' '; ping -c1 -w2 127.0.0.1 >/dev/null && echo up";
    let host = ground.says(&["--network", "host"], "readlink /proc/self/ns/net");
    assert_eq!(host.trim(), own);
    assert_eq!(ground.says(&[], "readlink /proc/self/ns/net").trim(), own);
    let none = ground.says(&["--network", "none"], look);
    let (space, rest) = none.split_once('\n').unwrap();
    assert_ne!(space, own);
    assert_eq!(rest, "lo\nup\n");
}

#[test]
fn a_dry_run_prints_the_plan_and_does_nothing() {
    let ground = ground!();
    let mut command = ground.lc(["run", "--dry-run", "--name", "dry", "--rootfs"]);
    let out = outcome(command.arg(ground.rootfs()).args(["touch", "/x"]));
    assert_eq!((out.status, out.stderr.as_str()), (0, ""));
    for part in ["ids: ", "storage: ", "\noutside (launcher):\n", "\ninside (first process):\n", "exec touch /x\n"] {
        assert!(out.stdout.contains(part), "{part}: {}", out.stdout);
    }
    assert_eq!(ground.leftovers(), [""; 0]);
    assert_eq!(fs::read_dir(ground.store().join("names")).unwrap().count(), 0);
}

#[test]
fn explain_tells_each_step_as_it_is_done() {
    let ground = ground!();
    let out = ground.sh(&["--explain"], "echo from inside");
    assert_eq!((out.status, out.stdout.as_str()), (0, "from inside\n"));
    let mut command = ground.lc(["run", "--rm", "--dry-run", "--rootfs"]);
    let plan = outcome(command.arg(ground.rootfs()).args(["sh", "-c", "echo from inside"])).stdout;
    let steps = |text: &str| text.lines().filter(|l| l.trim_start().starts_with(|c: char| c.is_ascii_digit())).count();
    let told = out.stderr.lines().filter(|l| l.starts_with("outside") || l.starts_with(" inside")).count();
    assert_eq!(told, steps(&plan), "{}\n{plan}", out.stderr);
    assert!(out.stderr.contains("chosen  storage: "));
    assert!(out.stderr.contains("from here on it is the command"));
}

#[test]
fn how_much_is_said() {
    let ground = ground!();
    let said = |flags: &[&str]| {
        outcome(ground.lc(flags).args(["run", "--rm", "--rootfs"]).arg(ground.rootfs()).arg("true")).stderr
    };
    assert_eq!(said(&[]), "");
    assert!(said(&["--log-level", "info"]).contains("little-container: storage: "));
    let quiet = outcome(ground.lc(["run", "-q", "--rm", "--rootfs"]).arg(ground.rootfs()).arg("nothing"));
    assert_error(&quiet, 127, &["no command nothing"]);
    let mut command = ground.lc(["--log-level", "error", "run", "--rm", "true"]);
    assert_eq!(outcome(&mut command).stderr, "");
}

/// What was chosen, by the words of the plan.
fn chosen(ground: &Ground, flags: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = ground.lc(["run", "--dry-run"]);
    command.args(flags).arg("--rootfs").arg(ground.rootfs()).arg("true").envs(variables.iter().copied());
    let out = outcome(&mut command);
    assert_eq!(out.status, 0, "{out:?}");
    let new_network = if out.stdout.contains("make a network namespace\n") { "none" } else { "host" };
    let copy = if out.stdout.contains("storage: a copy of the image") { "copy" } else { "other" };
    let single = if out.stdout.contains("asked for by --userns single") { "single" } else { "more" };
    format!("{new_network} {copy} {single}")
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let ground = ground!();
    assert_eq!(chosen(&ground, &["--userns", "keep-id"], &[]), "host other more");
    ground.config("network = \"none\"\nstorage = \"copy\"\nuserns = \"single\"\n");
    assert_eq!(chosen(&ground, &[], &[]), "none copy single");
    let own = [
        ("LITTLE_CONTAINER_NETWORK", "host"),
        ("LITTLE_CONTAINER_STORAGE", "auto"),
        ("LITTLE_CONTAINER_USERNS", "keep-id"),
    ];
    assert_eq!(chosen(&ground, &[], &own), "host other more");
    let flags = ["--network", "none", "--storage", "copy", "--userns", "single"];
    assert_eq!(chosen(&ground, &flags, &own), "none copy single");
    // An empty variable says nothing.
    assert_eq!(chosen(&ground, &[], &[("LITTLE_CONTAINER_NETWORK", "")]), "none copy single");
    let mut command = ground.lc(["run", "true"]);
    let out = outcome(command.env("LITTLE_CONTAINER_STORAGE", "zfs"));
    assert_advice(&out, 125, &["LITTLE_CONTAINER_STORAGE is \"zfs\"", "it takes auto, overlay, fuse-overlayfs, copy"]);
}

#[test]
fn the_default_image_by_file_by_environment_by_flag() {
    let ground = ground!();
    ["a1", "b1", "c1"].iter().for_each(|name| ground.image(name));
    ground.config("default_image = \"a1\"\n");
    let words = ["run", "--rm", "cat", "/etc/which"];
    assert_eq!(ground.ok(words), "a1\n");
    let mut command = ground.lc(words);
    assert_eq!(outcome(command.env("LITTLE_CONTAINER_IMAGE", "b1")).stdout, "b1\n");
    let mut command = ground.lc(["run", "--rm", "--image", "c1", "cat", "/etc/which"]);
    assert_eq!(outcome(command.env("LITTLE_CONTAINER_IMAGE", "b1")).stdout, "c1\n");
    let mut command = ground.lc(words);
    let elsewhere = ground.file("other.toml", "default_image = \"c1\"\n");
    assert_eq!(outcome(command.env("LITTLE_CONTAINER_CONFIG", elsewhere)).stdout, "c1\n");
    let folder = ground.file("xdg/little-container/config.toml", "default_image = \"b1\"\n");
    let xdg: PathBuf = folder.ancestors().nth(2).unwrap().into();
    assert_eq!(outcome(ground.lc(words).env("XDG_CONFIG_HOME", xdg)).stdout, "b1\n");
}

#[test]
fn the_store_by_file_by_environment_by_flag() {
    let ground = ground!();
    let work = ground.path("work");
    let stores = ["one", "two", "three"].map(|n| work.join(n).display().to_string());
    for store in &stores {
        let name = store.rsplit('/').next().unwrap();
        let root = ground.bare_root("tiny", &["sh"]);
        ground.ok([OsStr::new("--store"), OsStr::new(store), "import".as_ref(), name.as_ref(), root.as_os_str()]);
        fs::remove_dir_all(root).unwrap();
    }
    ground.config(&format!("store = {:?}\n", stores[0]));
    assert_eq!(ground.ok(["images", "-q"]), "one\n");
    let out = outcome(ground.lc(["images", "-q"]).env("LITTLE_CONTAINER_STORE", &stores[1]));
    assert_eq!(out.stdout, "two\n");
    let out = outcome(ground.lc(["--store", "three", "images", "-q"]).env("LITTLE_CONTAINER_STORE", &stores[1]));
    assert_eq!(out.stdout, "three\n", "{out:?}");
    for store in &stores {
        let name = store.rsplit('/').next().unwrap();
        ground.ok(["--store", store.as_str(), "rmi", name]);
    }
    assert!(!ground.store().exists());
}

#[test]
fn a_configuration_that_is_wrong_is_said_with_its_place() {
    let ground = ground!();
    for (text, part) in [("defualt_image = \"x\"\n", "defualt_image"), ("storage = \"zfs\"\n", "zfs"), ("x", "line 1")]
    {
        ground.config(text);
        let out = ground.end(["run", "true"]);
        assert_error(&out, 125, &["home/.config/little-container/config.toml", part]);
        assert_eq!(ground.end(["images"]).status, 1);
    }
}
