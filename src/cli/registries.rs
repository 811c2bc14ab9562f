//! Which registries this machine uses, and how.

use super::Context;
use crate::registry::Settings;
use std::path::Path;

/// From the configuration and `--ca`.
pub fn settings(_context: &Context, ca: Option<&Path>) -> Settings {
    Settings { ca: ca.map(Path::to_owned), ..Settings::default() }
}
