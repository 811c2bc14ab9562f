//! Signals as data: blocked, then read from a descriptor (signalfd(2)); and poll(2).

use nix::sys::{
    signal::{SaFlags, SigAction, SigHandler, SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::{AtomicI32, AtomicPtr, Ordering},
    time::Duration,
};

/// The numbers that other rooms name (signal(7)).
pub mod number {
    pub use libc::{
        SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU,
        SIGURG, SIGUSR1, SIGUSR2, SIGWINCH,
    };
}

/// Signals that end a process which has no handler for them, and that people and programs send to end one.
pub const ENDING: [i32; 7] = [
    number::SIGTERM,
    number::SIGINT,
    number::SIGHUP,
    number::SIGQUIT,
    number::SIGUSR1,
    number::SIGUSR2,
    number::SIGALRM,
];

/// Those that ask to end, whatever the command makes of them.
pub const ASKING: [i32; 4] = [number::SIGTERM, number::SIGINT, number::SIGHUP, number::SIGQUIT];

/// Signals of a terminal and of job control.
pub const CONTROL: [i32; 3] = [number::SIGWINCH, number::SIGCONT, number::SIGTSTP];

/// Signals that wait for us in a descriptor.
#[derive(Debug)]
pub struct Signals(SignalFd);

/// One that came.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Which.
    pub number: i32,
    /// From the terminal or the kernel, not from kill(2): then it was meant for the whole foreground group.
    pub from_kernel: bool,
}

impl Signals {
    /// Blocks these signals and catches them here. The mask is inherited: a child must reset it before exec.
    pub fn catch(numbers: &[i32]) -> io::Result<Signals> {
        let mut set = SigSet::empty();
        for number in numbers {
            set.add(Signal::try_from(*number)?);
        }
        set.thread_block()?;
        Ok(Signals(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// The next one that waits, if any.
    pub fn take(&mut self) -> io::Result<Option<Received>> {
        let info = self.0.read_signal()?;
        Ok(info.map(|i| Received { number: i.ssi_signo as i32, from_kernel: i.ssi_code == libc::SI_KERNEL }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether we ignore this signal: nohup(1) leaves SIGHUP so.
pub fn is_ignored(number: i32) -> bool {
    // SAFETY: sigaction(2) with no new action only fills `old`, which is plain data.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        libc::sigaction(number, std::ptr::null(), &raw mut old) == 0 && old.sa_sigaction == libc::SIG_IGN
    }
}

/// While it lives, signals that ask to end let this process say a last word; see [`last_words`].
#[derive(Debug)]
pub struct LastWords {
    before: Vec<(i32, SigAction)>,
}

static WORDS: AtomicPtr<&'static str> = AtomicPtr::new(std::ptr::null_mut());
static SPEAKER: AtomicI32 = AtomicI32::new(0);

extern "C" fn speak_and_end(number: libc::c_int) {
    // SAFETY: getpid(2), write(2) and _exit(2) may be called in a handler (signal-safety(7)); the pointer is null or leads to
    // a `&'static str` that is never freed.
    unsafe {
        if libc::getpid() == SPEAKER.load(Ordering::Relaxed)
            && let Some(words) = WORDS.load(Ordering::Relaxed).as_ref()
        {
            libc::write(2, words.as_ptr().cast(), words.len());
        }
        libc::_exit(128 + number);
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP print these words on stderr and end the process with 128 and their number. A child
/// that is forked meanwhile ends without a word. Signals that are ignored stay so.
///
/// # Errors
/// Those of sigaction(2).
pub fn last_words(words: &'static &'static str) -> io::Result<LastWords> {
    WORDS.store(std::ptr::from_ref(words).cast_mut(), Ordering::Relaxed);
    SPEAKER.store(std::process::id() as i32, Ordering::Relaxed);
    let mut held = LastWords { before: Vec::new() };
    for number in [number::SIGINT, number::SIGTERM, number::SIGHUP] {
        if is_ignored(number) {
            continue;
        }
        let action = SigAction::new(SigHandler::Handler(speak_and_end), SaFlags::empty(), SigSet::all());
        // SAFETY: the handler calls only what may be called in one.
        let before = unsafe { nix::sys::signal::sigaction(Signal::try_from(number)?, &action)? };
        held.before.push((number, before));
    }
    Ok(held)
}

impl Drop for LastWords {
    fn drop(&mut self) {
        for (number, before) in &self.before {
            if let Ok(signal) = Signal::try_from(*number) {
                // SAFETY: it was the action before, so that what it needs is still there.
                let _ = unsafe { nix::sys::signal::sigaction(signal, before) };
            }
        }
    }
}

/// Whether one of these is blocked and waits (sigpending(2)). It still does afterwards.
pub fn is_waiting(numbers: &[i32]) -> bool {
    // SAFETY: sigpending(2) fills `set`, which is plain data, and sigismember(3) reads it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigpending(&raw mut set) == 0 && numbers.iter().any(|n| libc::sigismember(&raw const set, *n) == 1)
    }
}

/// Stops ourselves as the terminal would have, until somebody sends SIGCONT.
pub fn stop_self() -> io::Result<()> {
    Ok(nix::sys::signal::raise(Signal::SIGSTOP)?)
}

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Something to read, or the other side has gone.
    Read,
    /// Room to write, or the other side has gone.
    Write,
    /// A file of the kernel has changed (cgroup.events, memory.events: cgroups(7)).
    Change,
}

/// Waits until one of `wanted` is ready (poll(2)); says for each whether it is. A signal ends the wait early.
pub fn poll(wanted: &[(BorrowedFd<'_>, Wait)], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut fds: Vec<PollFd<'_>> = wanted
        .iter()
        .map(|(fd, wait)| {
            let flags = match wait {
                Wait::Read => PollFlags::IN,
                Wait::Write => PollFlags::OUT,
                Wait::Change => PollFlags::PRI,
            };
            PollFd::from_borrowed_fd(*fd, flags)
        })
        .collect();
    let timeout = timeout.map(|t| Timespec { tv_sec: t.as_secs() as i64, tv_nsec: i64::from(t.subsec_nanos()) });
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(fds.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(e) => Err(e.into()),
    }
}
