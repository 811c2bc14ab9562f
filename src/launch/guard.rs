//! The guard: a second process of ours that outlives the launcher's death by a moment.
//!
//! The kernel kills the first process when the launcher dies, unless it has changed its ids: su(1) and every entrypoint
//! that steps down from root do. So the guard waits at a pipe whose other end only the launcher holds. The launcher dismisses
//! it with a byte; the end of the pipe without one means that the launcher was killed, and then the guard kills the container,
//! takes its cgroup away and puts the terminal back as it was.
//!
//! Where systemd makes a scope for the container, the guard is in it, too, in a cgroup beside the container's: systemd takes
//! a scope away as soon as the last process has gone, and what the kernel has counted in it must be read first.

use crate::{
    cgroup::{Group, place},
    sys::{
        clone::{self, Child},
        process,
        signal::number,
        socket,
        tty::{self, Modes},
    },
};
use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    time::Duration,
};

/// The messages, by their first byte: it may go; systemd was asked for a scope for this container; the path of the group.
const DISMISSED: u8 = b'D';
const ASKED: u8 = b'A';
const GROUP: u8 = b'G';

/// How often, and how far apart, it looks whether it has come into the scope that was asked for. When it has gone itself,
/// systemd has nobody to put there and refuses.
const LOOKS: (u32, Duration) = (40, Duration::from_millis(25));

/// A running guard.
pub(super) struct Guard {
    process: Child,
    pipe: Option<OwnedFd>,
}

impl Guard {
    /// Starts it.
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

    /// Its number.
    pub(super) fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Tells it that systemd was asked for a scope for both.
    pub(super) fn asked(&self, id: &str) {
        self.send(ASKED, id.as_bytes());
    }

    /// Tells it the container's group.
    pub(super) fn tell(&self, group: &Group) {
        self.send(GROUP, group.path().as_os_str().as_bytes());
    }

    fn send(&self, kind: u8, text: &[u8]) {
        if let Some(pipe) = &self.pipe {
            let _ = socket::send(pipe.as_fd(), &[&[kind], text].concat(), None);
        }
    }

    /// Lets it go home.
    pub(super) fn dismiss(&mut self) {
        self.send(DISMISSED, b"");
        self.pipe = None;
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
    let mut message = [0; 4096];
    let (mut group, mut asked) = (None, None);
    while let Ok((length @ 1.., _)) = socket::receive(pipe.as_fd(), &mut message) {
        let text = OsStr::from_bytes(&message[1..length]);
        match message[0] {
            DISMISSED => clone::exit_now(0),
            ASKED => asked = text.to_str().map(String::from),
            _ => group = Some(Group::made(Path::new(text))),
        }
    }
    let _ = clone::signal(init, number::SIGKILL);
    if let Some((modes, fd)) = terminal {
        let _ = tty::restore(fd.as_fd(), modes);
    }
    match (group, asked) {
        (Some(group), _) => drop(group.end()),
        (None, Some(id)) => await_scope(&id),
        (None, None) => {}
    }
    clone::exit_now(0)
}

/// The launcher was killed while systemd was at it. It keeps a scope for ever that nobody alive was put into, and forgets one
/// that its last process has left.
fn await_scope(id: &str) {
    let (looks, pause) = LOOKS;
    for _ in 0..looks {
        if place::own_group().is_some_and(|group| group.contains(id)) {
            break;
        }
        std::thread::sleep(pause);
    }
}
