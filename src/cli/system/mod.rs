//! `system …`: the store as a whole.

mod check;
mod df;

use super::Context;
use anyhow::Result;

#[derive(Debug, clap::Args)]
pub struct Flags {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Tell what takes how much space, and what could go
    Df(df::Flags),
    /// Verify every digest and every layer, and repair what can be repaired
    Check(check::Flags),
}

pub fn system(flags: &Flags, context: &Context) -> Result<u8> {
    match &flags.verb {
        Verb::Df(flags) => df::df(flags, context),
        Verb::Check(flags) => check::check(flags, context),
    }
}
