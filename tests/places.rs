//! Where a run is started from: without an environment, a home, a runtime folder, a terminal, a session.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use std::{fs, path::Path, process::Command};
use support::{Ground, Need, outcome, program};

/// It runs, as root inside, and says nothing.
#[track_caller]
fn works(ground: &Ground, command: &mut Command) {
    let out = outcome(command);
    assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (0, "0\n", ""), "{command:?}");
    assert_eq!(ground.leftovers(), [""; 0]);
}

fn id(ground: &Ground) -> Command {
    let mut command = ground.lc(["run", "--rm", "--userns", "single", "--rootfs"]);
    command.arg(ground.rootfs()).args(["id", "-u"]);
    command
}

/// Where the folders of one who has no runtime folder are.
fn in_tmp(ground: &Ground) -> String {
    format!("/tmp/little-container-{}", ground.user.uid)
}

#[test]
fn without_any_environment() {
    let ground = ground!();
    let store = ground.store();
    let mut command = id(&ground);
    works(&ground, command.env_clear().env("LITTLE_CONTAINER_STORE", &store));
    // Not even PATH: the home comes from the user database.
    let mut command = ground.lc(["images", "-q"]);
    assert_eq!(outcome(command.env_clear()).status, 0);
}

#[test]
fn without_a_name_a_home_or_any_environment() {
    let Some(ground) = Ground::nameless(&[]) else { return };
    let mut command = id(&ground);
    works(&ground, command.env_clear());
    let store = format!("{}/store", in_tmp(&ground));
    assert!(Path::new(&store).join("version").exists());
    let mode = fs::metadata(in_tmp(&ground)).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&mode) & 0o777, 0o700);
    // A home that is named and cannot be had, as those of service users.
    let mut command = id(&ground);
    works(&ground, command.env("HOME", "/nonexistent"));
}

#[test]
fn folders_that_somebody_else_made_are_refused() {
    let Some(ground) = Ground::nameless(&[Need::Program("setpriv")]) else { return };
    let user = 54_322;
    let folder = format!("/tmp/little-container-{user}");
    let in_memory = format!("/dev/shm/little-container-{user}");
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&in_memory).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "54322", "--regid", "54322", "--clear-groups"]).arg(program()).args(["run", "--rootfs"]);
    let out = outcome(command.arg(ground.rootfs()).arg("true").env_clear());
    fs::remove_dir(&folder).unwrap();
    fs::remove_dir(&in_memory).unwrap();
    kit::assert_advice(&out, 125, &[&folder, "is not a folder of yours alone", "XDG_RUNTIME_DIR"]);
}

#[test]
fn without_a_home() {
    let ground = ground!();
    let mut command = id(&ground);
    works(&ground, command.env_remove("HOME").env("LITTLE_CONTAINER_STORE", ground.store()));
    let mut command = id(&ground);
    works(&ground, command.env("HOME", "").env("LITTLE_CONTAINER_STORE", ground.store()));
}

#[test]
fn with_a_runtime_folder_that_is_not_ours_or_not_there() {
    let ground = ground!();
    let mut command = id(&ground);
    works(&ground, command.env_remove("XDG_RUNTIME_DIR"));
    let own = format!("little-container-{}", ground.user.uid);
    let usual = [format!("/run/user/{}", ground.user.uid), format!("/dev/shm/{own}"), format!("/tmp/{own}")];
    assert!(usual.iter().any(|folder| Path::new(folder).is_dir()));
    let file = ground.file("file", "x");
    for wrong in ["/nowhere/at/all", "relative", "", "/", "/root", "/proc", file.to_str().unwrap()] {
        let mut command = id(&ground);
        works(&ground, command.env("XDG_RUNTIME_DIR", wrong));
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "x");
    assert_eq!(fs::read_dir(ground.path("run")).unwrap().count(), 0);
}

#[test]
fn with_another_users_runtime_folder() {
    let ground = ground!(Need::Root);
    let other = ground.path("work/other");
    fs::create_dir(&other).unwrap();
    std::os::unix::fs::chown(&other, Some(1), Some(1)).unwrap();
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut command = id(&ground);
    works(&ground, command.env("XDG_RUNTIME_DIR", &other));
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
}

#[test]
fn in_a_session_of_its_own() {
    let ground = ground!(Need::Program("setsid"));
    let mut command = ground.command("setsid");
    command.arg("-w").arg(program()).args(["run", "--rm", "--userns", "single", "--rootfs"]);
    works(&ground, command.arg(ground.rootfs()).args(["id", "-u"]));
}

#[test]
fn by_su_from_root() {
    let ground = ground!(Need::Root, Need::Program("su"));
    let Ok(Some(user)) = nix::unistd::User::from_uid(ground.user.uid.into()) else { return };
    let script =
        format!("{} run --rm --userns single --rootfs {} id -u", program().display(), ground.rootfs().display());
    let mut command = Command::new("su");
    command.args(["-s", "/bin/sh", "-c", &script, &user.name]).env_clear().env("PATH", "/usr/bin:/bin");
    // What `su` without a dash leaves behind.
    command.env("XDG_RUNTIME_DIR", "/run/user/0").env("LITTLE_CONTAINER_STORE", ground.store());
    works(&ground, command.current_dir(ground.path("work")));
}

#[test]
fn as_cron_does() {
    let ground = ground!();
    let mut command = ground.command("sh");
    command.env_clear().env("HOME", ground.path("home")).env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
    let script = r#"exec "$0" run --rm --userns single --rootfs "$1" id -u"#;
    works(&ground, command.args(["-c", script]).arg(program()).arg(ground.rootfs()));
}

#[test]
fn with_closed_descriptors() {
    let ground = ground!();
    let out = ground.path("work/out");
    let script = format!(
        r#""$0" run --rm --userns single --rootfs "$1" sh -c 'ls -l /proc/self/fd | grep -c /dev/null; id -u' <&- 2>&- >{}"#,
        out.display()
    );
    let mut command = ground.command("sh");
    let ended = outcome(command.args(["-c", &script]).arg(program()).arg(ground.rootfs()));
    assert_eq!(ended.status, 0);
    assert_eq!(fs::read_to_string(&out).unwrap(), "2\n0\n");
    let mut command = ground.command("sh");
    let script = r#"exec "$0" run --rm --rootfs "$1" true >&-"#;
    assert_eq!(outcome(command.args(["-c", script]).arg(program()).arg(ground.rootfs())).status, 0);
}

#[test]
fn from_a_folder_that_is_gone() {
    let ground = ground!();
    let mut command = ground.command("sh");
    let script = r#"mkdir gone && cd gone && rmdir ../gone && exec "$0" run --rm --userns single --rootfs "$1" id -u"#;
    works(&ground, command.args(["-c", script]).arg(program()).arg(ground.rootfs()));
}

#[test]
fn descriptors_of_the_caller_do_not_reach_the_command() {
    let ground = ground!();
    ground.file("open", "secret\n");
    let mut command = ground.command("sh");
    let script = r#"exec 3<open 7<open 9>leak; exec "$0" run --rm --rootfs "$1" ls /proc/self/fd"#;
    let out = outcome(command.args(["-c", script]).arg(program()).arg(ground.rootfs()));
    // 3 is the folder that ls itself has open.
    assert_eq!(out.stdout, "0\n1\n2\n3\n");
}

/// What the outer one hides is hidden already, and cannot be hidden again.
#[test]
fn from_inside_a_container_of_ours() {
    let ground = ground!();
    let (lc, root) = (program().display().to_string(), ground.rootfs().display().to_string());
    let mut command = ground.lc(["run", "--rm", "-v", &format!("{lc}:/lc:ro"), "-v", &format!("{root}:/root-fs:ro")]);
    let inner = "/lc --store /tmp/st run --rm --userns single --storage copy --rootfs /root-fs sh -c 'ls /sys/firmware | wc -l'";
    let out = outcome(command.args(["--image", "host", "sh", "-c", inner]));
    assert_eq!((out.status, out.stdout.as_str()), (0, "0\n"), "{out:?}");
    assert!(out.stderr.contains("the kernel refuses a new /proc here"), "{out:?}");
    assert_eq!(ground.leftovers(), [""; 0]);
}
