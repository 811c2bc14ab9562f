//! What the configuration, the environment and the flags say about registries.

use super::{Context, variable};
use crate::{
    registry::{Mirror, Settings},
    say,
};
use std::path::Path;

/// The settings, for the client of registries. `LITTLE_CONTAINER_MIRROR` has mirrors as `HOST=URL`, with commas between
/// them, which come before those of the configuration.
pub fn settings(context: &Context, ca: Option<&Path>) -> Settings {
    let named = variable("MIRROR").map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
    let mut mirrors: Vec<Mirror> = named.split(',').filter(|one| !one.trim().is_empty()).filter_map(mirror).collect();
    for (host, urls) in context.config.mirrors.iter().flatten() {
        mirrors.extend(urls.iter().map(|url| Mirror { host: host.clone(), url: url.clone() }));
    }
    Settings {
        mirrors,
        insecure: context.config.insecure_registries.clone().unwrap_or_default(),
        ca: ca.map(Path::to_owned).or_else(|| context.config.ca.clone()),
        offline: false,
    }
}

fn mirror(text: &str) -> Option<Mirror> {
    match text.trim().split_once('=') {
        Some((host, url)) if !host.is_empty() && !url.is_empty() => Some(Mirror { host: host.into(), url: url.into() }),
        _ => {
            say::note(&format!("LITTLE_CONTAINER_MIRROR: {text:?} is not HOST=URL and is passed over"));
            None
        }
    }
}
