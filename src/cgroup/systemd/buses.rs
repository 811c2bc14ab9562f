//! Where systemd listens.

use crate::sys::socket::Address as Place;
use std::{
    fmt, fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};
use zbus::{
    Address,
    address::{Transport, transport::UnixSocket},
};

/// A way to systemd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bus {
    /// The socket of a message bus, which passes on to systemd.
    Session(PathBuf),
    /// systemd's own socket, where the other end of the connection is systemd itself.
    Private(PathBuf),
    /// A message bus by its D-Bus address, one only (D-Bus specification, "Server addresses").
    Address(String),
}

impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bus::Session(path) | Bus::Private(path) => write!(f, "{}", path.display()),
            Bus::Address(address) => f.write_str(address),
        }
    }
}

impl Bus {
    /// Whether the other end is systemd itself, so that there is no bus to greet.
    pub(super) fn is_private(&self) -> bool {
        matches!(self, Bus::Private(_))
    }

    /// Does `work` with where it listens; nothing for an address that is no Unix socket.
    pub(super) fn at<T>(&self, work: impl FnOnce(Place<'_>) -> T) -> Option<T> {
        let address = match self {
            Bus::Session(path) | Bus::Private(path) => return Some(work(Place::File(path))),
            Bus::Address(address) => Address::try_from(address.as_str()).ok()?,
        };
        let Transport::Unix(unix) = address.transport() else { return None };
        match unix.path() {
            UnixSocket::File(path) => Some(work(Place::File(path))),
            UnixSocket::Abstract(name) => Some(work(Place::Abstract(name.as_bytes()))),
            _ => None,
        }
    }

    /// Whether it can be tried: a socket of `uid`'s own or root's, or a name without a file, whose owner shows later.
    fn is_usable(&self, uid: u32) -> bool {
        let check = |place: Place<'_>| match place {
            Place::File(path) => fs::metadata(path)
                .is_ok_and(|data| data.file_type().is_socket() && (data.uid() == uid || data.uid() == 0)),
            Place::Abstract(_) => true,
        };
        self.at(check).unwrap_or(false)
    }
}

/// The ways to the systemd that serves user `uid`, best first: `systemd --user`, or the system's for root.
///
/// systemd's own socket comes first, as for systemctl(1): behind a bus that our connection is the first to wake, systemd
/// is not there yet.
///
/// Reads metadata and the environment, and connects to nothing. What belongs to neither the user nor root is left out.
pub fn buses(uid: u32) -> Vec<Bus> {
    if uid == 0 {
        let system = [Bus::Session("/run/dbus/system_bus_socket".into()), Bus::Private("/run/systemd/private".into())];
        return system.into_iter().filter(|bus| bus.is_usable(uid)).collect();
    }
    let named = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
    users(uid, &[named.unwrap_or_default(), usual], &address)
}

/// As [`buses`], for the first of `folders` that is one of `uid`'s: after plain su(1) the variable still names root's.
pub(super) fn users(uid: u32, folders: &[PathBuf], addresses: &str) -> Vec<Bus> {
    let owned = |folder: &Path| fs::metadata(folder).is_ok_and(|data| data.is_dir() && data.uid() == uid);
    let mut all = Vec::new();
    if let Some(folder) = folders.iter().find(|folder| folder.is_absolute() && owned(folder)) {
        all.push(Bus::Private(folder.join("systemd/private")));
        all.push(Bus::Session(folder.join("bus")));
    }
    for address in addresses.split(';').filter(|address| !address.is_empty()) {
        let bus = Bus::Address(address.to_owned());
        let known = bus.at(|place| all.iter().any(|other| other.at(|there| there == place).unwrap_or(false)));
        if known == Some(false) {
            all.push(bus);
        }
    }
    all.retain(|bus| bus.is_usable(uid));
    all
}
