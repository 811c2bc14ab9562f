//! What the words of `run` mean: an image and a command, or a command alone.

use crate::{
    cli::{Context, flags, variable},
    image,
    spec::{Raw, Reference, Rootfs},
    store::images::{self, WELL_KNOWN, looks_like_reference},
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

/// Works it out.
///
/// # Errors
/// An image was named that is not there.
pub fn understand(flags: &flags::Run, context: &Context) -> Result<Meant> {
    let raw = |words: &[OsString]| words.iter().cloned().map(Raw::from).collect::<Vec<_>>();
    if let Some(dir) = &flags.rootfs {
        return Ok(Meant { rootfs: folder(dir)?, command: raw(&flags.words), guessed: None, note: None });
    }
    if let Some(name) = &flags.image {
        return Ok(Meant { rootfs: by_name(name, context)?, command: raw(&flags.words), guessed: None, note: None });
    }
    let Some(first) = flags.words.first() else {
        let (rootfs, note) = default_image(context)?;
        return Ok(Meant { rootfs, command: Vec::new(), guessed: None, note });
    };
    if let Some(rootfs) = as_image(first, context)? {
        return Ok(Meant { rootfs, command: raw(&flags.words[1..]), guessed: None, note: None });
    }
    let (rootfs, mut note) = default_image(context)?;
    if note.is_none() && std::io::stderr().is_terminal() {
        note = Some(format!("running {} in the default image, {rootfs}", Raw::from(first.clone())));
    }
    let guessed = first.to_str().map(String::from);
    Ok(Meant { rootfs, command: raw(&flags.words), guessed, note })
}

fn as_image(word: &OsStr, context: &Context) -> Result<Option<Rootfs>> {
    let path = Path::new(word);
    if let Some(text) = word.to_str() {
        if text == HOST {
            return Ok(Some(Rootfs::Host));
        }
        if let Some(image) = named(text, context)? {
            return Ok(Some(Rootfs::Image(image)));
        }
    }
    // A path of the machine before a reference: what is there is what was meant.
    let has_slash = word.as_encoded_bytes().contains(&b'/');
    if has_slash && path.is_dir() {
        return folder(path).map(Some);
    }
    if has_slash && is_archive(path) {
        return archive(path, context).map(Some);
    }
    match word.to_str() {
        Some(text) if looks_like_reference(word) || WELL_KNOWN.contains(&text) => by_name(text, context).map(Some),
        _ => Ok(None),
    }
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
fn named(text: &str, context: &Context) -> Result<Option<String>> {
    let found = images::named(context.store.root(), text)?;
    let exact = |image: &images::Image| images::canonical(text) == image.name;
    Ok(found.filter(|image| !text.contains('/') || exact(image)).map(|image| image.name))
}

fn by_name(name: &str, context: &Context) -> Result<Rootfs> {
    if name == HOST {
        return Ok(Rootfs::Host);
    }
    if let Some(image) = images::find(context.store.root(), name)? {
        return Ok(Rootfs::Image(image.name));
    }
    let path = Path::new(name);
    if path.is_dir() && name.contains('/') {
        return folder(path);
    }
    if is_archive(path) {
        return archive(path, context);
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
    let meant = if nearest.is_empty() { String::new() } else { format!("did you mean {}? ", nearest.join(", ")) };
    bail!(
        "no image is called {name:?}\n  cause: it was never imported, and this version does not pull from registries\n  \
         fix (you): {meant}`little-container images` lists what is there; `little-container import {} FILE-OR-FOLDER` adds one",
        if images::valid_name(name).is_ok() { name } else { "NAME" }
    )
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

/// Imported once, under a name that stands for the file as it is now.
fn archive(path: &Path, context: &Context) -> Result<Rootfs> {
    use std::os::unix::fs::MetadataExt;
    let real = fs::canonicalize(path)?;
    let metadata = fs::metadata(&real)?;
    let what = format!("{}:{}:{}.{}", real.display(), metadata.size(), metadata.mtime(), metadata.mtime_nsec());
    let mut hash = image::digest::Hashing::new(what.as_bytes());
    std::io::copy(&mut hash, &mut std::io::sink())?;
    let digest = hash.finish();
    let name = format!("archive/{}", digest.trim_start_matches("sha256:").get(..12).unwrap_or_default());
    if images::find(context.store.root(), &name)?.is_none() {
        super::import::from_source(&name, real.as_os_str(), context)?;
    }
    Ok(Rootfs::Image(name))
}
