//! What systemd and D-Bus take by themselves.

use crate::measure::{Once, Part, wait};
use little_container::cgroup::systemd::{self, Bus, Scope};
use nix::unistd::getuid;
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(15);

pub fn parts() -> Vec<Part<'static>> {
    let part = |name: &str, once: Once<'static>| Part { name: name.into(), every: 1, once };
    let library = |name: &str, processes: usize, what: fn(&Asked) -> f64| {
        part(name, Box::new(move |round| Ok((what(&ask(&own_buses(), name_of(processes, round), processes)?), 0))))
    };
    let busctl = ["call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.DBus.Peer", "Ping"];
    vec![
        library("ask and wait, as a start does", 2, |asked| asked.until_done),
        library("of it: until all is said", 2, |asked| asked.until_said),
        library("ask and wait, for one process", 1, |asked| asked.until_done),
        part("busctl, one call", command("busctl", &[&["--user"], &busctl[..]].concat())),
        part("systemd-run --user --scope true", command("systemd-run", &["--user", "--scope", "-q", "true"])),
    ]
}

fn name_of(processes: usize, round: usize) -> String {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("bench-{}-{processes}-{round}-{count}.scope", std::process::id())
}

fn own_buses() -> Vec<Bus> {
    systemd::buses(getuid().as_raw())
}

/// Milliseconds.
struct Asked {
    until_said: f64,
    until_done: f64,
}

/// Processes that sleep, until this is dropped: then systemd forgets their scope.
struct Sleepers(Vec<Child>);

impl Sleepers {
    fn start(count: usize) -> Result<Sleepers, String> {
        let one = || Command::new("sleep").arg("100").stdin(Stdio::null()).spawn().map_err(|e| format!("sleep: {e}"));
        (0..count).map(|_| one()).collect::<Result<_, _>>().map(Sleepers)
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The library alone: a scope around so many processes.
fn ask(buses: &[Bus], unit: String, processes: usize) -> Result<Asked, String> {
    let sleepers = Sleepers::start(processes)?;
    let pids: Vec<u32> = sleepers.0.iter().map(Child::id).collect();
    let scope = Scope { unit: &unit, description: "a bench", slice: None, pids: &pids };
    let begin = Instant::now();
    let since = || begin.elapsed().as_secs_f64() * 1e3;
    let asked = systemd::ask(buses, getuid().as_raw(), &scope, PATIENCE).map_err(|e| e.to_string())?;
    let until_said = since();
    asked.wait().map_err(|e| e.to_string())?;
    Ok(Asked { until_said, until_done: since() })
}

fn command(program: &'static str, words: &[&'static str]) -> Once<'static> {
    let words = words.to_vec();
    Box::new(move |_| {
        let mut command = Command::new(program);
        command.args(&words).stdin(Stdio::null()).stdout(Stdio::null());
        let begin = Instant::now();
        let child = command.spawn().map_err(|e| format!("{program}: {e}"))?;
        let (status, peak) = wait(child.id() as i32).map_err(|e| e.to_string())?;
        let time = begin.elapsed().as_secs_f64() * 1e3;
        if status == 0 { Ok((time, peak)) } else { Err(format!("wait status {status:#x}")) }
    })
}

/// How often the library speaks before it is answered, and how much: a stand-in hands on to systemd what has come, only
/// when nothing more comes.
pub fn exchange() -> Result<String, String> {
    let buses = own_buses();
    let Some(Bus::Private(path)) = buses.first() else { return Err("systemd's own socket is not there".into()) };
    let place = std::env::temp_dir().join(format!("bench-{}.socket", std::process::id()));
    let listener = UnixListener::bind(&place).map_err(|e| e.to_string())?;
    let target = path.clone();
    let stand_in = thread::spawn(move || relay(&listener, &target).map_err(|e| e.to_string()));
    let asked = ask(&[Bus::Private(place.clone())], name_of(0, 0), 1);
    let _ = fs::remove_file(&place);
    asked?;
    let (turns, said, heard) = stand_in.join().map_err(|_| "the stand-in panicked")??;
    Ok(format!("on systemd's own socket: {turns} time(s) said something, {said} bytes; {heard} bytes of answers"))
}

/// How often the client spoke, how much, and how much it heard.
fn relay(listener: &UnixListener, target: &std::path::Path) -> std::io::Result<(usize, usize, usize)> {
    let (mut client, _) = listener.accept()?;
    let mut systemd = UnixStream::connect(target)?;
    client.set_read_timeout(Some(Duration::from_millis(100)))?;
    systemd.set_read_timeout(Some(Duration::from_millis(100)))?;
    let (mut turns, mut said, mut heard) = (0, 0, 0);
    let mut buffer = [0; 1 << 16];
    loop {
        let mut pending = Vec::new();
        let mut closed = false;
        loop {
            match client.read(&mut buffer) {
                Ok(0) => closed = true,
                Ok(n) => pending.extend_from_slice(&buffer[..n]),
                Err(_) => break,
            }
            if closed {
                break;
            }
        }
        turns += usize::from(!pending.is_empty());
        said += pending.len();
        if closed {
            return Ok((turns, said, heard));
        }
        systemd.write_all(&pending)?;
        while let Ok(n @ 1..) = systemd.read(&mut buffer) {
            heard += n;
            if client.write_all(&buffer[..n]).is_err() {
                return Ok((turns, said, heard));
            }
        }
    }
}
