//! `tag`: another name for an image.

use super::Context;
use crate::{
    cli::words::HOST,
    say,
    store::{
        images::{self, Image},
        unneeded,
    },
};
use anyhow::{Context as _, Result, anyhow, bail, ensure};

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// The image: a name, or the beginning of an id
    #[arg(value_name = "SOURCE")]
    source: String,
    /// What it is to be called as well
    #[arg(value_name = "TARGET", required = true)]
    targets: Vec<String>,
}

pub fn tag(flags: &Flags, context: &Context) -> Result<u8> {
    flags.targets.iter().try_for_each(|target| check(target))?;
    let root = context.store.root();
    let found = super::named(&flags.source, context)?;
    // Held until the new names are written: with the old one, nobody takes away what they need.
    let held = unneeded::things_of(&found).iter().map(|thing| thing.hold(&context.store)).collect::<Result<Vec<_>>>();
    let held = held.context("hold the layers")?;
    let image = super::named(&flags.source, context)?;
    ensure!(image.id == found.id, "{} has just become another image\n  fix (you): try again", flags.source);
    for target in &flags.targets {
        let name = images::canonical(target).to_owned();
        let before = images::named(root, &name).ok().flatten();
        images::record(root, &Image { name, stored: images::now(), ..image.clone() })?;
        if let Some(before) = before.filter(|before| before.id != image.id) {
            say::note(&format!("{target} was {} before", crate::plan::short_id(&before.id)));
        }
    }
    drop(held);
    Ok(0)
}

fn check(name: &str) -> Result<()> {
    images::valid_name(name).map_err(|e| {
        anyhow!(
            "{e}\n  fix (you): lower-case letters, digits, '.', '_', '-' and '/' make a name, and a tag may follow ':'"
        )
    })?;
    if name.contains('@') {
        bail!("{name}: a digest cannot be given to an image\n  fix (you): leave out what follows the '@'");
    }
    if images::canonical(name) == HOST {
        bail!("the name host stands for this machine's own programs\n  fix (you): choose another name");
    }
    Ok(())
}
