//! What limits depend on, looked at only where one was asked for.

use crate::{
    cgroup::place,
    plan::facts::Limiting,
    spec::{Limits, Raw, limits::Cgroups},
    sys::{cred, limit, process},
};
use anyhow::{Context, Result};
use std::fs;

/// Reads no more than these limits need.
pub fn gather(limits: &Limits) -> Result<Limiting> {
    if limits.is_empty()
        && limits.cgroup_parent.is_none()
        && matches!(limits.cgroups, Cgroups::Auto | Cgroups::Disabled)
    {
        return Ok(Limiting { exposed: place::exposed().map(Raw::from), ..Limiting::default() });
    }
    let mut hard = Vec::new();
    for wanted in &limits.ulimits {
        hard.push(limit::rlimit(wanted.resource.name()).with_context(|| format!("--ulimit {wanted}"))?.1);
    }
    let mut devices = Vec::new();
    for device in &limits.devices {
        devices.push(limit::device_numbers(device.path.path()).with_context(|| {
            format!("{} {}: it must be a block device (lsblk lists them)", device.rate.flag(), device.typed())
        })?);
    }
    let group = limits.needs_group() || limits.cgroup_parent.is_some() || limits.cgroups != Cgroups::Auto;
    Ok(Limiting {
        groups: if group { place::look(cred::effective_uid(), limits) } else { Default::default() },
        cpus: online(),
        affinity: limit::affinity().unwrap_or_default(),
        nproc_per_namespace: kernel() >= (5, 14),
        hard,
        devices,
        exposed: place::exposed().map(Raw::from),
    })
}

/// The CPUs that are there, whoever may use them.
fn online() -> Vec<u32> {
    let listed = fs::read_to_string("/sys/devices/system/cpu/online").ok();
    let listed = listed.and_then(|text| text.trim().parse::<crate::spec::limits::CpuSet>().ok());
    listed.map_or_else(|| (0..limit::online_cpus()).collect(), |set| set.0)
}

/// The kernel's version, as far as two numbers tell it.
fn kernel() -> (u32, u32) {
    let release = process::uname().1;
    let mut numbers = release.split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    });
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
