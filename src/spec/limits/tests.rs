//! What the fields have to do with each other, and how they are shown.

use super::*;
use std::ffi::OsStr;

fn memory(memory: Option<&str>, reservation: Option<&str>, swap: Option<&str>) -> Result<(), String> {
    let bytes = |text: Option<&str>| text.map(|t| Amount::memory_swap(t).unwrap());
    let (memory, memory_reservation, memory_swap) = (bytes(memory), bytes(reservation), bytes(swap));
    Limits { memory, memory_reservation, memory_swap, ..Limits::default() }.check()
}

#[test]
fn a_parent_fits_who_makes_the_group() {
    let with =
        |cgroups, parent: &str| Limits { cgroups, cgroup_parent: Some(parent.into()), ..Limits::default() }.check();
    assert!(with(Cgroups::Systemd, "/job_7").is_err());
    assert!(with(Cgroups::Cgroupfs, "a.slice").is_err());
    assert!(with(Cgroups::Systemd, "a.slice").is_ok() && with(Cgroups::Cgroupfs, "/job_7").is_ok());
    assert!(with(Cgroups::Auto, "a.slice").is_ok() && with(Cgroups::Auto, "/job_7").is_ok());
}

#[test]
fn memory_and_its_relations() {
    for (limit, reserved, swap) in [
        (None, None, None),
        (Some("64m"), Some("64m"), Some("64m")),
        (Some("64m"), None, Some("max")),
        (Some("64m"), None, Some("-1")),
        (None, Some("1g"), None),
        (None, None, Some("max")),
        (Some("max"), Some("max"), Some("max")),
    ] {
        assert_eq!(memory(limit, reserved, swap), Ok(()), "{limit:?} {reserved:?} {swap:?}");
    }
    let begins = |said: Result<(), String>, start: &str| {
        let said = said.unwrap_err();
        assert!(said.starts_with(start) && said.contains("\n  fix (you): "), "{said}");
    };
    begins(memory(None, None, Some("64m")), "--memory-swap 64m: ");
    begins(memory(Some("max"), None, Some("64m")), "--memory-swap 64m: ");
    begins(memory(Some("64m"), None, Some("63m")), "--memory-swap 63m: ");
    begins(memory(Some("64m"), Some("65m"), None), "--memory-reservation 65m: ");
    begins(memory(Some("64m"), Some("max"), None), "--memory-reservation max: ");
}

#[test]
fn what_cannot_be_said_together() {
    let both = Limits { cpu_weight: Some(1), cpu_shares: Some(2), ..Limits::default() };
    assert!(both.check().is_err_and(|e| e.starts_with("--cpu-shares: ")));
    let mut twice = Limits { memory: Some(Amount::Of(1 << 26)), ..Limits::default() };
    twice.set_conf(conf::parse("memory.high=32m").unwrap());
    twice.set_conf(conf::parse("memory.swap.max=0").unwrap());
    assert_eq!(twice.check(), Ok(()));
    twice.set_conf(conf::parse("memory.max=128m").unwrap());
    assert!(twice.check().is_err_and(|e| e.starts_with("--cgroup-conf memory.max: --memory ")));
    let nowhere = Limits { cgroups: Cgroups::Disabled, cgroup_parent: Some("a.slice".into()), ..Limits::default() };
    assert!(nowhere.check().is_err_and(|e| e.starts_with("--cgroup-parent: ")));
}

#[test]
fn a_file_with_a_line_for_each_device() {
    let mut limits = Limits::default();
    for text in ["io.max=8:0 rbps=1", "io.max=8:16 rbps=1", "io.max=8:0 rbps=2", "cpu.max=1000", "cpu.max=max 1000"] {
        limits.set_conf(conf::parse(text).unwrap());
    }
    let all: Vec<String> = limits.conf.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(all, ["io.max=8:0 rbps=2", "io.max=8:16 rbps=1", "cpu.max=max 1000"]);
}

fn all() -> Limits {
    let mut all = Limits {
        memory: Some(Amount::Of(67_108_864)),
        memory_reservation: Some(Amount::Of(33_554_433)),
        memory_swap: Some(Amount::Max),
        cpus: Some(Cpus::Micro(500_000)),
        cpu_weight: Some(100),
        cpu_shares: Some(1024),
        cpuset_cpus: "0,1,2,3".parse().ok(),
        pids: Some(Amount::Of(50)),
        io_weight: Some(7),
        oom_score_adj: Some(-5),
        ..Limits::default()
    };
    all.set_device(DeviceLimit::parse(Rate::Rbps, OsStr::new("/dev/s da:1024k")).unwrap());
    all.set_conf(conf::parse("memory.high=1g").unwrap());
    all.set_conf(conf::parse("io.latency=8:0 target=1").unwrap());
    all.set_ulimit("NOFILE=5".parse().unwrap());
    all
}

#[test]
fn what_was_asked_for() {
    let shown: Vec<String> = all().requested().iter().map(|(flag, value)| format!("{flag} {value}")).collect();
    assert_eq!(
        shown,
        [
            "--memory 64m",
            "--memory-reservation 33554433",
            "--memory-swap max",
            "--cpus 0.5",
            "--cpu-weight 100",
            "--cpu-shares 1024",
            "--cpuset-cpus 0-3",
            "--pids-limit 50",
            "--io-weight 7",
            "--device-read-bps '/dev/s da':1m",
            "--cgroup-conf memory.high=1g",
            "--cgroup-conf 'io.latency=8:0 target=1'",
            "--oom-score-adj -5",
            "--ulimit nofile=5:5",
        ]
    );
}

#[test]
fn what_needs_a_group() {
    let none = Limits { strictness: Strictness::BestEffort, cgroups: Cgroups::Systemd, ..Limits::default() };
    assert!(none.is_empty() && !none.needs_group());
    let process = Limits { oom_score_adj: Some(0), ulimits: all().ulimits, ..Limits::default() };
    assert!(!process.is_empty() && !process.needs_group());
    assert!(Limits { conf: all().conf, ..Limits::default() }.needs_group());
    assert!(Limits { devices: all().devices, ..Limits::default() }.needs_group());
    assert!(Limits { pids: Some(Amount::Max), ..Limits::default() }.needs_group());
}

#[test]
fn the_later_one_wins() {
    let mut all = all();
    all.set_ulimit("core=0".parse().unwrap());
    all.set_ulimit("nofile=6:7".parse().unwrap());
    all.set_conf(conf::parse("memory.high=2g").unwrap());
    all.set_device(DeviceLimit::parse(Rate::Rbps, OsStr::new("/dev/s da:2")).unwrap());
    all.set_device(DeviceLimit::parse(Rate::Wbps, OsStr::new("/dev/s da:3")).unwrap());
    assert_eq!(all.ulimits.iter().map(Ulimit::to_string).collect::<Vec<_>>(), ["nofile=6:7", "core=0:0"]);
    assert_eq!(all.conf.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["2g", "8:0 target=1"]);
    assert_eq!(all.devices.iter().map(DeviceLimit::to_string).collect::<Vec<_>>(), ["rbps=2", "wbps=3"]);
}

#[test]
fn they_survive_json() {
    let text = serde_json::to_string(&all()).unwrap();
    assert_eq!(serde_json::from_str::<Limits>(&text).unwrap(), all());
    assert_eq!(serde_json::from_str::<Limits>("{}").unwrap(), Limits::default());
}
