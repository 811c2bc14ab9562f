//! `images`: what there is.

use super::{
    Context,
    table::{self, Format},
    words::HOST,
};
use crate::{
    image,
    store::images::{self, Image},
};
use anyhow::Result;

pub use crate::store::unneeded::remove_folder as remove_layer;

#[derive(Debug, clap::Args)]
pub struct List {
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
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
