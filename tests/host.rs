//! The image `host`: this machine's own programs, copy-on-write, and nothing else of it.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use kit::assert_advice;
use std::{fs, path::Path};
use support::{Ground, Need, Outcome, outcome};

/// `run --rm FLAGS host sh -c SCRIPT`, by the machine's own shell.
fn host(ground: &Ground, flags: &[&str], script: &str) -> Outcome {
    let mut command = ground.lc(["run", "--rm"]);
    outcome(command.args(flags).args(["--image", "host", "/bin/sh", "-c", script]))
}

#[track_caller]
fn says(ground: &Ground, flags: &[&str], script: &str) -> String {
    let out = host(ground, flags, script);
    assert_eq!((out.status, out.stderr.as_str()), (0, ""), "{out:?}");
    out.stdout
}

const DRIVERS: [&str; 2] = ["overlay", "fuse-overlayfs"];

#[test]
fn the_machines_programs_run() {
    let ground = ground!(Need::Fuse);
    let own = fs::read_to_string("/etc/os-release").unwrap();
    let size = fs::metadata(support::find("busybox").unwrap()).unwrap().len();
    for driver in DRIVERS {
        assert_eq!(says(&ground, &["--storage", driver], "cat /etc/os-release"), own, "{driver}");
        let busybox = support::find("busybox").unwrap();
        let script = format!("stat -c %s {}; id -u; echo $$", busybox.display());
        assert_eq!(says(&ground, &["--storage", driver], &script), format!("{size}\n0\n1\n"), "{driver}");
    }
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn nothing_else_of_the_machine_is_there() {
    let ground = ground!();
    let secret = ground.file("secret", "x");
    let script = format!(
        "ls -A /home /root /tmp /var/tmp /mnt /srv /var/lib /var/log; test -e {} || echo none",
        secret.display()
    );
    let empty = "/home:\n\n/mnt:\n\n/root:\n\n/srv:\n\n/tmp:\n\n/var/lib:\n\n/var/log:\n\n/var/tmp:\nnone\n";
    assert_eq!(says(&ground, &[], &script), empty);
    let expected: Vec<String> = [
        "bin", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "mnt", "opt", "proc", "root", "run", "sbin",
        "srv", "sys", "tmp", "usr", "var",
    ]
    .iter()
    .filter(|n| Path::new("/").join(n).exists() || ["home", "mnt", "srv", "root", "run"].contains(n))
    .map(|n| format!("{n}\n"))
    .collect();
    assert_eq!(says(&ground, &[], "ls -A /"), expected.concat());
    assert_eq!(
        says(&ground, &[], "stat -c '%a %n' /tmp /var/tmp /root /home"),
        "1777 /tmp\n1777 /var/tmp\n700 /root\n755 /home\n"
    );
}

#[test]
fn files_are_made_replaced_and_removed_inside_only() {
    let ground = ground!(Need::Fuse);
    let victim = "/etc/os-release";
    let own = fs::read_to_string(victim).unwrap();
    let busybox = support::find("busybox").unwrap().display().to_string();
    let mut before: Vec<_> = fs::read_dir("/usr/local/bin").unwrap().map(|e| e.unwrap().file_name()).collect();
    for driver in DRIVERS {
        let script = format!(
            "set -e; printf '#!/bin/sh\\necho tool\\n' > /usr/local/bin/lc-tool; chmod +x /usr/local/bin/lc-tool; lc-tool
             mkdir -p /usr/local/lib/lc-new/deep /opt/lc-new /etc/lc-new; echo x > /etc/lc-new/x; cat /etc/lc-new/x
             rm {victim}; echo mine > {victim}; cat {victim}
             rm {busybox}; test ! -e {busybox}; echo home > /root/file; mkdir /home/me; touch /home/me/x; ls /home/me"
        );
        assert_eq!(says(&ground, &["--storage", driver], &script), "tool\nx\nmine\nx\n", "{driver}");
        assert_eq!(fs::read_to_string(victim).unwrap(), own);
        assert!(Path::new(&busybox).exists());
        for path in ["/usr/local/bin/lc-tool", "/usr/local/lib/lc-new", "/opt/lc-new", "/etc/lc-new", "/root/file"] {
            assert!(!Path::new(path).exists(), "{path}");
        }
        // The next container sees the machine as it is.
        assert_eq!(says(&ground, &["--storage", driver], &format!("cat {victim}; ls /root")), own);
    }
    before.sort();
    let mut after: Vec<_> = fs::read_dir("/usr/local/bin").unwrap().map(|e| e.unwrap().file_name()).collect();
    after.sort();
    assert_eq!(before, after);
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn a_bound_folder_is_what_work_is_done_in() {
    let ground = ground!();
    ground.file("in.txt", "b\na\n");
    let out = says(&ground, &["-v", ".:/work", "-w", "/work"], "sort in.txt > out.txt; pwd");
    assert_eq!(out, "/work\n");
    assert_eq!(fs::read_to_string(ground.path("work/out.txt")).unwrap(), "a\nb\n");
}

#[test]
fn it_runs_without_a_range_and_as_any_user() {
    let ground = ground!();
    assert_eq!(says(&ground, &["--userns", "single"], "id -u; echo x > /usr/lib/lc-x; cat /usr/lib/lc-x"), "0\nx\n");
    let Some(nameless) = Ground::nameless(&[]) else { return };
    let out = host(&nameless, &["--userns", "keep-id"], "id -u; echo x > /tmp/x; cat /tmp/x");
    assert_eq!((out.status, out.stdout.as_str()), (0, "54321\nx\n"), "{out:?}");
}

#[test]
fn the_whole_machine_is_not_copied() {
    let ground = ground!();
    let out = host(&ground, &["--storage", "copy"], "true");
    assert_advice(&out, 125, &["the image host cannot be copied, for it is this whole machine"]);
    let out = ground.end(["import", "host", "."]);
    assert_advice(&out, 1, &["the name host stands for this machine's own programs"]);
}
