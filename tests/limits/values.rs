//! What was asked for stands in the files of the container's group.

use crate::{THREE, assert_ran, assert_three, started::sleeper};

#[test]
fn the_three_stand_before_the_first_instruction() {
    let bed = bed!();
    assert_three(&bed);
    bed.assert_nothing_left();
}

#[test]
fn fractions_of_a_cpu_are_kept() {
    let bed = bed!();
    for (cpus, file) in [("0.25", "25000 100000\n"), ("0.125", "12500 100000\n"), ("1", "100000 100000\n")] {
        assert_ran(&bed.run(&["--cpus", cpus], "cat /sys/fs/cgroup/cpu.max"), file);
    }
}

#[test]
fn sizes_are_spelt_as_dockers() {
    let bed = bed!();
    for (memory, file) in
        [("67108864", 67_108_864), ("65536k", 67_108_864), ("64M", 67_108_864), ("0.25g", 268_435_456)]
    {
        assert_ran(&bed.run(&["--memory", memory], "cat /sys/fs/cgroup/memory.max"), &format!("{file}\n"));
    }
}

#[test]
fn the_less_usual_ones_stand_as_well() {
    let bed = bed!();
    let flags = ["--memory", "64m", "--memory-swap", "64m", "--memory-reservation", "32m", "--cpu-weight", "50"];
    let flags = [&flags[..], &["--cgroup-conf", "memory.high=50331648"]].concat();
    let script = "cd /sys/fs/cgroup; cat memory.max memory.swap.max memory.low cpu.weight memory.high";
    assert_ran(&bed.run(&flags, script), "67108864\n0\n33554432\n50\n50331648\n");
    bed.assert_nothing_left();
}

/// What is not named is not limited.
#[test]
fn one_limit_brings_no_other() {
    let bed = bed!();
    let script = "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max";
    assert_ran(&bed.run(&["--pids-limit", "50"], script), "max\nmax 100000\n50\n");
}

#[test]
fn the_container_sees_its_own_group_and_cannot_change_it() {
    let bed = bed!();
    let script = "cat /proc/self/cgroup; cd /sys/fs/cgroup; mkdir own 2>/dev/null && echo made; \
                  for f in memory.max cpu.max pids.max cgroup.procs; do { echo 1 >$f; } 2>/dev/null && echo wrote $f; done; \
                  grep -c -x 0 cgroup.procs; cat memory.max; \
                  grep ' /sys/fs/cgroup ' /proc/mounts | cut -d' ' -f3,4 | cut -d, -f1 | tail -n 1";
    assert_ran(&bed.run(&THREE, script), "0::/\n0\n67108864\ncgroup2 ro\n");
}

/// Each limit as it was asked for, as it stands, and how: no more and no less.
#[test]
fn inspect_tells_what_is_enforced_and_how() {
    let bed = bed!();
    let running = sleeper(&bed, "told", &format!("{} --oom-score-adj 500 --ulimit nofile=100:200", THREE.join(" ")));
    let told = bed.inspect("told");
    let limits = told["Limits"].as_array().unwrap();
    for (limit, requested, enforced, file) in [
        ("--memory", "64m", "67108864", "memory.max"),
        ("--cpus", "0.5", "50000 100000", "cpu.max"),
        ("--pids-limit", "50", "50", "pids.max"),
    ] {
        let expected = serde_json::json!({
            "Limit": limit, "Requested": requested, "Enforced": enforced, "How": "cgroup", "File": file
        });
        assert!(limits.contains(&expected), "no {expected} in {limits:#?}");
        assert_eq!(running.file(file), enforced);
    }
    let ulimit = limits.iter().find(|l| l["Limit"] == "--ulimit").unwrap();
    assert_eq!(ulimit["How"], "rlimit", "{ulimit}");
    for limit in limits {
        assert!(
            ["cgroup", "rlimit", "affinity", "oom-score-adj", "none"]
                .contains(&limit["How"].as_str().unwrap_or("rlimit")),
            "{limit}"
        );
    }
    running.remove();
    bed.assert_nothing_left();
}

#[test]
fn inspect_tells_of_no_limit_where_none_was_asked_for() {
    let bed = bed!();
    assert_eq!(bed.lc(&["run", "--name", "free", "--rootfs", bed.rootfs(), "true"]).status, 0);
    assert_eq!(bed.inspect("free")["Limits"].as_array().map(Vec::len), Some(0));
    assert_eq!(bed.lc(&["rm", "free"]).status, 0);
}
