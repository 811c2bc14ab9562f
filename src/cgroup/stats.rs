//! What a container uses at one moment, from the files of its group (the kernel's Documentation/admin-guide/cgroup-v2.rst).
//!
//! A file, a line or a key that this kernel lacks, or whose controller was not handed on, is not known: never 0.

use super::{Group, MOUNT, processes::Processes};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::{Duration, Instant},
};

/// What one container uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When the time on CPUs was read.
    pub at: Instant,
    /// Where the numbers are from.
    pub source: Source,
    /// Bytes of memory: of a group without the files that would be forgotten first, as docker counts; of processes the sum of
    /// their resident sets, in which what they share counts for each.
    pub memory: Option<u64>,
    /// The most that the group ever used, in bytes, with all its files.
    pub memory_peak: Option<u64>,
    /// Bytes: the lowest `memory.max` of the group and those above it. None: no limit, or none is known.
    pub memory_limit: Option<u64>,
    /// Time on CPUs, all of them together.
    pub cpu: Option<Duration>,
    /// How many CPUs' worth of time it may have: the lowest `cpu.max` of the group and those above it.
    pub cpu_limit: Option<f64>,
    /// How it was held back by its own `cpu.max`.
    pub throttle: Option<Throttle>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// How many there may be: the group's `pids.max`.
    pub pids_limit: Option<u64>,
    /// What went through disks.
    pub io: Option<Io>,
    /// What waits.
    pub pressure: Pressure,
}

/// Where the numbers of a sample are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The container's group.
    Cgroup,
    /// Its processes, one by one: what ended without being waited for is missing, and nothing is limited.
    Processes,
    /// The group, and for what it does not count the processes.
    Both,
}

/// nr_periods, nr_throttled and throttled_usec of cpu.stat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    /// Periods in which it wanted to run.
    pub periods: u64,
    /// Those in which it had to stop.
    pub throttled: u64,
    /// For how long, over all CPUs.
    pub time: Duration,
    /// Whether there is a limit now.
    pub limited: bool,
}

/// Bytes that were read from and written to block devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Io {
    /// Read.
    pub read: u64,
    /// Written.
    pub written: u64,
}

/// Share of the last ten seconds, in %, in which something of it had to wait (the kernel's Documentation/accounting/psi.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// For a CPU.
    pub cpu: Option<f64>,
    /// For memory.
    pub memory: Option<f64>,
    /// For a disk.
    pub io: Option<f64>,
}

impl Io {
    /// Both together.
    pub(super) fn plus(self, other: Io) -> Io {
        Io { read: self.read.saturating_add(other.read), written: self.written.saturating_add(other.written) }
    }
}

impl Sample {
    /// One that knows nothing yet.
    pub fn unknown(at: Instant, source: Source) -> Sample {
        Sample {
            at,
            source,
            memory: None,
            memory_peak: None,
            memory_limit: None,
            cpu: None,
            cpu_limit: None,
            throttle: None,
            pids: None,
            pids_limit: None,
            io: None,
            pressure: Pressure::default(),
        }
    }

    /// Of a group; none where it is gone.
    pub fn of_group(group: &Group) -> Option<Sample> {
        let folder = group.path();
        let file = |name: &str| read(&folder.join(name)).ok();
        let number = |name: &str| file(name)?.trim().parse::<u64>().ok();
        // The one file of these that every group has.
        let cpu_stat = file("cpu.stat")?;
        let mut sample = Sample::unknown(Instant::now(), Source::Cgroup);
        sample.cpu = value(&cpu_stat, "usage_usec").map(Duration::from_micros);
        let above = || folder.ancestors().take_while(|path| path.starts_with(MOUNT) && *path != Path::new(MOUNT));
        let quotas = above().map(|path| read(&path.join("cpu.max")).ok().and_then(|text| quota(&text)));
        let quotas: Vec<Option<f64>> = quotas.collect();
        let limited = quotas.first().is_some_and(Option::is_some);
        sample.cpu_limit = quotas.into_iter().flatten().reduce(f64::min);
        sample.throttle = throttle(&cpu_stat).map(|throttle| Throttle { limited, ..throttle });
        sample.memory = number("memory.current").map(|all| without_cache(all, file("memory.stat").as_deref()));
        sample.memory_peak = number("memory.peak");
        let limits = above().filter_map(|path| read(&path.join("memory.max")).ok()?.trim().parse().ok());
        sample.memory_limit = limits.min();
        sample.pids = number("pids.current");
        sample.pids_limit = number("pids.max");
        sample.io = file("io.stat").map(|text| disks(&text));
        let waits = |name: &str| pressure(&file(name)?);
        sample.pressure =
            Pressure { cpu: waits("cpu.pressure"), memory: waits("memory.pressure"), io: waits("io.pressure") };
        Some(sample)
    }

    /// Whether the group leaves out what its processes can tell.
    pub fn lacks(&self) -> bool {
        self.memory.is_none() || self.pids.is_none() || self.io.is_none()
    }

    /// Fills in what the group does not count, for the container whose first process is `init`.
    #[must_use]
    pub fn filled(self, processes: &Processes, init: i32) -> Sample {
        let Some(other) = processes.of(init) else { return self };
        let source = if self.lacks() { Source::Both } else { self.source };
        Sample {
            source,
            memory: self.memory.or(other.memory),
            pids: self.pids.or(other.pids),
            io: self.io.or(other.io),
            ..self
        }
    }
}

/// The memory of the whole machine, in bytes (proc_meminfo(5)).
pub fn machine_memory() -> Option<u64> {
    let text = read(Path::new("/proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// A file of the kernel's. It is made when it is read, and given whole where there is room: no second read is needed.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut buffer = [0; 16384];
    let length = file.read(&mut buffer)?;
    let mut bytes = buffer[..length].to_vec();
    if length == buffer.len() {
        file.read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number behind a key, in files with a line for each.
pub(super) fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

fn throttle(cpu_stat: &str) -> Option<Throttle> {
    Some(Throttle {
        periods: value(cpu_stat, "nr_periods")?,
        throttled: value(cpu_stat, "nr_throttled")?,
        time: Duration::from_micros(value(cpu_stat, "throttled_usec")?),
        limited: false,
    })
}

/// How many CPUs' worth of time cpu.max gives; none where it says `max`.
fn quota(cpu_max: &str) -> Option<f64> {
    let (quota, period) = cpu_max.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0.0).then_some(quota / period)
}

fn without_cache(all: u64, memory_stat: Option<&str>) -> u64 {
    let cache = memory_stat.and_then(|text| value(text, "inactive_file")).unwrap_or(0);
    // The two are read one after the other.
    all.checked_sub(cache).unwrap_or(all)
}

/// The sum over all devices of io.stat.
fn disks(io_stat: &str) -> Io {
    let sum = |key: &str| {
        let words = io_stat.split_whitespace();
        words.filter_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse::<u64>().ok()).sum()
    };
    Io { read: sum("rbytes"), written: sum("wbytes") }
}

/// `some avg10` of a pressure file.
fn pressure(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|word| word.strip_prefix("avg10=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU_STAT: &str = "usage_usec 1000000\nuser_usec 987654\nsystem_usec 12345\nnice_usec 0\nnr_periods 25\n\
                            nr_throttled 24\nthrottled_usec 1420000\nnr_bursts 0\nburst_usec 0\n";

    #[test]
    fn times() {
        let throttled = Throttle { periods: 25, throttled: 24, time: Duration::from_millis(1420), limited: false };
        assert_eq!((value(CPU_STAT, "usage_usec"), throttle(CPU_STAT)), (Some(1_000_000), Some(throttled)));
        // Without the controller there is only this much.
        let bare = "usage_usec 7\nuser_usec 7\nsystem_usec 0\n";
        assert_eq!((value(bare, "usage_usec"), throttle(bare)), (Some(7), None));
        assert_eq!((value("", "usage_usec"), value("usage_usecs 1\nusage_usec x", "usage_usec")), (None, None));
    }

    #[test]
    fn quotas() {
        assert_eq!(quota("40000 100000\n"), Some(0.4));
        assert_eq!(quota("250000 100000"), Some(2.5));
        for none in ["max 100000\n", "", "40000", "1 0", "x y"] {
            assert_eq!(quota(none), None, "{none}");
        }
    }

    #[test]
    fn memory_without_what_is_forgotten_first() {
        let stat = "anon 208896\nfile 172032\ninactive_anon 110592\nactive_anon 0\ninactive_file 126976\nnew_key 9\n";
        assert_eq!(without_cache(745_472, Some(stat)), 618_496);
        assert_eq!(without_cache(1000, Some(stat)), 1000);
        assert_eq!(without_cache(1000, Some("anon 1\n")), 1000);
        assert_eq!(without_cache(1000, None), 1000);
    }

    #[test]
    fn devices() {
        assert_eq!(
            disks("98:0 rbytes=172032 wbytes=0 rios=8 wios=0 dbytes=0 dios=0\n"),
            Io { read: 172_032, written: 0 }
        );
        let two = "8:0 rbytes=10 wbytes=20 cost.vrate=1.0\n253:0 \n8:16 wbytes=5 rbytes=x\n";
        assert_eq!(disks(two), Io { read: 10, written: 25 });
        assert_eq!(disks(""), Io::default());
    }

    #[test]
    fn pressures() {
        let text =
            "some avg10=12.34 avg60=1.00 avg300=0.10 total=123\nfull avg10=5.00 avg60=0.00 avg300=0.00 total=1\n";
        assert_eq!(pressure(text), Some(12.34));
        assert_eq!(pressure("full avg10=5.00 avg60=0.00 avg300=0.00 total=1\n"), None);
        assert_eq!((pressure(""), pressure("some avg60=1.00\n")), (None, None));
    }

    #[test]
    fn the_machine() {
        assert!(machine_memory().unwrap() > 1 << 24);
        assert!(read(Path::new("/proc/self/no-such-file")).is_err());
        assert!(read(Path::new("/proc/self")).is_err());
    }
}
