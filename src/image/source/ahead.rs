//! A buffered reader that can look ahead by more than what one read of the input gave.

use std::io::{self, BufRead, Read};

const BUFFER: usize = 64 * 1024;

/// Reads `R` by the buffer, or past it where more than a buffer is wanted.
pub struct Ahead<R> {
    inner: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<R: Read> Ahead<R> {
    /// Reads nothing yet.
    pub fn new(inner: R) -> Self {
        Self { inner, buffer: Vec::new(), start: 0, end: 0 }
    }

    /// The next bytes, up to `most` of them, which stay to be read; fewer only at the end of the input.
    pub fn peek(&mut self, most: usize) -> io::Result<&[u8]> {
        if self.end - self.start < most {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            self.buffer.resize(BUFFER.max(most), 0);
            while self.end < most {
                match self.inner.read(&mut self.buffer[self.end..]) {
                    Ok(0) => break,
                    Ok(more) => self.end += more,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + most)])
    }

    /// The reader below; what was looked at and not read is lost.
    pub fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: Read> Read for Ahead<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && into.len() >= BUFFER {
            return self.inner.read(into);
        }
        let length = self.fill_buf()?.read(into)?;
        self.consume(length);
        Ok(length)
    }
}

impl<R: Read> BufRead for Ahead<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.buffer.resize(BUFFER, 0);
            (self.start, self.end) = (0, 0);
            self.end = self.inner.read(&mut self.buffer)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, amount: usize) {
        self.start = self.end.min(self.start + amount);
    }
}
