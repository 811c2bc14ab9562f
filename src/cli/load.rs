//! `load`: images from archives of docker, podman and skopeo.

use super::{Context, facts, table};
use crate::{
    oci::Platform,
    say,
    transfer::{load, progress::Silent},
};
use anyhow::{Result, bail};
use std::{ffi::OsString, io::IsTerminal, path::Path};

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// An archive (plain, gzip, zstd, xz), or a folder with an OCI layout or an unpacked archive; - or none: standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<OsString>,
    /// For which machine, where the archive has a choice, as linux/arm64 [default: this one]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

pub fn load(flags: &Flags, context: &Context) -> Result<u8> {
    let source = flags.input.clone().unwrap_or_else(|| "-".into());
    if source == "-" && std::io::stdin().is_terminal() {
        bail!(
            "load: standard input is a terminal\n  \
             fix (you): name the archive (`little-container load -i FILE`), or give it by a pipe"
        );
    }
    let ids = facts::usable_ids()?;
    ids.note.iter().for_each(|note| say::note(note));
    let wanted = load::Load {
        store: &context.store,
        ids: &ids,
        platform: flags.platform.as_ref(),
        tag: None,
        name: None,
        progress: &Silent,
    };
    for image in load::load(&source, &wanted)? {
        let text = if context.quiet { format!("{}\n", image.name) } else { format!("Loaded image: {}\n", image.name) };
        table::print(&text)?;
    }
    Ok(0)
}

/// Loads one image of an archive or a folder under a name that stands for it as it is now.
pub fn for_run(path: &Path, name: &str, tag: Option<&str>, context: &Context) -> Result<()> {
    let ids = facts::usable_ids()?;
    let wanted =
        load::Load { store: &context.store, ids: &ids, platform: None, tag, name: Some(name), progress: &Silent };
    load::load(path.as_os_str(), &wanted).map(drop)
}
