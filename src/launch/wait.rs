//! Waiting for the command: what init says, what the terminal brings, which signals come, and the end.

use super::{LaunchError, Outcome, inner_failure, other, steps::Run, terminal::OwnTerminal};
use crate::{
    cgroup::{Group, oom::Watch},
    sync::Heard,
    sys::{
        clone::{self, End},
        signal::{self, Received, Wait, number},
        tty,
    },
};
use std::{
    fs, io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// How long a command may go on after its terminal has gone.
const HANGUP_PATIENCE: Duration = Duration::from_secs(10);

/// A signal that process 1 would have ended by, had it been any other process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signalled(pub i32);

/// What the loop has seen so far.
#[derive(Default)]
struct Seen {
    /// The channel has ended: the command runs, or init has died.
    running: bool,
    failed: Option<LaunchError>,
    fuse_died: Option<String>,
    signalled: Option<Signalled>,
    /// A signal has come that ends most programs.
    asked_to_end: bool,
    kill_at: Option<Instant>,
    /// The name of the first process at its end.
    first: Option<String>,
}

/// What is waited for, besides the end of the first process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Init,
    Channel,
    Signals,
    Fuse(usize),
    Memory,
    Input,
    Output,
    ToInside,
    ToOutside,
}

impl Run<'_> {
    /// Until the first process has ended.
    pub(super) fn wait(&mut self) -> Result<Outcome, LaunchError> {
        let mut seen = Seen::default();
        let end =
            self.attend(&mut seen).map_err(|e| LaunchError { step: "wait for the command".into(), ..other("", &e) })?;
        if let Some(terminal) = &mut self.terminal {
            terminal.drain(&mut self.signals, seen.asked_to_end);
        }
        // A step that failed for want of the root file system is not what went wrong first.
        if let (Some(failed), None) = (seen.failed, &seen.fuse_died) {
            return Err(failed);
        }
        let end = match (seen.signalled, end) {
            // It was killed in place of the signal that the kernel keeps from a process 1.
            (Some(Signalled(number)), End::Signal(_)) => End::Signal(number as u8),
            (_, end) => end,
        };
        let (memory, forks_refused) = (self.post_mortem(seen.first, end), self.forks_refused());
        let limits = if memory.is_some() || forks_refused > 0 { self.limits_now() } else { Vec::new() };
        Ok(Outcome { end, fuse_died: seen.fuse_died, memory, forks_refused, limits })
    }

    fn attend(&mut self, seen: &mut Seen) -> io::Result<End> {
        loop {
            let ready = self.next_event(seen)?;
            for source in &ready {
                match source {
                    Source::Channel => self.hear(seen)?,
                    Source::Signals => self.take_signals(seen)?,
                    Source::Fuse(n) => self.fuse_ended(*n, seen)?,
                    Source::Input => self.input(seen)?,
                    Source::Output => self.terminal.as_mut().map_or(Ok(()), OwnTerminal::read_output)?,
                    Source::ToInside => self.terminal.iter_mut().for_each(OwnTerminal::write_inside),
                    Source::ToOutside => self.terminal.iter_mut().for_each(OwnTerminal::write_outside),
                    Source::Memory => self.grouping.watch.iter_mut().for_each(Watch::look),
                    Source::Init => {}
                }
            }
            if seen.kill_at.is_some_and(|at| Instant::now() >= at) {
                seen.kill_at = None;
                self.signal_init(number::SIGKILL)?;
            }
            if ready.contains(&Source::Init) && (seen.running || seen.failed.is_some()) {
                seen.first = self.name_of_first();
                let Some(child) = &self.child else { return Err(io::ErrorKind::NotFound.into()) };
                let end = clone::wait(child.pidfd.as_fd())?;
                self.reaped = true;
                return Ok(end);
            }
        }
    }

    fn next_event(&self, seen: &Seen) -> io::Result<Vec<Source>> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let mut wanted = Vec::with_capacity(8);
        let mut sources = Vec::with_capacity(8);
        let mut add = |source, fd, wait| {
            sources.push(source);
            wanted.push((fd, wait));
        };
        if let Some(child) = &self.child {
            add(Source::Init, child.pidfd.as_fd(), Wait::Read);
        }
        if !seen.running {
            add(Source::Channel, self.channel.as_fd(), Wait::Read);
        }
        add(Source::Signals, self.signals.as_fd(), Wait::Read);
        if seen.fuse_died.is_none() {
            for (n, (_, pidfd)) in self.fuse.iter().enumerate() {
                add(Source::Fuse(n), pidfd.as_fd(), Wait::Read);
            }
        }
        let rests = self.grouping.watch.as_ref().and_then(Watch::rests);
        if let (Some(watch), None) = (&self.grouping.watch, rests) {
            add(Source::Memory, watch.as_fd(), Wait::Change);
        }
        if let Some(terminal) = &self.terminal {
            if !terminal.input_ended && terminal.to_inside.is_empty() {
                add(Source::Input, stdin.as_fd(), Wait::Read);
            }
            if !terminal.to_inside.is_empty() {
                add(Source::ToInside, terminal.master.as_fd(), Wait::Write);
            }
            if terminal.to_outside.is_empty() && !terminal.output_ended {
                add(Source::Output, terminal.master.as_fd(), Wait::Read);
            }
            if !terminal.to_outside.is_empty() {
                add(Source::ToOutside, stdout.as_fd(), Wait::Write);
            }
        }
        let kill = seen.kill_at.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = kill.into_iter().chain(rests).min();
        let ready = signal::poll(&wanted, timeout)?;
        Ok(sources.into_iter().zip(ready).filter_map(|(source, ready)| ready.then_some(source)).collect())
    }

    fn hear(&mut self, seen: &mut Seen) -> io::Result<()> {
        match self.channel.hear()? {
            #[cfg(debug_assertions)]
            Heard::Warn(text) if text == crate::sync::CRASH => super::crash(),
            Heard::Warn(text) => crate::say::note(&text),
            Heard::Terminal(master) => {
                let terminal = OwnTerminal::new(master)?;
                terminal.resize();
                self.terminal = Some(terminal);
            }
            Heard::Failed(failed) => {
                seen.failed = Some(inner_failure(self.task.plan, &failed));
                seen.running = true;
            }
            Heard::End => seen.running = true,
        }
        Ok(())
    }

    fn signal_init(&self, number: i32) -> io::Result<()> {
        if number == number::SIGKILL {
            self.grouping.group.iter().for_each(Group::hurry);
        }
        self.child.as_ref().map_or(Ok(()), |child| clone::signal(child.pidfd.as_fd(), number))
    }

    fn take_signals(&mut self, seen: &mut Seen) -> io::Result<()> {
        // Not until there is none: where they come faster than they are handled, the end would never be looked at.
        for _ in 0..16 {
            let Some(received) = self.signals.take()? else { break };
            seen.asked_to_end |= signal::ASKING.contains(&received.number);
            match received.number {
                number::SIGWINCH => {
                    if let Some(terminal) = &self.terminal {
                        terminal.resize();
                    }
                }
                number::SIGTSTP => self.stop()?,
                number::SIGHUP => {
                    // From kill(2) it means what the command takes it for: often to read its configuration anew.
                    if received.from_kernel {
                        seen.kill_at.get_or_insert_with(|| Instant::now() + HANGUP_PATIENCE);
                    }
                    self.pass_on(received, seen)?;
                }
                _ => self.pass_on(received, seen)?,
            }
        }
        Ok(())
    }

    /// A signal of the terminal is meant for the whole foreground group; one from kill(2) for the command.
    fn pass_on(&self, received: Received, seen: &mut Seen) -> io::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        if received.from_kernel && !self.task.reaper && seen.running {
            let _ = clone::signal_group(child.pid, received.number);
        } else {
            clone::signal(child.pidfd.as_fd(), received.number)?;
        }
        self.end_in_place_of(received.number, seen)
    }

    /// The kernel drops signals that a process 1 has no handler for, even those that end any other process (pid_namespaces(7)).
    /// So that Ctrl-C ends `sleep` here as everywhere, it is then killed in their place.
    fn end_in_place_of(&self, number: i32, seen: &mut Seen) -> io::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        if self.task.reaper || seen.signalled.is_some() || !signal::ENDING.contains(&number) {
            return Ok(());
        }
        if !seen.running || has_default(child.pid, number) {
            seen.signalled.get_or_insert(Signalled(number));
            self.signal_init(number::SIGKILL)?;
        }
        Ok(())
    }

    /// Ctrl-Z: the command stops, then we do; when we go on, so does it.
    fn stop(&self) -> io::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        // The group, for with --init the command is not the first process. At the very start there is none yet.
        let to_all =
            |number| clone::signal_group(child.pid, number).or_else(|_| clone::signal(child.pidfd.as_fd(), number));
        to_all(number::SIGSTOP)?;
        signal::stop_self()?;
        to_all(number::SIGCONT)?;
        if let Some(terminal) = &self.terminal {
            terminal.raw_again();
            terminal.resize();
        }
        Ok(())
    }

    /// The bytes pass as they are. Only where the key makes a signal, and process 1 itself is in the foreground and has no
    /// handler for it, do we do what the kernel leaves out.
    fn input(&mut self, seen: &mut Seen) -> io::Result<()> {
        let (Some(terminal), Some(child)) = (&mut self.terminal, &self.child) else { return Ok(()) };
        let was_terminal = tty::is_terminal(io::stdin().as_fd());
        let typed = terminal.read_input()?.to_vec();
        if terminal.input_ended && was_terminal {
            // The terminal itself has gone.
            seen.kill_at.get_or_insert_with(|| Instant::now() + HANGUP_PATIENCE);
            clone::signal(child.pidfd.as_fd(), number::SIGHUP)?;
            return self.end_in_place_of(number::SIGHUP, seen);
        }
        // Held down, the key may come several times at once.
        let master = terminal.master.as_fd();
        if let Some(number) = typed.iter().find_map(|byte| tty::signal_of(master, *byte))
            && tty::foreground(master) == Some(child.pid)
        {
            return self.end_in_place_of(number, seen);
        }
        Ok(())
    }

    fn fuse_ended(&mut self, n: usize, seen: &mut Seen) -> io::Result<()> {
        let (running, _) = self.fuse.swap_remove(n);
        let ended = running.wait()?;
        seen.fuse_died = Some(ended.complaint());
        self.signal_init(number::SIGKILL)
    }
}

/// Whether the process neither catches, ignores nor blocks the signal (proc_pid_status(5)). One that blocks it for good reads
/// it in another way; every fork(3) blocks all of them for a moment, and that one is waited for.
fn has_default(pid: i32, number: i32) -> bool {
    for _ in 0..50 {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
        let has = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name));
            let mask = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
            mask.is_none_or(|mask| mask & (1 << (number - 1)) != 0)
        };
        if has("SigIgn:") || has("SigCgt:") {
            return false;
        }
        if !has("SigBlk:") {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}
