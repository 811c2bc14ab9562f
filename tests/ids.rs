//! Who is who: ids with a range and without, `--user`, groups, and the odd places a run is started from.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use kit::{assert_advice, assert_error};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
};
use support::{Ground, Need, find, outcome};

const MAPS: &str = "sed 's/  */ /g' /proc/self/uid_map; id -u; id -g";

/// The first id of the range, as newuidmap takes it.
fn range_of(ground: &Ground) -> (u32, u32) {
    let name = nix::unistd::User::from_uid(ground.user.uid.into()).unwrap().unwrap().name;
    let text = fs::read_to_string("/etc/subuid").unwrap();
    let line = text.lines().find(|l| l.split(':').next() == Some(&name)).unwrap();
    let mut fields = line.split(':').skip(1).map(|n| n.parse().unwrap());
    (fields.next().unwrap(), fields.next().unwrap())
}

/// A folder of the user's, and the flag that shows it at /shared.
fn shared(ground: &Ground) -> (PathBuf, String) {
    let folder = ground.path("work/shared");
    fs::create_dir(&folder).unwrap();
    ground.own(&folder);
    let flag = format!("{}:/shared", folder.display());
    (folder, flag)
}

#[test]
fn with_a_range_root_is_the_caller_and_the_others_are_subordinate() {
    let ground = ground!(Need::Range);
    let (start, count) = range_of(&ground);
    let (folder, flag) = shared(&ground);
    let map = format!(" 0 {} 1\n 1 {start} {count}\n0\n0\n", ground.user.uid);
    for flags in [&[][..], &["--userns", "range"], &["--userns", "auto"]] {
        let out = ground.sh(flags, MAPS);
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), (map.as_str(), ""), "{flags:?}");
    }
    ground.says(&["-v", &flag], "cd /shared; touch root web; chown 33:34 web; stat -c %u:%g web");
    let owner = |name: &str| fs::metadata(folder.join(name)).unwrap().uid();
    assert_eq!((owner("root"), owner("web")), (ground.user.uid, start + 32));
}

#[test]
fn a_single_id_is_the_caller_as_root() {
    let ground = ground!();
    let (folder, flag) = shared(&ground);
    let out = ground.sh(&["--userns", "single", "-v", &flag], &format!("{MAPS}; touch /shared/x; chown 33 /shared/x"));
    assert_eq!(out.stdout, format!(" 0 {} 1\n0\n0\n", ground.user.uid));
    assert_eq!(out.status, 1);
    assert!(!out.stderr.contains("note:"), "{out:?}");
    assert_eq!(fs::metadata(folder.join("x")).unwrap().uid(), ground.user.uid);
}

#[test]
fn keep_id_keeps_it() {
    let ground = ground!();
    let (folder, flag) = shared(&ground);
    let out =
        ground.says(&["--userns", "keep-id", "-v", &flag], "id -u; id -g; touch /shared/x; grep Eff /proc/self/status");
    let none = "CapEff:\t0000000000000000";
    assert_eq!(out, format!("{}\n{}\n{none}\n", ground.user.uid, ground.user.gid));
    assert_eq!(fs::metadata(folder.join("x")).unwrap().uid(), ground.user.uid);
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn a_user_without_a_name_gets_one_id_and_one_note() {
    let Some(ground) = Ground::nameless(&[]) else { return };
    let out = ground.sh(&[], MAPS);
    assert_eq!((out.status, out.stdout.as_str()), (0, " 0 54321 1\n0\n0\n"), "{out:?}");
    let note = "little-container: note: no range of ids (uid 54321 has no name on this machine, ";
    assert!(out.stderr.starts_with(note) && out.stderr.lines().count() == 1, "{out:?}");
    let mut command = ground.lc(["run", "--userns", "range", "--rootfs"]);
    let out = outcome(command.arg(ground.rootfs()).arg("true"));
    assert_advice(&out, 125, &["--userns range cannot be had: uid 54321 has no name", "--userns single"]);
    let out = ground.sh(&["--userns", "keep-id"], "id -u; id -g");
    assert_eq!(out.stdout, "54321\n54321\n");
    let out = ground.sh(&["--storage", "copy", "-u", "0:0"], "touch /x; stat -c %u:%g /x /bin");
    assert_eq!(out.stdout, "0:0\n0:0\n");
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn root_runs_containers_too() {
    let Some(ground) = Ground::as_root(&[]) else { return };
    let (folder, flag) = shared(&ground);
    let out = ground.sh(&["-v", &flag], "id -u; touch /shared/x; chown 33 /shared/x; stat -c %u /shared/x");
    assert_eq!((out.status, out.stdout.as_str()), (0, "0\n33\n"), "{out:?}");
    assert!(folder.join("x").exists());
    assert_ne!(
        fs::read_link("/proc/self/ns/user").unwrap().display().to_string(),
        ground.says(&[], "readlink /proc/self/ns/user").trim()
    );
    // What docker's default set does not have, root of the machine has not inside either.
    assert_eq!(ground.says(&[], "grep Bnd /proc/self/status"), "CapBnd:\t00000000a80425fb\n");
    assert_eq!(ground.leftovers(), [""; 0]);
}

/// `sh -c SCRIPT` as root with mounts of its own, in which $0 is the program and $1 the root file system.
fn in_mounts(ground: &Ground, script: &str) -> support::Outcome {
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-ec", script]).arg(support::program()).arg(ground.rootfs());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("U", ground.user.uid.to_string());
    command.env("G", ground.user.gid.to_string()).env("HOME", ground.path("home"));
    command.env("XDG_RUNTIME_DIR", ground.path("run")).current_dir(ground.path("work"));
    outcome(&mut command)
}

const AS_USER: &str = "exec setpriv --reuid $U --regid $G --clear-groups";

#[test]
fn a_range_may_belong_to_the_number() {
    let ground = ground!(Need::Range, Need::Root, Need::Program("setpriv"));
    ground.file("sub", format!("{}:700000:65536\n", ground.user.uid));
    let bind = "mount --bind sub /etc/subuid; mount --bind sub /etc/subgid";
    let out = in_mounts(&ground, &format!("{bind}; {AS_USER} $0 run --rm --rootfs $1 sh -c \"{MAPS}\""));
    assert_eq!(out.stdout, format!(" 0 {} 1\n 1 700000 65536\n0\n0\n", ground.user.uid), "{out:?}");
    ground.file("none", "somebody:700000:65536\n");
    let bind = "mount --bind sub /etc/subuid; mount --bind none /etc/subgid";
    let out = in_mounts(&ground, &format!("{bind}; {AS_USER} $0 run --rm --rootfs $1 true"));
    assert!(
        out.stderr.starts_with("little-container: note: no range of ids (/etc/subgid has no range for "),
        "{out:?}"
    );
    assert_eq!(out.status, 0);
}

#[test]
fn a_number_without_a_name_has_no_use_of_a_range() {
    let Some(ground) = Ground::nameless(&[Need::Program("setpriv"), Need::Program("newuidmap")]) else { return };
    ground.file("sub", "54321:700000:65536\n");
    let bind = "mount --bind sub /etc/subuid; mount --bind sub /etc/subgid";
    let out = in_mounts(&ground, &format!("{bind}; {AS_USER} $0 run --rm --rootfs $1 sh -c \"{MAPS}\""));
    assert_eq!((out.status, out.stdout.as_str()), (0, " 0 54321 1\n0\n0\n"), "{out:?}");
    assert!(out.stderr.contains("newuidmap maps ids only for users who have one"), "{out:?}");
}

/// One note with this cause, and a run with a single id.
#[track_caller]
fn falls_back(ground: &Ground, out: &support::Outcome, cause: &str) {
    assert_eq!((out.status, out.stdout.as_str()), (0, format!(" 0 {} 1\n0\n0\n", ground.user.uid).as_str()), "{out:?}");
    let note = format!(
        "little-container: note: no range of ids ({cause}): only your own exists inside, so other owners show as nobody\n"
    );
    assert_eq!(out.stderr, note);
}

#[test]
fn a_helper_without_its_rights_is_named() {
    let ground = ground!(Need::Range);
    let newuidmap = find("newuidmap").unwrap();
    let copy = ground.file("tools/newuidmap", fs::read(&newuidmap).unwrap());
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let tools = ground.path("work/tools").display().to_string();
    let mut command = ground.run(["sh", "-c", MAPS]);
    let out = outcome(command.env("PATH", format!("{tools}:/usr/bin:/bin")));
    falls_back(&ground, &out, &format!("{tools}/newuidmap is not setuid root"));
    // A relative place in PATH is no place to take such a program from.
    let mut command = ground.run(["id", "-u"]);
    let out = outcome(command.env("PATH", "tools:/usr/bin:/bin"));
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("0\n", ""));
}

#[test]
fn no_new_privs_is_named() {
    let ground = ground!(Need::Range, Need::Program("setpriv"));
    let mut command = ground.command("setpriv");
    command.args(["--no-new-privs"]).arg(support::program()).args(["run", "--rm", "--rootfs"]);
    let out = outcome(command.arg(ground.rootfs()).args(["sh", "-c", MAPS]));
    falls_back(&ground, &out, "no_new_privs is set on this process, so that newuidmap gets no rights");
}

#[test]
fn a_missing_or_nosuid_helper_is_named() {
    let ground = ground!(Need::Range, Need::Root, Need::Program("setpriv"));
    let newuidmap = find("newuidmap").unwrap();
    let newuidmap = fs::canonicalize(newuidmap).unwrap();
    let run = format!("{AS_USER} $0 run --rm --rootfs $1 sh -c \"{MAPS}\"");
    // Hidden under something that is not executable.
    let out = in_mounts(&ground, &format!("mount --bind /dev/null {}; {run}", newuidmap.display()));
    falls_back(&ground, &out, "newuidmap is not installed (package uidmap)");
    let script = format!(
        "mkdir t; mount -t tmpfs -o nosuid,mode=755 x t; cp -p {} t/; PATH=$PWD/t:$PATH; {run}",
        newuidmap.display()
    );
    let out = in_mounts(&ground, &script);
    let place = fs::canonicalize(ground.path("work")).unwrap().join("t/newuidmap");
    falls_back(&ground, &out, &format!("{} is on a file system mounted nosuid", place.display()));
}

#[test]
fn the_callers_groups_stay_usable() {
    let ground = ground!(Need::Root, Need::Program("setpriv"));
    let (folder, flag) = shared(&ground);
    std::os::unix::fs::chown(&folder, Some(0), Some(60_000)).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o2770)).unwrap();
    for mode in ["auto", "single", "keep-id"] {
        let script = format!(
            "exec setpriv --reuid $U --regid $G --groups $G,60000 $0 run --rm --userns {mode} -v {flag} --rootfs $1 \
             sh -c 'echo {mode} > /shared/{mode} && cat /shared/{mode}'"
        );
        let out = in_mounts(&ground, &script);
        assert_eq!((out.status, out.stdout), (0, format!("{mode}\n")), "{}", out.stderr);
        assert_eq!(fs::metadata(folder.join(mode)).unwrap().gid(), 60_000);
    }
    let out = ground.sh(&["-v", &flag], "ls /shared");
    assert_eq!(out.status, 1, "who is not in the group must not get in: {out:?}");
}

#[test]
fn users_are_those_of_the_image() {
    let ground = ground!(Need::Range);
    let who = "id -u; id -g; id -G; echo $HOME";
    let as_user = |user: &str| ground.says(&["-u", user], who);
    assert_eq!(as_user("web"), "33\n34\n34 99\n/home/web\n");
    assert_eq!(as_user("33"), "33\n34\n34 99\n/home/web\n");
    assert_eq!(as_user("web:ssl").lines().take(2).collect::<Vec<_>>(), ["33", "99"]);
    assert_eq!(as_user("33:0").lines().take(2).collect::<Vec<_>>(), ["33", "0"]);
    assert_eq!(as_user("4711"), "4711\n0\n0\n/\n");
    assert_eq!(as_user("root").lines().last(), Some("/root"));
    assert_eq!(
        ground.says(&["-u", "web"], "grep -E '^Cap(Eff|Prm)' /proc/self/status; touch /etc/x || echo no"),
        "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nno\n"
    );
    // A user of this machine alone is none of the image.
    for (user, part) in
        [("daemon", "the image's /etc/passwd knows no user \"daemon\""), ("web:daemon", "/etc/group knows no group")]
    {
        let mut command = ground.lc(["run", "--rm", "-u", user, "--rootfs"]);
        assert_advice(&outcome(command.arg(ground.rootfs()).arg("true")), 125, &[part, "give a number"]);
    }
    let mut command = ground.lc(["run", "--rm", "--userns", "single", "-u", "33", "--rootfs"]);
    let out = outcome(command.arg(ground.rootfs()).arg("true"));
    assert_advice(&out, 125, &["uid 33 or gid 34 does not exist in this user namespace", "--userns range"]);
}

#[test]
fn the_files_of_users_are_read_inside_only() {
    let ground = ground!();
    let evil = ground.file("evil", "web:x:0:0::/evil:/bin/sh\n");
    let passwd = ground.rootfs().join("etc/passwd");
    let run = |user: &str| {
        let mut command = ground.lc(["run", "--rm", "-u", user, "--rootfs"]);
        outcome(command.arg(ground.rootfs()).args(["sh", "-c", "echo $HOME"]))
    };
    let exchange = |make: &dyn Fn()| {
        fs::remove_file(&passwd).unwrap();
        make();
        ground.own(&passwd);
    };
    for target in [
        evil.as_path(),
        "../../../../../../etc/passwd".as_ref(),
        "/proc/self/root/etc/passwd".as_ref(),
        "/etc/passwd".as_ref(),
    ] {
        exchange(&|| symlink(target, &passwd).unwrap());
        assert_error(&run("web"), 125, &["knows no user \"web\""]);
        assert_eq!(run("0").stdout, "/root\n", "{target:?}");
    }
    exchange(&|| nix::unistd::mkfifo(&passwd, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap());
    assert_error(&run("web"), 125, &["knows no user \"web\""]);
    assert_eq!(run("0").stdout, "/root\n");
    // A link that stays inside is followed.
    fs::create_dir(ground.rootfs().join("usr")).unwrap();
    fs::write(ground.rootfs().join("usr/passwd"), "boss:x:0:0::/boss:/bin/sh\n").unwrap();
    exchange(&|| symlink("/usr/passwd", &passwd).unwrap());
    assert_eq!(run("boss").stdout, "/boss\n");
    exchange(&|| fs::write(&passwd, vec![b'x'; 5 << 20]).unwrap());
    assert_error(&run("web"), 125, &["knows no user \"web\""]);
}
