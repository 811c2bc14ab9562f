//! Opens what `import NAME SOURCE` was given: a folder, an archive, or standard input.
//!
//! What it is is read from its first bytes, never from its name. What cannot be an image, or not yet, is recognised and
//! refused by name.

mod sniff;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::sys::dir::{self, Kind};
use sniff::Format;

/// Bytes that are looked at: enough for the first header of an archive.
const HEAD: usize = 512;

/// What an xz stream may take of memory: 16 times what `xz -9` needs.
const XZ_MEMORY: u64 = 1 << 30;

/// What was given, ready to be read.
pub enum Source {
    /// A folder, opened for reading: for [`copy_tree`](super::copy_tree).
    Folder(OwnedFd),
    /// The plain tar stream, already decompressed: for [`unpack`](super::unpack).
    Archive(Box<dyn Read>),
}

/// Opens `source`: a path, or `-` for standard input. The error says what the thing is when it is no root file system.
pub fn open(source: &OsStr) -> Result<Source> {
    if source == "-" {
        return archive(io::stdin()).context("standard input").map(Source::Archive);
    }
    let named = || format!("{}", Path::new(source).display());
    let file = File::open(source).with_context(named)?;
    let kind = dir::stat_fd(&file).with_context(named)?.kind;
    match kind {
        Kind::Directory => folder(OwnedFd::from(file)).with_context(named),
        // A FIFO too: `import x <(command)`.
        Kind::File | Kind::Fifo | Kind::Socket => archive(file).with_context(named).map(Source::Archive),
        _ => Err(anyhow::anyhow!("a device is no image")).with_context(named),
    }
}

fn folder(fd: OwnedFd) -> Result<Source> {
    let has = |name: &str| dir::stat(fd.as_fd(), name.as_ref()).is_ok();
    if has("oci-layout") || (has("index.json") && has("blobs")) {
        bail!("an image in OCI layout: `import` takes root file systems; a command for such images comes later");
    }
    if has("manifest.json") && !has("bin") && !has("usr") {
        bail!(
            "an unpacked image of `docker save`: `import` takes root file systems; a command for such images comes later"
        );
    }
    Ok(Source::Folder(fd))
}

/// The plain tar stream of an archive that may be compressed with gzip (RFC 1952), zstd (RFC 8878) or xz.
pub fn archive(input: impl Read + 'static) -> Result<Box<dyn Read>> {
    let (head, input) = peek(input)?;
    let plain: Box<dyn Read> = match sniff::format(&head) {
        Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(input))),
        Format::Zstd => Box::new(zstd::stream::read::Decoder::new(input)?),
        Format::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(BufReader::new(input), stream))
        }
        Format::Tar => return Ok(Box::new(input)),
        Format::Refused(what) => bail!("{what}"),
    };
    let (head, plain) = peek(plain).context("decompressing")?;
    match sniff::format(&head) {
        Format::Tar => Ok(Box::new(plain)),
        Format::Refused(what) => bail!("compressed, and inside: {what}"),
        Format::Gzip | Format::Zstd | Format::Xz => {
            bail!("compressed twice: decompress it once first")
        }
    }
}

/// Reads the first bytes and gives them back in front of the rest.
fn peek<R: Read>(mut input: R) -> Result<(Vec<u8>, impl Read + use<R>)> {
    let mut head = Vec::with_capacity(HEAD);
    input.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    Ok((head.clone(), io::Cursor::new(head).chain(input)))
}

#[cfg(test)]
mod tests;
