//! The fields of a header where the `tar` crate is stricter or says less.

use std::io;
use std::ops::Range;

use anyhow::{Context, Result, bail};
use tar::Header;

use super::MemberKind;
use crate::image::owners::Device;

/// Mode, uid, gid, size, mtime, and the device numbers (POSIX, "ustar Header Block").
const NUMBERS: [Range<usize>; 7] = [100..108, 108..116, 116..124, 124..136, 136..148, 329..337, 337..345];

/// Makes a blank number 0, which it is to GNU tar and to Go, and an error to the crate.
pub fn fill_blanks(header: &mut Header) {
    for field in NUMBERS {
        let field = &mut header.as_mut_bytes()[field];
        if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
            field.fill(b'0');
        }
    }
}

/// The type of a member.
pub fn kind(header: &Header, path: &[u8]) -> Result<MemberKind> {
    let device = |block| -> Result<MemberKind> {
        let major = header.device_major()?.unwrap_or_default();
        let minor = header.device_minor()?.unwrap_or_default();
        Ok(MemberKind::Device(Device { block, major, minor }))
    };
    Ok(match header.entry_type().as_byte() {
        // The V7 format has no folders but by their name.
        0 | b'0' if path.ends_with(b"/") => MemberKind::Directory,
        0 | b'0' | b'7' => MemberKind::File,
        b'1' => MemberKind::HardLink,
        b'2' => MemberKind::Symlink,
        b'3' => device(false)?,
        b'4' => device(true)?,
        b'5' => MemberKind::Directory,
        b'6' => MemberKind::Fifo,
        b'S' => MemberKind::Sparse(Vec::new()),
        b'M' => bail!("the rest of a file from another volume: archives in several volumes are not supported"),
        other => MemberKind::Other(other),
    })
}

/// A user or group id: 32 bits (credentials(7)).
pub fn id(id: io::Result<u64>) -> Result<u32> {
    let id = id?;
    u32::try_from(id).with_context(|| format!("the owner id {id} is out of range"))
}

/// Whether the sum in a header is that of its bytes, with the field of the sum itself taken for spaces.
pub fn checksum_is_good(header: &Header) -> bool {
    let bytes = header.as_bytes();
    let sum: u32 = bytes[..148].iter().chain(&bytes[156..]).map(|byte| u32::from(*byte)).sum();
    header.cksum().is_ok_and(|said| said == sum + 8 * u32::from(b' '))
}
