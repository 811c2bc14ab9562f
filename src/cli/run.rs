//! `run`: flags become a spec, the machine's facts a plan, the plan a container.

use super::{Context, facts, failure, flags::Run, limits, post_mortem, table, variable, words};
use crate::{
    host::dirs,
    launch::{self, Task},
    plan::{self, InitStep, Plan},
    say,
    spec::{Network, Raw, Spec, Storage, Tmpfs, Userns, Volume, check_name, env, signal},
    store::{
        record::{self, Process, Record},
        sweep,
    },
    sys::{clone::End, process, target, tty},
};
use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use std::{fs, io, os::fd::AsFd, path::PathBuf};

pub fn run(flags: Run, context: &Context) -> Result<u8> {
    refuse_folders()?;
    let meant = words::understand(&flags, context)?;
    let how = How { dry_run: flags.dry_run, explain: flags.explain, word: meant.guessed.clone() };
    meant.note.iter().for_each(|text| say::note(text));
    let mut spec = spec(flags, meant, context)?;
    match attempt(&spec, &how, context) {
        // The helpers are there and promise a range, and then refuse: an outer sandbox, a range of somebody else.
        Err(e) if spec.userns == Userns::Auto && failure::is_unmappable(&e) => {
            say::note(&format!("no range of ids ({}): only your own exists inside", failure::last_words(&e)));
            spec.userns = Userns::Single;
            attempt(&spec, &how, context)
        }
        other => other,
    }
}

/// A folder of the machine on standard input, output or errors would be a way out of the container (CVE-2024-21626).
fn refuse_folders() -> Result<()> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    for (name, fd) in [("input", stdin.as_fd()), ("output", stdout.as_fd()), ("errors", stderr.as_fd())] {
        if target::is_folder(fd).unwrap_or(false) {
            bail!(
                "standard {name} is a folder\n  cause: from a folder that is open, paths lead out of the container\n  \
                 fix (you): take the `<` or `>` with the folder away; -v shows a folder inside"
            );
        }
    }
    Ok(())
}

/// What of the command line is not about the container.
struct How {
    dry_run: bool,
    explain: bool,
    word: Option<String>,
}

fn attempt(spec: &Spec, how: &How, context: &Context) -> Result<u8> {
    let (runtime, fresh) = dirs::runtime()?;
    let facts = facts::gather(spec, context, &runtime)?;
    let plan = plan::plan(spec, &facts)?;
    plan.notes.iter().for_each(|text| say::note(text));
    if how.dry_run {
        return table::print(&printed(&plan));
    }
    plan.choices.iter().for_each(|choice| if how.explain { say::choice(choice) } else { say::info(choice) });
    let record = record(spec, &facts, &plan)?;
    if fresh {
        sweep::everything(&context.store, &runtime, &record.machine);
    }
    let store = &context.store;
    let task = Task { plan: &plan, record, store, runtime: &runtime, explain: how.explain, reaper: spec.init };
    launch(task, how.word.clone())
}

fn launch(task: Task<'_>, word: Option<String>) -> Result<u8> {
    let store = task.store.root().to_owned();
    let outcome = launch::run(task).map_err(|error| failure::Launch { error, store, word })?;
    if let Some(said) = outcome.fuse_died {
        bail!(
            "fuse-overlayfs, which held the root file system, has died, so the container was ended\n  cause: {said}\n  \
             fix (you): --storage copy needs no such program"
        );
    }
    post_mortem::tell(&outcome);
    if let End::Signal(number) = outcome.end {
        say::info(&format!("the command was ended by signal {number}"));
    }
    Ok(outcome.end.code())
}

fn spec(flags: Run, meant: words::Meant, context: &Context) -> Result<Spec> {
    let wrong = |flag: &'static str| move |e: String| anyhow::anyhow!("{flag}: {e}");
    let (stdin, stdout) = (tty::is_terminal(io::stdin().as_fd()), tty::is_terminal(io::stdout().as_fd()));
    let mut spec = Spec {
        rootfs: meant.rootfs,
        command: meant.command,
        entrypoint: flags.entrypoint.map(Raw::from),
        env: environment(&flags.env_file, &flags.env)?,
        workdir: flags.workdir.map(Raw::from),
        user: flags.user.map(|u| u.parse().map_err(wrong("--user"))).transpose()?,
        hostname: flags.hostname,
        volumes: Vec::new(),
        tmpfs: Vec::new(),
        name: flags.name,
        read_only: flags.read_only,
        init: flags.init,
        remove: flags.rm,
        userns: choose(flags.userns, "USERNS", context.config.userns)?,
        storage: choose::<Storage>(flags.storage, "STORAGE", context.config.storage)?,
        network: choose::<Network>(flags.network, "NETWORK", context.config.network)?,
        terminal: flags.tty.unwrap_or(stdin && stdout && flags.interactive != Some(false)),
        stdin: flags.interactive.unwrap_or(true),
        limits: limits::limits(&flags.limits, &context.config)?,
    };
    for text in &flags.volume {
        spec.volumes.push(Volume::parse(text).map_err(|e| anyhow::anyhow!("-v {}: {e}", Raw::from(text.clone())))?);
    }
    for text in &flags.tmpfs {
        spec.tmpfs.push(Tmpfs::parse(text).map_err(|e| anyhow::anyhow!("--tmpfs {}: {e}", Raw::from(text.clone())))?);
    }
    if let Some(name) = &spec.name {
        check_name(name, 64).map_err(wrong("--name"))?;
    }
    if let Some(name) = &spec.hostname {
        check_name(name, 64).map_err(wrong("--hostname"))?;
    }
    Ok(spec)
}

/// The flag, else the environment, else the configuration, else what is usual.
pub(super) fn choose<T: ValueEnum + Default>(flag: Option<T>, name: &str, config: Option<T>) -> Result<T> {
    if let Some(value) = flag {
        return Ok(value);
    }
    match variable(name) {
        Some(text) => {
            let text = text.to_string_lossy().into_owned();
            T::from_str(&text, false).map_err(|_| {
                let all: Vec<String> =
                    T::value_variants().iter().filter_map(|v| Some(v.to_possible_value()?.get_name().into())).collect();
                anyhow::anyhow!("LITTLE_CONTAINER_{name} is {text:?}\n  fix (you): it takes {}", all.join(", "))
            })
        }
        None => Ok(config.unwrap_or_default()),
    }
}

/// Files first, then `-e`.
fn environment(files: &[PathBuf], flags: &[std::ffi::OsString]) -> Result<Vec<Raw>> {
    let own = |name: &std::ffi::OsStr| std::env::var_os(name);
    let mut all = Vec::new();
    for file in files {
        let content = fs::read(file).with_context(|| format!("--env-file {}", file.display()))?;
        all.extend(env::parse_file(&content, own).map_err(|e| anyhow::anyhow!("--env-file {}: {e}", file.display()))?);
    }
    for text in flags {
        all.extend(env::parse(text, own).map_err(|e| anyhow::anyhow!("-e {}: {e}", Raw::from(text.clone())))?);
    }
    Ok(all)
}

fn record(spec: &Spec, facts: &plan::Facts, plan: &Plan) -> Result<Record> {
    let command = match plan.init.last() {
        Some(InitStep::Exec { args, .. }) => args.clone(),
        _ => Vec::new(),
    };
    Ok(Record {
        version: 1,
        id: facts.id.clone(),
        name: spec.name.clone(),
        image: spec.rootfs.to_string(),
        layers: facts.image.layers.clone(),
        command,
        created: record::now(),
        remove: spec.remove,
        machine: process::uname().0,
        runner: Process::own().context("read /proc/self/stat: is /proc mounted?")?,
        init: None,
        exit: None,
        choices: plan.choices.clone(),
        group: None,
        limits: plan.limits.clone(),
        labels: facts.image.labels.clone(),
        stop_signal: stop_signal(&facts.image.stop_signal),
        exposed_ports: facts.image.exposed_ports.clone(),
        volumes: facts.image.volumes.clone(),
        asked: (!spec.limits.is_empty()).then(|| spec.limits.clone()),
    })
}

/// What is no signal is not taken over from the image.
fn stop_signal(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    match signal::parse(text) {
        Ok(_) => text.to_owned(),
        Err(e) => {
            say::note(&format!("the image's StopSignal {e}; TERM is taken"));
            String::new()
        }
    }
}

/// The plan for a reader: what was decided, then both lists.
fn printed(plan: &Plan) -> String {
    let mut text: String = plan.choices.iter().map(|c| format!("{c}\n")).collect();
    text.push_str("\noutside (launcher):\n");
    for (n, step) in plan.host.iter().enumerate() {
        text.push_str(&format!("{:>4}  {step}\n", n + 1));
    }
    text.push_str("\ninside (first process):\n");
    for (n, step) in plan.init.iter().enumerate() {
        text.push_str(&format!("{:>4}  {step}\n", plan.host.len() + n + 1));
    }
    text
}
