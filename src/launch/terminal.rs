//! The caller's terminal while the container has one of its own: raw, and put back on every way out.

use crate::sys::tty::{self, Modes};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

/// How much is read at once.
const PIECE: usize = 64 * 1024;

/// The container's terminal seen from outside, and our own as it was.
pub(super) struct OwnTerminal {
    pub(super) master: OwnedFd,
    before: Option<Modes>,
    /// Typed, and not yet taken by the container.
    pub(super) to_inside: Vec<u8>,
    /// Printed, and not yet taken by our output.
    pub(super) to_outside: Vec<u8>,
    /// Our input has ended.
    pub(super) input_ended: bool,
    /// The container has closed its side for good.
    pub(super) output_ended: bool,
}

impl OwnTerminal {
    /// Takes over: from here on every byte typed goes to the container.
    pub(super) fn new(master: OwnedFd) -> io::Result<OwnTerminal> {
        let stdin = io::stdin();
        let before = if tty::is_terminal(stdin.as_fd()) { Some(tty::make_raw(stdin.as_fd())?) } else { None };
        Ok(OwnTerminal {
            master,
            before,
            to_inside: Vec::new(),
            to_outside: Vec::new(),
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
            // A pipe that ends is like the key that ends the input.
            self.to_inside.extend(tty::end_of_input(self.master.as_fd()));
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

    /// Passes on what waits in one direction, as much as is taken.
    pub(super) fn write_inside(&mut self) -> io::Result<()> {
        let taken = tty::write(&self.master, &self.to_inside)?;
        self.to_inside.drain(..taken);
        Ok(())
    }

    /// Passes on what waits in the other direction. An output that nobody reads any more swallows it.
    pub(super) fn write_outside(&mut self) {
        match tty::write(io::stdout(), &self.to_outside) {
            Ok(taken) => {
                self.to_outside.drain(..taken);
            }
            Err(_) => self.to_outside.clear(),
        }
    }

    /// After the command's end: what it printed last. A program it left behind may hold the terminal open for ever.
    pub(super) fn drain(&mut self) {
        use crate::sys::signal::{Wait, poll};
        let until = Instant::now() + Duration::from_secs(1);
        while !self.output_ended && Instant::now() < until {
            match poll(&[(self.master.as_fd(), Wait::Read)], Some(Duration::from_millis(20))) {
                Ok(ready) if ready[0] => {
                    if self.read_output().is_err() {
                        break;
                    }
                }
                _ => break,
            }
            self.flush();
        }
        self.flush();
    }

    fn flush(&mut self) {
        while !self.to_outside.is_empty() {
            self.write_outside();
        }
    }
}

impl Drop for OwnTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tty::restore(io::stdin().as_fd(), before);
        }
    }
}
