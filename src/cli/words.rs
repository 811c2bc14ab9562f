//! What the words of `run` mean: an image and a command, or a command alone.

use crate::{
    cli::{Context, flags, variable},
    image,
    oci::Platform,
    spec::{Pull, Raw, Reference, Rootfs},
    store::images::{self, WELL_KNOWN, looks_like_reference},
    transfer::import::About,
};
use anyhow::{Context as _, Result, bail};
use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{IsTerminal, Read},
    path::Path,
};

/// The image `host` by name.
pub const HOST: &str = "host";

/// What was meant.
#[derive(Debug, PartialEq, Eq)]
pub struct Meant {
    pub rootfs: Rootfs,
    pub command: Vec<Raw>,
    /// The first word, where it was taken for a command in the default image.
    pub guessed: Option<String>,
    /// What the user should know about how it was understood.
    pub note: Option<String>,
}

/// Where an image may come from.
struct Sources<'a> {
    context: &'a Context,
    pull: Pull,
    platform: Option<Platform>,
}

/// Works it out; fetches the image where it is not here.
///
/// # Errors
/// An image was named that is not there and cannot be had.
pub fn understand(flags: &flags::Run, context: &Context) -> Result<Meant> {
    let sources = &Sources {
        context,
        pull: super::run::choose(flags.pull, "PULL", context.config.pull)?,
        platform: flags.platform.as_deref().map(super::pull::parse_platform).transpose()?,
    };
    if let Some(platform) = &sources.platform {
        super::facts::check_platform("the image", platform)?;
    }
    let raw = |words: &[OsString]| words.iter().cloned().map(Raw::from).collect::<Vec<_>>();
    if let Some(dir) = &flags.rootfs {
        return Ok(Meant { rootfs: folder(dir)?, command: raw(&flags.words), guessed: None, note: None });
    }
    if let Some(name) = &flags.image {
        return Ok(Meant { rootfs: by_name(name, sources)?, command: raw(&flags.words), guessed: None, note: None });
    }
    let Some(first) = flags.words.first() else {
        let (rootfs, note) = default_image(context)?;
        return Ok(Meant { rootfs, command: Vec::new(), guessed: None, note });
    };
    if let Some(rootfs) = as_image(first, sources)? {
        return Ok(Meant { rootfs, command: raw(&flags.words[1..]), guessed: None, note: None });
    }
    let (rootfs, mut note) = default_image(context)?;
    if note.is_none() && std::io::stderr().is_terminal() {
        note = Some(format!("running {} in the default image, {rootfs}", Raw::from(first.clone())));
    }
    let guessed = first.to_str().map(String::from);
    Ok(Meant { rootfs, command: raw(&flags.words), guessed, note })
}

fn as_image(word: &OsStr, sources: &Sources<'_>) -> Result<Option<Rootfs>> {
    let path = Path::new(word);
    if let Some(text) = word.to_str() {
        if text == HOST {
            return Ok(Some(Rootfs::Host));
        }
        if let Some(image) = named(text, sources.context)? {
            let enough = sources.is_enough(&image, &image.name);
            return if enough { Ok(Some(Rootfs::Image(image.name))) } else { by_name(&image.name, sources).map(Some) };
        }
    }
    // A path of the machine before a reference: what is there is what was meant.
    if let Some(rootfs) = transport(word, sources.context)? {
        return Ok(Some(rootfs));
    }
    let has_slash = word.as_encoded_bytes().contains(&b'/');
    if has_slash && path.join("oci-layout").is_file() && path.join("index.json").is_file() {
        return archive(path, None, sources.context).map(Some);
    }
    if has_slash && path.is_dir() {
        return folder(path).map(Some);
    }
    if has_slash && is_archive(path) {
        return archive(path, None, sources.context).map(Some);
    }
    match word.to_str() {
        Some(text) if looks_like_reference(word) || WELL_KNOWN.contains(&text) => by_name(text, sources).map(Some),
        _ => Ok(None),
    }
}

/// `docker-archive:FILE`, `oci-archive:FILE`, `oci:FOLDER`, each with `:TAG` if wanted: as skopeo and podman name them.
fn transport(word: &OsStr, context: &Context) -> Result<Option<Rootfs>> {
    let Some(text) = word.to_str() else { return Ok(None) };
    let Some((kind, rest)) = text.split_once(':') else { return Ok(None) };
    if !matches!(kind, "docker-archive" | "oci-archive" | "oci") {
        return Ok(None);
    }
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) if !Path::new(rest).exists() => (path, Some(tag)),
        _ => (rest, None),
    };
    // A registry may have an image called `oci`; a tag has no `/`.
    if kind == "oci" && !path.contains('/') && !Path::new(path).exists() {
        return Ok(None);
    }
    archive(Path::new(path), Some(tag), context).map(Some)
}

fn folder(dir: &Path) -> Result<Rootfs> {
    let real = fs::canonicalize(dir).with_context(|| {
        format!("open the root file system {}\n  fix (you): give the path of a folder that holds one", dir.display())
    })?;
    if !real.is_dir() {
        bail!(
            "the root file system {} is not a folder\n  fix (you): for an archive, `little-container import NAME {}` first",
            dir.display(),
            dir.display()
        );
    }
    if real == Path::new("/") {
        bail!(
            "the root file system must not be the machine's own /\n  fix (you): `--image host` shows the machine's programs"
        );
    }
    Ok(Rootfs::Dir(real.into()))
}

/// The name of an image of the store. An id is no word: too many commands are hexadecimal. What could be a path has to be
/// the very name that is recorded; another for the same image comes after the paths.
fn named(text: &str, context: &Context) -> Result<Option<images::Image>> {
    let found = images::named(context.store.root(), text)?;
    let exact = |image: &images::Image| images::canonical(text) == image.name;
    Ok(found.filter(|image| !text.contains('/') || exact(image)))
}

fn by_name(name: &str, sources: &Sources<'_>) -> Result<Rootfs> {
    let context = sources.context;
    if name == HOST {
        return Ok(Rootfs::Host);
    }
    let image = images::find(context.store.root(), name)?;
    if let Some(image) = image {
        if sources.is_enough(&image, name) {
            return Ok(Rootfs::Image(image.name));
        }
        if sources.pull == Pull::Never {
            bail!(
                "the image {name:?} that is here is for {}\n  cause: --pull never forbids to fetch the one for --platform\n  \
                 fix (you): leave --pull never away",
                image.platform()
            );
        }
        return pulled(name, sources);
    }
    if let Some(rootfs) = transport(OsStr::new(name), sources.context)? {
        return Ok(rootfs);
    }
    let path = Path::new(name);
    if path.is_dir() && name.contains('/') {
        return folder(path);
    }
    if is_archive(path) {
        return archive(path, None, context);
    }
    if images::valid_name(name).is_err()
        && let Err(fault) = name.parse::<Reference>()
    {
        let path = if name.contains('/') { "; and no file or folder is there" } else { "" };
        let meant = fault.meant.map_or(String::new(), |meant| format!("did you mean {meant}? "));
        bail!(
            "no image is called {name:?}\n  cause: {}{path}\n  \
             fix (you): {meant}`little-container images` lists what is there",
            fault.wrong
        );
    }
    let nearest = images::nearest(context.store.root(), name);
    // A word that stands for nothing but is nearly the name of an image that is here was mistyped.
    let is_telling = WELL_KNOWN.contains(&name) || looks_like_reference(name.as_ref());
    if sources.pull != Pull::Never && (is_telling || nearest.is_empty()) {
        return pulled(name, sources);
    }
    let meant = if nearest.is_empty() { String::new() } else { format!("did you mean {}? ", nearest.join(", ")) };
    bail!(
        "no image is called {name:?}\n  cause: it was never imported or pulled{}\n  \
         fix (you): {meant}`little-container images` lists what is there; `little-container pull {name}` fetches it; \
         `little-container import {} FILE-OR-FOLDER` makes one",
        if sources.pull == Pull::Never { ", and --pull never forbids to fetch it now" } else { "" },
        if images::valid_name(name).is_ok() { name } else { "NAME" }
    )
}

fn pulled(name: &str, sources: &Sources<'_>) -> Result<Rootfs> {
    let image = super::pull::one(name, sources.platform.as_ref(), None, sources.context)
        .with_context(|| format!("no image is called {name:?} here"))?;
    super::pull::settle()?;
    Ok(Rootfs::Image(image.name))
}

impl Sources<'_> {
    /// Whether an image of the store is what is wanted, as it is.
    fn is_enough(&self, image: &images::Image, name: &str) -> bool {
        let is_id = image.id.starts_with(name);
        let fits = self.platform.as_ref().is_none_or(|platform| platform.fit(&image.platform()) > 0);
        // An id is no name that a registry knows.
        fits && (self.pull != Pull::Always || is_id)
    }
}

/// A default image that was chosen and is not there is no error: the machine's own programs do until it is.
fn default_image(context: &Context) -> Result<(Rootfs, Option<String>)> {
    let chosen =
        variable("IMAGE").map(|v| v.to_string_lossy().into_owned()).or_else(|| context.config.default_image.clone());
    let why = match chosen {
        Some(name) if name == HOST => return Ok((Rootfs::Host, None)),
        Some(name) => match images::find(context.store.root(), &name)? {
            Some(image) => return Ok((Rootfs::Image(image.name), None)),
            None => format!("the default image {name:?} is not in the store"),
        },
        None => "no default image is set".into(),
    };
    let note = format!(
        "{why}, so this machine's own programs are used (image host); `little-container import --default NAME FILE` sets one"
    );
    Ok((Rootfs::Host, Some(note)))
}

/// A file that begins as an archive does: a program or a script is a command.
fn is_archive(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    let mut head = [0; 512];
    if !metadata.is_file() {
        return false;
    }
    let Ok(length) = fs::File::open(path).and_then(|mut file| file.read(&mut head)) else { return false };
    let head = &head[..length];
    let magic: [&[u8]; 3] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0"];
    magic.iter().any(|m| head.starts_with(m)) || head.get(257..262) == Some(b"ustar")
}

/// Imported or loaded once, under a name that stands for the file as it is now. `asked`: it was said that it is an archive of
/// images, and perhaps which of them is meant.
fn archive(path: &Path, asked: Option<Option<&str>>, context: &Context) -> Result<Rootfs> {
    use std::os::unix::fs::MetadataExt;
    let real = fs::canonicalize(path).with_context(|| format!("open the archive {}", path.display()))?;
    let metadata = fs::metadata(&real)?;
    // A folder changes with its index.
    let metadata = if metadata.is_dir() { fs::metadata(real.join("index.json"))? } else { metadata };
    let (path, inode, size) = (real.display(), metadata.ino(), metadata.size());
    let what = format!("{path}:{inode}:{size}:{}.{}:{asked:?}", metadata.mtime(), metadata.mtime_nsec());
    let mut hash = image::digest::Hashing::new(what.as_bytes());
    std::io::copy(&mut hash, &mut std::io::sink())?;
    let digest = hash.finish();
    let name = format!("archive/{}", digest.trim_start_matches("sha256:").get(..12).unwrap_or_default());
    if images::find(context.store.root(), &name)?.is_none() {
        if asked.is_some() || real.is_dir() || image::source::is_image(&real) {
            super::load::for_run(&real, &name, asked.flatten(), context)?;
        } else {
            super::import::from_source(&name, real.as_os_str(), &About::default(), context)?;
        }
    }
    Ok(Rootfs::Image(name))
}
