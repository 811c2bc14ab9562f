//! A terminal as a person has it: a pty whose other side a program has as its controlling terminal.
#![allow(dead_code, reason = "each test program uses a part")]

use crate::{
    alive::{PATIENCE, Seen, Stream, family, until},
    support::{Ground, program},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pty::OpenptFlags,
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use std::{
    io::{self, Read},
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// What stty(1) shows, as bits: input, output, control and local modes.
pub type Modes = (u32, u32, u32, u32);

pub struct Pty {
    pub child: Child,
    pub output: Stream,
    master: Arc<OwnedFd>,
    slave: OwnedFd,
    hung_up: Arc<AtomicBool>,
    /// As they were before the program started.
    pub before: Modes,
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn modes(fd: &OwnedFd) -> Modes {
    let modes = tcgetattr(fd).unwrap();
    (modes.input_modes.bits(), modes.output_modes.bits(), modes.control_modes.bits(), modes.local_modes.bits())
}

/// Reads until it is told to stop: a blocking read would hold the master open.
struct Reader(Arc<OwnedFd>, Arc<AtomicBool>);

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.1.load(Ordering::SeqCst) {
            let pause = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
            if poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&pause))? > 0 {
                return Ok(rustix::io::read(&self.0, buffer)?);
            }
        }
        Ok(0)
    }
}

impl Pty {
    /// Starts the command with the terminal on all three descriptors; `words` come after `setsid --ctty`.
    pub fn start(command: &mut Command) -> Pty {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        rustix::io::ioctl_fionbio(&master, true).unwrap();
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).unwrap();
        tcsetwinsize(&master, size(33, 99)).unwrap();
        let before = modes(&slave);
        let copy = || Stdio::from(slave.try_clone().unwrap());
        let child = command.stdin(copy()).stdout(copy()).stderr(copy()).spawn().unwrap();
        // The command keeps its copies until it is dropped; these must not hold the terminal.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (master, hung_up) = (Arc::new(master), Arc::new(AtomicBool::new(false)));
        let output = Stream::of(Reader(master.clone(), hung_up.clone()));
        Pty { child, output, master, slave, hung_up, before }
    }

    /// `run --rm FLAGS --rootfs ROOTFS WORDS` at a terminal.
    pub fn run(ground: &Ground, flags: &[&str], words: &[&str]) -> Pty {
        let mut command = at_terminal(ground);
        command.arg(program()).args(["run", "--rm"]).args(flags).arg("--rootfs").arg(ground.rootfs()).args(words);
        Pty::start(&mut command)
    }

    /// `sh -c SCRIPT` in a container at a terminal, when it has said `ready`.
    pub fn ready(ground: &Ground, flags: &[&str], script: &str) -> Pty {
        let pty = Pty::run(ground, flags, &["sh", "-c", script]);
        pty.output.await_text("ready\r\n");
        pty
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn family(&self) -> Vec<Seen> {
        family(self.pid())
    }

    /// Waits until a program of this name runs somewhere below.
    pub fn await_program(&self, name: &str) {
        until(name, || self.family().iter().any(|s| s.name == name && s.is_inside()));
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Types; what the terminal does not take at once is waited for.
    pub fn type_in(&self, bytes: impl AsRef<[u8]>) {
        let (bytes, start) = (bytes.as_ref(), Instant::now());
        let mut at = 0;
        while at < bytes.len() {
            assert!(start.elapsed() < PATIENCE, "nobody reads what is typed: {} bytes are left", bytes.len() - at);
            at += self.type_while_taken(&bytes[at..]);
        }
    }

    /// Types until nothing has been taken for half a second: how much was.
    pub fn type_while_taken(&self, bytes: impl AsRef<[u8]>) -> usize {
        let bytes = bytes.as_ref();
        let mut at = 0;
        while at < bytes.len() {
            let pause = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
            if poll(&mut [PollFd::new(&self.master, PollFlags::OUT)], Some(&pause)).unwrap() == 0 {
                break;
            }
            match rustix::io::write(&self.master, &bytes[at..bytes.len().min(at + 256)]) {
                Err(rustix::io::Errno::AGAIN) => {}
                taken => at += taken.unwrap(),
            }
        }
        at
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, size(rows, columns)).unwrap();
    }

    pub fn modes(&self) -> Modes {
        modes(&self.slave)
    }

    pub fn is_raw(&self) -> bool {
        let local = tcgetattr(&self.slave).unwrap().local_modes;
        !local.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Waits for the end: the status.
    pub fn end(&mut self) -> i32 {
        let (mut status, start) = (None, Instant::now());
        while status.is_none() {
            assert!(start.elapsed() < PATIENCE, "it does not end: {:?}", self.output.text());
            std::thread::sleep(std::time::Duration::from_millis(2));
            status = self.child.try_wait().unwrap();
        }
        status.and_then(|s| s.code().or(s.signal().map(|n| 128 + n))).unwrap()
    }

    /// Waits for the end and for a last text: what was printed before the end may be read after it.
    pub fn end_with(&mut self, status: i32, last: &str) {
        assert_eq!(self.end(), status, "{}", self.output.text());
        let start = Instant::now();
        while !self.output.text().ends_with(last) {
            assert!(start.elapsed() < PATIENCE, "not {last:?} at the end of {:?}", self.output.text());
            std::thread::yield_now();
        }
    }

    /// The terminal window is closed, or the ssh connection broken: the child is left.
    pub fn hang_up(self) -> Child {
        let Pty { child, output, master, slave, hung_up, .. } = self;
        hung_up.store(true, Ordering::SeqCst);
        until("the reader's end", || output.has_ended() && Arc::strong_count(&master) == 1);
        drop((master, slave));
        child
    }
}

/// A program that gets the terminal on its standard input as the controlling one of a session of its own.
pub fn at_terminal(ground: &Ground) -> Command {
    let mut command = ground.command("setsid");
    command.arg("--ctty").env("TERM", "xterm");
    command
}
