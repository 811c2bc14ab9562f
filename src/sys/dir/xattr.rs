//! Extended attributes through a descriptor: xattr(7).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::XattrFlags;

use super::proc_path;

/// The kernel's own bound for a value and for a list of names (xattr(7): `XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const XATTR_MAX: usize = 64 * 1024;

/// fsetxattr(2), which also takes an `O_PATH` descriptor: through `/proc/self/fd`, so that a link's own attribute is set.
pub fn set_xattr(fd: impl AsFd, name: &OsStr, value: &[u8]) -> io::Result<()> {
    match rustix::fs::fsetxattr(&fd, name, value, XattrFlags::empty()) {
        Err(rustix::io::Errno::BADF) => {
            Ok(rustix::fs::setxattr(proc_path(fd.as_fd()), name, value, XattrFlags::empty())?)
        }
        result => Ok(result?),
    }
}

/// flistxattr(2); empty where the file system has no attributes.
pub fn xattr_names(fd: impl AsFd) -> io::Result<Vec<OsString>> {
    // Most files have none or a few: a small buffer on the stack first.
    let mut few = [0_u8; 1024];
    let mut many = Vec::new();
    let list = match rustix::fs::flistxattr(&fd, &mut few[..]) {
        Ok(length) => &few[..length],
        Err(rustix::io::Errno::NOTSUP) => return Ok(Vec::new()),
        Err(rustix::io::Errno::RANGE) => {
            many.resize(XATTR_MAX, 0);
            let length = rustix::fs::flistxattr(&fd, &mut many[..])?;
            &many[..length]
        }
        Err(error) => return Err(error.into()),
    };
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| OsStr::from_bytes(name).to_owned()).collect())
}

/// fgetxattr(2).
pub fn read_xattr(fd: impl AsFd, name: &OsStr) -> io::Result<Vec<u8>> {
    let mut value = vec![0; XATTR_MAX];
    let length = rustix::fs::fgetxattr(&fd, name, &mut value[..])?;
    value.truncate(length);
    Ok(value)
}
