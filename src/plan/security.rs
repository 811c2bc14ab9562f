//! What the command may not do or see: capabilities and hidden paths, as docker has them.

use super::step::InitStep;

/// The capabilities that docker and podman leave to a container, by their numbers in capabilities(7).
const DEFAULT: &[(&str, u8)] = &[
    ("chown", 0),
    ("dac_override", 1),
    ("fowner", 3),
    ("fsetid", 4),
    ("kill", 5),
    ("setgid", 6),
    ("setuid", 7),
    ("setpcap", 8),
    ("net_bind_service", 10),
    ("net_raw", 13),
    ("sys_chroot", 18),
    ("mknod", 27),
    ("audit_write", 29),
    ("setfcap", 31),
];

/// Files and folders that tell about the machine.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Folders that change the machine.
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// System calls that reach what no namespace keeps apart: the keyrings of keyrings(7).
const REFUSED: &[&str] = &["add_key", "request_key", "keyctl"];

/// The step that refuses them.
pub fn refused_calls() -> InitStep {
    InitStep::RefuseCalls { names: REFUSED.iter().map(|name| (*name).into()).collect() }
}

/// The names of the capabilities that the command keeps.
pub fn default_capabilities() -> Vec<String> {
    DEFAULT.iter().map(|(name, _)| (*name).into()).collect()
}

/// A set of capabilities as bits by number; a name that is unknown is left out.
pub fn capability_bits(names: &[String]) -> u64 {
    let number = |name: &String| DEFAULT.iter().find(|(known, _)| known == name).map(|(_, n)| 1u64 << n);
    names.iter().filter_map(number).fold(0, |all, bit| all | bit)
}

/// The steps that hide them.
pub fn hidden_paths() -> Vec<InitStep> {
    let masked = MASKED.iter().map(|path| InitStep::Mask { path: (*path).into() });
    let read_only = READ_ONLY.iter().map(|path| InitStep::ReadOnlyPath { path: (*path).into() });
    masked.chain(read_only).collect()
}
