//! `store move`.

use super::{Context, Global, facts, table, variable};
use crate::{host::config, say, transfer::moving};
use anyhow::{Context as _, Result};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Flags {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Move the store to another folder, on another disk, too, and write that into the configuration
    Move {
        /// A folder that is new or empty
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
}

pub fn store(flags: &Flags, global: &Global, context: &Context) -> Result<u8> {
    let Verb::Move { to } = &flags.verb;
    let new = std::path::absolute(to)?;
    // The folder above may be a link; what the store is compared with is where that leads.
    let new = match (new.parent().map(std::fs::canonicalize), new.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => new,
    };
    let moved = moving::move_store(&context.store, &new, &facts::usable_ids()?)
        .with_context(|| format!("move the store to {}", new.display()))?;
    if global.store.is_some() || variable("STORE").is_some() {
        say::note(&format!(
            "the configuration is as it was: from now on use --store {0} or LITTLE_CONTAINER_STORE={0}",
            new.display()
        ));
    } else {
        let file = config::set_store(&new)?;
        say::note(&format!("the store is {} now ({})", new.display(), file.display()));
    }
    if let Err(e) = moved.finish() {
        say::note(&format!("the old store is not needed any more, and stays: {}", say::chain(&e)));
    }
    table::print(&format!("{}\n", new.display()))
}
