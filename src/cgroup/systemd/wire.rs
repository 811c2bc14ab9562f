//! A D-Bus connection that does nothing by itself: no thread, no task, no wait beyond its moment.
//!
//! zbus makes our messages and knows the encoding. Its `Connection` is not used: it reads ahead in a task, and for that
//! starts a thread as soon as nobody is waiting, while we are about to fork. Its `Message` is not used for reading: it
//! takes nothing from systemd's own socket, where systemd signs with its well-known name.

use super::buses::Bus;
use crate::sys::{signal, socket};
use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};
use zbus::{
    Signature, Type, Variant,
    wire::{
        BE, LE,
        serialized::{Context, Data},
    },
};

/// The longest message that is taken, in bytes. What systemd sends here has a few hundred; a bus may pass on 128 MiB.
const LONGEST_MESSAGE: usize = 1 << 20;
/// The longest line before the first message, in bytes.
const LONGEST_LINE: usize = 1 << 12;
/// What every message begins with, in bytes: it holds the two lengths that follow.
const HEADER: usize = 16;

/// How long the answer is waited for when our user wants us to end; and how often that is looked at. At once would be too soon:
/// what was asked for may be under way, and most often comes within milliseconds.
const HURRIED: Duration = Duration::from_secs(1);
const GLANCE: Duration = Duration::from_millis(100);

/// The connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    until: Instant,
    hurried: bool,
    seen: Vec<u8>,
}

impl Wire {
    /// Connects to `bus`, for work that ends at `until`.
    ///
    /// # Errors
    /// Those of connect(2), and a listener that belongs to somebody else, or that counts processes otherwise than we do.
    pub fn connect(bus: &Bus, uid: u32, until: Instant) -> io::Result<Wire> {
        let left = until.saturating_duration_since(Instant::now());
        let stream = bus.at(|place| socket::connect(place, left).map_err(timed_out));
        let stream = stream.unwrap_or_else(|| Err(broken("it is no Unix socket")))?;
        let (process, owner) = socket::peer(&stream)?;
        if owner != uid && owner != 0 {
            return Err(broken(&format!("it belongs to user {owner}")));
        }
        // From a container with the bus of its host: our process number would be somebody else's there.
        if process == 0 {
            return Err(broken("it is in another PID namespace"));
        }
        Ok(Wire { stream, until, hurried: false, seen: Vec::new() })
    }

    /// Sends all of `bytes`.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = self.left()?;
        self.stream.set_write_timeout(Some(left))?;
        self.stream.write_all(bytes).map_err(timed_out)
    }

    /// A line of the authentication, without its end.
    pub fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.seen.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.seen.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(|_| broken("no D-Bus speaks there"));
            }
            if self.seen.len() > LONGEST_LINE {
                return Err(broken("no D-Bus speaks there"));
            }
            self.read_on()?;
        }
    }

    /// The next message.
    pub fn receive(&mut self) -> io::Result<Received> {
        while self.seen.len() < HEADER {
            self.read_on()?;
        }
        let length = length(&self.seen).filter(|length| *length <= LONGEST_MESSAGE);
        let length = length.ok_or_else(|| broken("no D-Bus message, or one too long"))?;
        while self.seen.len() < length {
            self.read_on()?;
        }
        let bytes: Vec<u8> = self.seen.drain(..length).collect();
        Received::read(bytes).map_err(|e| broken(&e.to_string()))
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    fn hurry(&mut self) {
        if !self.hurried && signal::is_waiting(&signal::ASKING) {
            self.hurried = true;
            self.until = self.until.min(Instant::now() + HURRIED);
        }
    }

    fn read_on(&mut self) -> io::Result<()> {
        // systemd's own socket tells everything that happens to the unit: some 7 KB.
        let mut buffer = [0; 16384];
        let glance = self.left()?.min(GLANCE);
        self.stream.set_read_timeout(Some(glance))?;
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")),
            Ok(read) => {
                self.seen.extend_from_slice(&buffer[..read]);
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.hurry();
                Ok(())
            }
            Err(e) => Err(e),
        }
    }
}

/// The head of a message (D-Bus specification, "Message Format"): byte order, type, flags, version, length of the body,
/// number, fields.
type Head<'a> = (u8, u8, u8, u8, u32, u32, Vec<(u8, Variant<'a>)>);

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Reply,
    Error,
    Signal,
    Other,
}

/// A message, as far as it matters here.
#[derive(Debug)]
pub(super) struct Received {
    pub kind: Kind,
    /// The number of the message that it answers.
    pub answers: Option<u32>,
    /// Which signal or which error it is.
    pub name: String,
    /// Who sent it, on a bus.
    pub sender: String,
    signature: Signature,
    body: Data<'static, 'static>,
}

impl Received {
    fn read(bytes: Vec<u8>) -> zbus::Result<Received> {
        let endian = if bytes.first() == Some(&b'l') { LE } else { BE };
        let data = Data::new(bytes, Context::new(endian, 0));
        let ((_, kind, .., fields), end): (Head<'_>, usize) = data.deserialize()?;
        let start = end.next_multiple_of(8);
        if start > data.len() {
            return Err(zbus::Error::OutOfBounds);
        }
        let kind = match kind {
            2 => Kind::Reply,
            3 => Kind::Error,
            4 => Kind::Signal,
            _ => Kind::Other,
        };
        let body = data.slice(start..);
        let mut read = Received {
            kind,
            answers: None,
            name: String::new(),
            sender: String::new(),
            signature: Signature::Unit,
            body,
        };
        for field in fields {
            match field {
                (3 | 4, Variant::Str(name)) => read.name = name.to_string(),
                (5, Variant::U32(number)) => read.answers = Some(number),
                (7, Variant::Str(sender)) => read.sender = sender.to_string(),
                (8, Variant::Signature(signature)) => read.signature = signature,
                _ => {}
            }
        }
        Ok(read)
    }

    /// What it says, or nothing where that is of another type.
    pub fn body<'a, T: serde::Deserialize<'a> + Type>(&'a self) -> Option<T> {
        if self.signature != *T::SIGNATURE {
            return None;
        }
        self.body.deserialize().ok().map(|(body, _)| body)
    }
}

/// The bytes of the message that begins with `header` (D-Bus specification, "Message Format"), or nothing for no message.
pub(super) fn length(header: &[u8]) -> Option<usize> {
    let number = |at: usize| {
        let bytes: [u8; 4] = header.get(at..at + 4)?.try_into().ok()?;
        match header.first()? {
            b'l' => Some(u32::from_le_bytes(bytes) as usize),
            b'B' => Some(u32::from_be_bytes(bytes) as usize),
            _ => None,
        }
    };
    let fields = HEADER.checked_add(number(12)?)?.checked_next_multiple_of(8)?;
    fields.checked_add(number(4)?)
}

fn broken(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The kernel calls the end of a socket's patience EAGAIN.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

/// How many whole messages `bytes` hold.
#[cfg(test)]
pub(super) fn read_all(mut bytes: &[u8]) -> usize {
    let mut read = 0;
    while let Some(length) = length(bytes).filter(|length| *length <= bytes.len()) {
        let Ok(message) = Received::read(bytes[..length].to_vec()) else { break };
        let _ = (message.body::<String>(), message.body::<zbus::ObjectPath<'_>>());
        let _ = message.body::<(u32, zbus::ObjectPath<'_>, String, String)>();
        bytes = &bytes[length..];
        read += 1;
    }
    read
}
