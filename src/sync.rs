//! The protocol between the launcher and the first process.
//!
//! ```text
//!   init                      launcher
//!   (blocked)    <-- Go       maps written, folders made, FUSE started
//!   Warn(text)   -->          shown to the user, not fatal
//!   Terminal(fd) -->          the master of the container's terminal
//!   Failed{..}   -->          init exits; the launcher names the step
//!   (end of file)             execve succeeded: the socket is close-on-exec
//! ```
//!
//! Drawn above a pair of SOCK_SEQPACKET sockets: one message is one datagram, its first byte the kind.

use crate::sys::{self, socket};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// The longest message; a text that is longer is cut.
const LIMIT: usize = 4096;

/// The launcher's end.
#[derive(Debug)]
pub struct Launcher(OwnedFd);

/// The first process's end.
#[derive(Debug)]
pub struct Init(OwnedFd);

/// The warning at which the launcher of a debug build kills itself, for the crash tests.
#[cfg(debug_assertions)]
pub const CRASH: &str = "\u{1}crash";

/// What the launcher may hear.
#[derive(Debug)]
pub enum Heard {
    /// Something to tell the user.
    Warn(String),
    /// The master of the container's terminal.
    Terminal(OwnedFd),
    /// A step failed; nothing more will come.
    Failed(Failed),
    /// The command runs, or the first process was killed.
    End,
}

/// Which step of the first process failed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its place in the plan, from 0.
    pub step: usize,
    /// The errno of the system call.
    pub errno: i32,
    /// The exit status that follows from it: 125, 126 or 127.
    pub status: u8,
    /// What is known besides, or nothing.
    pub detail: String,
}

/// Both ends.
///
/// # Errors
/// No descriptor is free.
pub fn channel() -> io::Result<(Launcher, Init)> {
    let (a, b) = socket::pair()?;
    Ok((Launcher(a), Init(b)))
}

impl Launcher {
    /// Lets the first process go on.
    ///
    /// # Errors
    /// EPIPE: it has ended.
    pub fn go(&self) -> io::Result<()> {
        socket::send(self.0.as_fd(), b"G", None)
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// A message that this version does not know.
    pub fn hear(&self) -> io::Result<Heard> {
        let mut buffer = [0; LIMIT];
        let (length, descriptor) = socket::receive(self.0.as_fd(), &mut buffer)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match (&buffer[..length], descriptor) {
            ([], _) => Ok(Heard::End),
            ([b'W', rest @ ..], _) => Ok(Heard::Warn(text(rest))),
            ([b'T'], Some(master)) => Ok(Heard::Terminal(master)),
            ([b'F', a, b, c, d, e, f, g, h, status, rest @ ..], _) => Ok(Heard::Failed(Failed {
                step: u32::from_le_bytes([*a, *b, *c, *d]) as usize,
                errno: i32::from_le_bytes([*e, *f, *g, *h]),
                status: *status,
                detail: text(rest),
            })),
            _ => Err(sys::errno(sys::code::EINVAL)),
        }
    }
}

impl AsFd for Launcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Init {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Init {
    /// Waits until the launcher says go. `false`: it has died.
    ///
    /// # Errors
    /// Those of recvmsg(2).
    pub fn await_go(&self) -> io::Result<bool> {
        let mut byte = [0];
        Ok(socket::receive(self.0.as_fd(), &mut byte)?.0 == 1)
    }

    /// Whether the launcher is still there.
    pub fn launcher_lives(&self) -> bool {
        !socket::is_closed(self.0.as_fd())
    }

    /// Tells the user something.
    ///
    /// # Errors
    /// The launcher has died.
    pub fn warn(&self, text: &str) -> io::Result<()> {
        self.send(b"W", text.as_bytes())
    }

    /// Hands over the master of the container's terminal.
    ///
    /// # Errors
    /// The launcher has died.
    pub fn terminal(&self, master: BorrowedFd<'_>) -> io::Result<()> {
        socket::send(self.0.as_fd(), b"T", Some(master))
    }

    /// Says which step failed.
    ///
    /// # Errors
    /// The launcher has died.
    pub fn failed(&self, failed: &Failed) -> io::Result<()> {
        let mut head = vec![b'F'];
        head.extend((failed.step as u32).to_le_bytes());
        head.extend(failed.errno.to_le_bytes());
        head.push(failed.status);
        self.send(&head, failed.detail.as_bytes())
    }

    fn send(&self, head: &[u8], text: &[u8]) -> io::Result<()> {
        let mut message = head.to_vec();
        message.extend(&text[..text.len().min(LIMIT - head.len())]);
        socket::send(self.0.as_fd(), &message, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_sent() {
        let (launcher, init) = channel().unwrap();
        launcher.go().unwrap();
        assert!(init.await_go().unwrap());
        init.warn("ä note").unwrap();
        let failed = Failed { step: 300, errno: -1, status: 127, detail: "x".repeat(9000) };
        init.failed(&failed).unwrap();
        assert!(init.launcher_lives());
        drop(init);
        assert!(matches!(launcher.hear().unwrap(), Heard::Warn(text) if text == "ä note"));
        let Heard::Failed(heard) = launcher.hear().unwrap() else { panic!("not the failure") };
        assert_eq!((heard.step, heard.errno, heard.status), (300, -1, 127));
        assert!(failed.detail.starts_with(&heard.detail) && heard.detail.len() > 4000);
        assert!(matches!(launcher.hear().unwrap(), Heard::End));
    }

    #[test]
    fn a_dead_launcher_is_seen() {
        let (launcher, init) = channel().unwrap();
        drop(launcher);
        assert!(!init.launcher_lives());
        assert!(!init.await_go().unwrap());
        assert!(init.warn("nobody hears").is_err());
    }
}
