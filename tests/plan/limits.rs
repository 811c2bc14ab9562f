//! The cases about limits: who makes the cgroup, what stands in for it, and every way to be refused.

use super::{Case, ID, case, facts, spec};
use little_container::{
    plan::facts::{Facts, Groups, Hierarchy, Limiting, Manager, Subtree},
    spec::{
        Limits, Spec,
        limits::{Amount, Cgroups, Cpus, DeviceLimit, Rate, Strictness},
    },
};

fn words(text: &str) -> Vec<String> {
    text.split(' ').filter(|w| !w.is_empty()).map(String::from).collect()
}

/// A login on a machine with systemd, which hands these controllers on to users.
fn by_systemd(controllers: &str) -> Facts {
    with(Groups {
        hierarchy: Hierarchy::Unified,
        kernel: words("cpuset cpu io memory pids"),
        own: "/user.slice/user-1000.slice/session-1.scope".into(),
        subtree: None,
        manager: Manager::Reachable { controllers: words(controllers) },
    })
}

fn with(groups: Groups) -> Facts {
    let limits = Limiting {
        groups,
        cpus: vec![0, 1, 2, 3],
        affinity: vec![0, 1, 2, 3],
        nproc_per_namespace: true,
        hard: vec![Some(4096)],
        devices: vec![(8, 0)],
        exposed: None,
    };
    Facts { limits, ..facts() }
}

fn without_group(hierarchy: Hierarchy) -> Facts {
    with(Groups { hierarchy, ..Groups::default() })
}

/// In a part of the tree that was handed to us.
fn delegated(crowded: bool) -> Facts {
    let mut facts = by_systemd("");
    facts.limits.groups.subtree = Some(Subtree {
        path: "/sys/fs/cgroup/job_7".into(),
        controllers: words("cpu memory pids"),
        crowded,
        why: "job_7 was delegated".into(),
    });
    facts.limits.groups.manager = Manager::NoSystemd;
    facts
}

fn by_manager(manager: Manager) -> Facts {
    let mut facts = by_systemd("");
    facts.limits.groups.manager = manager;
    facts
}

fn three() -> Limits {
    Limits {
        memory: Some(Amount::Of(64 << 20)),
        cpus: Some(Cpus::Micro(500_000)),
        pids: Some(Amount::Of(50)),
        ..Limits::default()
    }
}

fn limited(limits: Limits) -> Spec {
    Spec { name: Some("web".into()), limits, ..spec() }
}

fn all_there_are() -> Limits {
    Limits {
        memory_reservation: Some(Amount::Of(32 << 20)),
        memory_swap: Some(Amount::Of(96 << 20)),
        cpu_shares: Some(1024),
        cpuset_cpus: "0-1,3".parse().ok(),
        io_weight: Some(200),
        devices: vec![DeviceLimit { path: "/dev/sda".into(), rate: Rate::Wbps, value: Amount::Of(1 << 20) }],
        conf: vec![("memory.high".into(), "60M".into())],
        oom_score_adj: Some(500),
        ulimits: vec!["nofile=1024:2048".parse().unwrap()],
        cgroup_parent: Some("batch.slice".into()),
        ..three()
    }
}

pub fn cases() -> Vec<Case> {
    let best = |limits: Limits| limited(Limits { strictness: Strictness::BestEffort, ..limits });
    let how = |cgroups| limited(Limits { cgroups, ..Limits::default() });
    let lonely =
        Limits { ulimits: vec!["nofile=1024:2048".parse().unwrap()], oom_score_adj: Some(500), ..Limits::default() };
    let mut old = without_group(Hierarchy::Hybrid);
    old.limits.nproc_per_namespace = false;
    let mut cpuset = three();
    cpuset.cpuset_cpus = "1-3".parse().ok();
    vec![
        case("limits-systemd", limited(three()), by_systemd("cpu memory pids")),
        case("limits-all", limited(all_there_are()), by_systemd("cpu cpuset io memory pids")),
        case("limits-delegated", limited(three()), delegated(false)),
        case("limits-delegated-crowded", limited(three()), delegated(true)),
        case("limits-of-processes", limited(lonely), facts_with_bounds()),
        case("limits-scope-alone", how(Cgroups::Systemd), by_systemd("memory pids")),
        case("limits-best-effort", best(three()), without_group(Hierarchy::Hybrid)),
        case("limits-best-effort-cpuset", best(cpuset), without_group(Hierarchy::Legacy)),
        case("limits-best-effort-some", best(three()), by_systemd("memory pids")),
        case(
            "limits-best-effort-scope",
            best(Limits { cgroups: Cgroups::Systemd, ..Limits::default() }),
            without_group(Hierarchy::Legacy),
        ),
        case("limits-best-effort-old-kernel", best(three()), old),
        case("limits-none-set-aside", limited(Limits::default()), exposed(facts())),
        case("limits-none-disabled", how(Cgroups::Disabled), exposed(facts())),
        case("limits-best-effort-set-aside", best(three()), exposed(by_manager(Manager::NoSocket))),
    ]
}

/// In a group that belongs to the caller: a terminal below `user@.service`.
fn exposed(mut facts: Facts) -> Facts {
    facts.limits.exposed =
        Some("/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/term.scope".into());
    facts
}

/// Nothing about groups was looked at.
fn facts_with_bounds() -> Facts {
    let mut facts = without_group(Hierarchy::Absent);
    facts.limits.hard = vec![Some(4096)];
    facts
}

/// No plan: each with its cause and its remedy.
pub fn errors() -> Vec<Case> {
    let on = |groups: Facts| (limited(three()), groups);
    let user = || "ada".to_owned();
    let mut gone = by_systemd("memory pids");
    gone.limits.groups.kernel = words("memory pids");
    let without = |cgroups| limited(Limits { cgroups, ..three() });
    let too_many = limited(Limits { cpus: Some(Cpus::Micro(4_000_001)), ..Limits::default() });
    let absent = limited(Limits { cpuset_cpus: "2-5".parse().ok(), ..Limits::default() });
    let bound = limited(Limits { ulimits: vec!["nofile=5000".parse().unwrap()], ..Limits::default() });
    let elsewhere = limited(Limits { cgroup_parent: Some("/job_8".into()), ..three() });
    let named = |name, (spec, facts): (Spec, Facts)| case(name, spec, facts);
    vec![
        named("error-limits-hybrid", on(without_group(Hierarchy::Hybrid))),
        named("error-limits-v1", on(without_group(Hierarchy::Legacy))),
        named("error-limits-read-only", on(without_group(Hierarchy::ReadOnly))),
        named("error-limits-absent", on(without_group(Hierarchy::Absent))),
        named("error-limits-no-systemd", on(by_manager(Manager::NoSystemd))),
        named("error-limits-no-user-manager", on(by_manager(Manager::NoUserManager { user: user() }))),
        named("error-limits-no-socket", on(by_manager(Manager::NoSocket))),
        named("error-limits-batch", on(by_manager(Manager::Batch { group: "/system.slice/slurmstepd.scope".into() }))),
        named("error-limits-not-delegated", on(by_systemd("memory pids"))),
        named("error-limits-not-in-kernel", on(gone)),
        case("error-limits-disabled", without(Cgroups::Disabled), by_systemd("cpu memory pids")),
        case("error-limits-cgroupfs", without(Cgroups::Cgroupfs), by_systemd("cpu memory pids")),
        case("error-limits-parent", elsewhere, by_systemd("cpu memory pids")),
        case("error-limits-cpus", too_many, by_systemd("cpu")),
        case("error-limits-cpuset", absent, by_systemd("cpuset")),
        case("error-limits-ulimit", bound, facts_with_bounds()),
        case(
            "error-limits-scope",
            limited(Limits { cgroups: Cgroups::Systemd, ..Limits::default() }),
            without_group(Hierarchy::Legacy),
        ),
    ]
}

/// The id that is part of every group's name.
pub fn own_name() -> String {
    format!("little-container-{ID}")
}
