//! `--cgroup-conf`: files of cgroup v2 by their own names, for what has no flag.

/// The controllers of cgroup v2 whose files may be written.
const CONTROLLERS: [&str; 8] = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma", "misc"];
/// What may be said of the group itself: nothing that would move, freeze or end processes.
const OF_THE_GROUP: [&str; 2] = ["cgroup.max.depth", "cgroup.max.descendants"];

/// Reads `KEY=VALUE`, where KEY is the name of a file of cgroup v2.
///
/// # Errors
/// A sentence that says what is wrong with which part.
pub fn parse(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("no value follows the file; it takes KEY=VALUE")?;
    if !is_file(key) {
        return Err("the key is not the name of a file of cgroup v2".into());
    }
    if controller(key).is_none() && !OF_THE_GROUP.contains(&key) {
        let known = format!("{}, {}", CONTROLLERS.join(", "), OF_THE_GROUP.join(" and "));
        return Err(format!("{key} is not among what can be set: the files of {known}"));
    }
    if value.trim().is_empty() || value.contains(['\n', '\0']) {
        return Err("the value must be one line, and not empty".into());
    }
    Ok((key.into(), value.into()))
}

/// Which controller a file belongs to; none for one of the group itself, which is there without any.
pub fn controller(key: &str) -> Option<&'static str> {
    let (first, _) = key.split_once('.')?;
    CONTROLLERS.into_iter().find(|c| *c == first)
}

/// Which device or resource a line is about, in the files that have a line for each (io.max, rdma.max, misc.max).
pub fn device((key, value): &(String, String)) -> Option<&str> {
    let lines = matches!(controller(key), Some("io" | "rdma" | "misc"));
    value.split_whitespace().next().filter(|_| lines)
}

/// Words with points between, the first one as controllers are called: no way to another folder.
fn is_file(key: &str) -> bool {
    let mut words = key.split('.');
    let first = words.next().unwrap_or_default();
    let small = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let any = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    first.starts_with(|c: char| c.is_ascii_lowercase())
        && first.bytes().all(small)
        && key.contains('.')
        && words.all(|word| !word.is_empty() && word.bytes().all(any))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        assert_eq!(parse("memory.high=64m"), Ok(("memory.high".into(), "64m".into())));
        assert_eq!(parse("io.max=8:0 rbps=1"), Ok(("io.max".into(), "8:0 rbps=1".into())));
        assert_eq!(parse("hugetlb.2MB.max=0").map(|(key, _)| key), Ok("hugetlb.2MB.max".into()));
        assert_eq!(parse("cgroup.max.depth=3").map(|(_, value)| value), Ok("3".into()));
        assert_eq!(controller("cpuset.cpus.partition"), Some("cpuset"));
        assert_eq!((controller("cgroup.max.depth"), controller("memory"), controller("")), (None, None, None));
    }

    #[test]
    fn what_is_refused() {
        for bad in [
            "",
            "=",
            "=1",
            "memory.high",
            "memory.high=",
            "memory.high= ",
            "memory.high=1\n2",
            "memory.high=1\0",
            "memory=1",
            "memory.=1",
            ".memory=1",
            "memory..high=1",
            "Memory.high=1",
            "1memory.high=1",
            "memory.hi gh=1",
            "memory.high\0=1",
            "memory.höhe=1",
            "../memory.high=1",
            "memory./../x=1",
            "a/memory.high=1",
            "cgroup.procs=1",
            "cgroup.freeze=1",
            "cgroup.kill=1",
            "cgroup.subtree_control=+memory",
            "cgroup.max.depth.x=1",
            "cpuacct.usage=0",
            "devices.allow=a",
            "freezer.state=FROZEN",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
