//! The caller's terminal while the container has one of its own: raw, and put back on every way out.

use crate::sys::{
    signal::{Signals, Wait, poll},
    tty::{self, Modes},
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

/// How much is read at once.
const PIECE: usize = 64 * 1024;

/// What a pipe that is ready surely takes at once (pipe(7)). Our output is the caller's, so that it stays blocking: a longer
/// write would wait for a reader, deaf to every signal.
const PIPE_BUF: usize = 4096;

/// The container's terminal seen from outside, and our own as it was.
pub(super) struct OwnTerminal {
    pub(super) master: OwnedFd,
    before: Option<Modes>,
    /// Typed, and not yet taken by the container.
    pub(super) to_inside: Vec<u8>,
    /// Printed, and not yet taken by our output.
    pub(super) to_outside: Vec<u8>,
    /// What was typed last is no end of a line.
    line_open: bool,
    /// Our input has ended.
    pub(super) input_ended: bool,
    /// The container has closed its side for good.
    pub(super) output_ended: bool,
}

impl OwnTerminal {
    /// Takes over: from here on every byte typed goes to the container.
    pub(super) fn new(master: OwnedFd) -> io::Result<OwnTerminal> {
        // A program that does not read must make us wait for nothing: what it prints would stay where it is.
        tty::set_nonblocking(master.as_fd())?;
        let stdin = io::stdin();
        let before = if tty::is_terminal(stdin.as_fd()) { Some(tty::make_raw(stdin.as_fd())?) } else { None };
        Ok(OwnTerminal {
            master,
            before,
            to_inside: Vec::new(),
            to_outside: Vec::new(),
            line_open: false,
            input_ended: false,
            output_ended: false,
        })
    }

    /// Hands the size of our terminal on.
    pub(super) fn resize(&self) {
        if let Ok(size) = tty::size(io::stdout().as_fd()).or_else(|_| tty::size(io::stdin().as_fd())) {
            let _ = tty::set_size(self.master.as_fd(), size);
        }
    }

    /// Raw again, after somebody else had the terminal.
    pub(super) fn raw_again(&self) {
        if self.before.is_some() {
            let _ = tty::make_raw(io::stdin().as_fd());
        }
    }

    /// Our input has something. What was typed, for a look at it.
    pub(super) fn read_input(&mut self) -> io::Result<&[u8]> {
        let old = self.to_inside.len();
        let mut piece = [0; 4096];
        let length = tty::read(io::stdin(), &mut piece)?;
        self.to_inside.extend(&piece[..length]);
        if length == 0 {
            self.input_ended = true;
            // A pipe that ends is like the key that ends the input; in the middle of a line the first one only ends that.
            let key = tty::end_of_input(self.master.as_fd());
            self.to_inside.extend(key.into_iter().chain(key.filter(|_| self.line_open)));
        } else {
            self.line_open = piece[length - 1] != b'\n';
        }
        Ok(&self.to_inside[old..old + length])
    }

    /// The container has printed something.
    pub(super) fn read_output(&mut self) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        let length = tty::read(&self.master, &mut piece)?;
        self.to_outside.extend(&piece[..length]);
        self.output_ended |= length == 0;
        Ok(())
    }

    /// Passes on what waits in one direction, as much as is taken. A container that has closed its side swallows it.
    pub(super) fn write_inside(&mut self) {
        pass(&self.master, &mut self.to_inside, PIECE);
    }

    /// Passes on what waits in the other direction. An output that nobody reads any more swallows it.
    pub(super) fn write_outside(&mut self) {
        pass(io::stdout(), &mut self.to_outside, PIPE_BUF);
    }

    /// After the command's end, which was also the end of all other programs inside: what they printed last, however slowly
    /// it is taken. A signal ends the wait, and so does patience with who has been asked to end before.
    pub(super) fn drain(&mut self, signals: &mut Signals, asked_to_end: bool) {
        let patience = asked_to_end.then_some(Duration::from_secs(1));
        loop {
            if !self.to_outside.is_empty() {
                let stdout = io::stdout();
                let wanted = [(stdout.as_fd(), Wait::Write), (signals.as_fd(), Wait::Read)];
                match poll(&wanted, patience).as_deref() {
                    Ok([true, _]) => self.write_outside(),
                    Ok([_, true]) if super::asks_to_end(signals).is_none() => {}
                    _ => return,
                }
            } else if self.output_ended
                || !poll(&[(self.master.as_fd(), Wait::Read)], Some(Duration::from_secs(1))).is_ok_and(|ready| ready[0])
                || self.read_output().is_err()
            {
                return;
            }
        }
    }
}

/// One write: what was taken is gone from `waiting`, and so is everything when nobody will ever take it.
fn pass(to: impl AsFd, waiting: &mut Vec<u8>, most: usize) {
    match tty::write(to, &waiting[..waiting.len().min(most)]) {
        Ok(taken) => drop(waiting.drain(..taken)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
        Err(_) => waiting.clear(),
    }
}

impl Drop for OwnTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tty::restore(io::stdin().as_fd(), before);
        }
    }
}
