//! A store that goes to another place: whole at any moment, on this file system and on another one.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;
#[path = "support/shelf.rs"]
mod shelf;

use kit::{assert_advice, assert_error, wait_for};
use shelf::{names, unpacked};
use std::{fs, os::unix::fs::symlink, path::Path, process::Command};
use support::{Ground, Need, outcome, program};

/// What works at the new place.
fn assert_whole(ground: &Ground, new: &Path) {
    assert!(!ground.store().exists() && !ground.store().is_symlink());
    assert_eq!(ground.ok(["run", "--rm", "a", "cat", "/data/one"]), "one");
    assert!(ground.ok(["system", "check"]).ends_with("all is well\n"));
    let told = ground.ok(["inspect", "c"]);
    assert!(told.contains("\"exited\""), "{told}");
    let record = new.join("containers").join(names(new.join("containers")).remove(0)).join("container.json");
    assert!(fs::read_to_string(record).unwrap().contains(&format!("{}/layers/", new.display())));
    assert_advice(&ground.end(["rmi", "a"]), 1, &["is used by c"]);
    let config = fs::read_to_string(ground.path("home/.config/little-container/config.toml")).unwrap();
    assert!(config.contains(&format!("store = {new:?}\n")), "{config}");
}

fn ground(needs: &[Need]) -> Option<Ground> {
    let ground = Ground::new(needs)?;
    unpacked(&ground, "a", &["programs", "one"]);
    ground.image("b");
    ground.ok(["run", "--name", "c", "a", "sh", "-c", "echo changed >/etc/changed; chown 33:34 /etc/changed"]);
    Some(ground)
}

#[test]
fn on_the_same_file_system() {
    let Some(ground) = ground(&[Need::Range]) else { return };
    ground.config("default_image = \"a\"\n");
    let new = ground.path("home/new/store");
    let out = ground.end([Path::new("store"), Path::new("move"), &new]);
    assert_eq!((out.status, out.stdout), (0, format!("{}\n", new.display())), "{}", out.stderr);
    assert_whole(&ground, &new);
    assert_eq!(fs::metadata(&new).unwrap().permissions(), fs::metadata(new.join("layers")).unwrap().permissions());
    ground.ok(["rm", "c"]);
    ground.ok(["rmi", "a", "b"]);
}

#[test]
fn what_was_cut_short_is_finished() {
    let Some(ground) = ground(&[Need::Range]) else { return };
    let new = ground.path("home/new");
    // Before the step that counts: a link to itself. After it: the old path leads to the new place.
    symlink(&new, &new).unwrap();
    std::os::unix::fs::lchown(&new, Some(ground.user.uid), Some(ground.user.gid)).unwrap();
    fs::rename(ground.store(), ground.path("home/kept")).unwrap();
    fs::rename(ground.path("home/kept"), ground.store()).unwrap();
    ground.ok(["images"]);
    fs::remove_file(&new).unwrap();
    fs::rename(ground.store(), &new).unwrap();
    symlink(&new, ground.store()).unwrap();
    std::os::unix::fs::lchown(ground.store(), Some(ground.user.uid), Some(ground.user.gid)).unwrap();
    assert_eq!(ground.ok(["run", "--rm", "a", "cat", "/data/one"]), "one");
    ground.ok([Path::new("store"), Path::new("move"), &new]);
    assert_whole(&ground, &new);
}

#[test]
fn to_another_file_system() {
    let Some(ground) = ground(&[Need::Root, Need::Range, Need::Program("setpriv"), Need::Program("unshare")]) else {
        return;
    };
    let other = ground.path("home/other");
    fs::create_dir(&other).unwrap();
    let script = format!(
        "lc() {{ setpriv --reuid {0} --regid {1} --init-groups \"$P\" \"$@\"; }}; P=$0\n\
         mount -t tmpfs -o uid={0},gid={1},mode=755 x $1\n\
         lc store move $1/store; ls -A $1; ls -d {2} 2>&1 || :\n\
         lc run --rm a cat /data/one; lc system check; lc rm c; lc rmi a b; ls -A $1/store/layers\n",
        ground.user.uid,
        ground.user.gid,
        ground.store().display()
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", &script]).arg(program()).arg(&other).env_clear().current_dir(ground.path("work"));
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", ground.path("home"));
    let out = outcome(command.env("XDG_RUNTIME_DIR", ground.path("run")));
    assert_eq!(out.status, 0, "{out:?}");
    for part in [
        format!("{}/store\nstore\nls: cannot access", other.display()),
        "2 images, ".into(),
        "all is well\nc\na\nb\n".into(),
    ] {
        assert!(out.stdout.contains(&part), "{part:?}: {out:?}");
    }
}

#[test]
fn what_cannot_go() {
    let Some(ground) = ground(&[]) else { return };
    let taken = ground.file("taken/file", "x").parent().unwrap().to_owned();
    let to = |place: &Path| ground.end([Path::new("store"), Path::new("move"), place]);
    assert_advice(&to(&taken), 1, &["is not empty"]);
    assert_error(&to(&ground.store().join("inside")), 1, &["lie within each other"]);
    assert_error(&to(&ground.store()), 1, &["already"]);
    let running = ground.running(&["--name", "busy"]);
    assert_advice(&to(&ground.path("home/new")), 1, &["the container busy runs in this store", "rm -f busy"]);
    drop(running);
    wait_for("its end", || !ground.ok(["ps"]).contains("busy"));
    let mut command = ground.lc([Path::new("store"), Path::new("move"), &ground.path("home/new")]);
    let out = outcome(command.env("LITTLE_CONTAINER_STORE", ground.store()));
    assert!(out.status == 0 && out.stderr.contains("the configuration is as it was"), "{out:?}");
    assert!(!ground.path("home/.config/little-container/config.toml").exists());
}
