//! Making processes: clone3(2) into new namespaces, fork(2), and waiting for them by pidfd.

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// The namespaces of namespaces(7), as flags of clone3(2).
pub mod namespace {
    pub use libc::{
        CLONE_NEWCGROUP as CGROUP, CLONE_NEWIPC as IPC, CLONE_NEWNS as MOUNT, CLONE_NEWPID as PID,
        CLONE_NEWUSER as USER, CLONE_NEWUTS as UTS,
    };
}

/// linux/sched.h; the libc crate has it for some C libraries only.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A child process: its number and a descriptor that can never mean another process (pidfd_open(2)).
#[derive(Debug)]
pub struct Child {
    /// The process number in our own PID namespace.
    pub pid: i32,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// exit(2) with this status.
    Status(u8),
    /// Ended by this signal.
    Signal(u8),
}

impl End {
    /// As a shell says it: the status, or 128 and the signal.
    pub fn code(self) -> u8 {
        match self {
            End::Status(status) => status,
            End::Signal(signal) => 128 + signal,
        }
    }
}

/// How many threads this process has; 1 is what [`fork_into`] needs.
pub fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Splits this process in two, the child in new namespaces. `None` is the child.
///
/// Only for a process with one thread: the child may then go on with any code. clone3(2) is used, and clone(2) where an
/// outer sandbox hides it.
///
/// `group`: the folder of a cgroup that the child is born in (CLONE_INTO_CGROUP), which is cheaper than moving it there.
///
/// # Errors
/// Those of clone3(2); EPERM, ENOSPC, EUSERS and EINVAL are about the namespaces. With a group, ENOSYS and E2BIG say that
/// this kernel (before 5.7) or an outer sandbox does not know it.
pub fn fork_into(namespaces: i32, group: Option<BorrowedFd<'_>>) -> io::Result<Option<Child>> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain data and all zeroes means «none» for every field.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = (namespaces | libc::CLONE_PIDFD) as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(group) = group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = group.as_raw_fd() as u64;
    }
    // SAFETY: no stack is given, so the child goes on with a copy of ours, as after fork(2); the caller has one thread.
    let mut pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    if pid < 0 && group.is_none() && io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) {
        let flags = libc::c_long::from(namespaces | libc::CLONE_PIDFD | libc::SIGCHLD);
        // SAFETY: as above; the parent_tid argument receives the pidfd (clone(2)).
        pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, &raw mut pidfd, 0, 0) };
    }
    match pid {
        0 => Ok(None),
        pid if pid > 0 => {
            // SAFETY: the kernel has just given us this descriptor, close-on-exec, and nobody else knows it.
            Ok(Some(Child { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// fork(2) with a pidfd: `None` is the child. Only for a process with one thread.
pub fn fork() -> io::Result<Option<Child>> {
    fork_into(0, None)
}

/// Leaves at once, running no destructor and flushing nothing: how a child of [`fork_into`] that is not to exec ends.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit(2) has no condition.
    unsafe { libc::_exit(i32::from(status)) }
}

/// Waits until the child has ended and takes its status (waitid(2)).
pub fn wait(pidfd: BorrowedFd<'_>) -> io::Result<End> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED) {
            Ok(Some(status)) => {
                return Ok(match status.exit_status() {
                    Some(code) => End::Status(code as u8),
                    None => End::Signal(status.terminating_signal().unwrap_or(0) as u8),
                });
            }
            Ok(None) => {}
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Sends a signal to the process of a pidfd; one that has ended already is no error.
pub fn signal(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(number).ok_or(super::errno(libc::EINVAL))?;
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}

/// Sends a signal to a process group (kill(2)).
pub fn signal_group(group: i32, number: i32) -> io::Result<()> {
    // SAFETY: kill(2) takes two numbers.
    if unsafe { libc::kill(-group, number) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A descriptor for a process that is not our child.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(super::errno(libc::ESRCH))?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// A copy of our mount namespace, for us alone (unshare(2)).
pub fn new_mount_namespace() -> io::Result<()> {
    // SAFETY: unshare(2) takes flags; no descriptor or memory of ours depends on the old namespace.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A network namespace for us alone, with nothing in it but a loopback device that is down (unshare(2)).
pub fn new_network_namespace() -> io::Result<()> {
    // SAFETY: unshare(2) takes flags; no socket of ours is used as if it were in the new namespace.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A view of the cgroups in which our own one is the root (cgroup_namespaces(7), unshare(2)).
pub fn new_cgroup_namespace() -> io::Result<()> {
    // SAFETY: unshare(2) takes flags; no descriptor or memory of ours depends on the old namespace.
    if unsafe { libc::unshare(libc::CLONE_NEWCGROUP) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts the caller into the user and mount namespaces of the process (setns(2)). For a process with one thread.
pub fn enter_user_and_mount(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: setns(2) with a pidfd takes the descriptor and the kinds of namespaces.
    let rc = unsafe { libc::setns(pidfd.as_fd().as_raw_fd(), libc::CLONE_NEWUSER | libc::CLONE_NEWNS) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes the status of any child that has ended, without waiting: its number and its end (waitpid(2)).
pub fn reap() -> io::Result<Option<(i32, End)>> {
    use rustix::process::WaitOptions;
    match rustix::process::wait(WaitOptions::NOHANG) {
        Ok(Some((pid, status))) => {
            let end = match status.exit_status() {
                Some(code) => End::Status(code as u8),
                None => End::Signal(status.terminating_signal().unwrap_or(0) as u8),
            };
            Ok(Some((pid.as_raw_nonzero().get(), end)))
        }
        Ok(None) | Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
