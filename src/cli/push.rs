//! `push`: an image goes to a registry.

use super::{Context, image, table};
use crate::{
    registry::{Client, Settings},
    say,
    spec::{Digest, Reference, reference::Fault},
    transfer::{Progress, Silent, push::Push},
};
use anyhow::{Result, anyhow, bail};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Trust the certificates in this file (PEM), too
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The image: a name, or the beginning of an id
    #[arg(value_name = "NAME")]
    name: String,
    /// What it is to be called in the registry; else its own name
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,
}

pub fn push(flags: &Flags, context: &Context) -> Result<u8> {
    let found = image::named(&flags.name, context)?;
    let destination = destination(flags.destination.as_deref().unwrap_or(&found.name))?;
    if let Some(digest) = &destination.digest {
        bail!(
            "push to {destination}: a digest is what comes of the image\n  \
             fix (you): leave out @{digest}, or give a tag as the destination"
        );
    }
    let full = destination.to_string();
    if !context.quiet && flags.destination.as_deref().unwrap_or(&flags.name) != full {
        say::note(&format!("pushing to {full}"));
    }
    let settings = Settings { ca: flags.ca.clone(), ..Settings::default() };
    let client = Client::new(&destination, &settings)?;
    let progress: &dyn Progress = if context.quiet { &Silent } else { &Lines };
    let tag = destination.tag.as_deref().unwrap_or("latest");
    let push = Push { store: &context.store, image: &found, client: &client, tag, progress };
    let digest = push.push()?;
    table::print(&if context.quiet { format!("{digest}\n") } else { format!("{full}  {digest}\n") })
}

fn destination(text: &str) -> Result<Reference> {
    text.parse().map_err(|fault: Fault| {
        let meant = fault
            .meant
            .map_or("give a name as in ghcr.io/owner/name:tag".into(), |meant| format!("did you mean {meant}?"));
        anyhow!("{text:?} is no name for an image in a registry\n  cause: {}\n  fix (you): {meant}", fault.wrong)
    })
}

/// A line where a layer begins, and one where it is there.
struct Lines;

impl Lines {
    fn line(layer: &Digest, text: &str) {
        say::note(&format!("{}: {text}", crate::plan::short_id(layer.hex())));
    }
}

impl Progress for Lines {
    fn begin(&self, layer: &Digest, size: u64, _: u64) {
        Lines::line(layer, &format!("uploading {}", table::size(size)));
    }

    fn more(&self, _: &Digest, _: u64) {}

    fn done(&self, layer: &Digest, new: bool) {
        Lines::line(layer, if new { "uploaded" } else { "is there already" });
    }

    fn tell(&self, layer: &Digest, text: &str) {
        Lines::line(layer, text);
    }
}
