//! Standard input, output and errors of the command.

use super::{Failure, Inside};
use crate::sys::{
    mount, process, target,
    tty::{self, Size},
};
use std::{os::fd::AsFd, path::Path};

impl Inside {
    /// A terminal of the container's own devpts. Its master goes to the launcher; nobody inside has it.
    pub(super) fn open_terminal(&self, size: Option<Size>, stderr: bool) -> Result<(), Failure> {
        let dev = self.dev()?.as_fd();
        let (master, slave) = tty::open_pty(dev, Path::new("pts/ptmx"))?;
        if let Some(size) = size {
            tty::set_size(master.as_fd(), size)?;
        }
        self.channel.terminal(master.as_fd())?;
        tty::make_controlling(slave.as_fd())?;
        for number in 0..if stderr { 3 } else { 2 } {
            process::replace_stdio(slave.as_fd(), number)?;
        }
        // The first terminal of a new devpts is always number 0.
        let console = mount::clone_tree(dev, Path::new("pts/0"), false)?;
        target::make_file(dev, "console")?;
        Ok(mount::attach(console.as_fd(), dev, Path::new("console"))?)
    }

    /// Puts /dev/null on standard input.
    pub(super) fn no_input(&self) -> Result<(), Failure> {
        let place = target::open(self.roots()?.new.as_fd(), Path::new("/dev/null"))?;
        let null = target::reopen(place.as_fd())?;
        Ok(process::replace_stdio(null.as_fd(), 0)?)
    }
}
