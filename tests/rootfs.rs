//! The root file system: writes kept apart from the image in each of the three ways, and what the mounts look like.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use kit::{assert_advice, assert_error};
use std::{
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
};
use support::{Ground, Need, outcome, walk};

const DRIVERS: [(&str, &str); 3] =
    [("overlay", "overlay"), ("fuse-overlayfs", "fuse.fuse-overlayfs"), ("copy", "neither")];

/// Everything that can be seen of a tree.
fn picture(root: &Path) -> Vec<String> {
    let mut all: Vec<String> = walk(root)
        .iter()
        .map(|path| {
            let m = fs::symlink_metadata(path).unwrap();
            let content = if m.is_file() && m.len() < 1000 { fs::read(path).unwrap() } else { Vec::new() };
            let changed = (m.mtime(), m.mtime_nsec());
            format!("{} {:o} {}:{} {} {changed:?} {content:?}", path.display(), m.mode(), m.uid(), m.gid(), m.size())
        })
        .collect();
    all.sort();
    all
}

fn data(root: &Path) {
    for folder in ["dir/deep", "whole", "same"] {
        fs::create_dir_all(root.join("data").join(folder)).unwrap();
    }
    for file in ["gone", "edit", "dir/a", "dir/deep/b", "whole/old", "same/here"] {
        fs::write(root.join("data").join(file), "old\n").unwrap();
    }
}

const CHANGE: &str = "cd /data && echo new > new && rm gone && echo more >> edit && mv dir moved && echo in > moved/deep/in \
                      && rm -r whole && mkdir whole && ln same/here same/hard && chmod 600 same/here && rm /bin/false \
                      && find . | sort && cat edit moved/deep/b moved/deep/in && stat -c '%a %h' same/hard";

const CHANGED: &str = ".\n./edit\n./moved\n./moved/a\n./moved/deep\n./moved/deep/b\n./moved/deep/in\n./new\n./same\n\
                       ./same/hard\n./same/here\n./whole\nold\nmore\nold\nin\n600 2\n";

fn kind_of_root(ground: &Ground, flags: &[&str]) -> String {
    let kind = ground
        .says(flags, "while read -r what at kind rest; do [ $at = / ] && echo $kind; done < /proc/self/mounts; :");
    let kind = kind.lines().last().unwrap();
    if ["overlay", "fuse.fuse-overlayfs"].contains(&kind) { kind.into() } else { "neither".into() }
}

#[test]
fn each_storage_driver_keeps_writes_from_the_image() {
    let ground = ground!(Need::Fuse);
    data(&ground.rootfs());
    ground.own_all(&ground.rootfs());
    let before = picture(&ground.rootfs());
    for (driver, kind) in DRIVERS {
        for ids in ["auto", "single"] {
            let flags = ["--storage", driver, "--userns", ids];
            let out = ground.sh(&flags, CHANGE);
            assert_eq!((out.status, out.stdout.as_str()), (0, CHANGED), "{driver} {ids}: {}", out.stderr);
            // A second container sees nothing of it.
            assert_eq!(ground.says(&flags, "cat /data/gone /data/dir/a /data/edit"), "old\nold\nold\n");
        }
        assert_eq!(kind_of_root(&ground, &["--storage", driver]), kind);
        assert_eq!(picture(&ground.rootfs()), before, "{driver} changed the image");
        assert_eq!(ground.leftovers(), [""; 0], "{driver}");
    }
}

#[test]
fn an_image_of_the_store_is_never_written() {
    let ground = ground!(Need::Fuse);
    let root = ground.other_root("tree");
    data(&root);
    ground.own_all(&root);
    ground.ok(["import", "mybox", "tree"]);
    let layers = ground.store().join("layers");
    let before = picture(&layers);
    for (driver, _) in DRIVERS {
        let out = ground.end(["run", "--rm", "--storage", driver, "mybox", "sh", "-c", CHANGE]);
        assert_eq!((out.status, out.stdout.as_str()), (0, CHANGED), "{driver}: {}", out.stderr);
        assert_eq!(picture(&layers), before, "{driver} changed the image");
    }
}

#[test]
fn owners_hold_in_each_driver() {
    let ground = ground!(Need::Range, Need::Fuse);
    for (driver, _) in DRIVERS {
        let script = "touch /x && chown 33:34 /x /etc/group && mkdir -m 2750 /y && chown 7 /y && stat -c '%a %u:%g' /x /etc/group /y";
        let out = ground.says(&["--storage", driver], script);
        assert_eq!(out, "644 33:34\n644 33:34\n2750 7:0\n", "{driver}");
    }
}

#[test]
fn fuse_serves_every_user_whoever_is_root() {
    let ground = ground!(Need::Fuse, Need::Range);
    for flags in [&["keep-id"][..], &["keep-id", "-u", "0"], &["single"], &["range"], &["range", "-u", "33"]] {
        let flags = [&["--storage", "fuse-overlayfs", "--userns"], flags].concat();
        let out = ground.sh(&flags, "ls /etc/passwd && mount | head -n 1 | cut -d ' ' -f 1");
        assert_eq!(out.stdout, "/etc/passwd\nfuse-overlayfs\n", "{flags:?} {}", out.stderr);
    }
}

/// What the probe of the overlay has said is kept here.
fn probe_memory(ground: &Ground) -> PathBuf {
    assert_eq!(ground.sh(&[], "true").status, 0);
    let entries = fs::read_dir(ground.path("run/little-container")).unwrap().flatten();
    let mut all = entries.map(|e| e.path()).filter(|p| p.display().to_string().contains("/overlay."));
    all.next().expect("the probe leaves its answer")
}

#[test]
fn without_the_kernels_overlay_the_next_one_is_chosen_and_it_is_told() {
    let ground = ground!(Need::Fuse);
    fs::write(probe_memory(&ground), "mount overlay: not on a Monday").unwrap();
    assert_eq!(kind_of_root(&ground, &[]), "fuse.fuse-overlayfs");
    let out = ground.sh(&["--explain"], "true");
    let why = "since the kernel's overlay does not work here: mount overlay: not on a Monday";
    assert!(out.stderr.lines().any(|l| l.starts_with("chosen  storage: /") && l.ends_with(why)), "{}", out.stderr);
    let mut command = ground.lc(["run", "--rm", "--storage", "overlay", "--rootfs"]);
    let out = outcome(command.arg(ground.rootfs()).arg("true"));
    assert_advice(&out, 125, &["--storage overlay does not work here: mount overlay: not on a Monday"]);
    let mut command = ground.lc(["run", "--name", "told", "--rootfs"]);
    assert_eq!(outcome(command.arg(ground.rootfs()).arg("true")).status, 0);
    let choices = ground.containers()[0]["choices"].to_string();
    assert!(choices.contains(why), "{choices}");
}

#[test]
fn without_both_the_image_is_copied_with_a_note() {
    let ground = ground!(Need::Root, Need::Fuse, Need::Program("setpriv"));
    fs::write(probe_memory(&ground), "mount overlay: not today").unwrap();
    let fuse = fs::canonicalize(support::find("fuse-overlayfs").unwrap()).unwrap();
    let script = format!(
        "mount --bind /dev/null {}; exec setpriv --reuid {} --regid {} --clear-groups $0 run --rm --rootfs $1 sh -c 'echo x > /x; cat /x'",
        fuse.display(),
        ground.user.uid,
        ground.user.gid
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-ec", &script]).arg(support::program()).arg(ground.rootfs());
    command.env("HOME", ground.path("home")).env("XDG_RUNTIME_DIR", ground.path("run"));
    let out = outcome(&mut command);
    assert_eq!((out.status, out.stdout.as_str()), (0, "x\n"), "{out:?}");
    let note = "note: copying the image for this container: the kernel's overlay does not work here (mount overlay: not today), \
                nor does fuse-overlayfs (fuse-overlayfs is not installed (package fuse-overlayfs))";
    assert!(out.stderr.contains(note), "{out:?}");
    assert!(!ground.rootfs().join("x").exists());
}

#[test]
fn when_the_fuse_program_dies_the_container_ends_with_a_clear_line() {
    let ground = ground!(Need::Fuse);
    let mut command = ground.lc(["run", "--name", "fused", "--storage", "fuse-overlayfs", "--rootfs"]);
    command.arg(ground.rootfs()).args(["sh", "-c", "echo begun; exec sleep 1000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    let fuse = ground.left_processes().into_iter().find(|l| l.contains("/fuse-overlayfs -f")).unwrap();
    let pid: i32 = fuse.split(' ').next().unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let out = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(125), "{told}");
    assert!(
        told.contains("little-container: error: fuse-overlayfs, which held the root file system, has died"),
        "{told}"
    );
    assert!(told.contains("  fix ("), "{told}");
    assert_eq!(ground.left_processes(), [""; 0]);
}

#[test]
fn nothing_shows_in_the_mounts_of_the_machine() {
    let ground = ground!(Need::Fuse);
    let table =
        || fs::read_to_string("/proc/self/mountinfo").unwrap().lines().filter(|l| l.contains("/lc-test-")).count();
    for (driver, _) in DRIVERS {
        let flags = ["--rm", "--storage", driver, "-v", "/usr:/machine", "--tmpfs", "/more"];
        let running = ground.running(&flags);
        assert_eq!(table(), 0, "{driver}");
        drop(running);
        // And what is mounted on the machine does not come in: no mount is anybody's peer or follower.
        let inside = ground.says(&flags[1..], "cat /proc/self/mountinfo");
        assert!(!inside.contains("shared:") && !inside.contains("master:"), "{inside}");
        assert!(!inside.contains(&format!("{}/mnt", ground.store().display())), "{inside}");
    }
    assert_eq!(ground.sh(&[], "true").status, 0);
}

#[test]
fn nothing_of_the_machines_root_is_within_reach() {
    let ground = ground!();
    let secret = ground.file("secret", "s3cret");
    let path = secret.display();
    let script =
        format!("cat {path} /proc/1/root{path} /proc/self/cwd/..{path} /../..{path}; ls -A /oldroot /.old /mnt; ls /");
    let out = ground.sh(&[], &script);
    assert!(!out.stdout.contains("s3cret"), "{out:?}");
    let names = "bin\ndev\netc\nhome\nproc\nroot\nsys\ntmp\n";
    assert_eq!(out.stdout, names);
}

#[test]
fn missing_mount_points_are_made_and_never_on_the_machine() {
    let ground = ground!(Need::Fuse);
    let root = ground.bare_root("bare", &["sh", "ls", "stat", "cat", "wc"]);
    let before = picture(&root);
    for (driver, _) in DRIVERS {
        let mut command = ground.lc([
            "run",
            "--rm",
            "--storage",
            driver,
            "-v",
            "/usr:/deep/er/usr",
            "--tmpfs",
            "/t/t",
            "-w",
            "/w/w",
            "--rootfs",
        ]);
        let out = outcome(command.arg(&root).args([
            "sh",
            "-c",
            "ls /; stat -c %a /deep /etc /proc /w/w; ls /etc; wc -l < /etc/hosts",
        ]));
        let names = "bin\ndeep\ndev\netc\nproc\nsys\nt\nw\n";
        assert_eq!(
            out.stdout,
            format!("{names}755\n755\n555\n755\nhostname\nhosts\nresolv.conf\n5\n"),
            "{driver}: {out:?}"
        );
        assert_eq!(picture(&root), before, "{driver}");
    }
}

#[test]
fn a_root_that_belongs_to_another_can_be_used() {
    let ground = ground!(Need::Root);
    let root = ground.bare_root("theirs", &["sh", "ls", "touch", "rm", "mkdir", "cat"]);
    fs::create_dir_all(root.join("srv/in")).unwrap();
    fs::write(root.join("srv/in/file"), "old\n").unwrap();
    for entry in walk(&root) {
        std::os::unix::fs::lchown(&entry, Some(0), Some(0)).unwrap();
    }
    let before = picture(&root);
    let mut command = ground.lc(["run", "--rm", "--rootfs"]);
    let script =
        "touch /new /srv/in/new && rm /srv/in/file && mkdir /etc/more && ls /srv/in && cat /etc/hostname > /srv/x";
    let out = outcome(command.arg(&root).args(["sh", "-c", script]));
    assert_eq!((out.status, out.stdout.as_str()), (0, "new\n"), "{out:?}");
    assert_eq!(picture(&root), before);
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn resolv_conf_hosts_and_hostname_are_fresh() {
    let ground = ground!();
    let root = ground.rootfs();
    // As many images have it: a link that leads nowhere.
    std::os::unix::fs::symlink("/run/systemd/resolve/stub-resolv.conf", root.join("etc/resolv.conf")).unwrap();
    fs::write(root.join("etc/hosts"), "192.0.2.1 old\n").unwrap();
    ground.own_all(&root);
    let before = picture(&root);
    let own = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert_eq!(ground.says(&[], "cat /etc/resolv.conf"), own);
    let hosts =
        ground.says(&["--hostname", "h1"], "cat /etc/hosts; echo '192.0.2.2 more' >> /etc/hosts; tail -n1 /etc/hosts");
    assert!(hosts.starts_with("127.0.0.1\tlocalhost h1\n") && hosts.ends_with("192.0.2.2 more\n"), "{hosts}");
    assert!(!hosts.contains("old"));
    assert_eq!(picture(&root), before);
    assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap_or_default(), own);
}

#[test]
fn images_that_put_a_link_or_a_file_in_place_of_a_mount_are_refused() {
    let ground = ground!();
    for name in ["proc", "sys", "dev"] {
        for target in ["/tmp", "/", "../../../../tmp", "/nowhere"] {
            let root = ground.bare_root(&format!("{name}-link"), &["sh"]);
            fs::create_dir(root.join("tmp")).unwrap();
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
            ground.own_all(&root);
            let mut command = ground.lc(["run", "--rm", "--rootfs"]);
            let out = outcome(command.arg(&root).args(["sh", "-c", "echo ran"]));
            if target == "/nowhere" {
                // A link to nothing: a folder takes its place, in the container's own layer.
                assert_eq!(out.stdout, "ran\n", "{name}: {out:?}");
            } else {
                assert_error(&out, 125, &[&format!("the image has a link in the place of /{name}")]);
            }
            assert_eq!(fs::read_link(root.join(name)).unwrap(), Path::new(target));
            fs::remove_dir_all(root).unwrap();
        }
        let root = ground.bare_root(&format!("{name}-file"), &["sh"]);
        fs::write(root.join(name), "x").unwrap();
        ground.own_all(&root);
        let mut command = ground.lc(["run", "--rm", "--rootfs"]);
        assert_error(&outcome(command.arg(&root).args(["sh", "-c", "echo ran"])), 125, &[&format!("/{name}")]);
    }
    assert_eq!(ground.leftovers(), [""; 0]);
}
