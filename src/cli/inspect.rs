//! `inspect`: all that is known of containers and images, as docker has it where docker has it.

use super::{Context, image, table};
use crate::{
    cgroup,
    plan::limits::{How, Limited},
    spec::limits::{Amount, Cpus, Limits},
    store::{
        containers, images,
        record::{Record, Status},
    },
    sys::process,
};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Only a container, or only an image, where both have the name
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<Kind>,
    /// Names, ids, or beginnings of ids, of containers or images
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// `--type`
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Containers
    Container,
    /// Images
    Image,
}

/// One JSON array of those that are there; what is not is said, and the exit status is 1.
pub fn inspect(flags: &Flags, context: &Context) -> Result<u8> {
    let machine = process::uname().0;
    let (all, status) = gather(&flags.names, |name| match flags.kind {
        Some(Kind::Image) => image::inspect::one(name, context),
        Some(Kind::Container) => one(name, context, &machine),
        None => match (one(name, context, &machine), images::find(context.store.root(), name)) {
            (Err(_), Ok(Some(_))) => image::inspect::one(name, context),
            (Err(e), _) if e.to_string().starts_with("no container is called") => bail!(
                "no container and no image is called {name:?}\n  \
                 fix (you): `little-container ps -a` and `little-container images` list them"
            ),
            (told, _) => told,
        },
    });
    table::json(&all)?;
    Ok(status)
}

/// What is told of each; what cannot be is said, and the exit status is 1.
pub fn gather(names: &[String], tell: impl Fn(&str) -> Result<Value>) -> (Vec<Value>, u8) {
    let mut all = Vec::new();
    let mut status = 0;
    for name in names {
        match tell(name) {
            Ok(told) => all.push(told),
            Err(e) => {
                crate::say::error(&super::failure::describe(&e).0);
                status = 1;
            }
        }
    }
    (all, status)
}

fn one(name: &str, context: &Context, machine: &str) -> Result<Value> {
    let id = containers::find(&context.store, name)?;
    let record = Record::read(&context.store.container(&id)).with_context(|| format!("read the record of {name}"))?;
    let status = record.status(machine);
    Ok(json!({
        "Id": record.id,
        "Name": record.name.clone().unwrap_or_default(),
        "Created": record.created,
        "Image": record.image,
        "Config": {
            "Cmd": record.command,
            "Labels": record.labels,
            "StopSignal": record.stop_signal,
            "ExposedPorts": keys(record.exposed_ports.iter().cloned()),
            "Volumes": keys(record.volumes.iter().map(ToString::to_string)),
        },
        "State": state(&record, &status),
        "HostConfig": host_config(record.asked.as_ref().unwrap_or(&Limits::default())),
        "Limits": limits(&record, &status),
        "CgroupPath": record.group,
        "Choices": record.choices,
    }))
}

/// A set as docker has it: an object with empty values.
fn keys(all: impl Iterator<Item = String>) -> Value {
    all.map(|key| (key, json!({}))).collect::<serde_json::Map<_, _>>().into()
}

fn state(record: &Record, status: &Status) -> Value {
    let running = *status == Status::Running;
    let exit = record.exit.as_ref();
    let pid = record.init.as_ref().filter(|_| running).map_or(0, |init| init.pid);
    json!({
        "Status": super::containers::word(status),
        "Running": running,
        "Pid": pid,
        "ExitCode": exit.map(|exit| exit.code),
        "FinishedAt": exit.map(|exit| &exit.at),
        "OOMKilled": exit.is_some_and(|exit| exit.memory.is_some()),
        "Memory": exit.and_then(|exit| exit.memory.as_ref()),
    })
}

/// By docker's names and in docker's units; 0: no limit.
fn host_config(limits: &Limits) -> Value {
    let bytes = |amount: Option<Amount>| match amount {
        Some(Amount::Of(n)) => i64::try_from(n).unwrap_or(i64::MAX),
        Some(Amount::Max) => -1,
        None => 0,
    };
    let nano = match limits.cpus {
        Some(Cpus::Micro(micro)) => micro * 1000,
        _ => 0,
    };
    json!({
        "Memory": bytes(limits.memory).max(0),
        "MemoryReservation": bytes(limits.memory_reservation).max(0),
        "MemorySwap": bytes(limits.memory_swap),
        "NanoCpus": nano,
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "CpusetCpus": limits.cpuset_cpus.as_ref().map(ToString::to_string).unwrap_or_default(),
        "PidsLimit": bytes(limits.pids),
        "OomScoreAdj": limits.oom_score_adj.unwrap_or(0),
        "CgroupParent": limits.cgroup_parent.as_ref().map(ToString::to_string).unwrap_or_default(),
    })
}

/// Each limit as it was asked for, what is in force, and by what. Of a running container the files themselves are read.
fn limits(record: &Record, status: &Status) -> Vec<Value> {
    let group = record.group().filter(|_| *status == Status::Running);
    let enforced = |limit: &Limited| match (&group, limit.how) {
        (Some(group), How::Cgroup) => {
            let read = group.read(&limit.file).ok();
            let known = limit.enforced.as_deref().unwrap_or_default();
            read.map(|read| cgroup::held(&limit.file, known, &read).unwrap_or(read))
        }
        _ => limit.enforced.clone(),
    };
    let told = |limit: &Limited| {
        json!({
            "Limit": limit.flag,
            "Requested": limit.requested,
            "Enforced": enforced(limit),
            "How": limit.how,
            "File": limit.file,
        })
    };
    record.limits.iter().map(told).collect()
}
