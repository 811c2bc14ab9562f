//! Where the group of a container lies, and when there is none.

use crate::{
    THREE, assert_ran,
    kit::assert_error,
    started::{group_of, sleeper, unit_of},
};

#[test]
fn the_group_is_in_a_delegated_scope_that_names_the_container() {
    let bed = bed!();
    let running = sleeper(&bed, "scoped", &format!("--rm {}", THREE.join(" ")));
    let (group, id) = (running.group(), running.id());
    let unit = unit_of(&group);
    assert!(group.contains("/user@") && unit.contains(&id[..12]), "{group} of {id}");
    let properties = bed.says(&format!("systemctl --user show -p Delegate -p Description -p CollectMode {unit}"));
    let has = |line: &str| properties.lines().any(|l| l == line);
    assert!(has("Delegate=yes") && has("CollectMode=inactive-or-failed"), "{properties}");
    let description = properties.lines().find(|l| l.starts_with("Description=")).unwrap();
    assert!(description.contains("scoped") || description.contains(&id[..12]), "{description}");
    // The launcher and the guard are not held to the container's limits.
    assert!(!group_of(&bed, &running.launcher).starts_with(&group));
    running.remove();
    bed.assert_nothing_left();
}

#[test]
fn without_a_limit_it_stays_where_its_caller_is() {
    let bed = bed!();
    let running = sleeper(&bed, "plain", "--rm");
    assert_eq!(running.group(), group_of(&bed, &running.launcher));
    assert_eq!(bed.says("cat plain.err"), "");
    let units = bed.says("systemctl --user list-units --all --plain --no-legend 'little-container-*'");
    assert!(!units.contains(&running.id()[..12]), "{units}");
    running.remove();
    bed.assert_nothing_left();
}

/// Limits that the kernel keeps by process need no group.
#[test]
fn limits_of_processes_make_no_group() {
    let bed = bed!();
    let running = sleeper(&bed, "rlimits", "--rm --ulimit nofile=100:200 --oom-score-adj 500");
    assert_eq!(running.group(), group_of(&bed, &running.launcher));
    running.remove();
}

#[test]
fn a_scope_can_be_asked_for_without_a_limit() {
    let bed = bed!();
    let running = sleeper(&bed, "scope", "--rm --cgroups systemd");
    assert!(!unit_of(&running.group()).is_empty());
    assert_eq!(running.file("memory.max"), "max");
    running.remove();
    bed.assert_nothing_left();
}

#[test]
fn a_parent_can_be_named() {
    let bed = bed!();
    let running = sleeper(&bed, "below", "--rm --cgroup-parent my.slice --memory 64m");
    let group = running.group();
    assert!(group.contains("/my.slice/little-container-"), "{group}");
    assert!(!unit_of(&group).is_empty());
    assert_eq!(running.file("memory.max"), "67108864");
    running.remove();
    bed.assert_nothing_left();
    for parent in ["my.scope", "../my.slice", "a b.slice"] {
        assert_error(&bed.run(&["--cgroup-parent", parent, "--memory", "64m"], "true"), 125, &["--cgroup-parent"]);
    }
    bed.assert_nothing_left();
}

#[test]
fn no_group_and_a_limit_contradict_each_other() {
    let bed = bed!();
    for limit in [["--memory", "64m"], ["--cpus", "0.5"], ["--pids-limit", "50"]] {
        let out = bed.run(&[&["--cgroups", "disabled"], &limit[..]].concat(), "echo ran");
        assert_error(&out, 125, &["--cgroups", limit[0]]);
        assert_eq!(out.stdout, "");
    }
    assert_ran(&bed.run(&["--cgroups", "disabled"], "echo ran"), "ran\n");
}
