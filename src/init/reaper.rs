//! `--init`: process 1 stays ours. It passes signals on, collects orphans, and ends with the command's status.
//!
//! It never execs, so it must keep what it carries over from the launcher to itself: it is not dumpable, which bars
//! container root from /proc/1, and it closes every descriptor.

use crate::sys::{
    clone::{self, Child},
    cred, process,
    signal::{self, Signals, Wait, number},
};
use std::{io, os::fd::AsFd};

/// CAP_KILL of capabilities(7).
const KILL: u8 = 5;

/// Splits: the child goes on to the exec, the parent stays and does not come back.
pub(super) fn split() -> io::Result<()> {
    process::hide_from_ptrace()?;
    // Before there is a command that could be quicker; it gets a command line of its own by its exec.
    process::hide_arguments("init");
    match clone::fork()? {
        None => process::die_with_parent(),
        Some(command) => {
            process::close_all_but(&[command.pidfd.as_fd()]);
            // To pass signals on to a command of another user is all it may need.
            if cred::set_capabilities(1 << KILL).is_err() && cred::set_capabilities(0).is_err() {
                clone::exit_now(crate::EXIT_OURS);
            }
            for number in 0..3 {
                process::close_stdio(number);
            }
            clone::exit_now(serve(&command).unwrap_or(crate::EXIT_OURS))
        }
    }
}

fn serve(command: &Child) -> io::Result<u8> {
    let mut signals = Signals::catch(&[&signal::ENDING[..], &signal::CONTROL, &[number::SIGCHLD]].concat())?;
    loop {
        // Before the first wait as well: a quick command may have ended before SIGCHLD was blocked, and that one is lost.
        while let Some((pid, end)) = clone::reap()? {
            if pid == command.pid {
                // The others go with process 1.
                return Ok(end.code());
            }
        }
        signal::poll(&[(signals.as_fd(), Wait::Read)], None)?;
        while let Some(received) = signals.take()? {
            // What the terminal sends goes to the whole foreground group: the command has it already.
            if received.number != number::SIGCHLD && !received.from_kernel {
                clone::signal(command.pidfd.as_fd(), received.number)?;
            }
        }
    }
}
