//! What one process may use: sched_setaffinity(2), prlimit(2), getrusage(2).

use rustix::thread::CpuSet;
use std::{io, path::Path};

/// How many numbers a set of the C library's size has.
const MOST: usize = CpuSet::MAX_CPU;

/// The CPUs that we may run on, ascending.
pub fn affinity() -> io::Result<Vec<u32>> {
    let set = rustix::thread::sched_getaffinity(None)?;
    Ok((0..MOST).filter(|n| set.is_set(*n)).map(|n| n as u32).collect())
}

/// Has us and our children run on these CPUs alone.
pub fn set_affinity(cpus: &[u32]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().filter(|n| (**n as usize) < MOST).for_each(|n| set.set(*n as usize));
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// How many CPUs are there (sysconf(3), _SC_NPROCESSORS_ONLN), whoever may use them.
pub fn online_cpus() -> u32 {
    // SAFETY: sysconf(3) takes one number.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    u32::try_from(count).unwrap_or(1).max(1)
}

/// A bound of getrlimit(2) by its name in lower case (`nofile`), as the number of the kernel.
fn resource(name: &str) -> io::Result<u32> {
    let number = match name {
        "as" => libc::RLIMIT_AS,
        "core" => libc::RLIMIT_CORE,
        "cpu" => libc::RLIMIT_CPU,
        "data" => libc::RLIMIT_DATA,
        "fsize" => libc::RLIMIT_FSIZE,
        "locks" => libc::RLIMIT_LOCKS,
        "memlock" => libc::RLIMIT_MEMLOCK,
        "msgqueue" => libc::RLIMIT_MSGQUEUE,
        "nice" => libc::RLIMIT_NICE,
        "nofile" => libc::RLIMIT_NOFILE,
        "nproc" => libc::RLIMIT_NPROC,
        "rss" => libc::RLIMIT_RSS,
        "rtprio" => libc::RLIMIT_RTPRIO,
        "rttime" => libc::RLIMIT_RTTIME,
        "sigpending" => libc::RLIMIT_SIGPENDING,
        "stack" => libc::RLIMIT_STACK,
        _ => return Err(super::errno(libc::EINVAL)),
    };
    Ok(number)
}

/// The soft and the hard bound that we have; `None` is RLIM_INFINITY.
pub fn rlimit(name: &str) -> io::Result<(Option<u64>, Option<u64>)> {
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: prlimit64(2) with no new bound only fills `old`, which is plain data.
    let rc = unsafe { libc::prlimit64(0, resource(name)?, std::ptr::null(), &raw mut old) };
    let told = |n| (n != libc::RLIM64_INFINITY).then_some(n);
    if rc == 0 { Ok((told(old.rlim_cur), told(old.rlim_max))) } else { Err(io::Error::last_os_error()) }
}

/// Sets both; `None` is RLIM_INFINITY.
///
/// # Errors
/// EPERM: the hard bound is above the one we have, and only CAP_SYS_RESOURCE outside of every user namespace may do that.
pub fn set_rlimit(name: &str, soft: Option<u64>, hard: Option<u64>) -> io::Result<()> {
    let number = |bound: Option<u64>| bound.unwrap_or(libc::RLIM64_INFINITY);
    let new = libc::rlimit64 { rlim_cur: number(soft), rlim_max: number(hard) };
    // SAFETY: prlimit64(2) only reads `new`, which lives as long as the call.
    let rc = unsafe { libc::prlimit64(0, resource(name)?, &raw const new, std::ptr::null_mut()) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The largest resident set, in bytes, that a child we have waited for ever had (getrusage(2), RUSAGE_CHILDREN).
pub fn largest_child() -> u64 {
    // SAFETY: getrusage(2) fills `usage`, which is plain data.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        if libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) != 0 {
            return 0;
        }
        u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024
    }
}

/// Whether we may write to the file or folder (faccessat(2)).
pub fn may_write(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// An extended attribute of cgroup v2's folders (`user.delegate`), if it is there and short.
pub fn short_xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(path, name, &mut value[..]).ok()?;
    Some(value[..length].to_vec())
}

/// The major and minor number of a block device.
///
/// # Errors
/// ENOTBLK: it is something else.
pub fn device_numbers(path: &Path) -> io::Result<(u32, u32)> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let metadata = std::fs::metadata(path)?;
    if !metadata.file_type().is_block_device() {
        return Err(super::errno(libc::ENOTBLK));
    }
    Ok((rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev())))
}

/// How many ticks of /proc/PID/stat a second has.
pub fn clock_ticks() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}

/// The size of a page of memory, in bytes.
pub fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read() {
        let (soft, hard) = rlimit("nofile").unwrap();
        assert!(hard.is_none() || soft <= hard);
        assert!(rlimit("x").is_err());
        assert!(!affinity().unwrap().is_empty());
        assert!(online_cpus() >= 1);
    }
}
