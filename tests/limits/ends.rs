//! Every way out: no unit, no group, no process is left.

use crate::{
    THREE,
    started::{Started, sleeper, start, unit_of},
    support::bed::Bed,
};

/// The next run, whatever it is, is silent and takes away what was left.
#[track_caller]
fn assert_collected(bed: &Bed) {
    let out = bed.run(&[], "true");
    assert_eq!((out.status, out.stderr.as_str()), (0, ""), "{out:?}");
    bed.assert_nothing_left();
}

#[test]
fn a_hundred_starts() {
    let bed = bed!();
    let script = format!("for n in $(seq 100); do {} >/dev/null || echo no $n; done", crate::RUN_THREE);
    let out = bed.sh_for(180, &script);
    assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (0, "", ""));
    bed.assert_nothing_left();
    assert_eq!(bed.lc(&["ps", "-aq"]).stdout, "");
}

/// Each has its own group and its own values.
#[test]
fn ten_at_once() {
    let bed = bed!();
    let script = "for n in 0 1 2 3 4 5 6 7 8 9; do
            little-container run --rm --name many$n --memory 6${n}m --pids-limit 5$n --cpus 0.1$n --rootfs $ROOTFS \\
                sh -c 'cd /sys/fs/cgroup; echo $(cat memory.max pids.max cpu.max); sleep 1' >many$n.out 2>&1 &
        done; wait; cat many?.out";
    let expected: String = (0..10).map(|n| format!("{} 5{n} 1{n}000 100000\n", (60 + n) << 20)).collect();
    assert_eq!(bed.says(script), expected);
    bed.assert_nothing_left();
}

#[test]
fn an_end_of_its_own_and_one_that_fails() {
    let bed = bed!();
    assert_eq!(bed.run(&THREE, "exit 7").status, 7);
    assert_eq!(bed.run(&[&["--init"], &THREE[..]].concat(), "kill -9 $$").status, 137);
    let nothing = [&["run", "--rm"], &THREE[..], &["--rootfs", bed.rootfs(), "nothing"]].concat();
    assert_eq!(bed.lc(&nothing).status, 127);
    assert_eq!(bed.run(&[&THREE[..], &["-v", "/not/there:/x"]].concat(), "true").status, 125);
    // Children that outlive the command do not outlive the container.
    assert_eq!(bed.run(&THREE, "setsid sleep 1000 & sleep 1000 & exit 0").status, 0);
    bed.assert_nothing_left();
}

#[test]
fn an_interrupt() {
    let bed = bed!();
    for script in ["exec sleep 1000", "exec su web -c \"exec sleep 1000\""] {
        let command = format!("little-container run --rm {} --rootfs $ROOTFS sh -c '{script}'", THREE.join(" "));
        let out = bed.sh(&format!("timeout --preserve-status -s INT 2 {command}"));
        assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (130, "", ""), "{script}");
        bed.assert_nothing_left();
    }
}

/// Typed at a terminal, it reaches everything in the container that listens to it.
#[test]
fn control_c() {
    let bed = bed!();
    let command = format!("little-container run --rm {} --rootfs $ROOTFS sh -c 'sleep 1000; true'", THREE.join(" "));
    let out = bed.sh(&format!("(sleep 3; printf '\\003') | script -qec \"{command}\" /dev/null"));
    assert_eq!((out.status, out.stdout.trim()), (130, "^C"), "{out:?}");
    bed.assert_nothing_left();
}

#[test]
fn a_removal_by_force() {
    let bed = bed!();
    let running =
        start(&bed, "forced", &THREE.join(" "), "sleep 1000 & setsid sleep 1000 & echo ready; exec sleep 1000");
    running.remove();
    bed.assert_nothing_left();
}

/// SIGKILL for the launcher, which can then do nothing itself.
#[track_caller]
fn kill_launcher(bed: &Bed, running: &Started) {
    bed.says(&format!("kill -9 {}", running.launcher));
}

#[test]
fn the_launcher_is_killed() {
    let bed = bed!();
    let other_user = "exec su web -c \"echo ready; sleep 1000\"";
    for (flags, script) in [
        ("--rm", "echo ready; exec sleep 1000"),
        ("--rm --init", "echo ready; sleep 1000; true"),
        ("--rm", other_user),
        ("--rm", "sleep 1000 & setsid sleep 1000 & trap \"\" TERM HUP INT; echo ready; sleep 1000"),
    ] {
        let running = start(&bed, "poor", &format!("{flags} {}", THREE.join(" ")), script);
        kill_launcher(&bed, &running);
        assert_collected(&bed);
    }
}

/// A change of ids takes the kernel's death signal back, so this container lives on until the next run.
#[test]
fn the_launcher_and_the_guard_are_killed() {
    let bed = bed!();
    let script = "sleep 4711 & exec su web -c \"echo ready; sleep 4711\"";
    let running = start(&bed, "orphan", &format!("--rm {}", THREE.join(" ")), script);
    let (group, launcher) = (running.group(), &running.launcher);
    assert!(!unit_of(&group).is_empty());
    let kill = format!(
        "guard=$(pgrep -P {launcher} -x little-containe); [ -n \"$guard\" ] && kill -9 $guard && sleep 0.2; \
         kill -9 {launcher}; sleep 0.5; grep -q . /sys/fs/cgroup{group}/cgroup.procs && echo it lives"
    );
    assert_eq!(bed.says(&kill), "it lives\n");
    assert_collected(&bed);
    assert_eq!(bed.sh("pgrep -f '^sleep 4711'").stdout, "");
}

/// Its files stay until it is removed; its group does not.
#[test]
fn a_killed_container_that_is_to_be_kept() {
    let bed = bed!();
    let running = sleeper(&bed, "kept", &THREE.join(" "));
    kill_launcher(&bed, &running);
    assert_collected(&bed);
    let limits = bed.inspect("kept")["Limits"].as_array().unwrap().clone();
    let flags: Vec<_> = limits.iter().filter_map(|l| l["Limit"].as_str()).collect();
    // With the memory goes the swap.
    assert_eq!(flags, ["--memory", "--memory-swap", "--cpus", "--pids-limit"]);
    assert_eq!(bed.lc(&["rm", "kept"]).status, 0);
}

/// The steps of a plan, as `host:N` and `init:N`: all of the launcher's, some of the first process's.
fn points(bed: &Bed) -> Vec<String> {
    let words = [&["run", "--rm", "--dry-run"], &THREE[..], &["--rootfs", bed.rootfs(), "true"]].concat();
    let out = bed.lc(&words);
    assert_eq!(out.status, 0, "{out:?}");
    let (outside, inside) = out.stdout.split_once("\ninside").expect("no inner list");
    let steps = |text: &str| {
        let first = |line: &str| line.split_whitespace().next().is_some_and(|word| word.parse::<usize>().is_ok());
        text.lines().filter(|line| line.starts_with("  ") && first(line)).count()
    };
    let inner = (0..steps(inside)).filter(|n| *n < 5 || n % 8 == 0);
    (0..steps(outside)).map(|n| format!("host:{n}")).chain(inner.map(|n| format!("init:{n}"))).collect()
}

#[test]
fn before_steps_of_a_plan() {
    let bed = bed!();
    let points = points(&bed);
    let script = format!(
        "for point in {}; do
            LITTLE_CONTAINER_TEST_CRASH=$point {run} >crash.out 2>&1
            [ $? -eq 137 ] || {{ echo $point: not killed; cat crash.out; }}
            little-container run --rm --rootfs $ROOTFS true 2>&1 || echo after $point
        done",
        points.join(" "),
        run = crate::RUN_THREE
    );
    let out = bed.sh_for(180, &script);
    // The shell itself may tell of the killed ones.
    assert_eq!((out.status, out.stdout.as_str()), (0, ""), "{out:?}");
    assert_collected(&bed);
}

/// The clone, the wait for systemd and the end have moments of their own.
#[test]
fn at_random_moments() {
    let bed = bed!();
    let script = format!(
        "for n in $(seq 40); do
            {} >random.out 2>&1 & sleep 0.$(printf %03d $((n * 7))); kill -9 $! 2>/dev/null; wait $! 2>/dev/null
            case $? in 0 | 137) ;; *) cat random.out ;; esac
        done; true",
        crate::RUN_THREE
    );
    let out = bed.sh_for(120, &script);
    assert_eq!((out.status, out.stdout.as_str()), (0, ""), "{out:?}");
    assert_collected(&bed);
}
