//! `history`: how an image came about, the newest step first.

use super::Context;
use crate::{
    cli::table::{self, Format},
    oci,
    store::{
        images::Image,
        unneeded::{self, Thing},
    },
};
use anyhow::{Context as _, Result};
use serde::Serialize;

/// As many characters of a command are shown.
const SHOWN: usize = 45;

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Whole commands and ids
    #[arg(long)]
    no_trunc: bool,
    /// A name, or the beginning of an id
    #[arg(value_name = "IMAGE")]
    name: String,
}

/// One step, by the names of docker's API.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Step {
    /// Of the image, at the step that made it; the others have none of their own.
    id: String,
    created: String,
    created_by: String,
    /// Bytes of content in its layer; none where the layer is not there.
    size: Option<u64>,
    comment: String,
}

pub fn history(flags: &Flags, context: &Context) -> Result<u8> {
    let image = super::named(&flags.name, context)?;
    let steps = steps(&image, context)?;
    if flags.format == Format::Json {
        return table::json(&steps);
    }
    let row = |step: &Step| {
        let (id, by) = match flags.no_trunc {
            true => (step.id.clone(), step.created_by.clone()),
            false => (step.id.chars().skip("sha256:".len()).take(12).collect(), cut(&step.created_by)),
        };
        vec![
            if id.is_empty() { "<missing>".into() } else { id },
            if step.created.is_empty() { "?".into() } else { table::ago(&step.created) },
            by.split_whitespace().collect::<Vec<_>>().join(" "),
            step.size.map_or("missing".into(), table::size),
            step.comment.clone(),
        ]
    };
    table::rows(&["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], steps.iter().map(row).collect())
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN { text.into() } else { text.chars().take(SHOWN - 1).chain(['…']).collect() }
}

fn steps(image: &Image, context: &Context) -> Result<Vec<Step>> {
    let sizes = image.layers.iter().map(|layer| {
        let layer = layer.parse().ok().map(Thing::Layer)?;
        unneeded::size(&layer.path(&context.store).join("root")).ok()
    });
    let mut sizes = sizes.collect::<Vec<_>>().into_iter();
    let mut steps = Vec::new();
    for told in told(image, context)? {
        let size = if told.empty_layer { Some(0) } else { sizes.next().flatten() };
        let oci::History { created, created_by, comment, .. } = told;
        steps.push(Step { id: String::new(), created, created_by, size, comment });
    }
    // What nobody wrote down is shown all the same: no layer is hidden.
    steps.extend(sizes.map(|size| Step {
        id: String::new(),
        created: image.created.clone(),
        created_by: String::new(),
        size,
        comment: if image.manifest.is_none() { format!("imported from {}", image.source) } else { String::new() },
    }));
    steps.reverse();
    steps.iter_mut().take(1).for_each(|last| last.id = format!("sha256:{}", image.id));
    Ok(steps)
}

/// What the configuration says; what earlier versions imported has none.
fn told(image: &Image, context: &Context) -> Result<Vec<oci::History>> {
    let Some(digest) = image.config_digest() else { return Ok(Vec::new()) };
    let read = || -> Result<oci::Config> {
        let bytes = context.store.read_blob(&digest)?;
        oci::Config::parse(&bytes, image.layers.len()).map_err(anyhow::Error::msg)
    };
    let remedy = format!("read the configuration of {}\n  fix (you): pull or load it again", image.name);
    Ok(read().context(remedy)?.history)
}
