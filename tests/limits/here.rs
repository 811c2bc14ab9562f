//! This machine, where its cgroups are those of v1, or a hybrid of both.

use crate::kit::{assert_advice, assert_error};
use crate::support::{Ground, Outcome, outcome};
use std::path::Path;

/// A ground on such a machine. On others there is nothing to show, and other tests show what they do.
fn old_ground() -> Option<Ground> {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        eprintln!("skipped: this machine has pure cgroup v2");
        return None;
    }
    Ground::new(&[])
}

/// The line that is about a flag.
#[track_caller]
fn line<'a>(out: &'a Outcome, flag: &str) -> &'a str {
    let found = out.stderr.lines().find(|l| l.contains(flag));
    found.unwrap_or_else(|| panic!("no word of {flag}: {}", out.stderr))
}

#[test]
fn a_limit_is_refused_with_the_administrators_remedy() {
    let Some(ground) = old_ground() else { return };
    for limit in [["--memory", "64m"], ["--cpus", "0.5"], ["--pids-limit", "50"]] {
        let out = ground.sh(&limit, "echo ran");
        let parts = [limit[0], "systemd.unified_cgroup_hierarchy=1", "\n  fix (an administrator, once): "];
        assert_advice(&out, 125, &parts);
        assert!(out.stderr.contains("hybrid") || out.stderr.contains("cgroup v1"), "{}", out.stderr);
        assert_eq!(out.stdout, "");
    }
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn no_word_about_limits_when_none_was_asked_for() {
    let Some(ground) = old_ground() else { return };
    let out = ground.sh(&[], "echo ran");
    assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (0, "ran\n", ""));
}

#[test]
fn best_effort_does_what_it_can_and_says_so() {
    let Some(ground) = old_ground() else { return };
    let mut command = ground.lc(["run", "--name", "effort", "--limits", "best-effort"]);
    command.args(crate::THREE).arg("--rootfs").arg(ground.rootfs());
    let script = "grep Cpus_allowed_list /proc/self/status; grep 'Max processes' /proc/self/limits";
    let out = outcome(command.args(["sh", "-c", script]));
    assert_eq!(out.status, 0, "{out:?}");
    let words: Vec<&str> = out.stdout.split_whitespace().collect();
    // "Cpus_allowed_list: 1", "Max processes 50 50 processes"
    assert!(words[1].parse::<u32>().is_ok(), "not one CPU: {}", out.stdout);
    assert_eq!(words[2..5], ["Max", "processes", "50"], "{}", out.stdout);
    assert!(line(&out, "--memory").contains("not"), "{}", out.stderr);
    line(&out, "--cpus");
    line(&out, "--pids-limit");
    let told: serde_json::Value = serde_json::from_str(&ground.ok(["inspect", "effort"])).unwrap();
    let limits = told[0]["Limits"].as_array().unwrap();
    let how = |flag: &str| limits.iter().find(|l| l["Limit"] == flag).unwrap()["How"].clone();
    assert_eq!([how("--memory"), how("--cpus"), how("--pids-limit")], ["none", "affinity", "rlimit"]);
    ground.ok(["rm", "effort"]);
}

#[test]
fn a_group_cannot_be_asked_for_either() {
    let Some(ground) = old_ground() else { return };
    assert_error(&ground.sh(&["--cgroups", "systemd"], "echo ran"), 125, &["--cgroups"]);
    assert_eq!(ground.sh(&["--cgroups", "disabled"], "echo ran").status, 0);
}
