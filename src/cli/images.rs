//! `images` and `rmi`.

use super::{
    Context,
    table::{self, Format},
    words::HOST,
};
use crate::{
    image,
    store::{
        containers,
        images::{self, Image},
    },
    sys::dir,
};
use anyhow::{Context as _, Result, bail};
use std::{fs, io, os::fd::AsFd, path::Path};

#[derive(Debug, clap::Args)]
pub struct List {
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub struct Remove {
    /// Remove it even if containers were made from it
    #[arg(short, long)]
    force: bool,
    /// Names, or beginnings of ids (6 digits at least)
    #[arg(value_name = "IMAGE", required = true)]
    names: Vec<String>,
}

pub fn list(flags: &List, context: &Context) -> Result<u8> {
    let mut all = Vec::new();
    for image in images::list(context.store.root()) {
        match image {
            Ok(image) => all.push(image),
            Err(e) => crate::say::note(&format!("an image's record cannot be read: {}", crate::say::chain(&e))),
        }
    }
    if flags.format == Format::Json {
        return table::json(&all);
    }
    if context.quiet {
        return table::print(&all.iter().map(|i| format!("{}\n", i.name)).collect::<String>());
    }
    let row = |image: &Image| {
        let default = context.config.default_image.as_ref().is_some_and(|name| images::same(name, &image.name));
        vec![
            image.name.clone(),
            image.id.get(..12).unwrap_or(&image.id).into(),
            image.architecture.clone(),
            table::size(image.size),
            table::ago(&image.created),
            if default { "default".into() } else { String::new() },
        ]
    };
    let mut rows: Vec<_> = all.iter().map(row).collect();
    let this = ["this machine", image::arch::own(), "0B", "", ""].map(String::from);
    rows.push(std::iter::once(HOST.to_owned()).chain(this).collect());
    table::rows(&["NAME", "IMAGE ID", "ARCH", "SIZE", "IMPORTED", ""], rows)
}

pub fn remove(flags: &Remove, context: &Context) -> Result<u8> {
    table::each(&flags.names, |name| match images::find(context.store.root(), name)? {
        Some(image) => remove_one(&image, flags.force, context).map(|()| true),
        None if name == HOST => bail!("the image host is this machine itself, and always there"),
        None => bail!("no image is called {name:?}\n  fix (you): `little-container images` lists them"),
    })
}

fn remove_one(image: &Image, force: bool, context: &Context) -> Result<()> {
    let root = context.store.root();
    let used: Vec<String> = users(image, context)?;
    if !used.is_empty() && !force {
        bail!(
            "the image {} is used by {}\n  fix (you): `little-container rm` them first, or use rmi -f",
            image.name,
            used.join(", ")
        );
    }
    for layer in images::remove(root, image)? {
        let folder = images::layer_dir(root, &layer);
        remove_layer(folder.parent().unwrap_or(&folder))?;
    }
    Ok(())
}

/// The containers that have a layer of the image under them.
fn users(image: &Image, context: &Context) -> Result<Vec<String>> {
    let layers: Vec<_> = image.layers.iter().map(|l| images::layer_dir(context.store.root(), l)).collect();
    let uses =
        |record: &crate::store::record::Record| record.layers.iter().any(|l| layers.iter().any(|m| l.path() == m));
    let all = containers::list(&context.store)?;
    Ok(all
        .into_iter()
        .flatten()
        .filter(uses)
        .map(|r| r.name.unwrap_or_else(|| crate::plan::short_id(&r.id).into()))
        .collect())
}

/// Takes a layer's folder away.
pub fn remove_layer(folder: &Path) -> Result<()> {
    let remove = || -> io::Result<()> {
        let parent = fs::File::open(folder.parent().unwrap_or(Path::new("/")))?;
        dir::remove_tree(parent.as_fd(), folder.file_name().unwrap_or_default())
    };
    containers::with_every_id(remove).with_context(|| format!("remove {}", folder.display()))
}
