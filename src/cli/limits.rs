//! The flags about what a container may use, and how they become [`Limits`].
//!
//! Every value is read here and not by clap, so that each mistake has the flag's name, a remedy and the exit status 125.

#[cfg(test)]
mod tests;

use super::run::choose;
use crate::{
    host::config::Config,
    spec::{
        Limits, Raw,
        limits::{Amount, Cgroups, CpuSet, DeviceLimit, Rate, Strictness, conf, number, parent},
    },
};
use anyhow::{Result, anyhow};
use std::ffi::{OsStr, OsString};

/// What can be changed while a container runs: the flags of `run` and of `update`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Flags {
    /// The most memory; the kernel ends the greatest process where more is needed
    #[arg(short, long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory: Option<String>,
    /// Memory that is taken away last where the machine runs short
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_reservation: Option<String>,
    /// The most memory and swap together; -1: any swap
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// The most time, in CPUs: 0.5 is half of one
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub cpus: Option<String>,
    /// The share of time where CPUs are scarce, 1 to 10000; 100 is usual
    #[arg(long, value_name = "WEIGHT", allow_hyphen_values = true)]
    pub cpu_weight: Option<String>,
    /// The same as docker counts it, 2 to 262144; 1024 is usual
    #[arg(short = 'c', long, value_name = "SHARES", allow_hyphen_values = true)]
    pub cpu_shares: Option<String>,
    /// The CPUs to run on: 0-3,6
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub cpuset_cpus: Option<String>,
    /// The most processes and threads; -1: any number
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub pids_limit: Option<String>,
    /// The share where disks are busy, 1 to 10000; 100 is usual
    #[arg(long, value_name = "WEIGHT", allow_hyphen_values = true)]
    pub io_weight: Option<String>,
    /// The most bytes a second read from a device
    #[arg(long, value_name = "DEVICE:BYTES", allow_hyphen_values = true)]
    pub device_read_bps: Vec<OsString>,
    /// The most bytes a second written to a device
    #[arg(long, value_name = "DEVICE:BYTES", allow_hyphen_values = true)]
    pub device_write_bps: Vec<OsString>,
    /// The most reads a second from a device
    #[arg(long, value_name = "DEVICE:N", allow_hyphen_values = true)]
    pub device_read_iops: Vec<OsString>,
    /// The most writes a second to a device
    #[arg(long, value_name = "DEVICE:N", allow_hyphen_values = true)]
    pub device_write_iops: Vec<OsString>,
    /// Any file of cgroup v2: memory.high=512m
    #[arg(long, value_name = "KEY=VALUE", allow_hyphen_values = true)]
    pub cgroup_conf: Vec<String>,
}

/// All of `run`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct RunFlags {
    #[command(flatten)]
    pub changeable: Flags,
    /// Who is ended first where the machine's memory runs out, -1000 to 1000
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub oom_score_adj: Option<String>,
    /// A bound of each process: nofile=1024:2048, soft and hard
    #[arg(long, value_name = "NAME=SOFT[:HARD]", allow_hyphen_values = true)]
    pub ulimit: Vec<String>,
    /// What to do where a limit cannot be held
    #[arg(long, value_name = "MODE")]
    pub limits: Option<Strictness>,
    /// Where the container's control group comes from
    #[arg(long, value_name = "MODE")]
    pub cgroups: Option<Cgroups>,
    /// The slice of systemd, or the group by its path, to put that group below
    #[arg(long, value_name = "SLICE", allow_hyphen_values = true)]
    pub cgroup_parent: Option<OsString>,
}

/// What `run` was asked for; what no flag says, the environment and the configuration may.
///
/// # Errors
/// The flag, what is wrong with its value, and what it takes.
pub fn limits(flags: &RunFlags, config: &Config) -> Result<Limits> {
    let mut limits = Limits {
        strictness: choose(flags.limits, "LIMITS", config.limits)?,
        cgroups: choose(flags.cgroups, "CGROUPS", config.cgroups)?,
        ..Limits::default()
    };
    flags.changeable.apply(&mut limits)?;
    put(&mut limits.oom_score_adj, "--oom-score-adj", flags.oom_score_adj.as_ref(), number::oom_score_adj)?;
    for text in &flags.ulimit {
        limits.set_ulimit(text.parse().map_err(|e: String| refused("--ulimit", text.as_ref(), &e))?);
    }
    if let Some(text) = &flags.cgroup_parent {
        limits.cgroup_parent = Some(parent::parse(text).map_err(|e| refused("--cgroup-parent", text, &e))?);
    }
    limits.check().map_err(|e| anyhow!(e))?;
    Ok(limits)
}

impl Flags {
    /// Puts what was typed in place of what is there. What the fields have to do with each other is not looked at.
    ///
    /// # Errors
    /// The flag, what is wrong with its value, and what it takes.
    pub fn apply(&self, limits: &mut Limits) -> Result<()> {
        put(&mut limits.memory, "--memory", self.memory.as_ref(), Amount::memory)?;
        put(&mut limits.memory_reservation, "--memory-reservation", self.memory_reservation.as_ref(), Amount::bytes)?;
        put(&mut limits.memory_swap, "--memory-swap", self.memory_swap.as_ref(), Amount::memory_swap)?;
        put(&mut limits.cpus, "--cpus", self.cpus.as_ref(), str::parse)?;
        match (&self.cpu_weight, &self.cpu_shares) {
            // Of these two the new one takes the place of the old one, whichever that is.
            (Some(_), None) => limits.cpu_shares = None,
            (None, Some(_)) => limits.cpu_weight = None,
            _ => {}
        }
        let weight = |text: &str| number::whole(text, 1, 10_000);
        put(&mut limits.cpu_weight, "--cpu-weight", self.cpu_weight.as_ref(), weight)?;
        put(&mut limits.cpu_shares, "--cpu-shares", self.cpu_shares.as_ref(), number::cpu_shares)?;
        put(&mut limits.cpuset_cpus, "--cpuset-cpus", self.cpuset_cpus.as_ref(), str::parse::<CpuSet>)?;
        put(&mut limits.pids, "--pids-limit", self.pids_limit.as_ref(), Amount::pids)?;
        put(&mut limits.io_weight, "--io-weight", self.io_weight.as_ref(), weight)?;
        for (rate, all) in [
            (Rate::Rbps, &self.device_read_bps),
            (Rate::Wbps, &self.device_write_bps),
            (Rate::Riops, &self.device_read_iops),
            (Rate::Wiops, &self.device_write_iops),
        ] {
            for text in all {
                limits.set_device(DeviceLimit::parse(rate, text).map_err(|e| refused(rate.flag(), text, &e))?);
            }
        }
        for text in &self.cgroup_conf {
            limits.set_conf(conf::parse(text).map_err(|e| refused("--cgroup-conf", text.as_ref(), &e))?);
        }
        Ok(())
    }
}

/// Reads a flag's value, if it has one, into its field.
fn put<T>(
    field: &mut Option<T>,
    flag: &str,
    text: Option<&String>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<()> {
    if let Some(text) = text {
        *field = Some(parse(text).map_err(|e| refused(flag, text.as_ref(), &e))?);
    }
    Ok(())
}

fn refused(flag: &str, text: &OsStr, why: &str) -> anyhow::Error {
    anyhow!("{flag} {}: {why}\n  fix (you): {}", shown(text), remedy(flag))
}

/// A value in a message; of one that is too long to read, the beginning.
fn shown(text: &OsStr) -> String {
    const LONGEST: usize = 60;
    let text = Raw::from(text).to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What a flag takes, by example.
fn remedy(flag: &str) -> String {
    let takes = match flag {
        "--memory" | "--memory-reservation" => "bytes, with k, m, g or t for more of them, as in FLAG 512m, or max",
        "--memory-swap" => "memory and swap together, as in --memory 512m FLAG 1g, or max",
        "--cpus" => "CPUs' worth of time, as in FLAG 1.5, or max",
        "--cpu-weight" | "--io-weight" => "a weight; FLAG 200 is twice the usual one",
        "--cpu-shares" => "docker's shares, of which 1024 are usual, as in FLAG 2048",
        "--cpuset-cpus" => "CPUs by number, as in FLAG 0-3,6",
        "--pids-limit" => "how many processes and threads there may be, as in FLAG 100, or max",
        "--device-read-bps" | "--device-write-bps" => "a device and bytes a second, as in FLAG /dev/sda:10m, or max",
        "--device-read-iops" | "--device-write-iops" => {
            "a device and how often a second, as in FLAG /dev/sda:500, or max"
        }
        "--cgroup-conf" => "a file of cgroup v2 and what to write to it, as in FLAG memory.high=512m",
        "--oom-score-adj" => "a number, of which the highest is ended first, as in FLAG 500",
        "--ulimit" => "a name, a soft and a hard bound, as in FLAG nofile=1024:2048",
        _ => "a slice, as in FLAG work.slice, or the path of a group below /sys/fs/cgroup, as in FLAG /work",
    };
    format!("give {}", takes.replace("FLAG", flag))
}
