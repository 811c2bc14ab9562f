//! `rmi`: names go; with the last name of an image its layers go, as far as nothing else needs them.

use super::Context;
use crate::{
    cli::table,
    say,
    store::{
        containers,
        images::{self, Image},
        record::Record,
        unneeded,
    },
};
use anyhow::{Result, bail};
use std::collections::BTreeSet;

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Remove it even if containers were made from it, or the id has several names, or its record is broken
    #[arg(short, long)]
    force: bool,
    /// Names, or beginnings of ids (6 digits at least)
    #[arg(value_name = "IMAGE", required = true)]
    names: Vec<String>,
}

pub fn remove(flags: &Flags, context: &Context) -> Result<u8> {
    table::each(&flags.names, |word| remove_word(word, flags.force, context).map(|()| true))
}

fn remove_word(word: &str, force: bool, context: &Context) -> Result<()> {
    let root = context.store.root();
    let images = match images::named(root, word) {
        Ok(Some(image)) => vec![image],
        Ok(None) => of_id(word, force, context)?,
        Err(_) if force => {
            images::forget_unreadable(root, word)?;
            say::note("its record could not be read; `image prune` takes what only this image needed");
            return Ok(());
        }
        Err(e) => {
            let remedy = format!("remove {word}\n  fix (you): `little-container rmi -f {word}`, and get it again");
            return Err(e.context(remedy));
        }
    };
    remove_records(&images, force, context)
}

/// All names of the image whose id begins so.
fn of_id(word: &str, force: bool, context: &Context) -> Result<Vec<Image>> {
    // Tells of digits that fit several images, and of none.
    let image = super::named(word, context)?;
    let images = images::with_id(context.store.root(), &image.id);
    if images.len() > 1 && !force {
        let names: Vec<_> = images.iter().map(|i| i.name.as_str()).collect();
        bail!(
            "the image {} has several names: {}\n  fix (you): remove a name, or all of them with rmi -f",
            crate::plan::short_id(&image.id),
            names.join(", ")
        );
    }
    Ok(images)
}

/// Removes these names of one image, and what nothing needs then.
pub fn remove_records(images: &[Image], force: bool, context: &Context) -> Result<()> {
    let root = context.store.root();
    let Some(first) = images.first() else { return Ok(()) };
    let is_going = |other: &Image| images.iter().any(|image| image.name == other.name);
    let is_last = !images::with_id(root, &first.id).iter().any(|other| !is_going(other));
    let used = if is_last && !force { users(first, context)? } else { Vec::new() };
    if !used.is_empty() {
        bail!(
            "the image {} is used by {}\n  fix (you): `little-container rm` them first, or use rmi -f",
            first.name,
            used.join(", ")
        );
    }
    images.iter().try_for_each(|image| images::forget(root, &image.name))?;
    let things: BTreeSet<_> = images.iter().flat_map(unneeded::things_of).collect();
    let reaped = unneeded::reap(&context.store, things, false)?;
    super::tell_left(&reaped);
    Ok(())
}

/// The containers that were made from an image: those that have just its layers under them.
pub fn users(image: &Image, context: &Context) -> Result<Vec<String>> {
    let layers: BTreeSet<_> = image.layers.iter().map(|l| images::layer_dir(context.store.root(), l)).collect();
    let uses = |record: &Record| {
        let under: BTreeSet<_> = record.layers.iter().map(|l| l.path().to_path_buf()).collect();
        !under.is_empty() && under == layers
    };
    let name = |r: Record| r.name.unwrap_or_else(|| crate::plan::short_id(&r.id).into());
    Ok(containers::list(&context.store)?.into_iter().flatten().filter(uses).map(name).collect())
}
