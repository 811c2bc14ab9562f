//! Which file of cgroup v2 holds which limit, and what is written there (the kernel's Documentation/admin-guide/cgroup-v2.rst).

use crate::spec::limits::{Amount, Cpus, Limits, weight_of_shares};

/// A limit as a file of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The flag that asked for it.
    pub flag: &'static str,
    /// What was asked for, as it would be typed.
    pub requested: String,
    /// The file.
    pub file: String,
    /// What is written to it.
    pub value: String,
    /// It follows from another limit and may be left out where the kernel does not have it.
    pub optional: bool,
}

impl Wanted {
    /// The controller that must be there.
    pub fn controller(&self) -> &str {
        match self.file.split_once('.') {
            // Every group has these of its own (cgroup.max.depth).
            Some(("cgroup", _)) | None => "",
            Some((controller, _)) => controller,
        }
    }
}

/// The period of `cpu.max` in microseconds, docker's and the kernel's own; and the longest, for what it cannot express.
const PERIOD: u64 = 100_000;
const LONG_PERIOD: u64 = 1_000_000;

/// All that need a cgroup, in the order in which they are written. `devices`: the numbers of the devices that they name.
pub fn wanted(limits: &Limits, devices: &[(u32, u32)]) -> Vec<Wanted> {
    let mut all = Vec::new();
    let mut add = |flag, requested: String, file: &str, value: String| {
        all.push(Wanted { flag, requested, file: file.into(), value, optional: false });
    };
    if let Some(bytes) = limits.memory {
        add("--memory", bytes.as_size(), "memory.max", bytes.to_string());
    }
    // What only follows from another limit gives way to what was said.
    let said = limits.memory_swap.is_none() && limits.conf.iter().any(|(key, _)| key == "memory.swap.max");
    if let Some((requested, value)) = swap(limits).filter(|_| !said) {
        add("--memory-swap", requested, "memory.swap.max", value.to_string());
    }
    if let Some(bytes) = limits.memory_reservation {
        add("--memory-reservation", bytes.as_size(), "memory.low", bytes.to_string());
    }
    if let Some(cpus) = limits.cpus {
        add("--cpus", cpus.to_string(), "cpu.max", cpu_max(cpus));
    }
    if let Some(weight) = limits.cpu_weight {
        add("--cpu-weight", weight.to_string(), "cpu.weight", weight.to_string());
    }
    if let Some(shares) = limits.cpu_shares {
        add("--cpu-shares", shares.to_string(), "cpu.weight", weight_of_shares(shares).to_string());
    }
    if let Some(cpus) = &limits.cpuset_cpus {
        add("--cpuset-cpus", cpus.to_string(), "cpuset.cpus", cpus.to_string());
    }
    if let Some(count) = limits.pids {
        add("--pids-limit", count.to_string(), "pids.max", count.to_string());
    }
    if let Some(weight) = limits.io_weight {
        add("--io-weight", weight.to_string(), "io.weight", format!("default {weight}"));
    }
    for (device, (major, minor)) in limits.devices.iter().zip(devices) {
        add(device.rate.flag(), device.typed(), "io.max", format!("{major}:{minor} {device}"));
    }
    for wanted in all.iter_mut().filter(|w| w.flag == "--memory-swap") {
        wanted.optional = limits.memory_swap.is_none();
    }
    all.extend(limits.conf.iter().map(|(file, value)| Wanted {
        flag: "--cgroup-conf",
        requested: format!("{file}={value}"),
        file: file.clone(),
        value: value.clone(),
        optional: false,
    }));
    all
}

/// Docker counts memory and swap together, the kernel apart. Where only the memory is bounded, as much swap goes with it.
fn swap(limits: &Limits) -> Option<(String, Amount)> {
    match (limits.memory, limits.memory_swap) {
        (Some(Amount::Of(memory)), Some(Amount::Of(both))) => {
            Some((Amount::Of(both).as_size(), Amount::Of(both.saturating_sub(memory))))
        }
        (_, Some(Amount::Max)) => Some((Amount::Max.as_size(), Amount::Max)),
        (Some(Amount::Of(memory)), None) => Some((Amount::Of(memory.saturating_mul(2)).as_size(), Amount::Of(memory))),
        (Some(Amount::Max), None) => Some((Amount::Max.as_size(), Amount::Max)),
        _ => None,
    }
}

fn cpu_max(cpus: Cpus) -> String {
    match cpus {
        Cpus::Max => format!("max {PERIOD}"),
        Cpus::Micro(micro) if micro % (LONG_PERIOD / PERIOD) == 0 => {
            format!("{} {PERIOD}", micro / (LONG_PERIOD / PERIOD))
        }
        Cpus::Micro(micro) => format!("{micro} {LONG_PERIOD}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(limits: Limits) -> Vec<String> {
        wanted(&limits, &[(8, 0)]).into_iter().map(|w| format!("{}={}", w.file, w.value)).collect()
    }

    #[test]
    fn parts_of_cpus_stay_what_they_are() {
        let cpus = |micro| files(Limits { cpus: Some(Cpus::Micro(micro)), ..Limits::default() });
        assert_eq!(cpus(250_000), ["cpu.max=25000 100000"]);
        assert_eq!(cpus(10_000), ["cpu.max=1000 100000"]);
        assert_eq!(cpus(1_234_567), ["cpu.max=1234567 1000000"]);
    }

    #[test]
    fn swap_is_what_is_left() {
        let of = |memory, memory_swap| files(Limits { memory, memory_swap, ..Limits::default() });
        let (m, s) = (Some(Amount::Of(100)), Some(Amount::Of(150)));
        assert_eq!(of(m, None), ["memory.max=100", "memory.swap.max=100"]);
        let conf = vec![("memory.swap.max".to_owned(), "0".to_owned())];
        let said = Limits { memory: m, conf, ..Limits::default() };
        assert_eq!(files(said), ["memory.max=100", "memory.swap.max=0"]);
        assert_eq!(of(m, s), ["memory.max=100", "memory.swap.max=50"]);
        assert_eq!(of(m, Some(Amount::Max)), ["memory.max=100", "memory.swap.max=max"]);
        let forced = wanted(&Limits { memory: m, memory_swap: s, ..Limits::default() }, &[]);
        assert!(forced.iter().all(|w| !w.optional));
    }
}
