//! `stats`: what containers use now.

mod output;
mod row;
mod screen;

use super::{
    Context,
    table::{self, Format},
};
use crate::{
    cgroup::{
        processes::Processes,
        stats::{Sample, Source, machine_memory},
    },
    plan::short_id,
    store::{
        Store, containers,
        record::{Process, Record},
    },
    sys::{limit, process},
};
use anyhow::{Context as _, Result, bail};
use output::{Output, Woken};
use row::{Machine, Row};
use std::{
    cell::OnceCell,
    collections::HashMap,
    time::{Duration, Instant},
};

/// Between the two looks that the first numbers are made of.
const FIRST: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Names, ids, or beginnings of ids; all that run, where there is none
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
    /// Print once instead of again and again
    #[arg(long)]
    no_stream: bool,
    /// How to print; JSON that goes on has one array a line
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// How long to wait between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
}

fn interval(text: &str) -> std::result::Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is wanted: 2, 0.5".to_owned())?;
    if !(0.1..=86_400.0).contains(&seconds) {
        return Err("0.1 to 86400 seconds are allowed".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// A container that was asked for: its id, and the word that stood for it.
type Named = (String, String);

/// Shows it, until everything that was named has ended, the reader has gone, or a signal comes.
pub fn stats(flags: &Flags, context: &Context) -> Result<u8> {
    let Some(named) = named(&flags.names, context) else { return Ok(1) };
    let mut meter = Meter::new(&context.store, named);
    if context.quiet {
        let ids = meter.running()?.into_iter().map(|(record, ..)| format!("{}\n", short_id(&record.id)));
        return table::print(&ids.collect::<String>());
    }
    let mut output = Output::new(flags.format, flags.no_stream)?;
    meter.look()?;
    let mut next = Instant::now() + FIRST;
    loop {
        while let Woken::Redraw = output.wait(next)? {}
        let rows = meter.look()?;
        if !output.show(&rows)? || flags.no_stream || (meter.named.is_some() && rows.is_empty()) {
            return Ok(0);
        }
        next = (next + flags.interval).max(Instant::now());
        loop {
            match output.wait(next)? {
                Woken::Time => break,
                Woken::Redraw if output.show(&rows)? => {}
                Woken::Redraw | Woken::Gone => return Ok(0),
            }
        }
    }
}

/// Those that were asked for, some there are; every mistake is said, and then there is no answer.
#[allow(clippy::option_option, reason = "no answer, all containers, these containers")]
fn named(words: &[String], context: &Context) -> Option<Option<Vec<Named>>> {
    let machine = process::uname().0;
    let mut all: Vec<Named> = Vec::new();
    let mut failed = false;
    for word in words {
        match one(&context.store, word, &machine) {
            Ok(id) if all.iter().any(|(known, _)| *known == id) => {}
            Ok(id) => all.push((id, word.clone())),
            Err(e) => {
                crate::say::error(&super::failure::describe(&e).0);
                failed = true;
            }
        }
    }
    (!failed).then(|| (!words.is_empty()).then_some(all))
}

fn one(store: &Store, word: &str, machine: &str) -> Result<String> {
    let id = containers::find(store, word)?;
    let record = Record::read(&store.container(&id)).with_context(|| format!("read the record of {word}"))?;
    if first_process(&record, machine).is_none() {
        bail!("container {word} is not running\n  fix (you): `little-container ps` lists those that are");
    }
    Ok(id)
}

/// The first process, if it lives here.
fn first_process<'a>(record: &'a Record, machine: &str) -> Option<&'a Process> {
    let init = record.init.as_ref().filter(|_| record.exit.is_none() && record.machine == machine)?;
    init.lives().then_some(init)
}

/// Looks at containers again and again.
struct Meter<'a> {
    store: &'a Store,
    named: Option<Vec<Named>>,
    machine: Machine,
    name: String,
    before: HashMap<String, Sample>,
}

impl Meter<'_> {
    fn new(store: &Store, named: Option<Vec<Named>>) -> Meter<'_> {
        let machine = Machine { memory: machine_memory(), cpus: limit::online_cpus() };
        Meter { store, named, machine, name: process::uname().0, before: HashMap::new() }
    }

    /// Records, first processes, and the words that stood for them.
    fn running(&self) -> Result<Vec<(Record, Process, String)>> {
        let records: Vec<(Record, Option<String>)> = match &self.named {
            Some(named) => {
                let read =
                    |(id, word): &Named| Some((Record::read(&self.store.container(id)).ok()?, Some(word.clone())));
                named.iter().filter_map(read).collect()
            }
            None => containers::list(self.store)?.into_iter().flatten().map(|record| (record, None)).collect(),
        };
        let with_process = |(record, word): (Record, Option<String>)| {
            let init = first_process(&record, &self.name)?.clone();
            let word = word.unwrap_or_else(|| short_id(&record.id).into());
            Some((record, init, word))
        };
        Ok(records.into_iter().filter_map(with_process).collect())
    }

    /// What each uses now, beside what it used at the last look.
    fn look(&mut self) -> Result<Vec<Row>> {
        let running = self.running()?;
        let processes = OnceCell::new();
        let mut before = std::mem::take(&mut self.before);
        let mut rows = Vec::new();
        for (record, init, word) in running {
            let Some(now) = sample(&record, &init, &processes) else { continue };
            self.before.insert(record.id.clone(), now.clone());
            // Times of the group and of the processes cannot be compared.
            let by_processes = |sample: &Sample| sample.source == Source::Processes;
            let before = before.remove(&record.id).filter(|before| by_processes(before) == by_processes(&now));
            rows.push(Row { id: record.id, name: record.name, word, now, before, machine: self.machine });
        }
        Ok(rows)
    }
}

/// From its group, and from its processes what that one does not tell. None where it has ended meanwhile.
fn sample(record: &Record, init: &Process, processes: &OnceCell<Processes>) -> Option<Sample> {
    let group = record.group().and_then(|group| Sample::of_group(&group));
    let all = || processes.get_or_init(Processes::look);
    let now = match group {
        Some(sample) if sample.lacks() => sample.filled(all(), init.pid),
        Some(sample) => return Some(sample),
        None => all().of(init.pid)?,
    };
    // Else the number may have been another's.
    init.lives().then_some(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(interval("86400"), Ok(Duration::from_secs(86_400)));
        for wrong in ["0", "-1", "x", "", "NaN", "inf", "1e9", "0.01"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
