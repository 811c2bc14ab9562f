//! `pull`: images from a registry.

use super::{Context, facts, registries, table, variable, words::HOST};
use crate::{
    image::arch,
    oci::Platform,
    registry::{self, Kind},
    say,
    spec::Reference,
    store::images::{self, Image},
    sys::{clone, signal},
    transfer::{
        progress,
        pull::{Asked, Found, Patience, Pull, Pulled},
    },
};
use anyhow::{Result, anyhow, bail};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// For which machine, where there are several: OS/ARCHITECTURE[/VARIANT]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Trust the certificates in this file (PEM), too
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Names, as in `alpine`, `ghcr.io/owner/name:tag`, `name@sha256:…`
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// What is said when a pull is interrupted.
const INTERRUPTED: &str =
    "\nlittle-container: interrupted; what has come is kept, and the same command goes on from there\n";

/// Fetches each; what cannot be had is said, and the exit status is 1.
pub fn pull(flags: &Flags, context: &Context) -> Result<u8> {
    let platform = flags.platform.as_deref().map(parse_platform).transpose()?;
    let mut status = 0;
    for name in &flags.names {
        match one(name, platform.as_ref(), flags.ca.as_deref(), context) {
            Ok(image) if context.quiet => table::print(&format!("{}\n", image.id))?,
            Ok(image) => table::print(&format!("{}  {}  {}\n", image.name, image.id, table::size(image.size)))?,
            Err(e) => {
                say::error(&super::failure::describe(&e).0);
                status = 1;
                0
            }
        };
    }
    Ok(status)
}

/// `--platform`
pub fn parse_platform(text: &str) -> Result<Platform> {
    let platform: Platform = text.parse().map_err(|e: String| anyhow!("--platform: {e}"))?;
    if platform.os != "linux" {
        bail!("--platform: images for {} do not run on Linux\n  fix (you): name a platform linux/…", platform.os);
    }
    Ok(platform)
}

/// The image that this name has in its registry, fetched where it is not here.
pub fn one(name: &str, platform: Option<&Platform>, ca: Option<&std::path::Path>, context: &Context) -> Result<Image> {
    if name == HOST {
        bail!("the image host is this machine itself, and always there");
    }
    let reference: Reference = name.parse().map_err(|fault: crate::spec::reference::Fault| {
        let meant = fault.meant.map_or("give a name as in alpine:3.20 or ghcr.io/owner/name".into(), |meant| {
            format!("did you mean {meant}?")
        });
        anyhow!("{name:?} is no name of an image\n  cause: {}\n  fix (you): {meant}", fault.wrong)
    })?;
    let full = reference.to_string();
    if name != full {
        say::tell(&format!("{name} is {full}"));
    }
    let own = Platform::linux(arch::own());
    let mut settings = registries::settings(context, ca);
    settings.offline |= context.config.offline == Some(true);
    let pull = Pull {
        reference: &reference,
        platform: platform.map_or((&own, false), |platform| (platform, true)),
        settings: &settings,
        store: &context.store,
        patience: patience(),
    };
    match pull.ask().map_err(|e| remedied(e, name, context))? {
        Asked::Done(done) => match *done {
            Pulled::Kept(image, e) => {
                say::note(&kept(&image, &e));
                Ok(image)
            }
            Pulled::Same(image) => {
                say::tell(&format!("{full} is up to date"));
                Ok(image)
            }
        },
        Asked::Found(found) => fetch(&pull, &found, &full),
    }
}

fn fetch(pull: &Pull<'_>, found: &Found, full: &str) -> Result<Image> {
    let ids = facts::usable_ids()?;
    ids.note.iter().for_each(|note| say::note(note));
    let (_, strictly) = pull.platform;
    if !strictly && !arch::is_native(&found.platform.architecture) {
        say::note(&format!("{full} is for {} only, and this machine is {}", found.platform, arch::own()));
    }
    let todo = found.todo;
    say::tell(&format!(
        "pulling {full}: {} layer{}, {} to fetch, {}",
        todo.layers,
        if todo.layers == 1 { "" } else { "s" },
        todo.fetch,
        table::size(todo.bytes)
    ));
    let begun = Instant::now();
    let _held = signal::last_words(&INTERRUPTED)?;
    let image = pull.fetch(found, &ids, progress::fitting(full, todo.bytes, progress::PULLED).as_ref())?;
    say::tell(&format!("pulled {full} in {:.1} s", begun.elapsed().as_secs_f32()));
    Ok(image)
}

/// A container is made by a process with one thread. One that looked up a name may still be about to end.
pub fn settle() -> Result<()> {
    for _ in 0..200 {
        if clone::threads()? == 1 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("another thread of this program goes on and on\n  fix (you): the image is here now; run it again")
}

/// How failures are borne; tests have less time.
fn patience() -> Patience {
    let first = variable("RETRY_PAUSE").and_then(|v| v.to_str()?.parse().ok()).map(Duration::from_millis);
    first.map_or_else(Patience::default, |first| Patience { first, ..Patience::default() })
}

/// Why what is here does.
fn kept(image: &Image, e: &registry::Error) -> String {
    let since = if image.stored.is_empty() { &image.created } else { &image.stored };
    let copy = format!("using the local copy from {}", table::ago(since));
    match &e.kind {
        Kind::TooManyRequests { retry_after: Some(after) } => {
            format!("{} limits this address (429, retry in {}); {copy}", e.host, table::span(*after))
        }
        Kind::TooManyRequests { retry_after: None } => format!("{} limits this address (429); {copy}", e.host),
        Kind::Offline => format!("the network is not to be used; {copy}"),
        _ => format!("{} cannot be asked ({}); {copy}", e.host, e.cause()),
    }
}

/// Of an error of the registry, what else could have been meant.
fn remedied(e: anyhow::Error, name: &str, context: &Context) -> anyhow::Error {
    let missing = e.downcast_ref::<registry::Error>().is_some_and(|e| e.kind == Kind::NotFound);
    let near = if missing { images::nearest(context.store.root(), name) } else { Vec::new() };
    if near.is_empty() {
        return e;
    }
    anyhow!("{e}; or did you mean {}, which is here?", near.join(" or "))
}
