//! A scope of its own for one process, asked of systemd over D-Bus: `StartTransientUnit` (org.freedesktop.systemd1(5)).
//!
//! All that we say depends on no answer, so it is said at once; the answers are read when somebody needs them:
//!
//! ```text
//!   ask   →  AUTH EXTERNAL, BEGIN, Hello, AddMatch(JobRemoved), Subscribe, StartTransientUnit     one write
//!   wait  ←  OK, our name, …, the job, JobRemoved(job, "done")                                    one round trip
//! ```
//!
//! On systemd's own socket there is no bus: no Hello, no AddMatch, no Subscribe. The method's reply only means that the
//! job is queued; the process is in the scope when the job has been removed, and that may be said before the reply.
//!
//! Must: run in the user namespace of the bus, where our user id means the same. Must not: start a thread.

mod buses;
mod said;
#[cfg(test)]
mod tests;
mod wire;

pub use buses::{Bus, buses};

use said::{greeting, serial, start_transient_unit};
use std::{
    error::Error,
    fmt, io,
    time::{Duration, Instant},
};
use wire::{Kind, Received, Wire};
use zbus::{Message, ObjectPath};

/// How many ended jobs of our unit are kept until the reply says which one is ours.
const MOST_JOBS: usize = 16;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Its name, with `.scope`; one that systemd does not have.
    pub unit: &'a str,
    /// What `systemctl status` says it is.
    pub description: &'a str,
    /// The slice it is put in; without one, systemd's own choice.
    pub slice: Option<&'a str>,
    /// The processes that are moved into it, of our own user.
    pub pids: &'a [u32],
}

/// Why there is no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody takes the request: each way that was tried, with what happened there.
    Unreachable(String),
    /// An error in answer to the request.
    Refused {
        /// D-Bus's name for it, as `org.freedesktop.systemd1.UnitExists`.
        name: String,
        /// What systemd says about it.
        message: String,
    },
    /// The job ended otherwise than with `done`: `canceled`, `timeout`, `failed`, `dependency` or `skipped`.
    Job(String),
    /// No answer for so long.
    TimedOut(Duration),
    /// The connection ended, or something else than D-Bus came, after the request was taken.
    Broken(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unreachable(tried) => write!(f, "no systemd takes the request: {tried}"),
            Refusal::Refused { name, message } => write!(f, "systemd refused the scope: {message} ({name})"),
            Refusal::Job(result) => write!(f, "systemd's job for the scope ended with `{result}`"),
            Refusal::TimedOut(patience) => write!(f, "systemd did not answer for {} ms", patience.as_millis()),
            Refusal::Broken(what) => write!(f, "the connection to systemd broke: {what}"),
        }
    }
}

impl Error for Refusal {}

/// A request that is sent and not answered yet. Dropping it ends the connection; systemd may still make the scope.
#[derive(Debug)]
pub struct Asked {
    sent: Sent,
    request: Request,
    /// The ways that are left, should this one turn out to lead nowhere.
    others: Vec<Bus>,
    tried: Vec<String>,
}

/// What is the same on every way.
#[derive(Debug)]
struct Request {
    uid: u32,
    unit: String,
    start: Message,
    patience: Duration,
    until: Instant,
}

/// A connection on which all is said.
#[derive(Debug)]
struct Sent {
    wire: Wire,
    bus: Bus,
    /// The numbers of the messages for the bus itself.
    greeting: Vec<u32>,
}

/// How a way ends without a scope.
enum Failure {
    /// The request did not get to systemd: the next way may lead there.
    Nowhere(String),
    /// There is nothing more to try.
    End(Refusal),
}

/// Sends the request on the first of `buses` that takes a connection, and reads nothing.
///
/// `uid` is the effective user id of this process. `patience` is for all of it, [`Asked::wait`] included.
///
/// # Errors
/// [`Refusal::Unreachable`] where none of `buses` takes a connection, [`Refusal::TimedOut`].
pub fn ask(buses: &[Bus], uid: u32, scope: &Scope<'_>, patience: Duration) -> Result<Asked, Refusal> {
    let until = Instant::now() + patience;
    let start = start_transient_unit(scope).map_err(|e| Refusal::Broken(e.to_string()))?;
    let request = Request { uid, unit: scope.unit.to_owned(), start, patience, until };
    let (mut others, mut tried) = (buses.to_vec(), Vec::new());
    let sent = request.send(&mut others, &mut tried)?;
    Ok(Asked { sent, request, others, tried })
}

impl Asked {
    /// Waits until the process is in the scope.
    ///
    /// # Errors
    /// Each [`Refusal`]. A bus without a systemd is left for the next of the ways.
    pub fn wait(mut self) -> Result<(), Refusal> {
        loop {
            let why = match self.sent.answer(&self.request) {
                Ok(()) => return Ok(()),
                Err(Failure::End(refusal)) => return Err(refusal),
                Err(Failure::Nowhere(why)) => why,
            };
            self.tried.push(format!("{}: {why}", self.sent.bus));
            self.sent = self.request.send(&mut self.others, &mut self.tried)?;
        }
    }
}

impl Request {
    /// Says all there is to say on the first of `buses` that takes it, and leaves there those that come after it.
    fn send(&self, buses: &mut Vec<Bus>, tried: &mut Vec<String>) -> Result<Sent, Refusal> {
        while !buses.is_empty() {
            let bus = buses.remove(0);
            let text = format!("{bus}: ");
            match self.send_on(bus) {
                Ok(sent) => return Ok(sent),
                Err(e) if e.kind() == io::ErrorKind::TimedOut => return Err(Refusal::TimedOut(self.patience)),
                Err(e) => tried.push(text + &e.to_string()),
            }
        }
        let tried = if tried.is_empty() { "there is no socket of it".to_owned() } else { tried.join("; ") };
        Err(Refusal::Unreachable(tried))
    }

    fn send_on(&self, bus: Bus) -> io::Result<Sent> {
        let mut wire = Wire::connect(&bus, self.uid, self.until)?;
        let hex: String = self.uid.to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
        let mut bytes = format!("\0AUTH EXTERNAL {hex}\r\nBEGIN\r\n").into_bytes();
        let greeting = if bus.is_private() { Vec::new() } else { greeting(&self.unit).map_err(io::Error::other)? };
        for message in greeting.iter().chain([&self.start]) {
            bytes.extend_from_slice(message.data());
        }
        wire.send(&bytes)?;
        Ok(Sent { wire, bus, greeting: greeting.iter().map(serial).collect() })
    }

    fn failure(&self, error: &io::Error) -> Failure {
        Failure::End(match error.kind() {
            io::ErrorKind::TimedOut => Refusal::TimedOut(self.patience),
            _ => Refusal::Broken(error.to_string()),
        })
    }
}

/// A job that ended, as JobRemoved tells.
#[derive(PartialEq)]
struct Job {
    /// Who says so: on a bus others may send signals, too.
    sender: String,
    path: String,
}

impl Sent {
    /// Reads until the reply and the end of its job have come, in either order.
    fn answer(&mut self, request: &Request) -> Result<(), Failure> {
        self.enter(request)?;
        let start = Some(serial(&request.start));
        let (mut ours, mut ended) = (None, Vec::new());
        loop {
            let received = self.wire.receive().map_err(|e| request.failure(&e))?;
            match received.kind {
                Kind::Error if received.answers == start => return Err(refused(&received)),
                // Without our name or our match, no more would come. Subscribe is only a courtesy to old systemds.
                Kind::Error if self.greeting.iter().take(2).any(|number| received.answers == Some(*number)) => {
                    return Err(refused(&received));
                }
                Kind::Reply if received.answers == start => {
                    let path = received.body::<ObjectPath<'_>>().map(|path| path.to_string());
                    let path = path.ok_or_else(|| broken("systemd's reply names no job"))?;
                    ours = Some(Job { sender: received.sender, path });
                }
                Kind::Signal if received.name == "JobRemoved" => ended.extend(job_removed(received, &request.unit)),
                _ => {}
            }
            if let Some((_, how)) = ended.iter().find(|(job, _)| Some(job) == ours.as_ref()) {
                return if how == "done" { Ok(()) } else { Err(Failure::End(Refusal::Job(how.clone()))) };
            }
            if ended.len() > MOST_JOBS {
                return Err(broken("too many jobs for one scope"));
            }
        }
    }

    /// Reads the answer to the authentication. Nothing before it was taken, so that an end here is only the end of this way.
    fn enter(&mut self, request: &Request) -> Result<(), Failure> {
        let line = match self.wire.line() {
            Ok(line) => line,
            Err(e) if e.kind() == io::ErrorKind::TimedOut => return Err(request.failure(&e)),
            Err(e) => return Err(Failure::Nowhere(e.to_string())),
        };
        if line.starts_with("OK ") {
            return Ok(());
        }
        let answer: String = line.chars().take(80).collect();
        Err(Failure::Nowhere(format!("it does not let us in: {answer:?}")))
    }
}

/// A job for `unit` and its result, from a JobRemoved signal.
fn job_removed(received: Received, unit: &str) -> Option<(Job, String)> {
    let (_, path, of, how) = received.body::<(u32, ObjectPath<'_>, String, String)>()?;
    let path = path.to_string();
    (of == unit).then_some((Job { sender: received.sender, path }, how))
}

/// What an error reply means: some tell that there is no systemd behind this bus, or none for us.
fn refused(received: &Received) -> Failure {
    let (name, message) = (received.name.clone(), received.body::<String>().unwrap_or_default());
    let nowhere = ["ServiceUnknown", "NameHasNoOwner", "Disconnected", "AccessDenied", "AuthFailed"];
    match name.strip_prefix("org.freedesktop.DBus.Error.") {
        Some(short) if nowhere.contains(&short) || short.starts_with("Spawn.") => {
            Failure::Nowhere(format!("{message} ({name})"))
        }
        _ => Failure::End(Refusal::Refused { name, message }),
    }
}

fn broken(what: &str) -> Failure {
    Failure::End(Refusal::Broken(what.to_owned()))
}
