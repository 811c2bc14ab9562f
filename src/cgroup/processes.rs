//! What a container without a group of its own uses: the sum over its processes (proc_pid_stat(5), proc_pid_io(5)).
//!
//! They are known by their PID namespace. All of /proc is looked at once for any number of containers, and of the machine's own
//! processes no more than a link is read. A process that ends meanwhile is left out.

use super::stats::{Io, Sample, Source, read};
use crate::sys::limit::{clock_ticks, page_size};
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How far up a process is followed to its container: more namespaces than 32 cannot lie in each other, and between two of them
/// there are rarely more processes than a few.
const DEEPEST: usize = 256;

/// The processes of other PID namespaces than ours, at one moment.
#[derive(Debug)]
pub struct Processes {
    at: Instant,
    own: Option<PathBuf>,
    all: HashMap<i32, Process>,
}

#[derive(Debug)]
struct Process {
    /// `pid:[4026532281]`
    namespace: PathBuf,
    stat: Stat,
}

/// What is needed of /proc/PID/stat.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stat {
    parent: i32,
    /// In clock ticks, with that of its children that have ended and were waited for.
    time: u64,
    threads: u64,
    /// In pages.
    resident: u64,
}

impl Processes {
    /// Looks at all that we may look at.
    pub fn look() -> Processes {
        let (at, own) = (Instant::now(), namespace("self"));
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let foreign = |name: &str| {
            let pid = name.parse().ok()?;
            // Not readable: another user's.
            let namespace = namespace(name).filter(|link| Some(link) != own.as_ref())?;
            Some((pid, Process { namespace, stat: stat_of(pid)? }))
        };
        let all = entries.filter_map(|entry| foreign(entry.file_name().to_str()?)).collect();
        Processes { at, own, all }
    }

    /// The container whose first process is `init`, which must have been seen to live after this look, too; none where it is gone
    /// or no container's.
    pub fn of(&self, init: i32) -> Option<Sample> {
        let mut sum = Stat::default();
        let mut io = Some(Io::default());
        // The reaper of --init does not show its namespace; its children do.
        let hidden = self.hidden(init)?;
        let known = self.all.iter().filter(|(pid, _)| self.belongs(**pid, init)).map(|(pid, one)| (*pid, &one.stat));
        for (pid, stat) in known.chain(hidden.as_ref().map(|stat| (init, stat))) {
            sum.time += stat.time;
            sum.threads += stat.threads;
            sum.resident += stat.resident;
            io = io.zip(io_of(pid)).map(|(so_far, more)| so_far.plus(more));
        }
        Some(Sample {
            memory: Some(sum.resident * page_size()),
            cpu: Some(Duration::from_millis(sum.time * 1000 / clock_ticks())),
            pids: Some(sum.threads),
            io,
            ..Sample::unknown(self.at, Source::Processes)
        })
    }

    /// The first process, where it was not among those that were looked at. None: it is gone, or in our own namespace.
    fn hidden(&self, init: i32) -> Option<Option<Stat>> {
        if self.all.contains_key(&init) {
            return Some(None);
        }
        match namespace(&init.to_string()) {
            Some(link) if Some(&link) == self.own.as_ref() => None,
            _ => stat_of(init).map(Some),
        }
    }

    /// Whether it is in the namespace of `init`, or in one that was made in there.
    fn belongs(&self, pid: i32, init: i32) -> bool {
        let wanted = self.all.get(&init).map(|one| &one.namespace);
        let mut at = pid;
        for _ in 0..DEEPEST {
            if at == init {
                return true;
            }
            match self.all.get(&at) {
                Some(one) if Some(&one.namespace) == wanted => return true,
                Some(one) => at = one.stat.parent,
                None => return false,
            }
        }
        false
    }
}

/// The PID namespace of a process, by its number or `self`.
fn namespace(pid: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

fn stat_of(pid: i32) -> Option<Stat> {
    parse_stat(&read(Path::new(&format!("/proc/{pid}/stat"))).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name of the program, in brackets, may hold anything. After it comes field 3.
    let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split(' ').collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        time: number(14)? + number(15)? + number(16)? + number(17)?,
        threads: number(20)?,
        resident: number(24)?,
    })
}

/// None where we may not look: a process with another id inside, and a reaper. One that is gone did nothing more.
fn io_of(pid: i32) -> Option<Io> {
    match read(Path::new(&format!("/proc/{pid}/io"))) {
        Ok(text) => parse_io(&text),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => None,
        Err(_) => Some(Io::default()),
    }
}

fn parse_io(text: &str) -> Option<Io> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
    Some(Io { read: value("read_bytes:")?, written: value("write_bytes:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let text = "4242 (a) b (c) S 4200 4242 4200 34816 4300 4194304 190 12 0 0 5 6 70 80 20 0 3 0 9988 4567040 300 \
                    18446744073709551615 1 1 0 0 0 0 0\n";
        assert_eq!(parse_stat(text), Some(Stat { parent: 4200, time: 161, threads: 3, resident: 300 }));
        for broken in ["", "1 (x", "1 (x)", "1 (x) ", "1 (x) S", "1 (x) S 1 2 3", "1 (é)"] {
            assert_eq!(parse_stat(broken), None, "{broken}");
        }
        let io =
            "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 1\n";
        assert_eq!(parse_io(io), Some(Io { read: 4096, written: 8192 }));
        assert_eq!((parse_io(""), parse_io("read_bytes: 1\n")), (None, None));
    }

    fn process(namespace: &str, parent: i32) -> Process {
        Process { namespace: namespace.into(), stat: Stat { parent, ..Stat::default() } }
    }

    #[test]
    fn who_belongs_to_whom() {
        let all = [
            (10, process("a", 1)),
            (11, process("a", 10)),
            // Entered from outside.
            (12, process("a", 5)),
            // A namespace within, and one within that.
            (13, process("b", 11)),
            (14, process("c", 13)),
            // Another container, and one whose parents run in a circle.
            (20, process("d", 1)),
            (30, process("e", 31)),
            (31, process("f", 30)),
            // Its first process, 40, is not to be seen.
            (41, process("g", 40)),
            (42, process("g", 41)),
        ];
        let look = Processes { at: Instant::now(), own: None, all: all.into() };
        let of = |init| {
            let mut found: Vec<i32> = look.all.keys().copied().filter(|pid| look.belongs(*pid, init)).collect();
            found.sort_unstable();
            found
        };
        assert_eq!((of(10), of(20), of(40)), (vec![10, 11, 12, 13, 14], vec![20], vec![41, 42]));
    }

    #[test]
    fn ours_are_no_containers() {
        let look = Processes::look();
        assert_eq!(look.of(std::process::id() as i32), None);
        assert_eq!(look.of(i32::MAX), None);
    }
}
