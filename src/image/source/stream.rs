//! A stream as it was given, with what is compressed in it decompressed on the way.
//!
//! An initramfs is more than one compressed file: the kernel takes any number of archives after each other, each of them
//! plain or compressed, with zeros between (Documentation/driver-api/early-userspace/buffer-format.rst). So every
//! decoder here stops at the end of its own stretch, and what follows is looked at anew.

use std::io::{self, BufRead, Read};

use anyhow::{Context, Result, bail, ensure};
use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;

use super::ahead::Ahead;
use super::sniff::{self, Format, Packing};

/// Bytes that are looked at: enough for the first header of a tar archive.
pub const HEAD: usize = 512;

/// What an xz or LZMA stream may take of memory: 16 times what `xz -9` needs.
const LZMA_MEMORY: u64 = 1 << 30;

/// Zeros between archives are filling, of a few blocks or pages; more than this of them is no initramfs.
const MOST_ZEROS: u64 = 16 << 20;

/// Stretches of an initramfs: two or three are usual.
const MOST_STRETCHES: u32 = 1 << 16;

type Input = Ahead<Box<dyn Read>>;

enum Decoder {
    Gzip(GzDecoder<Input>),
    /// LZMA as well.
    Xz(XzDecoder<Input>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Input>>),
}

impl Decoder {
    fn new(input: Input, packing: Packing) -> io::Result<Self> {
        use liblzma::stream::Stream;
        Ok(match packing {
            Packing::Gzip => Self::Gzip(GzDecoder::new(input)),
            Packing::Xz => Self::Xz(XzDecoder::new_stream(input, Stream::new_stream_decoder(LZMA_MEMORY, 0)?)),
            Packing::Lzma => Self::Xz(XzDecoder::new_stream(input, Stream::new_lzma_decoder(LZMA_MEMORY)?)),
            Packing::Zstd => Self::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(input)?.single_frame())),
        })
    }

    fn into_inner(self) -> Input {
        match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Xz(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

impl Read for Decoder {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(into),
            Self::Xz(decoder) => decoder.read(into),
            Self::Zstd(decoder) => decoder.read(into),
        }
    }
}

enum State {
    Plain(Input),
    Packed(Box<Ahead<Decoder>>, Packing),
}

/// The stream; as a reader it ends with the stretch that it is in, which is the whole of a file that is compressed once.
pub struct Stream {
    state: State,
    /// A compressed stretch has ended; [`Stream::next_archive`] goes on behind it.
    ended: bool,
    zeros: u64,
    stretches: u32,
}

impl Stream {
    /// Begins to decompress if the first bytes say so.
    pub fn new(input: Box<dyn Read>) -> Result<Self> {
        let mut input = Ahead::new(input);
        let packing = sniff::packing(input.peek(HEAD)?);
        let mut stream = Self { state: State::Plain(input), ended: false, zeros: 0, stretches: 0 };
        if let Some(packing) = packing {
            stream.unpack(packing)?;
        }
        Ok(stream)
    }

    /// Whether what is read now was compressed.
    pub fn is_packed(&self) -> bool {
        matches!(self.state, State::Packed(..))
    }

    /// The next bytes, up to `most` of them, which stay to be read; fewer only at the end.
    pub fn peek(&mut self, most: usize) -> io::Result<&[u8]> {
        self.settle()?;
        match &mut self.state {
            _ if self.ended => Ok(&[]),
            State::Plain(input) => input.peek(most),
            State::Packed(decoder, _) => decoder.peek(most),
        }
    }

    /// Goes on to the next cpio archive: over zeros, and out of and into what is compressed. False at the end.
    pub fn next_archive(&mut self) -> Result<bool> {
        loop {
            self.skip_zeros()?;
            let head = self.peek(HEAD)?;
            let (is_empty, format) = (head.is_empty(), sniff::format(head));
            if is_empty && !std::mem::take(&mut self.ended) {
                return Ok(false);
            }
            match format {
                _ if is_empty => continue,
                Format::Cpio => return Ok(true),
                Format::Packed(packing) if !self.is_packed() => self.unpack(packing).context("decompressing")?,
                Format::Packed(_) => bail!("compressed twice: decompress it once first"),
                Format::Tar | Format::Image => bail!("a tar archive follows the cpio archive"),
                Format::Refused(_) => bail!("what follows the cpio archive is neither one more nor compressed"),
            }
            self.stretches += 1;
            ensure!(self.stretches <= MOST_STRETCHES, "more than {MOST_STRETCHES} archives after each other");
        }
    }

    /// Reads on behind the last stretch, where a file that holds one archive has nothing but zeros.
    pub fn expect_end(&mut self) -> Result<()> {
        self.ended = false;
        self.skip_zeros()?;
        ensure!(self.peek(1)?.is_empty(), "something else follows the compressed archive");
        Ok(())
    }

    fn skip_zeros(&mut self) -> Result<()> {
        loop {
            let ahead = self.fill_buf()?;
            let count = ahead.iter().take_while(|byte| **byte == 0).count();
            if count == 0 {
                return Ok(());
            }
            self.consume(count);
            self.zeros += count as u64;
            ensure!(self.zeros <= MOST_ZEROS, "more than {MOST_ZEROS} zero bytes between archives");
        }
    }

    fn unpack(&mut self, packing: Packing) -> io::Result<()> {
        let input = self.take();
        self.state = State::Packed(Box::new(Ahead::new(Decoder::new(input, packing)?)), packing);
        Ok(())
    }

    fn take(&mut self) -> Input {
        let nothing: Box<dyn Read> = Box::new(io::empty());
        match std::mem::replace(&mut self.state, State::Plain(Ahead::new(nothing))) {
            State::Plain(input) => input,
            State::Packed(decoder, _) => decoder.into_inner().into_inner(),
        }
    }

    /// Goes over to the input behind a decoder that has come to its end. What goes on in the same compression, as pigz,
    /// estargz and `cat a.xz b.xz` write it, is one stretch.
    fn settle(&mut self) -> io::Result<()> {
        while let State::Packed(decoder, packing) = &mut self.state {
            if !decoder.peek(1)?.is_empty() {
                break;
            }
            let packing = *packing;
            let mut input = self.take();
            let goes_on = packing != Packing::Lzma && sniff::packing(input.peek(HEAD)?) == Some(packing);
            self.state = State::Plain(input);
            if goes_on {
                self.unpack(packing)?;
            } else {
                self.ended = true;
            }
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let was_packed = self.is_packed();
            let length = match &mut self.state {
                _ if self.ended => 0,
                State::Plain(input) => input.read(into)?,
                State::Packed(decoder, _) => decoder.read(into)?,
            };
            if length > 0 || into.is_empty() || !was_packed {
                return Ok(length);
            }
            self.settle()?;
        }
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.settle()?;
        match &mut self.state {
            _ if self.ended => Ok(&[]),
            State::Plain(input) => input.fill_buf(),
            State::Packed(decoder, _) => decoder.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match &mut self.state {
            State::Plain(input) => input.consume(amount),
            State::Packed(decoder, _) => decoder.consume(amount),
        }
    }
}

/// A stream that holds one tar archive: nothing may follow it.
pub struct Whole(pub Stream);

impl Read for Whole {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.0.read(into)?;
        if length == 0 && !into.is_empty() && self.0.ended {
            self.0.expect_end().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        }
        Ok(length)
    }
}
