//! The guard: a second process of ours that outlives the launcher's death by a moment.
//!
//! The kernel kills the first process when the launcher dies, unless it has changed its ids: su(1) and every entrypoint
//! that steps down from root do. So the guard waits at a pipe whose other end only the launcher holds. The launcher dismisses
//! it with a byte; the end of the pipe without one means that the launcher was killed, and then the guard kills the container
//! and puts the terminal back as it was.

use crate::sys::{
    clone::{self, Child},
    process,
    signal::number,
    socket,
    tty::{self, Modes},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// A running guard.
pub(super) struct Guard {
    process: Child,
    pipe: Option<OwnedFd>,
}

impl Guard {
    /// Starts it. To be called while the launcher has nothing else to do.
    pub(super) fn start(init: BorrowedFd<'_>) -> io::Result<Guard> {
        let (ours, theirs) = socket::pair()?;
        let stdin = io::stdin();
        let modes = tty::modes(stdin.as_fd()).ok();
        match clone::fork()? {
            Some(process) => Ok(Guard { process, pipe: Some(ours) }),
            None => {
                drop(ours);
                let terminal = modes.and_then(|modes| Some((modes, tty::another(stdin.as_fd()).ok()?)));
                watch(init, &theirs, terminal.as_ref())
            }
        }
    }

    /// Lets it go home.
    pub(super) fn dismiss(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            let _ = socket::send(pipe.as_fd(), b"D", None);
        }
    }

    /// Waits until it has gone.
    pub(super) fn wait(self) {
        let _ = clone::wait(self.process.pidfd.as_fd());
    }
}

/// Must not: hold anything of the caller's open (a pipe would never end), or be in its process group (Ctrl-C).
fn watch(init: BorrowedFd<'_>, pipe: &OwnedFd, terminal: Option<&(Modes, OwnedFd)>) -> ! {
    let _ = process::new_session();
    let mut keep = vec![init, pipe.as_fd()];
    keep.extend(terminal.map(|(_, fd)| fd.as_fd()));
    process::close_all_but(&keep);
    for number in 0..3 {
        process::close_stdio(number);
    }
    let mut byte = [0];
    if !matches!(socket::receive(pipe.as_fd(), &mut byte), Ok((1, _))) {
        let _ = clone::signal(init, number::SIGKILL);
        if let Some((modes, fd)) = terminal {
            let _ = tty::restore(fd.as_fd(), modes);
        }
    }
    clone::exit_now(0)
}
