//! What is told after the end: that the kernel killed for want of memory, that forks were refused.

use crate::{
    cgroup::oom::PostMortem,
    launch::Outcome,
    plan::limits::Limited,
    say,
    sys::{clone::End, signal::number},
};

/// Says it once. It is an error where the command itself was ended by it, else something to know.
pub fn tell(outcome: &Outcome) {
    let limits = outcome.limits.as_slice();
    if let Some(memory) = &outcome.memory {
        let text = of_memory(memory, limits);
        match outcome.end {
            End::Signal(signal) if i32::from(signal) == number::SIGKILL => say::error(&text),
            _ => say::note(&text),
        }
    }
    if outcome.forks_refused > 0 {
        let limit = limits.iter().find(|limit| limit.file == "pids.max");
        // Before Linux 6.11 the kernel counts here what a group above has refused.
        let outer = || "the limit of processes of a cgroup around this one".to_owned();
        let name = limit.map_or_else(outer, |limit| format!("{} {}", limit.flag, limit.requested));
        let times = if outcome.forks_refused == 1 { "once".into() } else { format!("{} times", outcome.forks_refused) };
        say::note(&format!("{name} was reached: a new process or thread was refused {times}"));
    }
}

fn of_memory(memory: &PostMortem, limits: &[Limited]) -> String {
    let many = if memory.killed == 1 { "a process".into() } else { format!("{} processes", memory.killed) };
    let asked = limits.iter().find(|limit| limit.file == "memory.max");
    let why = match (asked, memory.limit) {
        _ if !memory.own_limit => "the machine, or a cgroup around this one, had none left".into(),
        (Some(limit), _) => format!("{} {} was used up", limit.flag, limit.requested),
        (None, Some(bytes)) => format!("memory.max ({}) was used up", mebibytes(bytes)),
        (None, None) => "its cgroup had none left".into(),
    };
    let all: Vec<String> = memory.largest.iter().map(|one| format!("{} {}", one.name, mebibytes(one.bytes))).collect();
    let largest = if all.is_empty() { "nothing was seen in time".into() } else { all.join(", ") };
    let peak = mebibytes(memory.peak);
    format!("the kernel killed {many} for want of memory: {why} (peak {peak}; largest at the last look: {largest})")
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cgroup::oom::Large, plan::limits::How};

    #[test]
    fn one_line_says_it_all() {
        let limit = Limited {
            flag: "--memory".into(),
            requested: "64m".into(),
            enforced: Some("67108864".into()),
            how: How::Cgroup,
            file: "memory.max".into(),
        };
        let largest = vec![Large { name: "dd".into(), bytes: 66_060_288 }];
        let mut memory = PostMortem { killed: 1, own_limit: true, limit: Some(67_108_864), peak: 67_108_864, largest };
        assert_eq!(
            of_memory(&memory, &[limit]),
            "the kernel killed a process for want of memory: --memory 64m was used up (peak 64.0 MiB; largest at the last \
             look: dd 63.0 MiB)"
        );
        memory.own_limit = false;
        assert!(of_memory(&memory, &[]).contains("had none left"));
    }
}
