//! The content of one file, and the hash over a whole tree.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Result;
use ring::digest::{Context, SHA256};

use crate::image::digest::text;
use crate::sys::dir::{self, Meta};

/// What content is hashed by. Blocks of zeros count only by being absent, so holes need not be read and do not matter.
const BLOCK: u64 = 4096;

const BUFFER: usize = 64 * BLOCK as usize;

/// The running hash over the records of a tree.
pub struct Sum(Option<Context>);

impl Sum {
    pub fn new() -> Self {
        Self(Some(Context::new(&SHA256)))
    }

    /// No hash is wanted.
    pub fn none() -> Self {
        Self(None)
    }

    pub fn wants_content(&self) -> bool {
        self.0.is_some()
    }

    /// Adds one file; each part has its length before it, so that no two trees give the same bytes.
    pub fn record(&mut self, kind: &[u8], path: &Path, meta: &Meta, content: &[u8]) {
        let Some(state) = &mut self.0 else { return };
        let (major, minor) = meta.device;
        let fields = format!(
            "{:o} {} {} {}.{:09} {major}:{minor}",
            meta.mode, meta.uid, meta.gid, meta.mtime.sec, meta.mtime.nsec
        );
        for part in [kind, path.as_os_str().as_bytes(), fields.as_bytes(), content] {
            state.update(&(part.len() as u64).to_be_bytes());
            state.update(part);
        }
    }

    /// `sha256:<hex>`, or nothing.
    pub fn finish(self) -> String {
        self.0.map(text).unwrap_or_default()
    }
}

/// Copies `size` bytes, holes as holes, and returns the hash of the content if it is wanted. Shares the blocks where the
/// file system can (ioctl_ficlone(2)), else copies inside the kernel (copy_file_range(2)), else by reading and writing.
pub fn copy(from: &File, to: &File, size: u64, hash: bool) -> Result<Vec<u8>> {
    let cloned = dir::clone_file(from, to).is_ok();
    if !cloned {
        to.set_len(size)?;
    }
    if !hash {
        if !cloned {
            copy_all(from, to, size)?;
        }
        return Ok(Vec::new());
    }
    let mut state = Context::new(&SHA256);
    state.update(&size.to_be_bytes());
    let mut buffer = vec![0; BUFFER.min(usize::try_from(size.next_multiple_of(BLOCK)).unwrap_or(BUFFER))];
    let mut done = 0;
    while let Some(extent) = dir::data_extent(from, done, size)? {
        // Whole blocks from the start of the file, whatever the block size of the file system is.
        let start = (extent.start - extent.start % BLOCK).max(done);
        let end = extent.end.next_multiple_of(BLOCK).min(size);
        done = start;
        while done < end {
            let want = usize::try_from(end - done).unwrap_or(BUFFER).min(BUFFER);
            let got = fill(from, &mut buffer[..want], done)?;
            if !cloned {
                to.write_all_at(&buffer[..got], done)?;
            }
            add(&mut state, &buffer[..got], done);
            if got < want {
                // Cut short meanwhile: the rest is zeros now.
                return Ok(state.finish().as_ref().to_vec());
            }
            done += got as u64;
        }
    }
    Ok(state.finish().as_ref().to_vec())
}

fn copy_all(from: &File, to: &File, size: u64) -> Result<()> {
    let mut done = 0;
    let mut in_kernel = true;
    while let Some(extent) = dir::data_extent(from, done, size)? {
        done = extent.end;
        let mut start = extent.start;
        if in_kernel {
            match dir::copy_range(from, to, extent.clone()) {
                Ok(end) => start = end.max(start),
                // Refused between two kinds of file system before Linux 5.19, and by some at all.
                Err(error) if error.kind() != io::ErrorKind::StorageFull => in_kernel = false,
                Err(error) => return Err(error.into()),
            }
        }
        let mut buffer = Vec::new();
        while start < extent.end {
            buffer.resize(BUFFER, 0);
            let want = usize::try_from(extent.end - start).unwrap_or(BUFFER).min(BUFFER);
            let got = fill(from, &mut buffer[..want], start)?;
            to.write_all_at(&buffer[..got], start)?;
            if got < want {
                return Ok(());
            }
            start += got as u64;
        }
    }
    Ok(())
}

/// Hashes the blocks that are not all zeros, each with its offset.
fn add(state: &mut Context, data: &[u8], offset: u64) {
    for (at, block) in (offset..).step_by(BLOCK as usize).zip(data.chunks(BLOCK as usize)) {
        if block.iter().any(|byte| *byte != 0) {
            state.update(&at.to_be_bytes());
            state.update(block);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// The attributes that a user can own, and file capabilities. The rest (labels, access lists) belongs to this system.
pub fn xattrs(fd: BorrowedFd<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let names: Vec<OsString> = dir::xattr_names(fd).unwrap_or_default();
    let ours = |name: &OsString| name.as_bytes().starts_with(b"user.") || name == "security.capability";
    let read = |name: OsString| Some((name.as_bytes().to_vec(), dir::read_xattr(fd, &name).ok()?));
    names.into_iter().filter(ours).filter_map(read).collect()
}
