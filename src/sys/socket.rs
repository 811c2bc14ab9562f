//! A pair of connected sockets that keep messages apart and can hand over a descriptor (unix(7)).

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, getsockopt, recvmsg, sendmsg,
    socketpair, sockopt::PeerCredentials,
};
use rustix::net::{SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::{
    io::{self, IoSlice, IoSliceMut},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::Duration,
};

/// Two ends of a SOCK_SEQPACKET connection, close-on-exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Sends one message, with a descriptor where one is given. A peer that is gone gives EPIPE, never SIGPIPE.
pub fn send(socket: BorrowedFd<'_>, message: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let fds = descriptor.map(|fd| [fd.as_raw_fd()]);
    let rights = fds.as_ref().map(|fds| ControlMessage::ScmRights(fds));
    loop {
        match sendmsg::<()>(
            socket.as_raw_fd(),
            &[IoSlice::new(message)],
            rights.as_slice(),
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Ok(_) => return Ok(()),
            Err(nix::Error::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Takes one message of at most `buffer`'s length and the descriptor that came with it; 0 bytes: the peer has closed.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = nix::cmsg_space!([i32; 1]);
    loop {
        let mut slices = [IoSliceMut::new(buffer)];
        let got = match recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Ok(got) => got,
            Err(nix::Error::EINTR) => continue,
            // The peer ended without taking what we had sent.
            Err(nix::Error::ECONNRESET) => return Ok((0, None)),
            Err(e) => return Err(e.into()),
        };
        let mut descriptor = None;
        for message in got.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = message {
                for fd in fds {
                    // SAFETY: the kernel has just made this descriptor for us.
                    descriptor = Some(unsafe { OwnedFd::from_raw_fd(fd) });
                }
            }
        }
        return Ok((got.bytes, descriptor));
    }
}

/// Whether the peer has closed its end, without waiting and without taking a message.
pub fn is_closed(socket: BorrowedFd<'_>) -> bool {
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    let mut byte = 0u8;
    // SAFETY: one byte is written at most, into `byte`.
    let got = unsafe { libc::recv(socket.as_raw_fd(), (&raw mut byte).cast(), 1, flags) };
    got == 0 || (got < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ECONNRESET))
}

/// Where a stream socket listens (unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// A file.
    File(&'a Path),
    /// A name without a file, in the network namespace.
    Abstract(&'a [u8]),
}

/// A connection, close-on-exec, whose connect(2) and writes take no longer than `patience` each.
///
/// # Errors
/// EAGAIN where the listener's queue is full for so long.
pub fn connect(address: Address<'_>, patience: Duration) -> io::Result<UnixStream> {
    let address = match address {
        Address::File(path) => SocketAddrUnix::new(path)?,
        Address::Abstract(name) => SocketAddrUnix::new_abstract_name(name)?,
    };
    let socket =
        rustix::net::socket_with(rustix::net::AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(patience.max(Duration::from_micros(1))))?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket.into())
}

/// Who listens at the other end: process and user (SO_PEERCRED).
///
/// The process is 0 where it is in a PID namespace that is not ours or below ours; it may have ended since.
pub fn peer(socket: impl AsFd) -> io::Result<(u32, u32)> {
    let peer = getsockopt(&socket.as_fd(), PeerCredentials)?;
    Ok((peer.pid() as u32, peer.uid()))
}
