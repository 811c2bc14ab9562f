//! Folders in which others can write, and descriptors of the caller's.

use super::{
    STRANGER,
    kit::{assert_advice, assert_error},
    picture, put, soon,
    support::{Ground, Need, Outcome, outcome, program},
};
use std::{
    fs,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
    process::Stdio,
};

fn to_stranger(path: &Path) {
    lchown(path, Some(STRANGER.uid), Some(STRANGER.gid)).unwrap();
}

/// A file of the user's that somebody else would like to have written to.
fn target(ground: &Ground, content: &str) -> PathBuf {
    ground.file("target", content)
}

/// Runs `little-container WORDS` as the ground's user after a script, in which `$$` is the number it is going to have.
fn after(ground: &Ground, script: &str, words: &[&str]) -> Outcome {
    let mut command = ground.command("sh");
    command.arg("-c").arg(format!("{script}; exec \"$0\" \"$@\"")).arg(program()).args(words);
    soon(&mut command)
}

#[test]
fn a_store_of_somebody_else_is_refused() {
    if let Some(ground) = Ground::as_root(&[]) {
        refuses_the_store(&ground);
    }
}

#[test]
fn a_store_that_somebody_else_made_for_all_is_refused() {
    let ground = ground!(Need::Root);
    refuses_the_store(&ground);
}

fn refuses_the_store(ground: &Ground) {
    let root = ground.rootfs();
    let run = ["run", "--rm", "--rootfs", root.to_str().unwrap(), "true"];
    let (store, target) = (ground.store(), target(ground, "content\n"));
    for kind in ["version", "points", "whole", "open"] {
        let _ = fs::remove_dir_all(ground.path("home/.local"));
        fs::create_dir_all(&store).unwrap();
        if kind == "whole" || kind == "open" {
            for folder in ["images", "layers", "host", "containers", "names", "mnt"] {
                fs::create_dir(store.join(folder)).unwrap();
            }
            fs::write(store.join("version"), "1\n").unwrap();
        }
        for path in super::support::walk(&ground.path("home")) {
            to_stranger(&path);
            let mode = if kind == "open" { 0o777 } else { 0o755 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let before = picture(&target);
        let name = if kind == "points" { "points" } else { "version" };
        let plant = format!("ln -s '{}' '{}/{name}.'$$ 2>/dev/null", target.display(), store.display());
        let out = after(ground, &plant, &run);
        assert_eq!(picture(&target), before, "{kind}: {out:?}");
        assert_advice(&out, 125, &[store.to_str().unwrap()]);
        for words in [&["ps", "-a"][..], &["images"], &["rm", "x"], &["import", "x", root.to_str().unwrap()]] {
            let out = after(ground, ":", words);
            assert_ne!(out.status, 0, "{kind} {words:?} {out:?}");
        }
        assert_eq!(picture(&target), before, "{kind}");
    }
}

#[test]
fn a_store_behind_a_link_of_somebody_else_is_refused() {
    let Some(ground) = Ground::as_root(&[]) else { return };
    let root = ground.rootfs();
    // A folder of root's, to which the one whose home it is would like to have something written, or a whole store.
    for whole in [false, true] {
        let _ = fs::remove_dir_all(ground.path("home/.local"));
        let place = ground.path("work").join(format!("precious-{whole}"));
        put(&ground, &place.join("file"), "content\n", 0o600);
        fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
        if whole {
            let made = outcome(ground.lc(["ps"]).env("LITTLE_CONTAINER_STORE", &place));
            assert_eq!(made.status, 0, "{made:?}");
        }
        fs::create_dir_all(ground.store().parent().unwrap()).unwrap();
        symlink(&place, ground.store()).unwrap();
        super::support::walk(&ground.path("home")).iter().for_each(|path| to_stranger(path));
        let before = picture(&place);
        for words in [&["ps"][..], &["run", "--rm", "--rootfs", root.to_str().unwrap(), "true"]] {
            let out = soon(&mut ground.lc(words));
            assert_eq!(picture(&place), before, "{whole} {out:?}");
            let status = if words[0] == "run" { 125 } else { 1 };
            assert_advice(&out, status, &[ground.store().to_str().unwrap()]);
        }
    }
    // One that is ours is where we wanted it to be: on another disk, say.
    ground.own(&ground.store());
    ground.own_all(&ground.path("home"));
    let out = soon(&mut ground.run(["true"]));
    assert_eq!(out.status, 0, "{out:?}");
}

#[test]
fn a_draft_is_never_somebody_elses() {
    let ground = ground!();
    let (store, target) = (ground.store(), target(&ground, "content\n"));
    let before = picture(&target);
    fs::create_dir_all(&store).unwrap();
    ground.own_all(&ground.path("home"));
    let root = ground.rootfs();
    let words = ["run", "--rm", "--rootfs", root.to_str().unwrap(), "true"];
    for name in ["version", "points"] {
        let plant = format!("ln -s '{}' '{}'/{name}.$$", target.display(), store.display());
        let out = after(&ground, &plant, &words);
        assert!(out.status == 0 || out.status == 125, "{name}: {out:?}");
        assert_eq!(picture(&target), before, "{name}: {out:?}");
    }
    // The mark of a run, and what the probe has learned.
    assert_eq!(outcome(&mut ground.lc(words)).status, 0);
}

/// What the probe of the overlay would be kept as.
fn memory(ground: &Ground) -> String {
    let device = fs::metadata(ground.store().join("containers")).unwrap().dev();
    format!("overlay.{device:x}.{}", fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim())
}

#[test]
fn a_runtime_folder_of_somebody_else_is_not_used() {
    let ground = ground!(Need::Root);
    ground.ok(["ps"]);
    let runtime = ground.path("run");
    let place = runtime.join("little-container");
    let (new, full) = (ground.path("work/new"), target(&ground, ""));
    for open in [0o1777, 0o700] {
        for (kind, to) in [("new", &new), ("full", &full), ("link", &new), ("own link", &new)] {
            let _ = fs::remove_dir_all(&place);
            let _ = fs::remove_file(&place);
            let _ = fs::remove_dir_all(ground.path("work/elsewhere"));
            fs::set_permissions(&runtime, fs::Permissions::from_mode(open)).unwrap();
            let folder = if kind.contains("link") { ground.path("work/elsewhere") } else { place.clone() };
            fs::create_dir(&folder).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
            to_stranger(&folder);
            symlink(to, folder.join(memory(&ground))).unwrap();
            to_stranger(&folder.join(memory(&ground)));
            if kind.contains("link") {
                symlink(&folder, &place).unwrap();
                if kind == "link" { to_stranger(&place) } else { ground.own(&place) }
            }
            let before = picture(&folder);
            for _ in 0..2 {
                let out = outcome(&mut ground.run(["true"]));
                assert!(out.status == 0 || out.status == 125, "{open:o} {kind}: {out:?}");
                if out.status == 125 {
                    assert_advice(&out, 125, &[]);
                }
            }
            assert!(!new.exists(), "{open:o} {kind}: a link of somebody else's was written through");
            assert_eq!(fs::read_to_string(&full).unwrap(), "", "{open:o} {kind}");
            assert_eq!(picture(&folder), before, "{open:o} {kind}: a mark was made in it");
        }
    }
}

#[test]
fn a_dangling_link_in_a_bound_folder_stays() {
    let ground = ground!();
    let data = ground.path("work/data");
    put(&ground, &data.join("file"), "content\n", 0o644);
    for (name, to) in [("link", "/nowhere/at/all"), ("relative", "gone"), ("up", "../../../gone"), ("loop", "loop")] {
        symlink(to, data.join(name)).unwrap();
    }
    ground.own_all(&data);
    ground.file("note", "x");
    let before = picture(&data);
    for name in ["link", "relative", "up", "loop"] {
        let (place, below) = (format!("/d/{name}"), format!("/d/{name}/below"));
        let (bind, bind_below, note) = (format!("data:{place}"), format!("data:{below}"), format!("note:{place}"));
        for flags in [
            ["-w", &place],
            ["-w", &below],
            ["--tmpfs", &place],
            ["--tmpfs", &below],
            ["-v", &bind],
            ["-v", &bind_below],
            ["-v", &note],
        ] {
            for mode in ["data:/d", "data:/d:ro"] {
                let out = soon(&mut ground.run([&["-v", mode], &flags[..], &["true"]].concat()));
                assert_eq!(picture(&data), before, "{flags:?}: {out:?}");
                if out.status != 0 {
                    assert_error(&out, 125, &["/d/"]);
                }
            }
        }
    }
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn a_folder_is_no_standard_stream() {
    let ground = ground!();
    let secret = ground.path("home");
    let folder = || Stdio::from(fs::File::open(&secret).unwrap());
    // By such a descriptor everything of the machine could be reached: /proc/self/fd/0/../..
    let script = "cd /proc/self/fd/0/.. || cd /proc/self/fd/1/.. || cd /proc/self/fd/2/.. && ls >&2; echo ran >&2";
    for flags in [&[][..], &["--init"], &["-i"], &["--log-level", "info"]] {
        let command = || ground.run([flags, &["sh", "-c", script]].concat());
        let out = outcome(command().stdin(folder()));
        assert_advice(&out, 125, &["folder"]);
        let out = outcome(command().stdout(folder()));
        assert_advice(&out, 125, &["folder"]);
        let out = outcome(command().stderr(folder()));
        assert_eq!(out.status, 125, "{flags:?} {out:?}");
    }
    let path = fs::File::options().read(true).custom_flags(0o10000000).open(&secret);
    let out = outcome(ground.run(["sh", "-c", script]).stdin(Stdio::from(path.unwrap())));
    assert_eq!(out.status, 125, "{out:?}");
    assert_eq!(ground.leftovers(), [""; 0]);
}
