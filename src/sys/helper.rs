//! Other people's programs: found, started, and heard when they complain.

use std::{
    ffi::OsStr,
    io::{self, Read},
    os::{
        fd::BorrowedFd,
        unix::{fs::PermissionsExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

/// A helper that has been started and not yet waited for.
#[derive(Debug)]
pub struct Running {
    program: PathBuf,
    child: Child,
}

/// How a helper ended, with what it said on stderr.
#[derive(Debug)]
pub struct Ended {
    /// Its name, for a message.
    pub program: PathBuf,
    /// Its status.
    pub status: ExitStatus,
    /// What it wrote on stderr, trimmed.
    pub stderr: String,
}

/// Where a program is: looked up in `path` (as PATH is written), then in the places that a bare PATH may lack.
pub fn find(program: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let given = path.map(std::env::split_paths).into_iter().flatten().filter(|dir| dir.is_absolute());
    let usual = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"].map(PathBuf::from);
    given.chain(usual).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Starts a helper with nothing to read; what it says is kept.
pub fn start<S: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = S>) -> io::Result<Running> {
    let child =
        Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    Ok(Running { program: program.into(), child })
}

/// Starts a helper inside the user and mount namespaces of `pidfd`; it is killed when we die.
pub fn start_inside<S: AsRef<OsStr>>(
    program: &Path,
    args: impl IntoIterator<Item = S>,
    pidfd: BorrowedFd<'_>,
) -> io::Result<Running> {
    use std::os::fd::AsRawFd;
    let raw = pidfd.as_raw_fd();
    let launcher = std::process::id() as i32;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).env_clear();
    let enter = move || {
        // SAFETY: the caller's descriptor is open in the child as well, until exec.
        super::clone::enter_user_and_mount(unsafe { BorrowedFd::borrow_raw(raw) })?;
        // With --userns keep-id nobody is root inside, and what is exec'ed would have no rights.
        super::cred::hand_on_capabilities()?;
        super::process::new_session()?;
        super::process::reset_signals()?;
        // Last: a change of credentials takes the death signal back.
        super::process::die_with_parent()?;
        // Were the launcher killed before that, nobody would end us.
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        if parent == Some(launcher) { Ok(()) } else { Err(super::errno(libc::ESRCH)) }
    };
    // SAFETY: only system calls, between fork and exec of a process with one thread.
    let child = unsafe { command.pre_exec(enter) }.spawn()?;
    Ok(Running { program: program.into(), child })
}

impl Running {
    /// The process number.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits for the end.
    pub fn wait(mut self) -> io::Result<Ended> {
        let mut stderr = Vec::new();
        if let Some(pipe) = self.child.stderr.take() {
            pipe.take(64 * 1024).read_to_end(&mut stderr)?;
        }
        let status = self.child.wait()?;
        let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
        Ok(Ended { program: self.program, status, stderr })
    }

    /// Kills it and waits for the end.
    pub fn end(mut self) -> io::Result<Ended> {
        self.child.kill()?;
        self.wait()
    }
}

impl Ended {
    /// One line for a message: what it said, or its status when it said nothing.
    pub fn complaint(&self) -> String {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        // What a program that was killed had said before is not why it ended.
        match self.stderr.lines().last().filter(|_| self.status.code().is_some()) {
            Some(line) if line.starts_with(&*name) => line.to_owned(),
            Some(line) => format!("{name}: {line}"),
            None => format!("{name}: {}", self.status),
        }
    }
}

/// Runs a helper to its end and gives back what it printed.
pub fn output<S: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = S>) -> io::Result<(ExitStatus, Vec<u8>)> {
    let out = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    Ok((out.status, out.stdout))
}

/// Runs a helper that is told something on its standard input; what it prints goes nowhere.
pub fn told<S: AsRef<OsStr>>(
    program: &Path,
    args: impl IntoIterator<Item = S>,
    message: &[u8],
) -> io::Result<ExitStatus> {
    use std::io::Write;
    let mut child =
        Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    // One that does not listen says why by its status.
    let told = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(message));
    let status = child.wait()?;
    if status.success() { told.map(|()| status) } else { Ok(status) }
}
