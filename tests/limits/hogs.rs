//! The limits bind: commands that take all they can get.

use crate::{started::start, support::Outcome};

const HOG: &str = "dd if=/dev/zero of=/dev/null bs=200M count=1";

/// One line for the user: which limit, its value, the peak.
#[track_caller]
fn assert_post_mortem(out: &Outcome) {
    assert_eq!(out.status, 137, "{out:?}");
    let ours: Vec<&str> = out.stderr.lines().filter(|l| l.starts_with("little-container: ")).collect();
    let [line] = ours[..] else { panic!("not one line of ours: {}", out.stderr) };
    let value = ["64m", "64 MiB", "64.0 MiB", "64MiB"].iter().any(|v| line.contains(v));
    assert!(line.contains("--memory") && value && line.contains("peak"), "{line}");
}

#[test]
fn a_memory_hog_is_killed_and_its_user_told() {
    let bed = bed!();
    let run = ["run", "--name", "hog", "--memory", "64m", "--rootfs", bed.rootfs()];
    let out = bed.lc(&[&run[..], &HOG.split(' ').collect::<Vec<_>>()].concat());
    assert_post_mortem(&out);
    assert_eq!(out.stderr.lines().count(), 1, "{}", out.stderr);
    // It is kept for later.
    let told = bed.inspect("hog");
    assert_eq!((&told["State"]["OOMKilled"], &told["State"]["ExitCode"]), (&true.into(), &137.into()), "{told:#}");
    assert_eq!(bed.lc(&["rm", "hog"]).status, 0);
    bed.assert_nothing_left();
}

/// It is not the first process that is too large.
#[test]
fn a_hog_below_the_command_is_told_as_well() {
    let bed = bed!();
    assert_post_mortem(&bed.run(&["--memory", "64m"], &format!("{HOG} & wait $!; exit $?")));
    assert_post_mortem(&bed.run(&["--memory", "64m", "--init"], "tail /dev/zero"));
    bed.assert_nothing_left();
}

#[test]
fn who_was_not_killed_for_memory_is_not_said_to_be() {
    let bed = bed!();
    let run = ["run", "--init", "--name", "calm", "--memory", "64m", "--rootfs", bed.rootfs(), "sh", "-c"];
    let out = bed.lc(&[&run[..], &["head -c 8000000 /dev/zero >/dev/null; kill -9 $$"]].concat());
    assert_eq!((out.status, out.stderr.as_str()), (137, ""), "{out:?}");
    let told = bed.inspect("calm");
    assert_eq!((&told["State"]["OOMKilled"], &told["State"]["ExitCode"]), (&false.into(), &137.into()), "{told:#}");
    assert_eq!(bed.lc(&["rm", "calm"]).status, 0);
}

/// The shell that counts is no process more: it reads by itself.
#[test]
fn processes_stop_at_their_limit() {
    let bed = bed!();
    let script = "( i=0; while [ $i -lt 200 ]; do sleep 30 & i=$((i + 1)); done ) 2>/dev/null
        read -r now </sys/fs/cgroup/pids.current; echo $now; set -- /proc/[0-9]*; echo $#
        while read -r key count; do [ $key = max ] && echo $count; done </sys/fs/cgroup/pids.events";
    let out = bed.run(&["--pids-limit", "50"], script);
    assert_eq!(out.status, 0, "{out:?}");
    let numbers: Vec<u32> = out.stdout.lines().map(|l| l.parse().unwrap()).collect();
    let [now, seen, refused] = numbers[..] else { panic!("{out:?}") };
    // The subshell that was refused a process has ended.
    assert!((48..=50).contains(&now) && (48..=50).contains(&seen) && refused > 0, "{out:?}");
    bed.assert_nothing_left();
}

#[test]
fn the_machine_stays_usable_beside_a_fork_bomb() {
    let bed = bed!();
    let bomb = "echo ready; while :; do ( while :; do sleep 30 & done ) 2>/dev/null; done";
    let running = start(&bed, "bomb", "--rm --pids-limit 50 --memory 64m", bomb);
    let script = "start=$(date +%s%N); ps ax >/dev/null; little-container run --rm --rootfs $ROOTFS true; \
                  echo $((($(date +%s%N) - start) / 1000000))";
    let took: u64 = bed.says(script).trim().parse().unwrap();
    assert!(took < 4000, "{took} ms");
    let now: u32 = running.file("pids.current").parse().unwrap();
    assert!((40..=50).contains(&now), "{now}");
    running.remove();
    bed.assert_nothing_left();
}

#[test]
fn half_a_cpu_is_half_a_cpu() {
    let bed = bed!();
    let script = "read -r _ before </sys/fs/cgroup/cpu.stat; timeout -s KILL 3 sh -c 'while :; do :; done'
        read -r _ after </sys/fs/cgroup/cpu.stat; echo $((after - before))";
    let out = bed.run(&["--cpus", "0.5"], script);
    let used: u64 = out.stdout.trim().parse().unwrap_or_else(|_| panic!("{out:?}"));
    assert!((1_050_000..=1_950_000).contains(&used), "{used} of 1500000 µs");
}
