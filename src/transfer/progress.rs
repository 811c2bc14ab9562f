//! What is told while an image is on its way.

mod lines;
mod live;

use crate::{say, spec::Digest, sys::tty};
use std::{io, os::fd::AsFd};

/// How far a transfer is. Called from several threads; everything it says goes to stderr.
pub trait Progress: Sync {
    /// A layer begins: `size` bytes packed, of which `have` are here already.
    fn begin(&self, layer: &Digest, size: u64, have: u64);
    /// More packed bytes of it have come.
    fn more(&self, layer: &Digest, bytes: u64);
    /// It is there; `new` if it was not before.
    fn done(&self, layer: &Digest, new: bool);
    /// Something that is to be told once: another process is fetching it, a try failed and is repeated.
    fn tell(&self, layer: &Digest, text: &str);
}

/// Nothing is told.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &Digest, _: u64, _: u64) {}
    fn more(&self, _: &Digest, _: u64) {}
    fn done(&self, _: &Digest, _: bool) {}
    fn tell(&self, _: &Digest, _: &str) {}
}

/// What stands behind a layer that has come, and behind one that was there already.
pub const PULLED: [&str; 2] = ["unpacked", "here already"];
/// The same for one that goes out.
pub const PUSHED: [&str; 2] = ["uploaded", "there already"];

/// What fits where stderr leads: lines that move on a terminal, a line now and then elsewhere, nothing where only errors
/// are wanted. `name`: what is on its way; `bytes`: how much of it is to come;
/// `ends`: [`PULLED`], [`PUSHED`].
pub fn fitting(name: &str, bytes: u64, ends: [&'static str; 2]) -> Box<dyn Progress> {
    if say::is_quiet() {
        Box::new(Silent)
    } else if tty::is_terminal(io::stderr().as_fd()) {
        Box::new(live::Live::new(ends))
    } else {
        Box::new(lines::Lines::new(name, bytes))
    }
}
