//! The plain stream of a packed layer: inflated, bounded, and read ahead by a thread of its own.

use super::packed::Packed;
use anyhow::Result;
use std::{
    io::{self, BufRead, BufReader, Cursor, Read},
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
    let (used, empty) = mpsc::channel::<Vec<u8>>();
    let thread = std::thread::Builder::new().name("inflate".into()).spawn_scoped(scope, move || {
        let mut packed = packed;
        let outcome = decode(&mut packed, bound(size), &mut |piece| {
            full.send(Ok(piece)).ok().map(|()| empty.try_recv().unwrap_or_default())
        });
        if let Err(error) = outcome {
            let _ = full.send(Err(error));
        }
        packed
    })?;
    Ok(Plain { pieces: Some(pieces), used, current: Cursor::new(Vec::new()), thread })
}

fn bound(size: u64) -> u64 {
    FREE.saturating_add(size.saturating_mul(RATIO))
}

fn decode(packed: &mut Packed<'_>, most: u64, give: Give<'_>) -> io::Result<()> {
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

/// Takes a piece and gives one back to be filled next, one that was used before if there is any; `None`: nobody wants more.
type Give<'a> = &'a mut dyn FnMut(Vec<u8>) -> Option<Vec<u8>>;

/// Hands it on piece by piece, until nobody wants more.
fn pour(mut plain: impl Read, most: u64, give: Give<'_>) -> io::Result<()> {
    let mut all = 0;
    let mut piece = Vec::new();
    loop {
        fill(&mut plain, &mut piece)?;
        if piece.is_empty() {
            return Ok(());
        }
        all += piece.len() as u64;
        if all > most {
            let told = format!("it inflates to more than {most} bytes, {RATIO} times its size: that is no layer");
            return Err(io::Error::new(io::ErrorKind::InvalidData, told));
        }
        let Some(next) = give(piece) else { return Ok(()) };
        piece = next;
    }
}

/// As much as fits into a piece; less only at the end.
fn fill(plain: &mut impl Read, piece: &mut Vec<u8>) -> io::Result<()> {
    piece.resize(PIECE, 0);
    let mut length = 0;
    while length < PIECE {
        match plain.read(&mut piece[length..]) {
            Ok(0) => break,
            Ok(got) => length += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(length);
    Ok(())
}

/// The plain stream.
pub struct Plain<'scope, 'env> {
    /// `None` when nobody wants more.
    pieces: Option<mpsc::Receiver<io::Result<Vec<u8>>>>,
    /// Takes back what was read, to be filled again.
    used: mpsc::Sender<Vec<u8>>,
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
        let got = self.fill_buf()?.read(into)?;
        self.consume(got);
        Ok(got)
    }
}

impl BufRead for Plain<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.fill_buf()?.is_empty() {
            let Some(Ok(piece)) = self.pieces.as_ref().map(mpsc::Receiver::recv) else { return Ok(&[]) };
            let old = std::mem::replace(&mut self.current, Cursor::new(piece?));
            // The other thread may have ended already.
            let _ = self.used.send(old.into_inner());
        }
        self.current.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.current.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_cut_at_the_bound() {
        assert_eq!(bound(0), 1 << 30);
        assert_eq!(bound(10 << 20), (1 << 30) + (2000 << 20));
        assert_eq!(bound(u64::MAX), u64::MAX);
        let mut given = 0;
        let endless = pour(io::repeat(0), 1 << 20, &mut |piece| {
            given += piece.len();
            Some(piece)
        });
        assert_eq!(endless.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(given, 1 << 20);
    }
}
