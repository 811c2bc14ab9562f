//! Hashing on the way: the digest of what was read or written, without a second pass.

use std::io::{self, BufRead, Read, Write};

use ring::digest::{Context, SHA256};

/// A reader or writer that hashes with SHA-256 (FIPS 180-4) all that passes.
pub struct Hashing<T> {
    inner: T,
    state: Context,
}

impl<T> Hashing<T> {
    /// Starts with an empty state.
    pub fn new(inner: T) -> Self {
        Self { inner, state: Context::new(&SHA256) }
    }

    /// The digest of what passed until now, in the OCI form `sha256:<64 hex digits>`.
    pub fn finish(self) -> String {
        text(self.state)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(into)?;
        self.state.update(&into[..length]);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Hashing<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    /// What was looked at passes only here. It lies in the buffer, so to look again cannot fail.
    fn consume(&mut self, length: usize) {
        if let Ok(data) = self.inner.fill_buf() {
            self.state.update(&data[..length]);
        }
        self.inner.consume(length);
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(data)?;
        self.state.update(&data[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The digest of `state` in the OCI form (image-spec, descriptor.md, "Digests").
pub fn text(state: Context) -> String {
    format!("sha256:{}", hex(state.finish().as_ref()))
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
