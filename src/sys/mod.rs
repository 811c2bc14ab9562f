//! The fence: the only place with `unsafe`, and the only one that names nix, rustix, libc or `std::process::Command`.
//!
//! A function here is one system call or one idiom. It knows no spec and no plan, takes borrowed descriptors and paths,
//! and gives back `io::Result`: what a failure means for the user is said elsewhere. No descriptor leaves this room as a
//! number, and every descriptor made here is close-on-exec.

pub mod clone;
pub mod cred;
pub mod dir;
pub mod helper;
pub mod limit;
pub mod mount;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod target;
pub mod tty;

use std::io;

/// An error of this room from an errno.
pub fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// The errno numbers that other rooms tell apart (errno(3)).
pub mod code {
    pub use libc::{
        E2BIG, EACCES, EAGAIN, EBUSY, EDQUOT, EINVAL, ELOOP, ENODEV, ENOENT, ENOEXEC, ENOLCK, ENOSPC, ENOSYS, ENOTDIR,
        ENOTSUP, EPERM, ERANGE, EROFS, ESRCH, ESTALE, EUSERS, EXDEV,
    };
}
