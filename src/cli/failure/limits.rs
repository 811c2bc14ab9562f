//! Why a container's cgroup could not be had, or a limit not be set.

use crate::{
    host::diagnose::{Advice, Who},
    sys::code,
};

fn advice(who: Who, cause: impl Into<String>, remedy: impl Into<String>) -> Option<Advice> {
    Some(Advice { cause: cause.into(), who, remedy: remedy.into() })
}

/// systemd did not make the scope.
pub fn scope() -> Option<Advice> {
    advice(
        Who::You,
        "systemd did not do what it was asked for",
        "`systemctl --user status` tells how it is; `journalctl --user -n 20` what it says",
    )
}

/// The group could not be made or used.
pub fn group(errno: i32) -> Option<Advice> {
    match errno {
        code::EACCES | code::EPERM => advice(
            Who::You,
            "a process may be moved only by who may write to the nearest cgroup above its old and its new place",
            "--cgroups systemd has systemd move it",
        ),
        code::EBUSY => advice(
            Who::You,
            "a cgroup that holds processes itself cannot hand controllers on (cgroups(7), no internal processes)",
            "--cgroups systemd makes one without any",
        ),
        code::ENOENT => advice(
            Who::Administrator,
            "a controller is not delegated to this cgroup",
            crate::plan::limits::delegation(),
        ),
        code::EAGAIN | code::ENOSPC => advice(
            Who::Administrator,
            "the number of cgroups below this one is limited (cgroup.max.descendants, cgroup.max.depth)",
            "raise these in the cgroup above",
        ),
        _ => None,
    }
}

/// A limit could not be written.
pub fn limit(flag: &str, file: &str, errno: i32) -> Option<Advice> {
    match (file, errno) {
        ("io.weight", code::ENOENT) => advice(
            Who::You,
            "this kernel weighs disks by another scheduler, or not at all",
            "where BFQ is in use: --cgroup-conf io.bfq.weight=N, with N from 1 to 1000",
        ),
        ("memory.swap.max", code::ENOENT) => advice(
            Who::Administrator,
            "this kernel does not count swap",
            "boot with swapaccount=1 on the kernel's command line; or leave --memory-swap away",
        ),
        ("oom_score_adj", code::EACCES | code::EPERM) => advice(
            Who::You,
            format!("{flag}: only root may have a process ended later than the others, and this is lower than yours"),
            "give a higher one; /proc/self/oom_score_adj has yours",
        ),
        ("rlimit", code::EPERM) => {
            advice(Who::You, format!("{flag}: your own hard bound is lower"), "`ulimit -H` of the shell shows it")
        }
        (_, code::ENOENT) => advice(
            Who::You,
            format!("this kernel has no file {file} for a cgroup"),
            format!("leave {flag} away; the kernel's cgroup-v2 documentation names what there is"),
        ),
        ("io.max", code::ENODEV) => advice(
            Who::You,
            "the kernel limits whole disks, not their partitions",
            "name the disk that it is a part of",
        ),
        (_, code::EINVAL | code::ERANGE | code::ENODEV) => {
            advice(Who::You, format!("the kernel does not take this value for {file}"), "give another one")
        }
        _ => None,
    }
}
