//! One group: its folder, and what is written to and read from the files in it.

use super::{stats, tree};
use crate::spec::limits::CpuSet;
use crate::sys::{
    clone, code,
    limit::page_size,
    signal::{self, Wait, number},
};
use std::{
    ffi::OsStr,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::{Component, Path, PathBuf},
    time::{Duration, Instant},
};

/// What the folder of every container's group, or the one above it, is called, before the id.
pub const PREFIX: &str = "little-container-";

/// Where version 2 is mounted.
pub const MOUNT: &str = "/sys/fs/cgroup";

/// The group into which processes are moved that were in the way of a container's (cgroups(7), "no internal processes").
const CALLERS: &str = "little-container-callers";

/// The group of the guard, beside the container's.
const GUARD: &str = "guard";

/// The one group below the container's, where its processes are and which they see as their root. The kernel keeps a process
/// from the files of the root of its cgroup namespace, but not of that of the namespace before: who moves to a group below,
/// makes a namespace there and has kept a mount of the old one can write them all. So the limits are one above, where no mount
/// from inside leads; the same in here is for those who read what they may have (JVMs do).
const INSIDE: &str = "inside";

/// How long the processes of a group may take to go when they have been killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long systemd may take to notice that a scope is empty.
const SYSTEMD_FIRST: Duration = Duration::from_secs(1);

/// A group of a container: that of its limits, with one below it for its processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes it below `parent` without any controller, which may hold processes itself then.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn make_plain(parent: &Path, name: &str) -> io::Result<Group> {
        let group = Group { path: parent.join(name) };
        fs::create_dir(&group.path)?;
        // Whoever fails from now on leaves nothing.
        fs::create_dir(group.inside()).inspect_err(|_| drop(group.remove()))?;
        Ok(group)
    }

    /// Makes it below `parent`, which belongs to us, and has the controllers handed on to it.
    ///
    /// # Errors
    /// Those of mkdir(2), and of writing to cgroup.subtree_control: a needed controller is not there.
    pub fn make(parent: &Path, name: &str, needed: &[String]) -> io::Result<Group> {
        let list = |file| stats::read(&parent.join(file));
        let there = list("cgroup.controllers")?;
        hand_on(parent, &there, &list("cgroup.subtree_control")?, needed)?;
        let group = Group { path: parent.join(name) };
        fs::create_dir(&group.path)?;
        // Whoever fails from now on leaves nothing.
        let done = fs::create_dir(group.inside()).and_then(|()| hand_on(&group.path, &there, "", needed));
        done.inspect_err(|_| drop(group.remove()))?;
        Ok(group)
    }

    /// Makes it below `parent`, a new scope that has the controllers `there` and whose only processes are `pid` and `guard`, and
    /// moves them first, each into a group of its own: only a group without processes may hand its controllers on.
    ///
    /// # Errors
    /// As [`Group::make`].
    pub fn make_for(
        parent: &Path,
        name: &str,
        there: &str,
        needed: &[String],
        (pid, guard): (i32, i32),
    ) -> io::Result<Group> {
        let group = Group { path: parent.join(name) };
        let aside = parent.join(GUARD);
        for folder in [&group.path, &group.inside(), &aside] {
            fs::create_dir(folder)?;
        }
        group.add(pid)?;
        write(&aside.join("cgroup.procs"), &guard.to_string())?;
        hand_on(parent, there, "", needed)?;
        hand_on(&group.path, there, "", needed)?;
        Ok(group)
    }

    /// The group of the container `id` that was written down; none if the path is not one of its own, or not there.
    pub fn known(path: &Path, id: &str) -> Option<Group> {
        let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let own = path.components().any(|part| is_of(part.as_os_str(), id));
        (plain && own && path.starts_with(MOUNT) && path.is_dir()).then(|| Group { path: path.into() })
    }

    /// One that this run has made.
    pub fn made(path: &Path) -> Group {
        Group { path: path.into() }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder where its processes are.
    fn inside(&self) -> PathBuf {
        self.path.join(INSIDE)
    }

    /// The folder where its processes are, for clone3(2).
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(&self) -> io::Result<OwnedFd> {
        Ok(fs::File::open(self.inside())?.into())
    }

    /// Moves a process into it.
    ///
    /// # Errors
    /// EACCES: the group both are below is not ours.
    pub fn add(&self, pid: i32) -> io::Result<()> {
        write(&self.inside().join("cgroup.procs"), &pid.to_string())
    }

    /// Writes a limit, shows it inside, and reads back what the kernel made of it, without the end of the line.
    ///
    /// # Errors
    /// ENOENT: the kernel has no such file, or the controller was not handed on. EINVAL, ERANGE, ENODEV: about the value. EACCES:
    /// one that cannot be read.
    pub fn limit(&self, file: &str, value: &str) -> io::Result<String> {
        let read = write_and_read(&self.path.join(file), value)?;
        // Nothing depends on it.
        let _ = write(&self.inside().join(file), value);
        Ok(read)
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        write(&self.path.join(file), value)
    }

    /// Reads one of its files, without the end of the line.
    ///
    /// # Errors
    /// ENOENT: the kernel has no such file, or the group is gone.
    pub fn read(&self, file: &str) -> io::Result<String> {
        Ok(stats::read(&self.path.join(file))?.trim_end().to_owned())
    }

    /// A number behind a key, in a file like memory.events: the higher one of here and inside, for some files are about what
    /// happened to the one group alone.
    pub fn count(&self, file: &str, key: &str) -> Option<u64> {
        let count = |folder: &Path| stats::value(&stats::read(&folder.join(file)).ok()?, key);
        count(&self.path).max(count(&self.inside()))
    }

    /// Its processes, those of the groups below it included.
    fn processes(&self) -> Vec<i32> {
        let mut all = Vec::new();
        tree::processes(&self.path, |pids| {
            all.extend(pids);
            true
        });
        all
    }

    /// Ends every process in it and takes it away, with what is below it and, where that one is ours alone, above it.
    ///
    /// # Errors
    /// Something in it cannot be killed, or not in time.
    pub fn end(&self) -> io::Result<()> {
        // Most often all have gone with the first process.
        if self.remove().is_ok() {
            return Ok(());
        }
        self.kill();
        let start = Instant::now();
        loop {
            match self.remove() {
                Err(e) if start.elapsed() < PATIENCE && e.raw_os_error() == Some(code::EBUSY) => self.await_change(),
                done => return done,
            }
        }
    }

    /// Takes the scope of the container `id` away that it was in, where systemd has forgotten that one: it cannot remove
    /// everything. Not where the guard is still there.
    ///
    /// systemd comes first: of a scope whose folder has gone before it looked, it never learns that nobody is in it any more.
    pub fn end_scope(&self, id: &str) {
        let own = |folder: &&Path| folder.file_name().is_some_and(|name| is_of(name, id));
        let Some(scope) = self.path.parent().filter(own) else { return };
        let start = Instant::now();
        while scope.exists() {
            if start.elapsed() > SYSTEMD_FIRST {
                let _ = tree::remove(scope);
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Lets go of what holds it back: also who was killed needs time on CPUs to end.
    pub fn hurry(&self) {
        let _ = self.limit("cpu.max", "max");
    }

    /// cgroup.kill is there since Linux 5.14; before, each is killed until none is left.
    fn kill(&self) {
        self.hurry();
        if self.write("cgroup.kill", "1").is_ok() {
            return;
        }
        for _ in 0..100 {
            let all = self.processes();
            if all.is_empty() {
                break;
            }
            for pid in all {
                let Ok(process) = clone::open(pid) else { continue };
                // The number may be another's by now; the group tells.
                if self.processes().contains(&pid) {
                    let _ = clone::signal(process.as_fd(), number::SIGKILL);
                }
            }
        }
    }

    /// Until cgroup.events says something new, but not for long: it is told when the last one has gone, and rmdir(2) may
    /// refuse a moment longer.
    fn await_change(&self) {
        let Ok(events) = fs::File::open(self.path.join("cgroup.events")) else { return };
        let _ = io::read_to_string(&events);
        let _ = signal::poll(&[(events.as_fd(), Wait::Change)], Some(Duration::from_millis(10)));
    }

    fn remove(&self) -> io::Result<()> {
        tree::remove(&self.path)
    }
}

/// Never makes it: in this file system there are only the kernel's files.
fn write(file: &Path, value: &str) -> io::Result<()> {
    io::Write::write_all(&mut fs::OpenOptions::new().write(true).open(file)?, value.as_bytes())
}

fn write_and_read(file: &Path, value: &str) -> io::Result<String> {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(file)?;
    io::Write::write_all(&mut file, value.as_bytes())?;
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        // The kernel gives as much as there is room for: less is the end.
        let length = file.read_at(&mut piece, text.len() as u64)?;
        text.extend_from_slice(&piece[..length]);
        if length < piece.len() {
            return Ok(String::from_utf8_lossy(&text).trim_end().to_owned());
        }
    }
}

/// Whether this is the name of the group of the container, or of the scope that it is in.
fn is_of(name: &OsStr, id: &str) -> bool {
    let rest = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
    rest.is_some_and(|rest| rest.strip_suffix(".scope").unwrap_or(rest) == id)
}

/// Hands controllers on to the groups below: of those that are `there`, all that we know, so that they count and can be limited
/// later, and at least those that are needed. `already`: what was handed on before.
fn hand_on(parent: &Path, there: &str, already: &str, needed: &[String]) -> io::Result<()> {
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    let known = ["cpu", "cpuset", "io", "memory", "pids"];
    let words = |wanted: &dyn Fn(&str) -> bool| -> String {
        there.split_whitespace().filter(|c| wanted(c) && !has(already, c)).map(|c| format!("+{c} ")).collect()
    };
    let write = |words: String| match words.as_str() {
        "" => Ok(()),
        words => write(&parent.join("cgroup.subtree_control"), words),
    };
    let is_needed = |name: &str| needed.iter().any(|n| n == name);
    if needed.iter().any(|n| !has(there, n)) {
        return Err(crate::sys::errno(code::ENOENT));
    }
    // One of those that only would be good may be out of reach (cpu, where a process has real-time scheduling).
    write(words(&|name| known.contains(&name) || is_needed(name))).or_else(|_| write(words(&is_needed)))
}

/// What the kernel holds, if it is what was asked for: `read` is what the file says after `wanted` was written to it. Bytes are
/// rounded down to whole pages.
pub fn held(file: &str, wanted: &str, read: &str) -> Option<String> {
    let wanted = wanted.trim();
    let number = |text: &str| if file.starts_with("memory.") { size(text) } else { text.parse::<u64>().ok() };
    match (number(wanted), number(read)) {
        (Some(wanted), Some(read)) => {
            let unit = if file.starts_with("memory.") { page_size() } else { 1 };
            (read <= wanted && read + unit > wanted).then(|| read.to_string())
        }
        // One line a device, with what was set before.
        _ if matches!(file, "io.max" | "io.weight") => {
            let (device, rest) = wanted.split_once(' ')?;
            let line = read.lines().find(|line| line.split(' ').next() == Some(device))?;
            rest.split(' ').all(|word| line.split(' ').any(|w| w == word)).then(|| wanted.to_owned())
        }
        // The period may be left away, and is then what it was.
        _ if file == "cpu.max" && !wanted.contains(' ') => {
            (read.split(' ').next() == Some(wanted)).then(|| read.to_owned())
        }
        _ if file == "cpuset.cpus" => {
            let set = |text: &str| text.parse::<CpuSet>().ok();
            (read == wanted || (set(read).is_some() && set(read) == set(wanted))).then(|| read.to_owned())
        }
        _ if matches!(file, "cpu.max" | "memory.max" | "pids.max") => (read == wanted).then(|| read.to_owned()),
        // By --cgroup-conf anything may be written that the kernel takes; it tells in its own words what it made of it.
        _ => Some(read.to_owned()),
    }
}

/// A number of bytes as the kernel takes it: with k, m, g or t for more of them.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << power)
}

/// Moves every process of `parent` itself into a group below it, for ever: one with processes cannot hand controllers on.
///
/// # Errors
/// One cannot be moved.
pub fn make_room(parent: &Path) -> io::Result<()> {
    let callers = Group { path: parent.join(CALLERS) };
    match fs::create_dir(&callers.path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    // A process that is just being made lands beside its parent.
    for _ in 0..10 {
        let text = fs::read_to_string(parent.join("cgroup.procs"))?;
        let all: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        if all.is_empty() {
            return Ok(());
        }
        for pid in all {
            match write(&callers.path.join("cgroup.procs"), &pid.to_string()) {
                // It has ended meanwhile.
                Err(e) if e.raw_os_error() == Some(code::ESRCH) => {}
                done => done?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_made_of_it() {
        assert_eq!(held("memory.max", "67108864", "67108864").as_deref(), Some("67108864"));
        assert_eq!(held("memory.max", "67108865", "67108864").as_deref(), Some("67108864"));
        assert_eq!(held("memory.max", "67108864", "max"), None);
        assert_eq!(held("pids.max", "50", "49"), None);
        assert_eq!(held("cpu.max", "50000 100000", "50000 100000").as_deref(), Some("50000 100000"));
        assert_eq!(held("cpu.max", "50000 100000", "max 100000"), None);
        assert_eq!(held("io.max", "8:0 rbps=1024", "8:0 rbps=1024 wbps=max").as_deref(), Some("8:0 rbps=1024"));
        assert_eq!(held("io.max", "8:0 rbps=1024", "8:16 rbps=1024"), None);
        assert_eq!(held("io.weight", "default 50", "default 50").as_deref(), Some("default 50"));
        assert_eq!(held("cpu.max", "50000", "50000 100000").as_deref(), Some("50000 100000"));
        assert_eq!(held("cpu.max", "max", "max 100000").as_deref(), Some("max 100000"));
        assert_eq!(held("cpu.max", "50000", "max 100000"), None);
        assert_eq!(held("memory.max", "1G", "1073741824").as_deref(), Some("1073741824"));
        assert_eq!(held("memory.max", "1G", "max"), None);
        assert_eq!(held("pids.max", " 50", "50").as_deref(), Some("50"));
        assert_eq!(held("cpuset.cpus", "0,1,2", "0-2").as_deref(), Some("0-2"));
        assert_eq!(held("cpuset.cpus", "0,1,2", "0-1"), None);
        assert_eq!(held("memory.high", "1G", "1073741824").as_deref(), Some("1073741824"));
    }

    #[test]
    fn only_groups_of_ours() {
        let id = "a1".repeat(32);
        assert!(is_of(OsStr::new(&format!("little-container-{id}")), &id));
        assert!(is_of(OsStr::new(&format!("little-container-{id}.scope")), &id));
        for other in ["", "little-container-", "little-container-callers", &id, &format!("little-container-{id}x")] {
            assert!(!is_of(OsStr::new(other), &id), "{other}");
        }
        assert_eq!(Group::known(Path::new("/sys/fs/cgroup"), &id), None);
        assert_eq!(Group::known(Path::new("/tmp").join(format!("little-container-{id}")).as_path(), &id), None);
    }
}
