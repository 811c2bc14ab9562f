//! The content of a regular file without reading it: reflink, in-kernel copy, holes.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::SeekFrom;

/// ioctl_ficlone(2): `to` shares all blocks of `from`. `EOPNOTSUPP`, `EXDEV` or `EINVAL` where that cannot be.
pub fn clone_file(from: &File, to: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(to, from)?)
}

/// copy_file_range(2) of one range to the same offsets; returns how far it came, which is less when `from` ends early.
pub fn copy_range(from: &File, to: &File, range: Range<u64>) -> io::Result<u64> {
    let (mut input, mut output) = (range.start, range.start);
    while input < range.end {
        let left = usize::try_from(range.end - input).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(from, Some(&mut input), to, Some(&mut output), left) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(input)
}

/// The next stretch of data at or after `offset` (lseek(2), `SEEK_DATA` and `SEEK_HOLE`), `None` when only a hole
/// follows. A file system that knows no holes gives one stretch. Moves the file offset.
pub fn data_extent(file: &File, offset: u64, size: u64) -> io::Result<Option<Range<u64>>> {
    if offset >= size {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(start) => start,
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => {
            return Ok(Some(offset..size));
        }
        Err(error) => return Err(error.into()),
    };
    let end = match rustix::fs::seek(file, SeekFrom::Hole(start)) {
        Ok(end) => end.min(size),
        Err(_) => size,
    };
    Ok((start < end).then_some(start..end))
}
