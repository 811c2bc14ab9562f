//! `images`: what there is.

use super::{
    Context,
    table::{self, Format},
    words::HOST,
};
use crate::{
    image,
    spec::Reference,
    store::images::{self, Image},
};
use anyhow::Result;

pub use crate::store::unneeded::remove_folder as remove_layer;

#[derive(Debug, clap::Args)]
pub struct List {
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// The digest of each manifest, too: the one that the name led to in its registry
    #[arg(long)]
    digests: bool,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Only `reference=PATTERN` (`*` stands for anything), or `dangling=false`
    #[arg(long, value_name = "KEY=VALUE", value_parser = filter)]
    filter: Vec<Filter>,
}

/// `--filter`
#[derive(Clone, Debug)]
enum Filter {
    /// Its name fits.
    Reference(String),
    /// No image is without a name here: true fits none.
    Dangling(bool),
}

fn filter(text: &str) -> Result<Filter, String> {
    match text.split_once('=') {
        Some(("reference", pattern)) => Ok(Filter::Reference(pattern.into())),
        Some(("dangling", value)) => {
            value.parse().map(Filter::Dangling).map_err(|_| format!("dangling is true or false, not {value:?}"))
        }
        _ => Err("reference=PATTERN and dangling=true|false are known".into()),
    }
}

impl Filter {
    fn fits(&self, image: &Image) -> bool {
        match self {
            Filter::Dangling(wanted) => !wanted,
            Filter::Reference(pattern) => {
                let familiar = image.name.parse::<Reference>().map(|r| r.familiar()).unwrap_or_default();
                let repository = familiar.rsplit_once(':').map_or("", |(repository, _)| repository);
                [image.name.as_str(), &familiar, repository].iter().any(|name| fits(pattern, name))
            }
        }
    }
}

/// Whether a name fits a pattern, in which `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|after| {
            let mut cuts = after.char_indices().map(|(at, _)| at).chain([after.len()]);
            cuts.any(|at| fits(rest, &after[at..]))
        }),
    }
}

pub fn list(flags: &List, context: &Context) -> Result<u8> {
    let mut all = Vec::new();
    for image in images::list(context.store.root()) {
        match image {
            Ok(image) => all.push(image),
            Err(e) => crate::say::note(&format!("an image's record cannot be read: {}", crate::say::chain(&e))),
        }
    }
    all.retain(|image| flags.filter.iter().all(|filter| filter.fits(image)));
    if flags.format == Format::Json {
        return table::json(&all);
    }
    if context.quiet {
        return table::print(&all.iter().map(|i| format!("{}\n", i.name)).collect::<String>());
    }
    let row = |image: &Image| {
        let default = context.config.default_image.as_ref().is_some_and(|name| images::same(name, &image.name));
        let id = if flags.no_trunc { &image.id } else { image.id.get(..12).unwrap_or(&image.id) };
        let digest = image.origin.as_ref().or(image.manifest.as_ref().map(|m| &m.digest));
        let digest = flags.digests.then(|| digest.map_or("<none>".into(), ToString::to_string));
        let before = [Some(image.name.clone()), digest, Some(id.into()), Some(image.architecture.clone())];
        let after = [table::size(image.size), table::ago(image.stored()), if default { "default" } else { "" }.into()];
        before.into_iter().flatten().chain(after).collect()
    };
    let mut rows: Vec<Vec<String>> = all.iter().map(row).collect();
    if flags.filter.is_empty() {
        let digest = flags.digests.then_some("");
        let this = [Some(HOST), digest, Some("this machine"), Some(image::arch::own()), Some("0B"), Some(""), Some("")];
        rows.push(this.into_iter().flatten().map(String::from).collect());
    }
    let heads = [Some("NAME"), flags.digests.then_some("DIGEST"), Some("IMAGE ID"), Some("ARCH")];
    let heads: Vec<&str> = heads.into_iter().flatten().chain(["SIZE", "IMPORTED", ""]).collect();
    table::rows(&heads, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, is) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b*", "abc", true),
            ("*:2*", "x/a:22", true),
            ("*c", "abcd", false),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
        let image = Image { name: "library/ubuntu".into(), ..Image::default() };
        assert!(Filter::Reference("ubuntu".into()).fits(&image) && Filter::Reference("ubuntu:*".into()).fits(&image));
        assert!(filter("size=1").is_err() && !filter("dangling=true").unwrap().fits(&image));
    }
}
