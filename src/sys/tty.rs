//! Terminals: raw mode, window size, and a new pty of a given devpts (tty(4), pty(7), termios(3)).

use rustix::{
    fs::{Mode, OFlags},
    pty::OpenptFlags,
    termios::{OptionalActions, Termios, Winsize},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// Rows and columns.
pub type Size = (u16, u16);

/// Whether this is a terminal (isatty(3)).
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    rustix::termios::isatty(fd)
}

/// The window size (TIOCGWINSZ).
pub fn size(fd: BorrowedFd<'_>) -> io::Result<Size> {
    let size = rustix::termios::tcgetwinsize(fd)?;
    Ok((size.ws_row, size.ws_col))
}

/// Sets it (TIOCSWINSZ); the programs there are told by SIGWINCH.
pub fn set_size(fd: BorrowedFd<'_>, (rows, columns): Size) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(fd, size)?)
}

/// The modes of a terminal as they were, to be put back.
#[derive(Clone, Debug)]
pub struct Modes(Termios);

/// The modes as they are (tcgetattr(3)). ENOTTY where this is no terminal.
pub fn modes(fd: BorrowedFd<'_>) -> io::Result<Modes> {
    Ok(Modes(rustix::termios::tcgetattr(fd)?))
}

/// Another descriptor for the same terminal, close-on-exec.
pub fn another(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}

/// Every byte passes as it is from now on (cfmakeraw(3)). Gives back the modes before.
pub fn make_raw(fd: BorrowedFd<'_>) -> io::Result<Modes> {
    let before = rustix::termios::tcgetattr(fd)?;
    let mut raw = before.clone();
    raw.make_raw();
    rustix::termios::tcsetattr(fd, OptionalActions::Drain, &raw)?;
    Ok(Modes(before))
}

/// Puts modes back.
pub fn restore(fd: BorrowedFd<'_>, modes: &Modes) -> io::Result<()> {
    Ok(rustix::termios::tcsetattr(fd, OptionalActions::Now, &modes.0)?)
}

/// Lets a write take what there is room for and never wait (FIONBIO).
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, true)?)
}

/// Opens a pty of the devpts instance whose ptmx is `ptmx`: the master, and the other side for the programs.
pub fn open_pty(dev: BorrowedFd<'_>, ptmx: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::openat(dev, ptmx, flags, Mode::empty())?;
    rustix::pty::unlockpt(&master)?;
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, peer)?;
    Ok((master, slave))
}

/// Makes it the controlling terminal of our session (TIOCSCTTY).
pub fn make_controlling(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(fd)?)
}

/// The character that ends the input where the terminal works in lines, if it does.
pub fn end_of_input(master: BorrowedFd<'_>) -> Option<u8> {
    use rustix::termios::{LocalModes, SpecialCodeIndex};
    let modes = rustix::termios::tcgetattr(master).ok()?;
    modes.local_modes.contains(LocalModes::ICANON).then(|| modes.special_codes[SpecialCodeIndex::VEOF])
}

/// Which signal this byte makes on the terminal right now, if any: INT, QUIT.
pub fn signal_of(master: BorrowedFd<'_>, byte: u8) -> Option<i32> {
    use rustix::termios::{LocalModes, SpecialCodeIndex};
    let modes = rustix::termios::tcgetattr(master).ok()?;
    if !modes.local_modes.contains(LocalModes::ISIG) {
        return None;
    }
    match byte {
        b if b == modes.special_codes[SpecialCodeIndex::VINTR] => Some(libc::SIGINT),
        b if b == modes.special_codes[SpecialCodeIndex::VQUIT] => Some(libc::SIGQUIT),
        _ => None,
    }
}

/// The foreground process group of the pty, as our own PID namespace counts it (TIOCGPGRP on the master).
pub fn foreground(master: BorrowedFd<'_>) -> Option<i32> {
    rustix::termios::tcgetpgrp(master).ok().map(|p| p.as_raw_nonzero().get())
}

/// read(2) that does not mind a signal in between; a pty whose other side is closed reads as the end.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(&fd, &mut *buffer) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::IO) => return Ok(0),
            other => return Ok(other?),
        }
    }
}

/// One write(2): how many bytes were taken.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::io::write(&fd, bytes) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}
