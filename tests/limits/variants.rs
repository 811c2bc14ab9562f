//! Machines that lack something: a limit works there, or is refused with the cause and the remedy.
//!
//! `LITTLE_CONTAINER_TEST_VARIANTS=all` adds the rarer ones.

use crate::{
    THREE, THREE_FILES, assert_ran, assert_three,
    kit::{assert_advice, assert_error},
    started::sleeper,
    support::{Outcome, bed::Bed},
};

/// Who can mend it, and where.
const ADMINISTRATOR: &str = "\n  fix (an administrator, once): ";
const DROP_IN: &str = "/etc/systemd/system/user@.service.d/";

/// Whether this is a run with the rarer machines; says so where it is not.
fn is_rare_wanted() -> bool {
    let wanted = std::env::var("LITTLE_CONTAINER_TEST_VARIANTS").as_deref() == Ok("all");
    if !wanted {
        eprintln!("skipped: a rarer machine; LITTLE_CONTAINER_TEST_VARIANTS=all");
    }
    wanted
}

/// Nothing ran, nothing is left, and without a limit there is not a word of all this.
#[track_caller]
fn assert_refused(bed: &Bed, flags: &[&str], parts: &[&str]) {
    let out = bed.run(flags, "echo ran");
    assert_advice(&out, 125, parts);
    assert_eq!(out.stdout, "");
    assert_silent(bed);
    bed.assert_nothing_left();
}

#[track_caller]
fn assert_silent(bed: &Bed) {
    assert_ran(&bed.run(&[], "echo ran"), "ran\n");
}

/// The line of stderr that is about a flag.
#[track_caller]
fn line<'a>(out: &'a Outcome, flag: &str) -> &'a str {
    let found = out.stderr.lines().find(|l| l.contains(flag));
    found.unwrap_or_else(|| panic!("no word of {flag}: {}", out.stderr))
}

/// Everything of it: a start, an update, an end.
#[track_caller]
fn assert_works(bed: &Bed) {
    assert_three(bed);
    let running = sleeper(bed, "works", "--rm --memory 64m");
    let out = bed.lc(&["update", "--memory", "128m", "works"]);
    assert_eq!((out.status, out.stderr.as_str()), (0, ""), "{out:?}");
    assert_eq!(running.file("memory.max"), "134217728");
    running.remove();
    assert_silent(bed);
    bed.assert_nothing_left();
}

/// Ubuntu 22.04: systemd takes CPUQuota there and does nothing.
#[test]
fn no_cpu_controller() {
    let bed = bed!("nocpu");
    let script = "cat /sys/fs/cgroup/memory.max";
    assert_ran(&bed.run(&["--memory", "64m"], script), "67108864\n");
    let parts = ["--cpus", "the cpu controller", "delegated", "Delegate=", DROP_IN, ADMINISTRATOR];
    assert_refused(&bed, &["--cpus", "0.5"], &parts);
    assert_refused(&bed, &THREE, &parts);
    assert_refused(&bed, &["--cpu-weight", "50"], &["--cpu-weight", "the cpu controller", DROP_IN]);
    let out = bed.run(&["--limits", "best-effort", "--cpus", "0.5"], "grep Cpus_allowed_list /proc/self/status");
    assert_eq!((out.status, out.stdout.as_str()), (0, "Cpus_allowed_list:\t0\n"), "{out:?}");
    line(&out, "--cpus");
    // What can be held is held, and needs no word.
    let out = bed.run(&["--limits", "best-effort", "--cpus", "0.5", "--memory", "64m"], script);
    assert_eq!((out.status, out.stdout.as_str()), (0, "67108864\n"), "{out:?}");
    assert!(!out.stderr.contains("--memory"), "{}", out.stderr);
    line(&out, "--cpus");
    bed.assert_nothing_left();
}

#[test]
fn an_update_of_what_cannot_be_held() {
    let bed = bed!("nocpu");
    let running = sleeper(&bed, "held", "--memory 64m");
    assert_error(&bed.lc(&["update", "--memory", "128m", "--cpus", "0.5", "held"]), 1, &["--cpus", "cpu"]);
    assert_eq!(running.file("memory.max"), "67108864");
    running.remove();
    bed.assert_nothing_left();
}

#[test]
fn no_controller_at_all() {
    let bed = bed!("nocontrollers");
    for (limit, controller) in [(["--memory", "64m"], "memory"), (["--cpus", "0.5"], "cpu")] {
        let named = format!("the {controller} controller");
        assert_refused(&bed, &limit, &[limit[0], &named, "delegated", "Delegate=", DROP_IN, ADMINISTRATOR]);
    }
    let out = bed.run(&[&["--limits", "best-effort"], &THREE[..]].concat(), "echo ran");
    assert_eq!((out.status, out.stdout.as_str()), (0, "ran\n"), "{out:?}");
    assert!(line(&out, "--memory").contains("not"), "{}", out.stderr);
    bed.assert_nothing_left();
}

#[test]
fn no_user_manager() {
    let bed = bed!("nomanager");
    assert_refused(&bed, &["--memory", "64m"], &["--memory", "systemd --user", "loginctl enable-linger"]);
    let out = bed.run(&[&["--limits", "best-effort"], &THREE[..]].concat(), "echo ran");
    assert_eq!((out.status, out.stdout.as_str()), (0, "ran\n"), "{out:?}");
    assert!(line(&out, "--memory").contains("not"), "{}", out.stderr);
}

/// systemd's own socket answers all the same.
#[test]
fn no_bus() {
    let bed = bed!("nodbus");
    assert_eq!(bed.says("ls /run/user/1000/bus 2>/dev/null || echo none"), "none\n");
    assert_works(&bed);
}

/// From cron, or a batch system: the manager is there, and no variable leads to it.
#[test]
fn no_session() {
    let bed = bed!();
    assert_ran(&bed.sessionless_sh(crate::RUN_THREE), THREE_FILES);
    assert_ran(&bed.sessionless_sh("little-container run --rm --rootfs $ROOTFS echo ran"), "ran\n");
    bed.assert_nothing_left();
}

/// su(1) from root keeps variables that lead to root's manager.
#[test]
fn the_session_of_somebody_else() {
    let bed = bed_with_root!("");
    let script = format!("export ROOTFS={}; cd /; exec su student -c '{}'", bed.rootfs(), crate::RUN_THREE);
    assert_ran(&bed.root_sh(&script), THREE_FILES);
    bed.assert_nothing_left();
}

/// A Slurm step, a service with Delegate=: a group of our own in it, and no D-Bus. The shell itself sits in that group.
#[test]
fn a_group_that_somebody_else_delegated() {
    let bed = bed_with_root!("");
    let running = "little-container run --rm --name inner --memory 64m --rootfs $ROOTFS sh -c 'echo ready; sleep 2' >out & \
                   for n in $(seq 50); do grep -q ready out && break; sleep 0.1; done; cut -d: -f3 /proc/$(pgrep -f '^sleep 2')/cgroup; wait";
    let inside = format!(
        "cd; own=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); {three}; {three}; {running}
        find $own -mindepth 1 -type d; XDG_RUNTIME_DIR=/run/user/1000 systemctl --user list-units --all --plain --no-legend 'little-container-*'",
        three = crate::RUN_THREE
    );
    let out = bed.root_sh(&format!(
        "cat >/tmp/inside <<'EOF'\nexport ROOTFS={}\n{inside}\nEOF\n\
         systemd-run -q --uid=student -p Delegate=yes --pipe --wait --collect --unit=theirs sh /tmp/inside",
        bed.rootfs()
    ));
    let rest = out.stdout.strip_prefix(&THREE_FILES.repeat(2)).unwrap_or_else(|| panic!("{out:?}"));
    let lines: Vec<&str> = rest.lines().collect();
    // The group into which the shell had to go stays: the shell is in it.
    let [group, callers] = lines[..] else { panic!("something is left: {out:?}") };
    assert_eq!(callers, "/sys/fs/cgroup/system.slice/theirs.service/little-container-callers");
    assert!(group.starts_with("/system.slice/theirs.service/"), "{group}");
    bed.assert_nothing_left();
}

/// There as well, a slice is systemd's.
#[test]
fn a_slice_although_somebody_else_delegated() {
    let bed = bed_with_root!("");
    let flags = "--rm --cgroup-parent mine.slice --memory 64m --rootfs $ROOTFS cat /sys/fs/cgroup/memory.max";
    let out = bed.root_sh(&format!(
        "systemd-run -q --uid=student -p Delegate=yes --pipe --wait --collect --setenv=ROOTFS={} \
         sh -c 'cd; little-container run {flags}'",
        bed.rootfs()
    ));
    assert_ran(&out, "67108864\n");
    bed.assert_nothing_left();
}

/// There, systemd can still be asked for.
#[test]
fn a_scope_although_somebody_else_delegated() {
    let bed = bed_with_root!("");
    let flags = "--rm --cgroups systemd --memory 64m --rootfs $ROOTFS cat /sys/fs/cgroup/memory.max";
    let out = bed.root_sh(&format!(
        "systemd-run -q --uid=student -p Delegate=yes --pipe --wait --collect --setenv=ROOTFS={} \
         sh -c 'cd; little-container run {flags}'",
        bed.rootfs()
    ));
    assert_ran(&out, "67108864\n");
    bed.assert_nothing_left();
}

#[test]
fn what_debian_delegates() {
    if is_rare_wanted() {
        assert_works(&bed!("debian"));
    }
}

/// systemd 247. A program that was linked to a newer C library does not start there.
#[test]
fn debian_11() {
    if is_rare_wanted() {
        let bed = bed!("bullseye");
        if bed.lc(&["version"]).stderr.contains("GLIBC") {
            return eprintln!("skipped: the program is not static; LITTLE_CONTAINER_TEST_PROGRAM names one that is");
        }
        assert_ran(&bed.run(&["--memory", "64m"], "cat /sys/fs/cgroup/memory.max"), "67108864\n");
        assert_refused(
            &bed,
            &["--cpus", "0.5"],
            &["--cpus", "the cpu controller", "Delegate=", DROP_IN, ADMINISTRATOR],
        );
    }
}

/// A login that starts no session starts no manager either, and lingering does not help.
#[test]
fn no_login_manager() {
    if is_rare_wanted() {
        let bed = bed!("nologind");
        assert_refused(&bed, &["--memory", "64m"], &["--memory", "systemd --user", "\n  fix ("]);
    }
}

#[test]
fn no_session_and_no_linger() {
    if is_rare_wanted() {
        let bed = bed!("nolinger");
        let out = bed.sessionless_sh(crate::RUN_THREE);
        assert_advice(&out, 125, &["--memory", "systemd --user", "loginctl enable-linger"]);
        assert_works(&bed);
    }
}

#[test]
fn hybrid_and_legacy_cgroups() {
    if is_rare_wanted() {
        for variant in ["hybrid", "legacy"] {
            let bed = bed!(variant);
            let parts = ["--memory", "systemd.unified_cgroup_hierarchy=1", ADMINISTRATOR];
            assert_refused(&bed, &["--memory", "64m"], &parts);
        }
    }
}
