//! `push`: an image goes to a registry.

use super::{Context, image, registries, table};
use crate::{
    registry::Client,
    say,
    spec::{Reference, reference::Fault},
    transfer::{progress, push::Push},
};
use anyhow::{Result, anyhow, bail};
use std::{path::PathBuf, time::Instant};

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
    let client = Client::new(&destination, &registries::settings(context, flags.ca.as_deref()))?;
    let (layers, bytes) = (found.blobs.len(), found.blobs.iter().map(|blob| blob.size).sum());
    say::tell(&format!(
        "pushing to {full}: {layers} layer{}, {}",
        if layers == 1 { "" } else { "s" },
        table::size(bytes)
    ));
    let begun = Instant::now();
    let progress = progress::fitting(&full, bytes, progress::PUSHED);
    let tag = destination.tag.as_deref().unwrap_or("latest");
    let push = Push { store: &context.store, image: &found, client: &client, tag, progress: progress.as_ref() };
    let digest = push.push()?;
    drop(progress);
    say::tell(&format!("pushed {full} in {:.1} s", begun.elapsed().as_secs_f32()));
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
