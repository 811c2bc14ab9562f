//! Rows made by hand.

use super::*;
use crate::cgroup::stats::{Io, Throttle};
use std::time::{Duration, Instant};

/// One of which all is known, and one of which nothing is.
pub fn row(name: &str, known: bool) -> Row {
    let start = Instant::now();
    let machine = Machine { memory: Some(8_375_186_227), cpus: 2 };
    let mut row = Row {
        id: "a1".repeat(32),
        name: Some(name.into()),
        word: name.into(),
        now: Sample::unknown(start + Duration::from_secs(1), Source::Processes),
        before: None,
        machine,
    };
    if known {
        let throttle = |periods, throttled| {
            Some(Throttle { periods, throttled, time: Duration::from_millis(1420), limited: true })
        };
        let before = Sample {
            cpu: Some(Duration::from_millis(600)),
            throttle: throttle(0, 0),
            ..Sample::unknown(start, Source::Cgroup)
        };
        row.now = Sample {
            memory: Some(100 << 20),
            memory_peak: Some(150 << 20),
            memory_limit: Some(200 << 20),
            cpu: Some(Duration::from_millis(1000)),
            cpu_limit: Some(0.4),
            throttle: throttle(25, 24),
            pids: Some(3),
            pids_limit: Some(50),
            io: Some(Io { read: 1_000_000, written: 0 }),
            ..Sample::unknown(start + Duration::from_secs(1), Source::Cgroup)
        };
        row.before = Some(before);
    }
    row
}

fn cells(row: &Row) -> [String; 10] {
    Column::ALL.map(|column| row.cell(column))
}

#[test]
fn words() {
    let mut all = row("web", true);
    let expected = ["a1a1a1a1a1a1", "web", "40.00%", "100.0MiB / 200.0MiB", "50.00%", "150.0MiB", "96%", "3 / 50"];
    assert_eq!(cells(&all)[..8], expected);
    assert_eq!(cells(&all)[8..], ["1.0MB / 0B", "-"]);
    all.now.pressure = Pressure { cpu: Some(12.34), memory: Some(0.0), io: None };
    assert_eq!(all.cell(Column::Pressure), "12.3/0.0/-");
    assert_eq!((all.cpu_share(), all.memory_share()), (Some(1.0), Some(0.5)));
}

#[test]
fn what_is_not_known_is_no_zero() {
    let mut none = row("x", false);
    assert_eq!(cells(&none), ["a1a1a1a1a1a1", "x", "-", "- / 7.8GiB", "-", "-", "-", "-", "-", "-"]);
    none.machine.memory = None;
    none.name = None;
    assert_eq!((none.cell(Column::Memory), none.cell(Column::Name)), ("- / -".into(), "-".into()));
    let raw = none.json();
    let raw = raw["Raw"].as_object().unwrap();
    assert!(raw.iter().all(|(key, value)| value.is_null() || key == "source"), "{raw:?}");
    assert_eq!(raw["source"], "processes");
}

#[test]
fn differences() {
    let mut one = row("x", true);
    let set = |row: &mut Row, now: u64, before: u64| {
        row.now.cpu = Some(Duration::from_millis(now));
        row.before.as_mut().unwrap().cpu = Some(Duration::from_millis(before));
    };
    set(&mut one, 3600, 600);
    assert_eq!(one.cell(Column::Cpu), "300.00%");
    // Less than before: something has gone uncounted.
    set(&mut one, 600, 3600);
    assert_eq!((one.cell(Column::Cpu), one.cpu_share()), ("-".into(), None));
    one.before = None;
    assert_eq!((one.cell(Column::Cpu), one.cell(Column::Throttled)), ("-".into(), "-".into()));
    let mut idle = row("x", true);
    idle.before.as_mut().unwrap().throttle = idle.now.throttle;
    assert_eq!(idle.cell(Column::Throttled), "0%");
    // Where there is no limit it is not «never stopped».
    idle.now.throttle.as_mut().unwrap().limited = false;
    assert_eq!(idle.cell(Column::Throttled), "-");
}

#[test]
fn limits_above_the_machine_are_none() {
    let mut one = row("x", true);
    one.now.memory_limit = Some(1 << 50);
    assert_eq!(one.cell(Column::Memory), "100.0MiB / 7.8GiB");
    one.now.memory_limit = Some(0);
    assert_eq!(one.cell(Column::MemoryShare), "-");
    one.now.cpu_limit = Some(64.0);
    assert_eq!(one.cpu_share(), Some(0.2));
}

#[test]
fn numbers_for_programs() {
    let told = row("web", true).json();
    assert_eq!(
        (&told["Container"], &told["Name"], &told["ID"]),
        (&"web".into(), &"web".into(), &"a1a1a1a1a1a1".into())
    );
    assert_eq!((&told["CPUPerc"], &told["PIDs"]), (&"40.00%".into(), &"3".into()));
    let raw = json!({
        "memory_bytes": 104_857_600, "memory_limit_bytes": 209_715_200, "memory_peak_bytes": 157_286_400,
        "cpu_usec": 1_000_000, "cpu_percent": 40.0, "throttled_usec": 1_420_000, "periods": 25, "throttled_periods": 24,
        "pids": 3, "pids_limit": 50, "io_read_bytes": 1_000_000, "io_write_bytes": 0, "pressure": null, "source": "cgroup",
    });
    assert_eq!(told["Raw"], raw);
    let mut pressed = row("web", true);
    pressed.now.pressure.cpu = Some(1.5);
    assert_eq!(pressed.json()["Raw"]["pressure"], json!({ "cpu": 1.5, "memory": null, "io": null }));
}

#[test]
fn amounts() {
    assert_eq!([binary(0), binary(1023), binary(1024), binary(1 << 20)], ["0B", "1023B", "1.0KiB", "1.0MiB"]);
    assert_eq!([binary((1 << 20) - 1), binary(8 << 30), binary(3 << 40)], ["1.0MiB", "8.0GiB", "3.0TiB"]);
    assert_eq!(printable("a\x1b[31mb é\n"), "a?[31mb???");
}
