//! How limits are held on this machine: by a cgroup that is ours, by what comes nearest where that was asked for, or not at
//! all, and then nothing is run.

mod files;
mod instead;
mod refusal;

pub use files::{Wanted, wanted};
use refusal::absence;
pub use refusal::{delegation, why_none};

use super::{
    facts::{Facts, Limiting, Manager},
    step::{Group, HostStep, InitStep},
};
use crate::spec::{
    Spec,
    limits::{Bound, Cgroups, Cpus, Limits, Strictness},
};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// What became of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limited {
    /// The flag.
    pub flag: String,
    /// What was asked for.
    pub requested: String,
    /// What is in force, as the kernel tells it; none: nothing, or not yet.
    pub enforced: Option<String>,
    /// By what.
    pub how: How,
    /// The file of the cgroup; empty where it is none.
    #[serde(default)]
    pub file: String,
}

/// By what a limit is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The container's cgroup: for all its processes together.
    Cgroup,
    /// A bound of each process (getrlimit(2)).
    Rlimit,
    /// The CPUs it may run on (sched_setaffinity(2)), which it can take back.
    Affinity,
    /// proc_pid_oom_score_adj(5)
    OomScoreAdj,
    /// Nothing.
    None,
}

/// How the container's limits are held.
#[derive(Debug, Default)]
pub struct Chosen {
    /// Before the first process is made.
    pub before: Vec<HostStep>,
    /// As soon as there is one.
    pub ask: Vec<HostStep>,
    /// When they are.
    pub join: Vec<HostStep>,
    /// Whether it has a cgroup of its own.
    pub grouped: bool,
    /// Inside, while the machine's /proc is there.
    pub early: Vec<InitStep>,
    /// Inside, right before the command.
    pub inside: Vec<InitStep>,
    /// What was decided.
    pub choice: Option<String>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// What becomes of each limit.
    pub limited: Vec<Limited>,
}

/// Where a group comes from.
enum Home<'a> {
    Subtree(&'a super::facts::Subtree),
    Systemd(&'a [String]),
}

/// Works it out. Nothing is said where no limit was asked for.
///
/// # Errors
/// A limit cannot be held here, or makes no sense on this machine.
pub fn choose(spec: &Spec, facts: &Facts) -> Result<Chosen> {
    let limits = &spec.limits;
    let mut chosen = Chosen::default();
    of_each_process(limits, &facts.limits, &mut chosen)?;
    check_cpus(limits, &facts.limits)?;
    let wanted = wanted(limits, &facts.limits.devices);
    let explicit = matches!(limits.cgroups, Cgroups::Systemd | Cgroups::Cgroupfs) || limits.cgroup_parent.is_some();
    if wanted.is_empty() && !explicit {
        set_aside(limits, facts, &mut chosen);
        return Ok(chosen);
    }
    let strict = limits.strictness == Strictness::Strict;
    let home = home(limits, &facts.limits.groups);
    let controllers: &[String] = match &home {
        Ok(Home::Subtree(subtree)) => &subtree.controllers,
        Ok(Home::Systemd(controllers)) => controllers,
        Err(_) if strict => bail!(refusal::no_group(wanted.first(), limits, &facts.limits)),
        Err(_) => &[],
    };
    let (held, missing): (Vec<Wanted>, Vec<Wanted>) = wanted
        .into_iter()
        .partition(|w| home.is_ok() && (w.controller().is_empty() || controllers.iter().any(|c| c == w.controller())));
    if let Some(first) = missing.iter().find(|w| strict && !w.optional) {
        bail!(refusal::no_controller(first, controllers, home.is_ok_and(|h| matches!(h, Home::Systemd(_))), facts));
    }
    match &home {
        _ if !missing.is_empty() => {
            let why = home.as_ref().map_or_else(|lack| *lack, |_| "its controller is not delegated");
            instead::nearest(&missing, why, spec, facts, &mut chosen);
        }
        Err(why) => chosen.notes.push(format!("the container has no cgroup of the kind that was asked for: {why}")),
        Ok(_) => {}
    }
    if let Ok(home) = home
        && (explicit || !held.is_empty())
    {
        group(&home, &held, spec, facts, &mut chosen);
    } else {
        set_aside(limits, facts, &mut chosen);
    }
    Ok(chosen)
}

/// Without limits a container stays with its caller, but not in a group whose files its root might write to: freezing and
/// ending a group takes one byte, and a namespace within a namespace is no hindrance.
fn set_aside(limits: &Limits, facts: &Facts, chosen: &mut Chosen) {
    let Some(own) = facts.limits.exposed.as_ref().filter(|_| limits.cgroups != Cgroups::Disabled) else { return };
    let group = Group { name: format!("little-container-{}", facts.id), needed: Vec::new(), link: link(facts) };
    chosen.before.push(HostStep::MakeGroup { group, parent: own.clone(), crowded: false, plain: true });
    chosen.choice = Some(format!("cgroup: below your own ({own}), which belongs to you"));
    chosen.grouped = true;
}

fn link(facts: &Facts) -> crate::spec::Raw {
    facts.dirs.mark.path().with_file_name(format!("{}.group", facts.id)).into()
}

/// Where the group comes from, or in a few words why from nowhere.
fn home<'a>(limits: &Limits, groups: &'a super::facts::Groups) -> Result<Home<'a>, &'static str> {
    let slice = limits.cgroup_parent.as_ref().is_some_and(|p| p.to_string().ends_with(".slice"));
    let absent = absence(groups);
    let subtree = groups.subtree.as_ref().map(Home::Subtree).ok_or("no cgroup is delegated to you");
    let systemd = match (&groups.manager, absent) {
        (_, Some(why)) => Err(why),
        (Manager::Reachable { controllers }, None) => Ok(Home::Systemd(controllers)),
        (Manager::NoSystemd, None) => Err("no cgroup is delegated to you, and there is no systemd to ask"),
        (Manager::NoUserManager { .. }, None) => Err("no systemd runs for you"),
        (Manager::NoSocket, None) => Err("your systemd cannot be reached"),
        (Manager::Batch { .. }, None) => Err("a batch system limits this job"),
    };
    match limits.cgroups {
        Cgroups::Disabled => Err("--cgroups disabled"),
        Cgroups::Systemd => systemd,
        Cgroups::Cgroupfs => absent.map_or(subtree, Err),
        Cgroups::Auto if slice => systemd,
        Cgroups::Auto if limits.cgroup_parent.is_some() => absent.map_or(subtree, Err),
        Cgroups::Auto => absent.map_or_else(|| subtree.or(systemd), Err),
    }
}

/// The steps for a group of our own.
fn group(home: &Home<'_>, held: &[Wanted], spec: &Spec, facts: &Facts, chosen: &mut Chosen) {
    let mut needed: Vec<String> = held.iter().map(|w| w.controller().to_owned()).filter(|c| !c.is_empty()).collect();
    needed.sort();
    needed.dedup();
    let link = link(facts);
    let name = format!("little-container-{}", facts.id);
    let steps = held.iter().map(|w| HostStep::Limit {
        flag: w.flag.into(),
        file: w.file.clone(),
        value: w.value.clone(),
        optional: w.optional,
    });
    let into = match home {
        Home::Subtree(subtree) => {
            chosen.choice = Some(format!("limits: a cgroup below {} ({})", subtree.path, subtree.why));
            chosen.before.push(HostStep::MakeGroup {
                group: Group { name, needed, link },
                parent: subtree.path.clone(),
                crowded: subtree.crowded,
                plain: false,
            });
            &mut chosen.before
        }
        Home::Systemd(_) => {
            chosen.choice = Some("limits: a scope that systemd delegates to us".into());
            let unit = format!("{name}.scope");
            let called = spec.name.as_deref().unwrap_or(super::short_id(&facts.id));
            chosen.ask.push(HostStep::Guard { for_scope: true });
            chosen.ask.push(HostStep::AskScope {
                unit: unit.clone(),
                description: format!("container {called} (little-container, {})", spec.rootfs),
                slice: spec.limits.cgroup_parent.as_ref().map(ToString::to_string),
            });
            chosen.join.push(HostStep::JoinScope { group: Group { name: "container".into(), needed, link }, unit });
            &mut chosen.join
        }
    };
    into.extend(steps);
    chosen.grouped = true;
    chosen.limited.extend(held.iter().map(|w| Limited {
        flag: w.flag.into(),
        requested: w.requested.clone(),
        enforced: None,
        how: How::Cgroup,
        file: w.file.clone(),
    }));
}

/// What bounds each process by itself, and needs no group.
fn of_each_process(limits: &Limits, facts: &Limiting, chosen: &mut Chosen) -> Result<()> {
    if let Some(value) = limits.oom_score_adj {
        chosen.early.push(InitStep::OomScoreAdj { value });
        chosen.limited.push(limited("--oom-score-adj", value.to_string(), value.to_string(), How::OomScoreAdj));
    }
    for (n, limit) in limits.ulimits.iter().enumerate() {
        let own = facts.hard.get(n).copied().flatten();
        if let (Some(own), wanted) = (own, limit.hard)
            && matches!(wanted, Bound::Unlimited) | matches!(wanted, Bound::Of(n) if n > own)
        {
            bail!(
                "--ulimit {limit}: your own hard bound of {} is {own}\n  \
                 cause: only root may raise it, for everybody below\n  \
                 fix (you): ask for at most {own}; `ulimit -H` of the shell shows all of them",
                limit.resource.name()
            );
        }
        chosen.inside.push(InitStep::Rlimit { limit: *limit });
        let words = limit.to_string();
        let value = words.split_once('=').map_or(words.as_str(), |(_, value)| value);
        chosen.limited.push(limited("--ulimit", words.clone(), value.into(), How::Rlimit));
    }
    Ok(())
}

fn limited(flag: &str, requested: String, enforced: String, how: How) -> Limited {
    Limited { flag: flag.into(), requested, enforced: Some(enforced), how, file: String::new() }
}

/// More than there is was meant for another machine.
///
/// # Errors
/// The flag, and what there is.
pub fn check_cpus(limits: &Limits, facts: &Limiting) -> Result<()> {
    let there = facts.cpus.len();
    if let Some(cpus @ Cpus::Micro(micro)) = limits.cpus
        && micro > there as u64 * 1_000_000
    {
        bail!("--cpus {cpus}: this machine has {there}\n  fix (you): give a number from 0.01 to {there}");
    }
    if let Some(cpus) = &limits.cpuset_cpus
        && let Some(absent) = cpus.iter().find(|cpu| !facts.cpus.contains(cpu))
    {
        let all = crate::spec::limits::CpuSet(facts.cpus.clone());
        bail!("--cpuset-cpus {cpus}: there is no CPU {absent}\n  fix (you): this machine has {all}");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
