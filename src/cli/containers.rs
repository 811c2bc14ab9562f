//! `ps` and `rm`.

use super::{
    Context,
    table::{self, Format},
};
use crate::{
    cgroup::Group,
    plan::{short_id, words},
    store::{
        containers,
        record::{Record, Status},
        sweep,
    },
    sys::{clone, process, signal},
};
use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use std::{os::fd::AsFd, time::Duration};

#[derive(Debug, clap::Args)]
pub struct List {
    /// Those that have ended, too
    #[arg(short, long)]
    all: bool,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub struct Remove {
    /// End it first if it runs; be silent about one that is not there
    #[arg(short, long)]
    force: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true)]
    names: Vec<String>,
}

/// A line of `ps --format json`.
#[derive(Serialize)]
struct Row {
    id: String,
    name: Option<String>,
    image: String,
    command: String,
    created: String,
    status: &'static str,
    exit_code: Option<u8>,
    pid: Option<i32>,
    choices: Vec<String>,
}

pub fn list(flags: &List, context: &Context) -> Result<u8> {
    let machine = process::uname().0;
    let mut records = Vec::new();
    let mut broken = Vec::new();
    for listed in containers::list(&context.store)? {
        match listed {
            Ok(record) => records.push((record.status(&machine), record)),
            Err(e) => broken.push(e),
        }
    }
    if flags.all {
        broken
            .iter()
            .for_each(|b| crate::say::note(&format!("the record of {} cannot be read: {}", short_id(&b.id), b.why)));
    } else {
        records.retain(|(status, _)| matches!(status, Status::Running | Status::Starting));
    }
    if flags.format == Format::Json {
        return table::json(&records.iter().map(|(status, record)| row(status, record)).collect::<Vec<_>>());
    }
    if context.quiet {
        return table::print(&records.iter().map(|(_, r)| format!("{}\n", short_id(&r.id))).collect::<String>());
    }
    let line = |(status, record): &(Status, Record)| {
        vec![
            short_id(&record.id).into(),
            record.image.clone(),
            cut(&words(&record.command), 30),
            table::ago(&record.created),
            told(status),
            record.name.clone().unwrap_or_default(),
        ]
    };
    table::rows(&["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"], records.iter().map(line).collect())
}

fn row(status: &Status, record: &Record) -> Row {
    let exit_code = match status {
        Status::Exited(exit) => Some(exit.code),
        _ => None,
    };
    Row {
        id: record.id.clone(),
        name: record.name.clone(),
        image: record.image.clone(),
        command: words(&record.command),
        created: record.created.clone(),
        status: word(status),
        exit_code,
        pid: (*status == Status::Running).then(|| record.init.as_ref().map(|p| p.pid)).flatten(),
        choices: record.choices.clone(),
    }
}

/// For programs.
pub fn word(status: &Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Starting => "starting",
        Status::Exited(_) => "exited",
        Status::Killed => "killed",
        Status::Elsewhere(_) => "elsewhere",
    }
}

fn told(status: &Status) -> String {
    match status {
        Status::Running => "Up".into(),
        Status::Starting => "Starting".into(),
        Status::Exited(exit) => format!("Exited ({}) {}", exit.code, table::ago(&exit.at)),
        Status::Killed => "Killed with its runner".into(),
        Status::Elsewhere(machine) => format!("On {machine}"),
    }
}

fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.into();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

pub fn remove(flags: &Remove, context: &Context) -> Result<u8> {
    table::each(&flags.names, |name| match containers::find(&context.store, name) {
        Ok(id) => remove_one(&id, flags.force, context).map(|()| true),
        Err(_) if flags.force => Ok(false),
        Err(e) => Err(e),
    })
}

fn remove_one(id: &str, force: bool, context: &Context) -> Result<()> {
    if let Ok(record) = Record::read(&context.store.container(id)) {
        match record.status(&process::uname().0) {
            Status::Running | Status::Starting if !force => {
                bail!("container {} is running\n  fix (you): end its command first, or use rm -f", short_id(id))
            }
            Status::Elsewhere(machine) if !force => bail!(
                "container {} belongs to the machine {machine}, and may be running there\n  fix (you): use rm there, or rm -f if \
                 that machine is gone",
                short_id(id)
            ),
            Status::Running | Status::Starting => end(&record),
            Status::Killed => {
                if let Some(group) = record.group() {
                    group.end().with_context(|| format!("end what is left of container {}", short_id(id)))?;
                }
            }
            _ => {}
        }
    }
    containers::remove(&context.store, id)
}

/// Kills the first process and waits for the runner, which then cleans up by itself.
fn end(record: &Record) {
    let runner = clone::open(record.runner.pid);
    if let Some(init) = &record.init {
        record.group().iter().for_each(Group::hurry);
        sweep::kill(init);
    }
    if let Ok(runner) = runner
        && record.runner.lives()
    {
        let _ = signal::poll(&[(runner.as_fd(), signal::Wait::Read)], Some(Duration::from_secs(5)));
    }
}
