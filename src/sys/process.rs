//! What a process does to itself: death signal, signal dispositions, descriptors, host name, exec.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal};
use std::{
    ffi::{CString, OsStr},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

/// Asks the kernel to kill us when our parent dies (PR_SET_PDEATHSIG). A change of ids takes that back.
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?)
}

/// Keeps /proc/PID of this process from others, container root included (PR_SET_DUMPABLE); execve(2) ends it.
pub fn hide_from_ptrace() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?)
}

/// Puts `title` in the place of our command line in /proc/PID/cmdline, and makes it our name (prctl(2), PR_SET_NAME).
///
/// For a process that stays inside and never execs: what the user typed outside is not the container's business. Nothing
/// of ours may look at the command line afterwards.
pub fn hide_arguments(title: &str) {
    let _ = CString::new(title).map(|name| rustix::thread::set_name(&name));
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    // Fields 48 and 49 of proc_pid_stat(5); the name in brackets, field 2, may hold anything.
    let fields: Vec<usize> =
        stat.rsplit(')').next().unwrap_or_default().split(' ').map(|f| f.parse().unwrap_or(0)).collect();
    let (Some(&start), Some(&end)) = (fields.get(46), fields.get(47)) else { return };
    if start == 0 || end <= start {
        return;
    }
    // SAFETY: the kernel says that our arguments lie there; they are writable memory of the initial stack, which nothing
    // else points to but the C library's argv, and that is not read again.
    unsafe {
        std::ptr::write_bytes(start as *mut u8, 0, end - start);
        std::ptr::copy_nonoverlapping(title.as_ptr(), start as *mut u8, title.len().min(end - start - 1));
    }
}

/// Makes a session of our own, so that no terminal of the caller's is our controlling one (setsid(2)).
pub fn new_session() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

/// Default dispositions for every signal, the real-time ones too, and an empty mask: Rust's run time ignores SIGPIPE, nohup(1) SIGHUP.
pub fn reset_signals() -> io::Result<()> {
    // The kernel's own sigaction: all zeroes means the default. The C library keeps two of the real-time signals for itself
    // and would refuse them.
    let default = [0u64; 4];
    for number in (1..=64).filter(|n| ![libc::SIGKILL, libc::SIGSTOP].contains(n)) {
        // SAFETY: rt_sigaction(2) reads a sigaction, which is no longer than this, and the default runs no code of ours.
        let rc = unsafe { libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), 0, 8) };
        if rc != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(SigSet::empty().thread_set_mask()?)
}

/// Takes SIGCHLD as usual: were it ignored, as a caller may leave it, no child of ours could be waited for (wait(2)).
pub fn wait_for_children() -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default disposition runs no code of ours.
    unsafe { nix::sys::signal::sigaction(Signal::SIGCHLD, &default)? };
    Ok(())
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2), or one by one before kernel 5.11).
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: close_range(2) takes three numbers.
    let rc = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if rc == 0 {
        return Ok(());
    }
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd >= first as i32)
        .collect();
    for fd in open {
        // SAFETY: fcntl(2) with F_SETFD takes numbers; a descriptor that is gone by now is no harm.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Closes every descriptor but 0, 1, 2 and `keep`.
///
/// # Safety of the callers' descriptors
/// For a process that will run nothing of what it had before: owned descriptors of the caller are closed under it.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) {
    let mut keep: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd() as u32).collect();
    keep.sort_unstable();
    let mut first = 3;
    for fd in keep.into_iter().chain([u32::MAX]) {
        if first < fd {
            // SAFETY: close_range(2) takes three numbers; see above for whom this is.
            unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0) };
        }
        first = fd.saturating_add(1).max(3);
    }
}

/// Makes `fd` descriptor number `to` (0, 1 or 2), which stays open over exec (dup2(2)).
pub fn replace_stdio(fd: BorrowedFd<'_>, to: i32) -> io::Result<()> {
    // SAFETY: dup2(2) takes two numbers; 0, 1 and 2 are owned by nobody.
    if unsafe { libc::dup2(fd.as_raw_fd(), to) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Opens /dev/null for each of 0, 1 and 2 that the caller left closed, so that no file of ours lands there.
pub fn fill_stdio() -> io::Result<()> {
    for fd in 0..3 {
        // SAFETY: fcntl(2) with F_GETFD takes numbers.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
            let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
            // The lowest free number is taken, so this is `fd` itself; it stays open over exec.
            replace_stdio(std::os::fd::AsFd::as_fd(&null), fd)?;
            // SAFETY: as above, with F_SETFD.
            unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
            std::mem::forget(null);
        }
    }
    Ok(())
}

/// Closes descriptor 0, 1 or 2 for good: for a process that stays behind and must not hold the caller's pipes open.
pub fn close_stdio(number: i32) {
    // SAFETY: close(2) takes a number; nobody owns these three.
    unsafe { libc::close(number) };
}

/// sethostname(2).
pub fn set_hostname(name: &str) -> io::Result<()> {
    Ok(nix::unistd::sethostname(name)?)
}

/// The machine's name and kernel release (uname(2)).
pub fn uname() -> (String, String) {
    let name = rustix::system::uname();
    (name.nodename().to_string_lossy().into_owned(), name.release().to_string_lossy().into_owned())
}

/// umask(2).
pub fn set_umask(mask: u32) {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
}

/// fchdir(2).
pub fn change_dir_fd(dir: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::process::fchdir(dir)?)
}

/// chdir(2).
pub fn change_dir(path: &Path) -> io::Result<()> {
    Ok(rustix::process::chdir(path)?)
}

/// Brings the loopback device up (netdevice(7), SIOCSIFFLAGS).
pub fn loopback_up() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: ifreq is plain data; zeroes are a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request outlives the call, and SIOCSIFFLAGS reads an ifreq.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Words as execve(2) takes them.
///
/// # Errors
/// EINVAL where a word holds a NUL byte.
pub fn c_strings<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> io::Result<Vec<CString>> {
    words.into_iter().map(|w| CString::new(w.as_bytes()).map_err(|_| super::errno(libc::EINVAL))).collect()
}

/// execve(2); comes back only with an error.
pub fn exec(program: &Path, args: &[CString], env: &[CString]) -> io::Error {
    let Ok(program) = CString::new(program.as_os_str().as_bytes()) else { return super::errno(libc::EINVAL) };
    match nix::unistd::execve(&program, args, env) {
        Err(e) => e.into(),
        Ok(never) => match never {},
    }
}

/// execveat(2) of a name in a folder, which must not be a link (ELOOP); comes back only with an error.
///
/// `folder` is close-on-exec, so that the kernel runs no script this way: ENOENT (execveat(2), BUGS).
pub fn exec_at(folder: BorrowedFd<'_>, name: &OsStr, args: &[CString], env: &[CString]) -> io::Error {
    let Ok(name) = CString::new(name.as_bytes()) else { return super::errno(libc::EINVAL) };
    match nix::unistd::execveat(folder, &name, args, env, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(e) => e.into(),
        Ok(never) => match never {},
    }
}

/// Random bytes of the kernel (getrandom(2)).
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut have = 0;
    while have < N {
        have += rustix::rand::getrandom(&mut bytes[have..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}
