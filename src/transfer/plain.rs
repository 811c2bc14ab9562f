//! The plain stream of a packed layer: inflated, bounded, and read ahead by a thread of its own.

use super::packed::Packed;
use anyhow::Result;
use std::{
    io::{self, BufReader, Cursor, Read},
    sync::mpsc,
    thread::Scope,
};

/// How much is handed from one thread to the other at once, and how many of these wait at most.
const PIECE: usize = 128 * 1024;
const PIECES: usize = 4;

/// What a layer may always have, in bytes, and how many times its packed size: more is taken for a bomb.
const FREE: u64 = 1 << 30;
const RATIO: u64 = 200;

/// Inflates `packed` (gzip, zstd or neither, by its first bytes: what media types say of it is often wrong) in a thread of
/// `scope`. What comes out is to be read to its end; [`Plain::finish`] then gives back what went in.
pub fn inflate<'scope, 'env: 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    packed: Packed<'env>,
    size: u64,
) -> io::Result<Plain<'scope, 'env>> {
    let (full, pieces) = mpsc::sync_channel::<io::Result<Vec<u8>>>(PIECES);
    let thread = std::thread::Builder::new().name("inflate".into()).spawn_scoped(scope, move || {
        let mut packed = packed;
        let outcome = decode(&mut packed, bound(size), &mut |piece| full.send(Ok(piece)).is_ok());
        if let Err(error) = outcome {
            let _ = full.send(Err(error));
        }
        packed
    })?;
    Ok(Plain { pieces: Some(pieces), current: Cursor::new(Vec::new()), thread })
}

fn bound(size: u64) -> u64 {
    FREE.saturating_add(size.saturating_mul(RATIO))
}

fn decode(packed: &mut Packed<'_>, most: u64, give: &mut dyn FnMut(Vec<u8>) -> bool) -> io::Result<()> {
    let mut head = Vec::with_capacity(4);
    packed.by_ref().take(4).read_to_end(&mut head)?;
    let magic = head.clone();
    let input = Cursor::new(head).chain(packed);
    match magic[..] {
        [0x1f, 0x8b, ..] => {
            pour(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(PIECE, input)), most, give)
        }
        [0x28, 0xb5, 0x2f, 0xfd] => {
            pour(zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(PIECE, input))?, most, give)
        }
        _ => pour(input, most, give),
    }
}

/// Hands it on piece by piece, until nobody wants more.
fn pour(mut plain: impl Read, most: u64, give: &mut dyn FnMut(Vec<u8>) -> bool) -> io::Result<()> {
    let mut all = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        plain.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok(());
        }
        all += piece.len() as u64;
        if all > most {
            let told = format!("it inflates to more than {most} bytes, {RATIO} times its size: that is no layer");
            return Err(io::Error::new(io::ErrorKind::InvalidData, told));
        }
        if !give(piece) {
            return Ok(());
        }
    }
}

/// The plain stream.
pub struct Plain<'scope, 'env> {
    /// `None` when nobody wants more.
    pieces: Option<mpsc::Receiver<io::Result<Vec<u8>>>>,
    current: Cursor<Vec<u8>>,
    thread: std::thread::ScopedJoinHandle<'scope, Packed<'env>>,
}

impl<'env> Plain<'_, 'env> {
    /// What was inflated, whether it was read to its end or not.
    ///
    /// # Errors
    /// The thread failed.
    pub fn finish(mut self) -> Result<Packed<'env>> {
        // So that a thread that has more to give ends.
        self.pieces = None;
        self.thread.join().map_err(|_| anyhow::anyhow!("inflating failed"))
    }
}

impl Read for Plain<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let got = self.current.read(into)?;
            if got > 0 || into.is_empty() {
                return Ok(got);
            }
            match self.pieces.as_ref().map(mpsc::Receiver::recv) {
                Some(Ok(piece)) => self.current = Cursor::new(piece?),
                Some(Err(mpsc::RecvError)) | None => return Ok(0),
            }
        }
    }
}
