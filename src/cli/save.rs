//! `save`: images as an archive for docker, podman and skopeo.

use super::Context;
use crate::{
    spec::Reference,
    store::images,
    transfer::save::{self, Format, Item, Output},
};
use anyhow::{Result, bail};
use std::{io::IsTerminal, path::PathBuf};

/// `--format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// What docker, podman and skopeo load
    DockerArchive,
    /// An OCI image layout in a tar archive: digests survive
    OciArchive,
    /// An OCI image layout as a folder
    OciDir,
}

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// The file to write, or the folder for oci-dir [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The form of the archive
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive")]
    format: Form,
    /// Names, or beginnings of ids (6 digits at least); several share their layers in one archive
    #[arg(value_name = "IMAGE", required = true)]
    names: Vec<String>,
}

pub fn save(flags: &Flags, context: &Context) -> Result<u8> {
    let output = match &flags.output {
        Some(path) if path.as_os_str() != "-" => Output::Path(path.clone()),
        _ if flags.format == Form::OciDir => bail!("save: oci-dir needs a folder\n  fix (you): name it with -o"),
        _ if std::io::stdout().is_terminal() => bail!(
            "save: standard output is a terminal\n  \
             fix (you): name a file (`little-container save -o FILE {}`), or use a pipe",
            flags.names.join(" ")
        ),
        _ => Output::Stdout,
    };
    let items = flags.names.iter().map(|name| item(name, context)).collect::<Result<Vec<_>>>()?;
    let format = match flags.format {
        Form::DockerArchive => Format::Docker,
        Form::OciArchive => Format::Oci,
        Form::OciDir => Format::Folder,
    };
    save::save(&items, format, &context.store, output)?;
    Ok(0)
}

/// What was asked for by its id goes without a name, as docker has it.
fn item(name: &str, context: &Context) -> Result<Item> {
    let Some(image) = images::find(context.store.root(), name)? else {
        bail!("no image is called {name:?}\n  fix (you): `little-container images` lists them")
    };
    let by_name = images::named(context.store.root(), name)?.is_some() && !image.name.starts_with("none/");
    let name = by_name.then(|| image.name.parse::<Reference>().ok()).flatten();
    Ok(Item { image, name })
}
