//! `update`: other limits for a container that runs.

use super::{Context, facts, limits::Flags, table};
use crate::{
    cgroup::{self, Group},
    plan::{
        limits::{self, How, Limited, Wanted},
        short_id,
    },
    say,
    spec::Limits,
    store::{
        containers,
        record::{Record, Status},
    },
    sys::{code, process},
};
use anyhow::{Context as _, Result, anyhow, bail};
use std::io;

#[derive(Debug, clap::Args)]
pub struct Update {
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    limits: Flags,
}

/// Each by itself; the exit status is 1 where one could not be changed.
pub fn update(flags: &Update, context: &Context) -> Result<u8> {
    let mut asked = Limits::default();
    flags.limits.apply(&mut asked)?;
    if !asked.needs_group() {
        bail!("no limit is named\n  fix (you): say what to change, as in `little-container update --memory 512m NAME`");
    }
    table::each(&flags.names, |name| one(name, &flags.limits, context).map(|()| true))
}

fn one(name: &str, flags: &Flags, context: &Context) -> Result<()> {
    let id = containers::find(&context.store, name)?;
    let folder = context.store.container(&id);
    // Two at once would each take back what the other one has written down.
    let _turn = Record::turn(&folder).ok_or_else(|| {
        anyhow!("container {name}: another update of it goes on\n  fix (you): try again when it is done")
    })?;
    let record = Record::read(&folder).with_context(|| format!("read the record of {name}"))?;
    let group = group(&record)?;
    let mut asked = record.asked.clone().unwrap_or_default();
    flags.apply(&mut asked)?;
    asked.check().map_err(|e| anyhow!(e))?;
    let facts = facts::limits::gather(&asked)?;
    limits::check_cpus(&asked, &facts)?;
    let before = limits::wanted(&record.asked.unwrap_or_default(), &facts.devices);
    let named = named(flags)?;
    // What is named is written although it was said before: the file may have been changed by others.
    let is_new = |w: &Wanted| !before.contains(w) || named.contains(&(w.flag.to_owned(), w.requested.clone()));
    let changed: Vec<Wanted> = limits::wanted(&asked, &facts.devices).into_iter().filter(is_new).collect();
    let changed = change(&group, changed)?;
    // It may have ended meanwhile, and its launcher have written down how.
    let mut record = Record::read(&folder).with_context(|| format!("read the record of {name}"))?;
    for (wanted, held) in changed {
        let limited = Limited {
            flag: wanted.flag.into(),
            requested: wanted.requested,
            enforced: Some(held),
            how: How::Cgroup,
            file: wanted.file,
        };
        let same = |old: &&mut Limited| {
            old.flag == limited.flag && old.file == limited.file && device(old) == device(&limited)
        };
        match record.limits.iter_mut().find(same) {
            Some(old) => *old = limited,
            None => record.limits.push(limited),
        }
    }
    record.asked = Some(asked);
    record.write(&folder)
}

/// The limits that were named now, each by its flag and its value.
fn named(flags: &Flags) -> Result<Vec<(String, String)>> {
    let mut named = Limits::default();
    flags.apply(&mut named)?;
    // The numbers of the devices do not matter here.
    let all = limits::wanted(&named, &vec![(0, 0); named.devices.len()]);
    Ok(all.into_iter().map(|wanted| (wanted.flag.to_owned(), wanted.requested)).collect())
}

/// The device that a limit is about, of those that there may be one of for each.
fn device(limited: &Limited) -> Option<&str> {
    let words = limited.requested.as_str();
    match limited.flag.as_str() {
        "--cgroup-conf" => words.split(' ').next().filter(|_| words.contains(' ') && words.starts_with("io.")),
        flag if flag.starts_with("--device-") => words.rsplit_once(':').map(|(device, _)| device),
        _ => None,
    }
}

/// The group of a container that runs.
fn group(record: &Record) -> Result<Group> {
    let id = short_id(&record.id);
    match record.status(&process::uname().0) {
        Status::Running | Status::Starting => {}
        Status::Elsewhere(machine) => bail!("container {id} is on {machine}\n  fix (you): use update there"),
        _ => bail!("container {id} is not running\n  fix (you): `run` takes the same limits for a new one"),
    }
    // One without controllers only keeps it apart.
    let limited = |group: &Group| group.read("cgroup.controllers").is_ok_and(|all| !all.is_empty());
    record.group().filter(limited).with_context(|| {
        format!(
            "container {id} has no cgroup of its own\n  cause: it was started without a limit that needs one\n  \
             fix (you): start it with one, or with --cgroups systemd, and it can be limited at any time"
        )
    })
}

/// All or none: what was changed is taken back when another is refused.
fn change(group: &Group, changed: Vec<Wanted>) -> Result<Vec<(Wanted, String)>> {
    let mut done: Vec<(Wanted, String)> = Vec::new();
    let mut undo: Vec<(String, String, String)> = Vec::new();
    for wanted in changed {
        // The one that is refused as well: the kernel may have made something else of it.
        undo.push((wanted.file.clone(), wanted.value.clone(), group.read(&wanted.file).unwrap_or_default()));
        match write(group, &wanted) {
            Ok(Some(held)) => done.push((wanted, held)),
            Ok(None) => {}
            Err(e) => {
                for (file, new, old) in undo.iter().rev() {
                    let _ = restore(group, file, new, old);
                }
                return Err(e);
            }
        }
    }
    Ok(done)
}

fn write(group: &Group, wanted: &Wanted) -> Result<Option<String>> {
    let Wanted { flag, requested, file, value, .. } = wanted;
    let failed = |e: &io::Error| {
        let advice = super::failure::limit_advice(flag, file, e.raw_os_error().unwrap_or(0));
        let advice = advice.map(|a| format!("\n{a}")).unwrap_or_default();
        anyhow!("{flag} {requested}: write {value} to {file}: {}{advice}", say::words(e))
    };
    match group.limit(file, value) {
        Ok(read) => match cgroup::held(file, value, &read) {
            Some(held) => Ok(Some(held)),
            None => bail!("{flag} {requested}: the kernel made {read:?} of it"),
        },
        Err(e) if wanted.optional && e.raw_os_error() == Some(code::ENOENT) => Ok(None),
        Err(e) => Err(failed(&e)),
    }
}

/// A file with a line for each device is written line by line, and has none for a device before its first limit.
fn restore(group: &Group, file: &str, new: &str, old: &str) -> io::Result<()> {
    if file == "io.max"
        && let Some((device, _)) = new.split_once(' ')
    {
        group.limit(file, &format!("{device} rbps=max wbps=max riops=max wiops=max"))?;
    }
    old.lines().try_for_each(|line| group.limit(file, line).map(drop))
}
