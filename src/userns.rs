//! Making a user namespace: who writes its id maps, and work that needs one.
//!
//! The rule of user_namespaces(7): a process may map its own id by itself; every other id is mapped by a program that is
//! setuid root, newuidmap(1) or newgidmap(1), and only as /etc/subuid and /etc/subgid allow.

use crate::{
    plan::step::Mapper,
    say,
    spec::ids::{Extent, IdMap},
    sys::{
        clone::{self, Child, End, namespace},
        errno,
        helper::{self, Running},
        process, socket,
    },
};
use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

/// Maps that are being written.
#[derive(Debug, Default)]
pub struct Mapping {
    helpers: Vec<Running>,
}

/// Why ids could not be mapped.
#[derive(Debug)]
pub struct MapError {
    /// The file or the program.
    pub what: PathBuf,
    /// The errno, where there is one.
    pub errno: i32,
    /// What the program said, or nothing.
    pub said: String,
}

/// Starts to write the maps of `pid`; both helpers run at the same time.
///
/// # Errors
/// A file of /proc/PID cannot be written, or a helper cannot be started.
pub fn start(pid: i32, map: &IdMap, mapper: &Mapper) -> Result<Mapping, MapError> {
    match mapper {
        Mapper::Ourselves { deny_setgroups } => {
            if *deny_setgroups {
                write(pid, "setgroups", "deny")?;
            }
            write(pid, "uid_map", &lines(&map.uid))?;
            write(pid, "gid_map", &lines(&map.gid))?;
            Ok(Mapping::default())
        }
        Mapper::Helpers { newuidmap, newgidmap } => {
            let mut mapping = Mapping::default();
            for (program, map) in [(newuidmap, &map.uid), (newgidmap, &map.gid)] {
                let helper = helper::start(program.path(), words(pid, map)).map_err(|e| MapError {
                    what: program.path().into(),
                    errno: e.raw_os_error().unwrap_or(0),
                    said: String::new(),
                })?;
                mapping.helpers.push(helper);
            }
            Ok(mapping)
        }
    }
}

impl Mapping {
    /// Waits for the helpers.
    ///
    /// # Errors
    /// One of them failed; the error holds what it said.
    pub fn finish(self) -> Result<(), MapError> {
        let mut outcome = Ok(());
        for helper in self.helpers {
            match helper.wait() {
                Ok(ended) if ended.status.success() => {}
                Ok(ended) => {
                    let said = ended.complaint();
                    outcome = Err(MapError { what: ended.program, errno: 0, said });
                }
                Err(e) => {
                    outcome = Err(MapError {
                        what: PathBuf::new(),
                        errno: e.raw_os_error().unwrap_or(0),
                        said: String::new(),
                    });
                }
            }
        }
        outcome
    }
}

fn write(pid: i32, file: &str, content: &str) -> Result<(), MapError> {
    let path = Path::new("/proc").join(pid.to_string()).join(file);
    match std::fs::write(&path, content) {
        // Kernels before 3.19 have no such file, and need none.
        Err(e) if file == "setgroups" && e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(MapError { what: file.into(), errno: e.raw_os_error().unwrap_or(0), said: String::new() }),
        Ok(()) => Ok(()),
    }
}

/// The kernel takes a map only as one write.
fn lines(map: &[Extent]) -> String {
    map.iter().map(|extent| format!("{extent}\n")).collect()
}

fn words(pid: i32, map: &[Extent]) -> Vec<String> {
    let mut words = vec![pid.to_string()];
    for extent in map {
        words.extend([extent.inside, extent.outside, extent.count].map(|n| n.to_string()));
    }
    words
}

impl std::fmt::Display for MapError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.errno, self.said.as_str()) {
            (0, said) => f.write_str(said),
            (code, _) => write!(f, "{}: {}", self.what.display(), errno(code)),
        }
    }
}

impl std::error::Error for MapError {}

/// The namespace itself could not be made.
#[derive(Debug)]
pub struct NoNamespace;

impl std::fmt::Display for NoNamespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cannot make a user namespace")
    }
}

/// What went wrong in the child, as far as it can be told over a socket.
#[derive(Debug)]
pub struct Remote {
    /// The errno at the bottom of it, or 0.
    pub errno: i32,
    /// The whole chain in words.
    pub text: String,
}

impl std::fmt::Display for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Remote {}

/// Runs `work` in a child with a user namespace (and a mount namespace) of its own; gives back the bytes it returned.
///
/// For what a map of ids is needed for: unpacking an image, taking away files of mapped owners, trying out overlay.
///
/// # Errors
/// The namespace cannot be made, or `work` said so; its error text is kept.
pub fn inside(map: &IdMap, mapper: &Mapper, work: impl FnOnce() -> anyhow::Result<Vec<u8>>) -> anyhow::Result<Vec<u8>> {
    use anyhow::{Context, anyhow};
    let (ours, theirs) = socket::pair()?;
    let spaces = namespace::USER | namespace::MOUNT;
    let Some(child) = clone::fork_into(spaces, None).context(NoNamespace)? else {
        drop(ours);
        let status = in_child(&theirs, work);
        clone::exit_now(status);
    };
    drop(theirs);
    let mapped = start(child.pid, map, mapper).and_then(Mapping::finish);
    let answer = mapped.map_err(anyhow::Error::from).and_then(|()| converse(&ours));
    let end = end(child, answer.is_err())?;
    match answer? {
        Ok(bytes) if end == End::Status(0) => Ok(bytes),
        Ok(_) => Err(anyhow!("the helper process in the user namespace was killed")),
        Err(remote) => Err(remote.into()),
    }
}

fn end(child: Child, kill: bool) -> io::Result<End> {
    if kill {
        clone::signal(child.pidfd.as_fd(), crate::sys::signal::number::SIGKILL)?;
    }
    clone::wait(child.pidfd.as_fd())
}

/// The child: waits for its maps, works, and sends the outcome in pieces: `O` a piece, `E` a piece of an error text.
fn in_child(socket: &std::os::fd::OwnedFd, work: impl FnOnce() -> anyhow::Result<Vec<u8>>) -> u8 {
    let mut byte = [0];
    let ready = process::die_with_parent().and_then(|()| socket::receive(socket.as_fd(), &mut byte));
    if !matches!(ready, Ok((1, _))) {
        return 1;
    }
    let (kind, bytes, status) = match work() {
        Ok(bytes) => (b'O', bytes, 0),
        Err(e) => {
            let errno = e.chain().find_map(|e| e.downcast_ref::<io::Error>()).and_then(io::Error::raw_os_error);
            let mut bytes = errno.unwrap_or(0).to_le_bytes().to_vec();
            bytes.extend(say::chain(&e).into_bytes());
            (b'E', bytes, 1)
        }
    };
    for piece in bytes.chunks(32 * 1024).chain(std::iter::once(&b""[..])) {
        let mut message = vec![kind];
        message.extend(piece);
        if socket::send(socket.as_fd(), &message, None).is_err() {
            return 1;
        }
    }
    status
}

fn converse(socket: &std::os::fd::OwnedFd) -> anyhow::Result<Result<Vec<u8>, Remote>> {
    socket::send(socket.as_fd(), b"G", None)?;
    let (mut good, mut bad) = (Vec::new(), None::<Vec<u8>>);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (length, _) = socket::receive(socket.as_fd(), &mut buffer)?;
        match &buffer[..length] {
            [] => break,
            [b'O', piece @ ..] => good.extend(piece),
            [_, piece @ ..] => bad.get_or_insert_default().extend(piece),
        }
    }
    let remote = |bytes: Vec<u8>| match bytes.split_first_chunk() {
        Some((errno, text)) => {
            Remote { errno: i32::from_le_bytes(*errno), text: String::from_utf8_lossy(text).into_owned() }
        }
        None => Remote { errno: 0, text: "the helper process failed".into() },
    };
    Ok(bad.map_or(Ok(good), |bytes| Err(remote(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_and_the_helpers_are_given() {
        let map = [Extent::new(0, 1000, 1), Extent::new(1, 100_000, 65_536)];
        assert_eq!(lines(&map), "0 1000 1\n1 100000 65536\n");
        assert_eq!(words(7, &map), ["7", "0", "1000", "1", "1", "100000", "65536"]);
    }
}
