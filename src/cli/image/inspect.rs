//! `inspect` of images: by docker's names where docker has one.

use super::Context;
use crate::{
    cli::table,
    spec::Reference,
    store::images::{self, Image},
};
use anyhow::Result;
use serde_json::{Map, Value, json};

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Names, or beginnings of ids
    #[arg(value_name = "IMAGE", required = true)]
    names: Vec<String>,
}

/// One JSON array of those that are there; what is not is said, and the exit status is 1.
pub fn images(flags: &Flags, context: &Context) -> Result<u8> {
    let (all, status) = crate::cli::inspect::gather(&flags.names, |name| one(name, context));
    table::json(&all)?;
    Ok(status)
}

/// What is known of one image.
pub fn one(name: &str, context: &Context) -> Result<Value> {
    let image = super::named(name, context)?;
    let names = images::with_id(context.store.root(), &image.id);
    Ok(json!({
        "Id": format!("sha256:{}", image.id),
        "RepoTags": names.iter().map(|i| familiar(&i.name)).collect::<Vec<_>>(),
        "RepoDigests": digests(&names),
        "Created": image.created,
        "Stored": image.stored(),
        "Source": image.source,
        "Architecture": image.architecture,
        "Os": image.os,
        "Variant": image.variant,
        "Size": image.size,
        "Owners": image.ids,
        "Descriptor": image.manifest,
        "Config": config(&image),
        "RootFS": { "Type": "layers", "Layers": image.layers },
    }))
}

/// The name as docker shows it, with its tag.
fn familiar(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.into(), |reference| reference.familiar())
}

/// `REPOSITORY@DIGEST` of those that came with a manifest.
fn digests(names: &[Image]) -> Vec<String> {
    let digest = |image: &Image| {
        let digest = image.origin.clone().or_else(|| image.manifest.as_ref().map(|m| m.digest.clone()))?;
        let reference = Reference { tag: None, digest: Some(digest), ..image.name.parse().ok()? };
        Some(reference.familiar())
    };
    let mut all: Vec<String> = names.iter().filter_map(digest).collect();
    all.dedup();
    all
}

fn config(image: &Image) -> Value {
    let config = &image.config;
    let set = |names: &[String]| names.iter().map(|n| (n.clone(), json!({}))).collect::<Map<_, _>>();
    json!({
        "User": config.user,
        "Env": config.env,
        "Entrypoint": config.entrypoint,
        "Cmd": config.cmd,
        "WorkingDir": config.working_dir,
        "Volumes": set(&config.volumes),
        "ExposedPorts": set(&config.exposed_ports),
        "Labels": config.labels,
        "StopSignal": config.stop_signal,
    })
}
