//! `-v`, `--tmpfs`, `--read-only`, and images that try to lead a mount or a folder astray.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use kit::{assert_advice, assert_error};
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, symlink},
    },
    path::{Path, PathBuf},
};
use support::{Ground, Need, Outcome, outcome, walk};

/// A folder of the user's with a file in it.
fn folder(ground: &Ground, name: &str) -> PathBuf {
    let path = ground.path("work").join(name);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("file"), "from the machine\n").unwrap();
    ground.own_all(&path);
    path
}

fn with(ground: &Ground, flags: &[&str], script: &str) -> Outcome {
    ground.sh(flags, script)
}

#[test]
fn folders_are_bound_for_writing_or_for_reading_only() {
    let ground = ground!();
    let data = folder(&ground, "data");
    let bind = format!("{}:/data", data.display());
    assert_eq!(
        ground.says(&["-v", &bind], "cat /data/file; echo new > /data/new; rm /data/file; ls /data"),
        "from the machine\nnew\n"
    );
    assert_eq!(fs::read_to_string(data.join("new")).unwrap(), "new\n");
    assert_eq!(fs::metadata(data.join("new")).unwrap().uid(), ground.user.uid);
    assert!(!data.join("file").exists());
    let out = with(&ground, &["-v", &format!("{bind}:ro")], "cat /data/new; echo x > /data/x");
    assert_eq!((out.status, out.stdout.as_str()), (1, "new\n"));
    assert!(out.stderr.contains("Read-only file system"), "{out:?}");
    assert_eq!(ground.says(&["-v", &format!("{bind}:rw")], "echo y > /data/y; cat /data/y"), "y\n");
    // The root itself stays writable, and nothing remains of the mount point.
    assert!(!ground.rootfs().join("data").exists());
}

#[test]
fn files_are_bound_too() {
    let ground = ground!();
    let file = ground.file("note", "one\n");
    let bind = |target: &str| format!("{}:{target}", file.display());
    assert_eq!(ground.says(&["-v", &bind("/etc/deep/note")], "cat /etc/deep/note; echo two > /etc/deep/note"), "one\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), "two\n");
    assert_eq!(ground.says(&["-v", &bind("/etc/passwd:ro")], "cat /etc/passwd"), "two\n");
    let out = with(&ground, &["-v", &bind("/etc/passwd:ro")], "echo x > /etc/passwd");
    assert!(out.stderr.contains("Read-only file system"), "{out:?}");
    assert!(!ground.rootfs().join("etc/deep").exists());
}

#[test]
fn sources_may_be_relative_or_links() {
    let ground = ground!();
    let data = folder(&ground, "data");
    symlink(&data, ground.path("work/link")).unwrap();
    for source in ["data", "./data", "link", "../work/data/."] {
        assert_eq!(ground.says(&["-v", &format!("{source}:/d")], "cat /d/file"), "from the machine\n", "{source}");
    }
    assert_eq!(ground.says(&["-v", ".:/w", "-w", "/w"], "ls"), "data\nlink\n");
    let mut flag = OsString::from("odd");
    flag.push(OsStr::from_bytes(b"\xff"));
    folder(&ground, "x");
    fs::rename(ground.path("work/x"), ground.path("work").join(&flag)).unwrap();
    flag.push(":/d");
    let mut command = ground.lc(["run", "--rm", "-v"]);
    let out = outcome(command.arg(flag).arg("--rootfs").arg(ground.rootfs()).args(["cat", "/d/file"]));
    assert_eq!(out.stdout, "from the machine\n", "{out:?}");
}

#[test]
fn the_outer_place_is_mounted_before_the_inner_one() {
    let ground = ground!();
    folder(&ground, "inner");
    let outer = folder(&ground, "outer");
    fs::create_dir(outer.join("in")).unwrap();
    fs::create_dir(ground.path("work/inner/memory")).unwrap();
    let flags = ["-v", "inner:/o/in", "--tmpfs", "/o/in/memory", "-v", "outer:/o"];
    assert_eq!(ground.says(&flags, "ls /o /o/in; echo x > /o/in/memory/x"), "/o:\nfile\nin\n\n/o/in:\nfile\nmemory\n");
    assert_eq!(fs::read_dir(ground.path("work/inner/memory")).unwrap().count(), 0);
}

#[test]
fn a_read_only_bind_is_so_all_the_way_down() {
    let ground = ground!(Need::Root, Need::Program("setpriv"));
    let data = folder(&ground, "data");
    fs::create_dir(data.join("below")).unwrap();
    let script = format!(
        "mount -t tmpfs -o mode=777 x data/below; echo deep > data/below/file; exec setpriv --reuid {} --regid {} --clear-groups \
         $0 run --rm -v data:/d:ro --rootfs $1 sh -c 'cat /d/below/file; echo x > /d/below/x'",
        ground.user.uid, ground.user.gid
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-ec", &script]).arg(support::program()).arg(ground.rootfs());
    command
        .env("HOME", ground.path("home"))
        .env("XDG_RUNTIME_DIR", ground.path("run"))
        .current_dir(ground.path("work"));
    let out = outcome(&mut command);
    assert_eq!((out.status, out.stdout.as_str()), (1, "deep\n"), "{out:?}");
    assert!(out.stderr.contains("Read-only file system"), "{out:?}");
}

#[test]
fn a_file_is_no_folder() {
    let ground = ground!();
    folder(&ground, "data");
    ground.file("note", "x");
    for (flag, part) in [
        ("data:/etc/passwd", "the source is a folder, but in the image /etc/passwd is a file"),
        ("note:/etc", "the source is a file, but in the image /etc is a folder"),
    ] {
        assert_error(&with(&ground, &["-v", flag], "true"), 125, &[part]);
    }
    let out = with(&ground, &["-v", "gone:/x"], "true");
    assert_advice(
        &out,
        125,
        &["-v gone:/x: No such file or directory", "nothing is made on the machine", "mkdir -p gone"],
    );
    assert!(!ground.path("work/gone").exists());
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn memory_is_mounted_as_asked() {
    let ground = ground!();
    let at = "grep ' /m ' /proc/self/mounts; stat -c %a /m";
    let plain = ground.says(&["--tmpfs", "/m"], at);
    assert!(plain.starts_with("tmpfs /m tmpfs rw,nosuid,nodev,noexec,") && plain.ends_with("\n1777\n"), "{plain}");
    let all = ground.says(&["--tmpfs", "/m:size=64k,mode=750,exec"], at);
    assert!(all.contains("size=64k") && !all.contains("noexec") && all.ends_with("\n750\n"), "{all}");
    let out = with(&ground, &["--tmpfs", "/m:ro"], "touch /m/x");
    assert!(out.stderr.contains("Read-only file system"), "{out:?}");
    let out = with(&ground, &["--tmpfs", "/m:size=64k"], "head -c 100000 /dev/zero > /m/x; wc -c < /m/x");
    assert_eq!(out.stdout, "65536\n");
    let run = "cp /bin/busybox /m/sh; /m/sh -c 'echo ran'";
    assert_eq!(ground.says(&["--tmpfs", "/m:exec"], run), "ran\n");
    assert_eq!(with(&ground, &["--tmpfs", "/m"], run).status, 126);
    // What the image has there is covered, not lost.
    assert_eq!(ground.says(&["--tmpfs", "/etc"], "ls /etc"), "");
}

#[test]
fn a_read_only_root_has_writable_places() {
    let ground = ground!(Need::Fuse);
    folder(&ground, "data");
    for driver in ["overlay", "fuse-overlayfs", "copy"] {
        let flags = ["--read-only", "--storage", driver, "-v", "data:/new/data", "--tmpfs", "/new/tmp", "-w", "/new/w"];
        let script = "touch /x; touch /etc/x; rm /bin/sh; echo a > /new/data/a && echo b > /new/tmp/b && echo c > /dev/shm/c && pwd";
        let out = with(&ground, &flags, script);
        assert_eq!((out.status, out.stdout.as_str()), (0, "/new/w\n"), "{driver}: {out:?}");
        assert_eq!(out.stderr.matches("Read-only file system").count(), 3, "{driver}: {out:?}");
    }
}

/// Everything of the machine that an image might try to reach, as it is now.
fn victims(ground: &Ground) -> Vec<String> {
    walk(&ground.path("work"))
        .iter()
        .map(|p| format!("{} {:?}", p.display(), fs::symlink_metadata(p).unwrap().modified()))
        .collect()
}

#[test]
fn a_link_of_the_image_leads_nowhere_outside() {
    let ground = ground!();
    let root = ground.rootfs();
    folder(&ground, "source");
    let victim = folder(&ground, "victim");
    let outside = victim.display().to_string();
    fs::remove_dir_all(root.join("etc")).unwrap();
    symlink("/tmp", root.join("etc")).unwrap();
    symlink(&outside, root.join("absolute")).unwrap();
    symlink(format!("../../../../../../../..{outside}"), root.join("relative")).unwrap();
    ground.own_all(&root);
    let before = victims(&ground);
    let look = |link: &str, place: &str| {
        let flag = format!("source:/{link}/new");
        ground.says(&["-v", &flag, "-w", &format!("/{link}")], &format!("cat {place}/new/file; pwd; ls -A {place}"))
    };
    // Inside they lead nowhere: a folder takes the place of the link, in the container's own layer.
    for link in ["absolute", "relative"] {
        assert_eq!(look(link, &format!("/{link}")), format!("from the machine\n/{link}\nnew\n"));
    }
    // Where the image has such a path they stay below the root, `..` and all.
    fs::create_dir_all(root.join(&outside[1..])).unwrap();
    ground.own_all(&root.join("tmp"));
    for link in ["absolute", "relative"] {
        assert_eq!(look(link, &outside), format!("from the machine\n{outside}\nnew\n"));
    }
    fs::remove_dir_all(root.join(outside[1..].split('/').take(2).collect::<PathBuf>())).unwrap();
    // /etc is /tmp here; our own files go there as well.
    assert_eq!(
        ground.says(&["-v", "source:/etc/x"], "ls /tmp; cat /etc/x/file"),
        "hostname\nhosts\nresolv.conf\nx\nfrom the machine\n"
    );
    assert_eq!(victims(&ground), before);
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    assert!(!Path::new("/tmp/x").exists());
}

#[test]
fn magic_links_of_proc_are_not_followed() {
    let ground = ground!();
    let root = ground.rootfs();
    let secret = folder(&ground, "source").join("file");
    for n in 3..12 {
        symlink(format!("/proc/self/fd/{n}"), root.join(format!("fd{n}"))).unwrap();
    }
    symlink("/proc/1/root", root.join("root-link")).unwrap();
    symlink("/proc/self/cwd", root.join("cwd-link")).unwrap();
    ground.own_all(&root);
    let before = victims(&ground);
    let mut places: Vec<String> = (3..12).map(|n| format!("/fd{n}")).collect();
    places.extend((3..12).map(|n| format!("/proc/self/fd/{n}")));
    places
        .extend(["/root-link", "/cwd-link", "/proc/self/root", "/proc/self/cwd", "/proc/1/root/tmp"].map(String::from));
    for place in places {
        // By -w a descriptor of the machine would become the working directory (CVE-2024-21626).
        let mut command = ground.lc(["run", "--rm", "-w", &place, "--rootfs"]);
        let look = format!("ls -A; cat ../../../../../..{}", secret.display());
        let out = outcome(command.arg(&root).args(["sh", "-c", &look]));
        // A descriptor that is not there is a link to nothing, in whose place an empty folder is made inside.
        if !(place.starts_with("/fd") && out.status == 1) {
            assert_error(&out, 125, &[&format!("change to {place}")]);
        }
        assert_eq!(out.stdout, "", "{place}");
        if !place.starts_with("/fd") {
            let out = with(&ground, &["-v", &format!("source:{place}/x")], "true");
            assert_error(&out, 125, &[&format!("on {place}/x")]);
        }
    }
    assert_eq!(victims(&ground), before);
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn a_bound_folder_is_left_as_it_was() {
    let ground = ground!();
    let data = folder(&ground, "data");
    fs::create_dir(data.join("there")).unwrap();
    ground.own_all(&data);
    ground.file("note", "x");
    let before = victims(&ground);
    // A mount point that would have to be made in the user's own folder is an error, not a new folder of theirs.
    for inner in [&["--tmpfs", "/d/m"][..], &["-v", "data:/d/m"], &["-v", "note:/d/n"], &["--tmpfs", "/d/there/m/m"]] {
        let out = with(&ground, &[&["-v", "data:/d"], inner].concat(), "true");
        assert_advice(
            &out,
            125,
            &[" is not there", "in a folder of the machine, where nothing is made", "fix (you): make it"],
        );
        assert_eq!(victims(&ground), before, "{inner:?}");
    }
    let flags = ["-v", "data:/d", "--tmpfs", "/d/there", "-v", "note:/d/there/n", "-v", "note:/d/file", "-w", "/d"];
    assert_eq!(ground.says(&flags, "cat file there/n; ls there"), "xxn\n");
    assert_eq!(victims(&ground), before);
    assert_eq!(ground.leftovers(), [""; 0]);
}
