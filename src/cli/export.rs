//! `export`: the root file system of an image or a container as one archive.

use super::{Context, facts, words};
use crate::{
    say,
    store::{containers, images, record::Record},
    transfer::{
        export::{self, What},
        save::Output,
    },
};
use anyhow::{Context as _, Result, bail};
use std::{io::IsTerminal, path::PathBuf};

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// The file to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A container or an image: its name, its id, or the beginning of its id
    #[arg(value_name = "NAME")]
    name: String,
}

pub fn export(flags: &Flags, context: &Context) -> Result<u8> {
    let name = &flags.name;
    let output = match &flags.output {
        Some(path) if path.as_os_str() != "-" => Output::Path(path.clone()),
        _ if std::io::stdout().is_terminal() => bail!(
            "export: standard output is a terminal\n  \
             fix (you): name a file (`little-container export -o FILE {name}`), or use a pipe"
        ),
        _ => Output::Stdout,
    };
    let what = find(name, context)?;
    let ids = facts::usable_ids()?;
    ids.note.iter().for_each(|note| say::note(note));
    let notes = export::export(&what, &context.store, &ids, output).with_context(|| format!("export {name}"))?;
    notes.iter().for_each(|note| say::note(note));
    Ok(0)
}

/// A container by its name, an image by its name, then either by the beginning of its id.
fn find(name: &str, context: &Context) -> Result<What> {
    if name == words::HOST {
        bail!(
            "export host: it is this whole machine, not an image of the store\n  fix (you): name an image or a container"
        );
    }
    let store = &context.store;
    let image = images::find(store.root(), name);
    match (containers::find(store, name), image) {
        (Ok(id), _) => {
            let record = Record::read(&store.container(&id)).with_context(|| format!("read the record of {name}"))?;
            // Most short names of hexadecimal digits begin some id.
            if record.name.as_deref() != Some(name)
                && let Some(image) = images::named(store.root(), name)?
            {
                return Ok(What::Image(Box::new(image)));
            }
            if record.image == words::HOST {
                bail!(
                    "export {name}: its root is this whole machine\n  fix (you): only containers of images and folders can \
                     be exported"
                );
            }
            Ok(What::Container(Box::new(record)))
        }
        (Err(_), Ok(Some(image))) => Ok(What::Image(Box::new(image))),
        (Err(e), Ok(None)) if !e.to_string().starts_with("no container is called") => Err(e),
        (Err(_), Err(e)) => Err(e),
        (Err(_), Ok(None)) => bail!(
            "no container and no image is called {name:?}\n  \
             fix (you): `little-container ps -a` and `little-container images` list them"
        ),
    }
}
