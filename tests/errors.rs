//! Every way to fail that users meet: the message names the object, the cause, what mends it and who can do it.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use kit::{assert_advice, assert_error};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};
use support::{Ground, Need, Outcome, outcome, program};

/// A file of /bin in the root file system.
fn tool(ground: &Ground, name: &str, content: impl AsRef<[u8]>, mode: u32) {
    let path = ground.rootfs().join("bin").join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    ground.own(&path);
}

/// The start of a program for another machine.
fn foreign() -> Vec<u8> {
    let mut elf = vec![0; 64];
    elf[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    elf[16] = 2;
    elf[18] = if std::env::consts::ARCH == "aarch64" { 62 } else { 183 };
    elf[20] = 1;
    elf[52] = 64;
    elf
}

fn foreign_names() -> (&'static str, &'static str) {
    if std::env::consts::ARCH == "aarch64" { ("x86_64", "amd64") } else { ("aarch64", "arm64") }
}

fn has_foreign_interpreter() -> bool {
    Path::new("/proc/sys/fs/binfmt_misc").join(format!("qemu-{}", foreign_names().0)).exists()
}

#[test]
fn commands_that_cannot_start() {
    let ground = ground!();
    tool(&ground, "plain", "#!/bin/sh\necho ran\n", 0o644);
    tool(&ground, "nowhere", "#!/opt/none/interp -x\n", 0o755);
    tool(&ground, "dos", "#!/bin/sh\r\necho ran\r\n", 0o755);
    tool(&ground, "bare", "echo ran\n", 0o755);
    tool(&ground, "empty", "", 0o755);
    fs::create_dir(ground.rootfs().join("opt")).unwrap();
    ground.own(&ground.rootfs().join("opt"));
    for (word, status, part) in [
        ("gone", 127, "the image has no command gone (looked in /usr/local/sbin:"),
        ("/bin/gone", 127, "the image has no /bin/gone"),
        ("/bin/sh/x", 127, "the image has no /bin/sh/x"),
        ("plain", 126, "/bin/plain is not executable: `chmod +x` it, or name its interpreter"),
        ("nowhere", 126, "/bin/nowhere needs /opt/none/interp, which the image does not have"),
        ("dos", 126, "the first line of /bin/dos ends with a carriage return"),
        ("bare", 126, "/bin/bare has no #! line: name its interpreter, as in `sh /bin/bare`"),
        ("empty", 126, "/bin/empty"),
        ("/opt", 126, "/opt is a folder"),
    ] {
        let out = outcome(&mut ground.run([word]));
        assert_advice(&out, status, &[part, "\n  cause: "]);
        assert_eq!(out.stdout, "", "{word}");
    }
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn a_program_for_another_machine() {
    let ground = ground!();
    if has_foreign_interpreter() {
        return;
    }
    let (long, short) = foreign_names();
    tool(&ground, "foreign", foreign(), 0o755);
    let out = outcome(&mut ground.run(["foreign"]));
    assert_advice(&out, 126, &[&format!("/bin/foreign is a program for {long}, this machine is "), "binfmt_misc"]);
    let root = ground.bare_root("tree", &[]);
    fs::write(root.join("bin/sh"), foreign()).unwrap();
    ground.own_all(&root);
    ground.ok(["import", "far", "tree"]);
    let out = ground.end(["run", "far", "sh"]);
    let parts = [&format!("the image \"far\" is for {short}, and this machine is "), "binfmt_misc", "qemu-user-static"];
    assert_advice(&out, 125, &parts.map(|p: &str| p));
    assert!(out.stderr.contains("fix (an administrator, once): "), "{out:?}");
    assert!(ground.ok(["images"]).lines().any(|l| l.starts_with("far ") && l.contains(&format!(" {short} "))));
}

#[test]
fn a_program_whose_loader_is_missing() {
    let ground = ground!(Need::Program("bash"));
    let shell = fs::read(support::find("bash").unwrap()).unwrap();
    tool(&ground, "dynamic", shell, 0o755);
    let out = outcome(&mut ground.run(["dynamic"]));
    assert_advice(&out, 126, &["/bin/dynamic needs /lib", "which the image does not have"]);
}

#[test]
fn an_image_that_is_not_there_is_told_with_the_nearest_names() {
    let ground = ground!();
    ground.image("ubuntu");
    ground.image("lab/box:1");
    for (word, near) in [("ubunut:latest", "ubuntu"), ("ubuntu:22.04", "ubuntu"), ("lab/bxo:1", "lab/box:1")] {
        let out = ground.end(["run", "--image", word, "true"]);
        assert_advice(&out, 125, &[&format!("no image is called {word:?}"), near, "did you mean"]);
    }
    let out = ground.end(["run", "--image", "quite-different", "true"]);
    assert_advice(&out, 125, &["no image is called \"quite-different\"", "`little-container images` lists"]);
    assert!(!out.stderr.contains("did you mean"), "{out:?}");
}

#[test]
fn a_source_that_is_missing() {
    let ground = ground!();
    let out = ground.sh(&["-v", "/none/at all:/x"], "true");
    let parts =
        ["-v '/none/at all':/x: No such file or directory", "the source must be there", "mkdir -p '/none/at all'"];
    assert_advice(&out, 125, &parts);
    let locked = ground.path("work/locked");
    fs::create_dir_all(locked.join("in")).unwrap();
    if nix::unistd::getuid().is_root() {
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
        let out = ground.sh(&["-v", "locked/in:/x"], "true");
        assert_advice(&out, 125, &["-v locked/in:/x: Permission denied", "give a path that you may read"]);
        let file = ground.file("secret", "A=1\n");
        std::os::unix::fs::chown(&file, Some(0), Some(0)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        for path in [file, locked.clone(), locked.join("in")] {
            let path = path.display().to_string();
            let cause = format!("cause: you may not read {path}");
            assert_advice(&ground.end(["import", "x", &path]), 1, &["Permission denied", &cause]);
            let out = ground.end(["run", "--env-file", &path, "host", "true"]);
            assert_advice(&out, 125, &["--env-file", "Permission denied", &cause]);
        }
    }
}

/// `sh -c SCRIPT` as root in a mount namespace; $0 is the program, $1 the root file system; `lc` runs it as the user.
fn in_mounts(ground: &Ground, script: &str) -> Outcome {
    let lc = format!(
        "lc() {{ setpriv --reuid {0} --regid {1} --clear-groups \"$P\" \"$@\"; }}; P=$0",
        ground.user.uid, ground.user.gid
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", &format!("{lc}\n{script}")]).arg(program()).arg(ground.rootfs()).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", ground.path("home"));
    outcome(command.env("XDG_RUNTIME_DIR", ground.path("run")).current_dir(ground.path("work")))
}

fn store_ground() -> Option<Ground> {
    let ground = Ground::new(&[Need::Root, Need::Program("setpriv"), Need::Program("unshare")])?;
    fs::create_dir(ground.path("work/store")).unwrap();
    ground.own(&ground.path("work/store"));
    Some(ground)
}

/// Mounts a tmpfs of the user's on `store`.
fn tmpfs(ground: &Ground, options: &str) -> String {
    format!("mount -t tmpfs -o uid={},gid={},mode=755,{options} x store", ground.user.uid, ground.user.gid)
}

#[test]
fn a_store_on_a_full_disk() {
    let Some(ground) = store_ground() else { return };
    let place = ground.path("work/store").display().to_string();
    let full = tmpfs(&ground, "size=200k");
    let out = in_mounts(
        &ground,
        &format!(
            "{full}; head -c 400000 /dev/zero > store/fill 2>/dev/null || :; lc --store store run --rm --rootfs $1 true"
        ),
    );
    assert_advice(
        &out,
        125,
        &["No space left on device", &format!("the file system of {place} is full"), "--store DIR"],
    );
    let half = tmpfs(&ground, "size=1m");
    for ids in ["100000", "0"] {
        // With a range and without one: unpacking goes different ways.
        let hide = if ids == "0" { "mount --bind /dev/null /etc/subuid;" } else { "" };
        let out = in_mounts(&ground, &format!("{hide} {half}; lc --store store import big $1"));
        assert_advice(&out, 1, &["import ", "No space left on device", "is full", "--store DIR"]);
    }
    let out = in_mounts(&ground, &format!("{half}; lc --store store run --rm --storage copy --rootfs $1 true"));
    assert_advice(&out, 125, &["No space left on device", "is full"]);
    // Nothing half done is left: the same run works when there is room again.
    let script = format!("{half}; lc --store store import big $1 2>/dev/null || :; ls -A store/layers store/images");
    let out = in_mounts(&ground, &script);
    assert_eq!(out.stdout, "store/images:\n\nstore/layers:\n", "{out:?}");
}

#[test]
fn a_store_without_inodes() {
    let Some(ground) = store_ground() else { return };
    let few = tmpfs(&ground, "size=20m,nr_inodes=12");
    let out = in_mounts(
        &ground,
        &format!(
            "{few}; for n in 1 2 3 4 5 6 7 8 9 10 11 12; do touch store/$n 2>/dev/null || :; done; lc --store store run --rm --rootfs $1 true"
        ),
    );
    assert_advice(&out, 125, &["has no free inodes: too many files", "--store DIR"]);
}

#[test]
fn a_store_that_is_read_only_or_not_ours() {
    let Some(ground) = store_ground() else { return };
    let place = ground.path("work/store").display().to_string();
    let read_only = format!("{}; lc --store store images; mount -o remount,ro store", tmpfs(&ground, "size=20m"));
    let out = in_mounts(&ground, &format!("{read_only}; lc --store store run --rm --rootfs $1 true"));
    assert_advice(&out, 125, &[&place, "is mounted read-only", "--store DIR"]);
    let out = in_mounts(&ground, &format!("{read_only}; lc --store store import x $1"));
    assert_advice(&out, 1, &[&place, "is mounted read-only", "--store DIR"]);
    let out = in_mounts(&ground, "chown 0:0 store; lc --store store run --rm --rootfs $1 true");
    assert_advice(&out, 125, &[&place, "is not yours alone", "--store DIR"]);
}

#[test]
fn a_store_from_which_nothing_runs() {
    let Some(ground) = store_ground() else { return };
    let script = format!(
        "{}; lc --store store import x $1 >&2; mount -o remount,noexec store; lc --store store run --rm x true",
        tmpfs(&ground, "size=20m")
    );
    let out = in_mounts(&ground, &script);
    assert_eq!(out.status, 125, "{out:?}");
    let told = out.stderr.split_once("little-container: error: ").unwrap().1;
    assert!(told.starts_with("no program can be run from the store ") && told.contains("mounted noexec"), "{told}");
    assert!(told.contains("fix (you): move the store"), "{told}");
}

#[test]
fn a_store_of_a_later_version() {
    let ground = ground!();
    ground.ok(["images"]);
    fs::write(ground.store().join("version"), "99\n").unwrap();
    assert_advice(&ground.end(["run", "true"]), 125, &["has format \"99\"", "use a newer little-container"]);
    fs::write(ground.store().join("version"), "1\n").unwrap();
    fs::remove_dir_all(ground.store()).unwrap();
    fs::write(ground.store(), "a file").unwrap();
    let out = ground.end(["run", "true"]);
    assert_advice(&out, 125, &[&ground.store().display().to_string()]);
    fs::remove_file(ground.store()).unwrap();
}

#[test]
fn user_namespaces_forbidden_by_their_limit() {
    let ground = ground!(Need::Program("unshare"));
    let limited = |limit: &str| {
        let mut command = ground.command("unshare");
        let script =
            format!("echo {limit} > /proc/sys/user/max_user_namespaces; exec \"$0\" run --rm --rootfs \"$1\" true");
        outcome(command.args(["-U", "-r", "sh", "-ec", &script]).arg(program()).arg(ground.rootfs()))
    };
    let out = limited("0");
    assert_advice(
        &out,
        125,
        &[
            "make the first process in new namespaces",
            "user.max_user_namespaces is 0",
            "this is not about a full disk",
            "fix (an administrator, once): sysctl -w user.max_user_namespaces=",
        ],
    );
    assert_eq!(ground.leftovers(), [""; 0]);
    assert_eq!(limited("100").status, 0);
}

#[test]
fn doctor_tells_the_same() {
    let ground = ground!(Need::Program("unshare"));
    let mut command = ground.command("unshare");
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" doctor";
    let out = outcome(command.args(["-U", "-r", "sh", "-ec", script]).arg(program()));
    assert_eq!(out.status, 1, "{out:?}");
    assert!(out.stdout.ends_with("you can run containers: no\n"), "{out:?}");
    assert!(out.stdout.contains("mend: ") && out.stdout.contains("max_user_namespaces"), "{out:?}");
    let out = ground.end(["doctor", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!((out.status, &told["can_run"]), (0, &true.into()), "{out:?}");
}

#[test]
fn helpers_that_fail() {
    let ground = ground!(Need::Range);
    // A newuidmap that has all marks of a good one and refuses cannot be made without root.
    if !nix::unistd::getuid().is_root() {
        return;
    }
    ground.file("sub", format!("{}:700000:65536\n", ground.user.uid));
    let helper = ground.path("work/newgidmap");
    fs::copy(support::find("false").unwrap(), &helper).unwrap();
    std::os::unix::fs::chown(&helper, Some(0), Some(0)).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o4755)).unwrap();
    let mut command = ground.lc(["run", "--rm", "--userns", "range", "--rootfs"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", ground.path("work").display()));
    let out = outcome(command.arg(ground.rootfs()).arg("true"));
    assert_error(&out, 125, &["newgidmap", "--userns single"]);
    assert_eq!(ground.leftovers(), [""; 0]);
}
