//! `--limits best-effort`: what comes nearest to a limit without a cgroup, and the words that say so.

use super::{Chosen, How, Limited, Wanted};
use crate::{
    plan::{facts::Facts, step::InitStep},
    spec::{
        Spec,
        limits::{Amount, Bound, CpuSet, Cpus, Resource, Ulimit},
    },
};

/// Takes the nearest for each, and says for each what it is. What does not bound what was asked for is left alone: RLIMIT_AS
/// is no bound of memory, for every process has one of its own and counts what it never uses.
pub fn nearest(missing: &[Wanted], why: &str, spec: &Spec, facts: &Facts, chosen: &mut Chosen) {
    let limits = &spec.limits;
    let allowed = &facts.limits.affinity;
    let mut cpus: Vec<u32> = match &limits.cpuset_cpus {
        Some(set) if missing.iter().any(|w| w.flag == "--cpuset-cpus") => {
            set.iter().filter(|cpu| allowed.contains(cpu)).collect()
        }
        _ => allowed.clone(),
    };
    if let Some(Cpus::Micro(micro)) = limits.cpus.filter(|_| missing.iter().any(|w| w.flag == "--cpus")) {
        cpus = some_of(&cpus, micro.div_ceil(1_000_000) as usize, &facts.id);
    }
    let set = CpuSet(cpus.clone());
    chosen.notes.push(format!("no cgroup holds what follows: {why}"));
    for wanted in missing.iter().filter(|w| !w.optional) {
        let flag = format!("{} {}", wanted.flag, wanted.requested);
        let (how, enforced, words) = match wanted.flag {
            "--cpus" if limits.cpus != Some(Cpus::Max) && !cpus.is_empty() => (
                How::Affinity,
                Some(set.to_string()),
                format!("it runs on CPU {set} alone instead, and could undo that"),
            ),
            "--cpuset-cpus" if !cpus.is_empty() => {
                (How::Affinity, Some(set.to_string()), format!("it runs on CPU {set} alone, and could undo that"))
            }
            "--pids-limit" => processes(limits.pids, facts, chosen),
            _ => (How::None, None, "nothing holds it".into()),
        };
        chosen.notes.push(format!("{flag}: {words}"));
        let (flag, requested) = (wanted.flag.into(), wanted.requested.clone());
        chosen.limited.push(Limited { flag, requested, enforced, how, file: String::new() });
    }
    if chosen.limited.iter().any(|l| l.how == How::Affinity) {
        chosen.inside.insert(0, InitStep::Affinity { cpus });
    }
}

/// So many of the CPUs that we may use. Where to begin is taken from the id, so that containers do not all meet on the first.
fn some_of(cpus: &[u32], count: usize, id: &str) -> Vec<u32> {
    let start = id.get(..8).and_then(|hex| usize::from_str_radix(hex, 16).ok()).unwrap_or(0);
    let mut some: Vec<u32> =
        cpus.iter().cycle().skip(start % cpus.len().max(1)).take(count.min(cpus.len())).copied().collect();
    some.sort_unstable();
    some
}

/// RLIMIT_NPROC bounds what one user id has in the container's user namespace, since Linux 5.14; before, it counts all that
/// the user has on the machine, and would stop a container for what runs beside it.
fn processes(pids: Option<Amount>, facts: &Facts, chosen: &mut Chosen) -> (How, Option<String>, String) {
    let Some(Amount::Of(count)) = pids else { return (How::None, None, "nothing holds it".into()) };
    if !facts.limits.nproc_per_namespace || facts.uid == 0 {
        return (How::None, None, "nothing holds it: RLIMIT_NPROC would count more than this container here".into());
    }
    let bound = Bound::Of(count);
    chosen.inside.push(InitStep::Rlimit { limit: Ulimit { resource: Resource::Nproc, soft: bound, hard: bound } });
    (
        How::Rlimit,
        Some(count.to_string()),
        format!("every user id inside may have {count} processes instead (RLIMIT_NPROC)"),
    )
}
