//! A packed layer on its way: read from the store or from where it comes from, hashed, kept.
//!
//! ```text
//! .part, what there is of it  →┐
//! origin, from there on       →┴→ sha256 → written to .part → whoever unpacks
//! ```
//!
//! A connection that breaks is opened again from the byte that is wanted next, within the same pass.

use super::{Origin, Progress};
use crate::{oci::Descriptor, spec::Digest, store::blobs::Part};
use anyhow::{Context as _, Result, anyhow};
use ring::digest::{Context, SHA256};
use std::{
    fs::File,
    io::{self, Read, Seek, Write},
};

/// A layer that is read once from its first byte to its last.
pub struct Packed<'a> {
    layer: &'a Descriptor,
    from: From<'a>,
    state: Context,
    /// Bytes that were handed on.
    at: u64,
    progress: &'a dyn Progress,
}

enum From<'a> {
    /// It lies in the store.
    Store(File),
    /// It is being fetched: first what has come before, then the rest.
    Fetch(Box<Fetch<'a>>),
}

struct Fetch<'a> {
    part: Part,
    /// How much of `part` had come before.
    old: u64,
    origin: &'a dyn Origin,
    stream: Option<Box<dyn Read + Send>>,
    /// Tries since the last byte.
    tries: u32,
}

impl<'a> Packed<'a> {
    /// A layer that is in the store.
    pub fn stored(layer: &'a Descriptor, file: File, progress: &'a dyn Progress) -> Packed<'a> {
        Packed { layer, from: From::Store(file), state: Context::new(&SHA256), at: 0, progress }
    }

    /// A layer of which the store has `part`.
    ///
    /// # Errors
    /// Those of lseek(2).
    pub fn fetched(
        layer: &'a Descriptor,
        mut part: Part,
        origin: &'a dyn Origin,
        progress: &'a dyn Progress,
    ) -> io::Result<Packed<'a>> {
        if part.have > layer.size {
            part.restart()?;
        }
        part.file.rewind()?;
        let old = part.have;
        let fetch = Fetch { part, old, origin, stream: None, tries: 0 };
        Ok(Packed { layer, from: From::Fetch(Box::new(fetch)), state: Context::new(&SHA256), at: 0, progress })
    }

    /// Reads on to its end, then says what was read hashed to, how long it was, and gives back the part.
    ///
    /// # Errors
    /// It could not be read to its end.
    pub fn finish(mut self) -> io::Result<(Digest, u64, Option<Part>)> {
        io::copy(&mut self, &mut io::sink())?;
        let text = crate::image::digest::text(self.state);
        let digest = text.parse().map_err(io::Error::other)?;
        match self.from {
            From::Store(_) => Ok((digest, self.at, None)),
            From::Fetch(fetch) => Ok((digest, self.at, Some(fetch.part))),
        }
    }

    /// Whether a part of it had come before this run; what is wrong with it may be wrong there.
    pub fn is_continued(&self) -> bool {
        matches!(&self.from, From::Fetch(fetch) if fetch.old > 0)
    }
}

impl Read for Packed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = match &mut self.from {
            From::Store(file) => file.read(into)?,
            From::Fetch(fetch) => fetch.read(self.layer, self.at, into, self.progress)?,
        };
        self.state.update(&into[..got]);
        self.at += got as u64;
        // A file of the store that is longer than announced was changed.
        if self.at > self.layer.size {
            let told = format!("it is longer than the {} bytes that its manifest says", self.layer.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, told));
        }
        Ok(got)
    }
}

impl Fetch<'_> {
    fn read(&mut self, layer: &Descriptor, at: u64, into: &mut [u8], progress: &dyn Progress) -> io::Result<usize> {
        if at < self.old {
            let most = into.len().min(usize::try_from(self.old - at).unwrap_or(usize::MAX));
            return match self.part.file.read(&mut into[..most])? {
                0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "what had come of it was cut short meanwhile")),
                got => Ok(got),
            };
        }
        if at == layer.size {
            return Ok(0);
        }
        // What a registry sends beyond the size is not wanted.
        let most = into.len().min(usize::try_from(layer.size - at).unwrap_or(usize::MAX));
        let into = &mut into[..most];
        loop {
            match self.attempt(layer, at, into) {
                Ok(got) => {
                    self.tries = 0;
                    // What cannot be kept ends the pull: a full disk does not get better by a second try.
                    self.part.file.write_all(&into[..got])?;
                    self.part.have += got as u64;
                    progress.more(&layer.digest, got as u64);
                    return Ok(got);
                }
                Err(error) => {
                    self.stream = None;
                    self.tries += 1;
                    let Some(pause) = self.origin.again(&error, self.tries) else {
                        return Err(io::Error::other(Told(error)));
                    };
                    progress.tell(&layer.digest, &format!("{error:#}; trying again in {} s", pause.as_secs().max(1)));
                    std::thread::sleep(pause);
                }
            }
        }
    }

    fn attempt(&mut self, layer: &Descriptor, at: u64, into: &mut [u8]) -> Result<usize> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let opened = self.origin.open(layer, at)?;
                self.stream.insert(skip(opened, at)?)
            }
        };
        match stream.read(into) {
            Ok(0) => {
                let cut = format!("the connection ended after {at} of {} bytes", layer.size);
                Err(anyhow!(io::Error::new(io::ErrorKind::UnexpectedEof, cut)))
            }
            Ok(got) => Ok(got),
            Err(error) => Err(error).with_context(|| format!("after {at} of {} bytes", layer.size)),
        }
    }
}

/// An origin that could only begin at the beginning: what is here already is read again and dropped.
fn skip(opened: super::Stream, at: u64) -> Result<Box<dyn Read + Send>> {
    anyhow::ensure!(opened.start <= at, "it was sent from byte {} instead of {at}", opened.start);
    let mut reader = opened.reader;
    let before = at - opened.start;
    let skipped = io::copy(&mut reader.by_ref().take(before), &mut io::sink())?;
    anyhow::ensure!(skipped == before, "the connection ended after {skipped} bytes");
    Ok(reader)
}

/// An error with its whole chain, on its way through an [`io::Error`].
#[derive(Debug)]
pub struct Told(pub anyhow::Error);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Told {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}
