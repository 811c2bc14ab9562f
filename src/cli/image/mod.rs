//! What is done with images by name, and `image …`: the same verbs as docker groups them.

pub mod history;
pub mod inspect;
pub mod prune;
pub mod remove;
pub mod tag;

use super::{Context, images};
use crate::{
    say,
    store::{
        images::{self as records, Image},
        unneeded::Reaped,
    },
};
use anyhow::{Result, bail};

/// `image …`
#[derive(Debug, clap::Args)]
pub struct Flags {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List images
    #[command(visible_alias = "list")]
    Ls(images::List),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(remove::Flags),
    /// Give an image more names
    Tag(tag::Flags),
    /// Tell how an image came about
    History(history::Flags),
    /// Tell all that is known of images, as JSON
    Inspect(inspect::Flags),
    /// Fetch images from a registry
    Pull(super::pull::Flags),
    /// Bring an image to a registry
    Push(super::push::Flags),
    /// Load images from an archive or an OCI layout
    Load(super::load::Flags),
    /// Save images as an archive or as an OCI layout
    Save(super::save::Flags),
    /// Make an image of a folder or an archive with a root file system
    Import(super::import::Flags),
    /// Remove what no image and no container needs
    Prune(prune::Flags),
}

pub fn image(flags: Flags, context: &Context) -> Result<u8> {
    match flags.verb {
        Verb::Ls(flags) => images::list(&flags, context),
        Verb::Rm(flags) => remove::remove(&flags, context),
        Verb::Tag(flags) => tag::tag(&flags, context),
        Verb::History(flags) => history::history(&flags, context),
        Verb::Inspect(flags) => inspect::images(&flags, context),
        Verb::Pull(flags) => super::pull::pull(&flags, context),
        Verb::Push(flags) => super::push::push(&flags, context),
        Verb::Load(flags) => super::load::load(&flags, context),
        Verb::Save(flags) => super::save::save(&flags, context),
        Verb::Import(flags) => super::import::import(&flags, context),
        Verb::Prune(flags) => prune::prune(&flags, context),
    }
}

/// The image that `word` names, by its name or its id.
pub fn named(word: &str, context: &Context) -> Result<Image> {
    match records::find(context.store.root(), word)? {
        Some(image) => Ok(image),
        None if word == super::words::HOST => bail!("the image host is this machine itself, and always there"),
        None => bail!("no image is called {word:?}\n  fix (you): `little-container images` lists them"),
    }
}

/// Why not everything went that nothing needs.
pub fn tell_left(reaped: &Reaped) {
    if reaped.unclear {
        say::note(
            "no layer was removed: the record of an image cannot be read, and could need any; see `system check`",
        );
    } else if reaped.busy > 0 {
        say::note(&format!(
            "{} layers or blobs stay, for another process is at them; `image prune` takes them later",
            reaped.busy
        ));
    }
}
