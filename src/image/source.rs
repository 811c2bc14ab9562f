//! Opens what `import NAME SOURCE` was given: a folder, an archive, or standard input.
//!
//! What it is is read from its first bytes, never from its name. What cannot be an image, or not yet, is recognised and
//! refused by name.

mod ahead;
mod sniff;
mod stream;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::sys::dir::{self, Kind};
use sniff::Format;
pub use stream::Stream;
use stream::{HEAD, Whole};

/// What was given, ready to be read.
pub enum Source {
    /// A folder, opened for reading: for [`copy_tree`](super::copy_tree).
    Folder(OwnedFd),
    /// The plain tar stream, already decompressed: for [`unpack`](super::unpack).
    Archive(Box<dyn Read>),
    /// Cpio archives, plain and compressed ones after each other: for [`unpack_cpio`](super::unpack_cpio).
    Cpio(Box<Stream>),
}

/// Opens `source`: a path, or `-` for standard input. The error says what the thing is when it is no root file system.
pub fn open(source: &OsStr) -> Result<Source> {
    open_through(source, |input| input)
}

/// [`open`], with something between what was given and what reads it: it sees an archive as it came.
///
/// # Errors
/// As for [`open`].
pub fn open_through(source: &OsStr, between: impl FnOnce(Box<dyn Read>) -> Box<dyn Read>) -> Result<Source> {
    if source == "-" {
        return archive(between(Box::new(io::stdin()))).context("standard input");
    }
    let named = || format!("{}", Path::new(source).display());
    let file = File::open(source).with_context(named)?;
    let kind = dir::stat_fd(&file).with_context(named)?.kind;
    match kind {
        Kind::Directory => folder(OwnedFd::from(file)).with_context(named),
        // A FIFO too: `import x <(command)`.
        Kind::File | Kind::Fifo | Kind::Socket => archive(between(Box::new(file))).with_context(named),
        _ => Err(anyhow::anyhow!("a device is no image")).with_context(named),
    }
}

fn folder(fd: OwnedFd) -> Result<Source> {
    let has = |name: &str| dir::stat(fd.as_fd(), name.as_ref()).is_ok();
    if has("oci-layout") || (has("index.json") && has("blobs")) {
        bail!("an image in OCI layout: `import` takes root file systems; `load -i` takes this folder");
    }
    if has("manifest.json") && !has("bin") && !has("usr") {
        bail!("an unpacked image of `docker save`: `import` takes root file systems; `load -i` takes this folder");
    }
    Ok(Source::Folder(fd))
}

/// An archive that may be compressed with gzip (RFC 1952), zstd (RFC 8878), xz or LZMA (the `.lzma` format of LZMA Utils).
pub fn archive(input: impl Read + 'static) -> Result<Source> {
    let mut stream = Stream::new(Box::new(input))?;
    let packed = stream.is_packed();
    let head = if packed { stream.peek(HEAD).context("decompressing") } else { Ok(stream.peek(HEAD)?) };
    match sniff::format(head?) {
        Format::Tar => Ok(Source::Archive(Box::new(Whole(stream)))),
        Format::Cpio => Ok(Source::Cpio(Box::new(stream))),
        Format::Packed(_) => bail!("compressed twice: decompress it once first"),
        Format::Image => {
            bail!("an archive of an image (docker save, OCI): `import` takes root file systems; `load` takes this one")
        }
        Format::Refused(what) if packed => bail!("compressed, and inside: {what}"),
        Format::Refused(what) => bail!("{what}"),
    }
}

/// Whether a file begins as an archive of an image does, not as one of a root file system.
pub fn is_image(path: &Path) -> bool {
    let look = || -> Result<bool> {
        let mut stream = Stream::new(Box::new(File::open(path)?))?;
        Ok(sniff::format(stream.peek(HEAD)?) == Format::Image)
    };
    look().unwrap_or(false)
}

/// The plain tar stream of an archive with an image in it, which may be compressed as for [`archive`].
///
/// # Errors
/// It is something else; the error says what.
pub fn image_archive(input: impl Read + 'static) -> Result<Box<dyn Read>> {
    let mut stream = Stream::new(Box::new(input))?;
    let packed = stream.is_packed();
    let head = if packed { stream.peek(HEAD).context("decompressing") } else { Ok(stream.peek(HEAD)?) };
    match sniff::format(head?) {
        Format::Tar | Format::Image => Ok(Box::new(Whole(stream))),
        Format::Cpio => bail!("a cpio archive, not one of an image: `import` takes it"),
        Format::Packed(_) => bail!("compressed twice: decompress it once first"),
        Format::Refused(what) => bail!("{what}"),
    }
}

#[cfg(test)]
mod tests;
