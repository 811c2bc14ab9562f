//! `image prune`: takes away what no image and no container needs.

use super::Context;
use crate::{
    cli::table,
    say,
    store::{
        images::{self, Image},
        unneeded::{self, Needed, Thing},
    },
};
use anyhow::{Result, bail, ensure};
use std::{
    io::{BufRead, IsTerminal, stdin},
    time::Duration,
};

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Images that no container uses, too
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only what is older: `until=24h`
    #[arg(long, value_name = "until=AGE", value_parser = until)]
    filter: Option<Duration>,
    /// The packed form of layers that are unpacked, too: `push` and `save` need a pull then
    #[arg(long)]
    blobs: bool,
}

/// What went.
#[derive(Default)]
struct Done {
    lines: Vec<String>,
    bytes: u64,
}

fn until(text: &str) -> Result<Duration, String> {
    let age = text.strip_prefix("until=").ok_or("until=AGE is the one that is known, as in until=24h")?;
    let span: jiff::SignedDuration = age.parse().map_err(|_| format!("{age:?} is no age: 90m, 24h, 1h30m"))?;
    Duration::try_from(span).map_err(|_| "an age is not negative".into())
}

pub fn prune(flags: &Flags, context: &Context) -> Result<u8> {
    if !flags.force && !agreed(flags)? {
        return Ok(1);
    }
    let mut done = Done::default();
    if flags.all {
        remove_unused(flags, context, &mut done)?;
    }
    let old = |path: &std::path::Path| flags.filter.is_none_or(|age| unneeded::is_older(path, age));
    for left in unneeded::leftovers(&context.store) {
        if old(&left.path) {
            let name = left.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            done.lines.extend((!left.is_lock()).then(|| format!("unfinished: {name}")));
            done.bytes += unneeded::size(&left.path).unwrap_or(0);
            left.remove()?;
        }
    }
    let needed = Needed::read(&context.store)?;
    let things = unneeded::everything(&context.store).into_iter();
    let things = things.filter(|t| !needed.has(t) && old(&t.path(&context.store)));
    let reaped = unneeded::reap(&context.store, things, true)?;
    done.bytes += reaped.bytes;
    done.lines.extend(reaped.gone.iter().map(|thing| match thing {
        Thing::Layer(digest) => format!("layer: {digest}"),
        Thing::Blob(digest) => format!("blob: {digest}"),
    }));
    super::tell_left(&reaped);
    if flags.blobs {
        drop_packed(context, &mut done)?;
    }
    if !context.quiet {
        done.lines.push(format!("total reclaimed: {}", table::size(done.bytes)));
    }
    table::print(&done.lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

/// Asks on a terminal; elsewhere nobody can answer.
fn agreed(flags: &Flags) -> Result<bool> {
    if !stdin().is_terminal() {
        bail!("nobody can be asked whether to remove\n  fix (you): image prune -f");
    }
    let what = match (flags.all, flags.blobs) {
        (true, _) => "all images that no container uses",
        (false, true) => "what no image needs, and the packed form of unpacked layers",
        (false, false) => "what no image and no container needs",
    };
    say::ask(&format!("This removes {what}. Go on? [y/N] "));
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn remove_unused(flags: &Flags, context: &Context, done: &mut Done) -> Result<()> {
    for image in images::list(context.store.root()).into_iter().flatten() {
        if flags.filter.is_some_and(|age| !is_older(&image, age)) || !super::remove::users(&image, context)?.is_empty()
        {
            continue;
        }
        images::forget(context.store.root(), &image.name)?;
        done.lines.push(format!("image: {}", image.name));
    }
    Ok(())
}

fn is_older(image: &Image, age: Duration) -> bool {
    let Ok(then) = image.stored().parse::<jiff::Timestamp>() else { return true };
    jiff::Timestamp::now().duration_since(then).unsigned_abs() >= age
}

/// Drops the packed layers of images whose layers are all unpacked. The records still name them, so that a pull finds out
/// what is missing.
fn drop_packed(context: &Context, done: &mut Done) -> Result<()> {
    let store = &context.store;
    for image in images::list(store.root()).into_iter().flatten() {
        ensure!(image.blobs.is_empty() || image.blobs.len() == image.layers.len(), "{}: broken record", image.name);
        for (blob, layer) in image.blobs.iter().zip(&image.layers) {
            let unpacked = images::layer_dir(store.root(), layer).is_dir();
            let path = store.blob(&blob.digest);
            let Some(lock) = store.lock_blob(&blob.digest)?.filter(|_| unpacked && path.exists()) else { continue };
            done.bytes += unneeded::size(&path).unwrap_or(0);
            std::fs::remove_file(&path)?;
            done.lines.push(format!("packed: {}", blob.digest));
            drop(lock);
        }
    }
    Ok(())
}
