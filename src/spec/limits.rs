//! Limits: what a container may use, as its user asked for it (cgroups(7), getrlimit(2), proc_pid_oom_score_adj(5)).
//!
//! Words become numbers here, by docker's rules; whether this machine can hold them is the plan's question.

pub mod conf;
pub mod number;
pub mod parent;

mod cpus;
mod cpuset;
mod device;
mod size;
#[cfg(test)]
mod tests;
mod ulimit;

pub use cpus::Cpus;
pub use cpuset::CpuSet;
pub use device::{DeviceLimit, Rate};
pub use number::weight_of_shares;
pub use size::Amount;
pub use ulimit::{Bound, Resource, Ulimit};

use super::Raw;
use serde::{Deserialize, Serialize};

/// What was asked for. Nothing is limited that is not named here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// `--memory`: bytes of memory that the container may use; `memory.max`.
    pub memory: Option<Amount>,
    /// `--memory-reservation`: bytes below which it is reclaimed last; `memory.low`.
    pub memory_reservation: Option<Amount>,
    /// `--memory-swap`: bytes of memory and swap together, as docker counts; `memory.swap.max` is the difference.
    pub memory_swap: Option<Amount>,
    /// `--cpus`: how many CPUs' worth of time; `cpu.max`.
    pub cpus: Option<Cpus>,
    /// `--cpu-weight`, 1 to 10000: its share where CPUs are scarce; `cpu.weight`.
    pub cpu_weight: Option<u64>,
    /// `--cpu-shares`, 2 to 262144: the same in docker's older unit.
    pub cpu_shares: Option<u64>,
    /// `--cpuset-cpus`: on which CPUs it may run; `cpuset.cpus`.
    pub cpuset_cpus: Option<CpuSet>,
    /// `--pids-limit`: how many processes and threads; `pids.max`.
    pub pids: Option<Amount>,
    /// `--io-weight`, 1 to 10000: its share where disks are scarce; `io.weight`.
    pub io_weight: Option<u64>,
    /// `--device-read-bps` and kin; `io.max`.
    pub devices: Vec<DeviceLimit>,
    /// `--cgroup-conf KEY=VALUE`: files of cgroup v2, as they are written.
    pub conf: Vec<(String, String)>,
    /// `--oom-score-adj`, -1000 to 1000: who is killed first where memory runs out.
    pub oom_score_adj: Option<i16>,
    /// `--ulimit`
    pub ulimits: Vec<Ulimit>,
    /// `--limits`: what to do where one of these cannot be held.
    pub strictness: Strictness,
    /// `--cgroups`: where the container's group comes from.
    pub cgroups: Cgroups,
    /// `--cgroup-parent`: below which slice or group.
    pub cgroup_parent: Option<Raw>,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.requested().is_empty()
    }

    /// Whether something is asked for that only a control group can hold.
    pub fn needs_group(&self) -> bool {
        !self.of_group().is_empty()
    }

    /// Everything that is limited: the flag, and its value as one would type it, with the greatest unit that has no rest.
    /// In the order of the fields.
    pub fn requested(&self) -> Vec<(&'static str, String)> {
        let mut all = self.of_group();
        all.extend(self.oom_score_adj.map(|n| ("--oom-score-adj", n.to_string())));
        all.extend(self.ulimits.iter().map(|u| ("--ulimit", u.to_string())));
        all
    }

    /// Of [`Limits::requested`], what only a control group can hold.
    pub fn of_group(&self) -> Vec<(&'static str, String)> {
        let one = [
            ("--memory", self.memory.map(Amount::as_size)),
            ("--memory-reservation", self.memory_reservation.map(Amount::as_size)),
            ("--memory-swap", self.memory_swap.map(Amount::as_size)),
            ("--cpus", self.cpus.map(|c| c.to_string())),
            ("--cpu-weight", self.cpu_weight.map(|n| n.to_string())),
            ("--cpu-shares", self.cpu_shares.map(|n| n.to_string())),
            ("--cpuset-cpus", self.cpuset_cpus.as_ref().map(CpuSet::to_string)),
            ("--pids-limit", self.pids.map(|n| n.to_string())),
            ("--io-weight", self.io_weight.map(|n| n.to_string())),
        ];
        let mut all: Vec<_> = one.into_iter().filter_map(|(flag, value)| Some((flag, value?))).collect();
        all.extend(self.devices.iter().map(|d| (d.rate.flag(), d.typed())));
        all.extend(
            self.conf.iter().map(|(key, value)| ("--cgroup-conf", Raw::from(format!("{key}={value}")).to_string())),
        );
        all
    }

    /// Adds a device's rate, in place of an earlier one of the same.
    pub fn set_device(&mut self, new: DeviceLimit) {
        set(&mut self.devices, new, |a, b| a.path == b.path && a.rate == b.rate);
    }

    /// Adds a file of cgroup v2, in place of an earlier one of the same name, and of the same device where it has a line for
    /// each.
    pub fn set_conf(&mut self, new: (String, String)) {
        set(&mut self.conf, new, |a, b| a.0 == b.0 && conf::device(a) == conf::device(b));
    }

    /// Adds a bound of each process, in place of an earlier one of the same resource.
    pub fn set_ulimit(&mut self, new: Ulimit) {
        set(&mut self.ulimits, new, |a, b| a.resource == b.resource);
    }

    /// What the fields have to do with each other.
    ///
    /// # Errors
    /// The flag, what is wrong with it, and what mends it.
    pub fn check(&self) -> Result<(), String> {
        self.check_memory()?;
        self.check_conf()?;
        if self.cpu_weight.is_some() && self.cpu_shares.is_some() {
            return Err(
                "--cpu-shares: --cpu-weight says the same in another unit\n  fix (you): leave one of them out".into()
            );
        }
        if self.cgroups == Cgroups::Disabled && self.cgroup_parent.is_some() {
            return Err("--cgroup-parent: with --cgroups disabled there is no group to put below it\n  \
                        fix (you): leave one of them out"
                .into());
        }
        match (&self.cgroup_parent, self.cgroups) {
            (Some(parent), Cgroups::Systemd) if parent.path().is_absolute() => Err(format!(
                "--cgroup-parent {parent}: systemd puts its scopes below slices\n  \
                 fix (you): name a slice, as in --cgroup-parent batch.slice"
            )),
            (Some(parent), Cgroups::Cgroupfs) if !parent.path().is_absolute() => Err(format!(
                "--cgroup-parent {parent}: slices are systemd's\n  \
                 fix (you): name a group by its path below /sys/fs/cgroup, or leave --cgroups cgroupfs away"
            )),
            _ => Ok(()),
        }
    }

    /// A file has one value: with two, it would depend on the order which one is held.
    fn check_conf(&self) -> Result<(), String> {
        let with_flags = [
            ("memory.max", "--memory", self.memory.is_some()),
            ("memory.low", "--memory-reservation", self.memory_reservation.is_some()),
            ("memory.swap.max", "--memory-swap", self.memory_swap.is_some()),
            ("cpu.max", "--cpus", self.cpus.is_some()),
            ("cpu.weight", "--cpu-weight", self.cpu_weight.is_some()),
            ("cpu.weight", "--cpu-shares", self.cpu_shares.is_some()),
            ("cpuset.cpus", "--cpuset-cpus", self.cpuset_cpus.is_some()),
            ("pids.max", "--pids-limit", self.pids.is_some()),
        ];
        let twice = with_flags.iter().find(|(file, _, given)| *given && self.conf.iter().any(|(key, _)| key == file));
        twice.map_or(Ok(()), |(file, flag, _)| {
            Err(format!("--cgroup-conf {file}: {flag} is about the same file\n  fix (you): use one of the two for it"))
        })
    }

    fn check_memory(&self) -> Result<(), String> {
        let memory = self.memory.unwrap_or(Amount::Max);
        if let Some(swap @ Amount::Of(_)) = self.memory_swap
            && memory == Amount::Max
        {
            return Err(format!(
                "--memory-swap {0}: it is memory and swap together, so it needs a --memory that is no more\n  \
                 fix (you): add --memory, as in --memory {0} for no swap at all",
                swap.as_size()
            ));
        }
        if let Some(swap) = self.memory_swap.filter(|swap| *swap < memory) {
            return Err(format!(
                "--memory-swap {}: it is memory and swap together, and less than --memory {}\n  \
                 fix (you): --memory-swap {1} is no swap at all; give that or more",
                swap.as_size(),
                memory.as_size()
            ));
        }
        match self.memory_reservation {
            Some(reserved) if reserved > memory => Err(format!(
                "--memory-reservation {}: it is more than --memory {}\n  fix (you): reserve no more than the limit",
                reserved.as_size(),
                memory.as_size()
            )),
            _ => Ok(()),
        }
    }
}

/// Puts `new` into `all`, in place of an earlier one that is the same thing.
fn set<T>(all: &mut Vec<T>, new: T, is_same: impl Fn(&T, &T) -> bool) {
    match all.iter_mut().find(|old| is_same(old, &new)) {
        Some(old) => *old = new,
        None => all.push(new),
    }
}

/// What to do where a limit cannot be held (`--limits`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Strictness {
    /// Run nothing, and say why
    #[default]
    Strict,
    /// Use what comes nearest (CPU affinity, rlimits), and say what that is
    BestEffort,
}

/// Where the container's group comes from (`--cgroups`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Cgroups {
    /// One only where a limit needs it: in the subtree delegated to us, else from systemd
    #[default]
    Auto,
    /// A scope that systemd makes and delegates, asked for over D-Bus
    Systemd,
    /// A folder that we make in the subtree delegated to us
    Cgroupfs,
    /// None
    Disabled,
}
