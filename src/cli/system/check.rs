//! `system check`.

use super::Context;
use crate::{
    cli::{facts, table},
    plan::{
        facts::SubIds,
        ids::{self, Caller},
    },
    say,
    spec::Userns,
    sys::cred,
    transfer::check::{Check, State},
};
use anyhow::Result;

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Only look
    #[arg(long)]
    dry_run: bool,
    /// Repair what can be repaired, which is done unless --dry-run is given
    #[arg(long, conflicts_with = "dry_run")]
    repair: bool,
}

/// Exit status 1: something is still wrong.
pub fn check(flags: &Flags, context: &Context) -> Result<u8> {
    let usable = facts::usable_ids()?;
    let (uid, gid) = cred::own_ids();
    let none = SubIds::None("not wanted".into());
    let single = ids::choose(Userns::Single, &Caller { uid, gid, ids: &none })?;
    let ids = |range: bool| if range { Some(&usable).filter(|ids| ids.map.is_range()) } else { Some(&single) };
    // What unpacking has to tell was told when the image came.
    say::set_level(say::Level::Error);
    let mut check =
        Check { store: &context.store, ids: &ids, dry: flags.dry_run, findings: Vec::new(), unknown: Vec::new() };
    let counts = check.all()?;
    let mut text = String::new();
    let mut wrong = 0;
    for finding in &check.findings {
        let told = match &finding.state {
            State::Repaired(how) => format!("repaired: {}: {how}\n", finding.what),
            State::Repairable => {
                format!("broken: {}\n  fix (you): `little-container system check` repairs it\n", finding.what)
            }
            State::Broken(how) => format!("broken: {}\n  fix (you): {how}\n", finding.what),
        };
        wrong += usize::from(!matches!(finding.state, State::Repaired(_)));
        text.push_str(&told);
    }
    for unknown in &check.unknown {
        text.push_str(&format!("not verified: {unknown}\n"));
    }
    if !context.quiet {
        let end = match (wrong, check.findings.len()) {
            (0, 0) => "all is well".to_owned(),
            (0, n) => format!("{n} repaired; all is well now"),
            (n, _) => format!("{n} broken"),
        };
        let (images, blobs, layers) = (counts.images, counts.blobs, counts.layers);
        text.push_str(&format!("{images} images, {blobs} blobs, {layers} layers: {end}\n"));
    }
    table::print(&text)?;
    Ok(u8::from(wrong > 0))
}
