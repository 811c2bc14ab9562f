//! What one container uses, in words for the table and in numbers for programs.

use crate::{
    cgroup::stats::{Pressure, Sample, Source},
    cli::table,
    plan::short_id,
};
use serde_json::{Value, json};

/// What containers without limits share.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// In bytes.
    pub memory: Option<u64>,
    /// Those that are online.
    pub cpus: u32,
}

/// One container at one moment.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: String,
    pub name: Option<String>,
    /// What stood for it on the command line, or its short id.
    pub word: String,
    pub now: Sample,
    /// The look before, for what is a difference.
    pub before: Option<Sample>,
    pub machine: Machine,
}

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Id,
    Name,
    Cpu,
    Memory,
    MemoryShare,
    Peak,
    Throttled,
    Pids,
    Disk,
    Pressure,
}

impl Column {
    /// In their order.
    pub const ALL: [Column; 10] = [
        Column::Id,
        Column::Name,
        Column::Cpu,
        Column::Memory,
        Column::MemoryShare,
        Column::Peak,
        Column::Throttled,
        Column::Pids,
        Column::Disk,
        Column::Pressure,
    ];

    /// Its head, and the least width that keeps a table that is printed again and again from moving.
    pub fn head(self) -> (&'static str, usize) {
        match self {
            Column::Id => ("CONTAINER ID", 12),
            Column::Name => ("NAME", 12),
            Column::Cpu => ("CPU %", 7),
            Column::Memory => ("MEM USAGE / LIMIT", 18),
            Column::MemoryShare => ("MEM %", 6),
            Column::Peak => ("PEAK", 8),
            Column::Throttled => ("THROTTLED", 9),
            Column::Pids => ("PIDS", 8),
            Column::Disk => ("BLOCK I/O", 17),
            Column::Pressure => ("PRESSURE", 13),
        }
    }
}

impl Row {
    /// In %, of one CPU; none before the second look, and where less was counted than before: something ended that nobody
    /// waited for.
    pub fn cpu_percent(&self) -> Option<f64> {
        let before = self.before.as_ref()?;
        let (used, passed) = (self.now.cpu?.checked_sub(before.cpu?)?, self.now.at.checked_duration_since(before.at)?);
        (!passed.is_zero()).then(|| 100.0 * used.as_secs_f64() / passed.as_secs_f64())
    }

    /// Of what it may have of the CPUs, 0 to 1.
    pub fn cpu_share(&self) -> Option<f64> {
        let all = f64::from(self.machine.cpus);
        let limit = self.now.cpu_limit.map_or(all, |limit| limit.min(all));
        self.cpu_percent().filter(|_| limit > 0.0).map(|percent| percent / 100.0 / limit)
    }

    /// Bytes: its limit, or all that the machine has.
    fn memory_limit(&self) -> Option<u64> {
        let lower = |limit: u64| self.machine.memory.map_or(limit, |all| all.min(limit));
        self.now.memory_limit.map(lower).or(self.machine.memory)
    }

    /// Of what it may have of the memory, 0 to 1.
    pub fn memory_share(&self) -> Option<f64> {
        let limit = self.memory_limit().filter(|limit| *limit > 0)?;
        Some(self.now.memory? as f64 / limit as f64)
    }

    /// In %: how many of the periods since the last look it was stopped in. One that did not run was not stopped, if it can be.
    fn throttled_percent(&self) -> Option<f64> {
        let (now, before) = (self.now.throttle?, self.before.as_ref()?.throttle?);
        let periods = now.periods.checked_sub(before.periods)?;
        let throttled = now.throttled.checked_sub(before.throttled)?;
        match periods {
            0 => now.limited.then_some(0.0),
            _ => Some(100.0 * throttled as f64 / periods as f64),
        }
    }

    /// What stands in the table; `-` is what is not known.
    pub fn cell(&self, column: Column) -> String {
        let known = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let percent = |value: Option<f64>| known(value.map(|value| format!("{value:.2}%")));
        match column {
            Column::Id => short_id(&self.id).into(),
            Column::Name => printable(self.name.as_deref().unwrap_or("-")),
            Column::Cpu => percent(self.cpu_percent()),
            Column::Memory => {
                format!("{} / {}", known(self.now.memory.map(binary)), known(self.memory_limit().map(binary)))
            }
            Column::MemoryShare => percent(self.memory_share().map(|share| share * 100.0)),
            Column::Peak => known(self.now.memory_peak.map(binary)),
            Column::Throttled => known(self.throttled_percent().map(|percent| format!("{percent:.0}%"))),
            Column::Pids => known(self.now.pids.map(|pids| match self.now.pids_limit {
                Some(limit) => format!("{pids} / {limit}"),
                None => pids.to_string(),
            })),
            Column::Disk => {
                known(self.now.io.map(|io| format!("{} / {}", table::size(io.read), table::size(io.written))))
            }
            Column::Pressure => pressure(self.now.pressure),
        }
    }

    /// As `docker stats --format json` has it, and numbers beside.
    pub fn json(&self) -> Value {
        let now = &self.now;
        let waits = now.pressure;
        let pressure =
            (waits != Pressure::default()).then(|| json!({ "cpu": waits.cpu, "memory": waits.memory, "io": waits.io }));
        json!({
            "Container": printable(&self.word),
            "ID": short_id(&self.id),
            "Name": self.name.as_deref().map(printable).unwrap_or_default(),
            "CPUPerc": self.cell(Column::Cpu),
            "MemUsage": self.cell(Column::Memory),
            "MemPerc": self.cell(Column::MemoryShare),
            "BlockIO": self.cell(Column::Disk),
            "PIDs": now.pids.map_or_else(|| "-".into(), |pids| pids.to_string()),
            "Raw": {
                "memory_bytes": now.memory,
                "memory_limit_bytes": now.memory_limit,
                "memory_peak_bytes": now.memory_peak,
                "cpu_usec": now.cpu.map(|cpu| cpu.as_micros() as u64),
                "cpu_percent": self.cpu_percent().map(|percent| (percent * 100.0).round() / 100.0),
                "throttled_usec": now.throttle.map(|throttle| throttle.time.as_micros() as u64),
                "periods": now.throttle.map(|throttle| throttle.periods),
                "throttled_periods": now.throttle.map(|throttle| throttle.throttled),
                "pids": now.pids,
                "pids_limit": now.pids_limit,
                "io_read_bytes": now.io.map(|io| io.read),
                "io_write_bytes": now.io.map(|io| io.written),
                "pressure": pressure,
                "source": match now.source {
                    Source::Cgroup => "cgroup",
                    Source::Processes => "processes",
                    Source::Both => "cgroup+processes",
                },
            },
        })
    }
}

/// CPU, memory and disk, in %.
fn pressure(pressure: Pressure) -> String {
    let all = [pressure.cpu, pressure.memory, pressure.io];
    if all.iter().all(Option::is_none) {
        return "-".into();
    }
    all.map(|one| one.map_or_else(|| "-".into(), |one| format!("{one:.1}"))).join("/")
}

/// `12.3MiB`, in powers of 1024, as docker has it for memory.
fn binary(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        // What would be printed as 1024.0 belongs to the next unit.
        if value < 1023.95 {
            return if unit == "B" { format!("{bytes}B") } else { format!("{value:.1}{unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1}TiB")
}

/// Names are checked when they are given, but a store is not believed.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
pub mod tests;
