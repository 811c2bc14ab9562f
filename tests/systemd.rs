//! What asking systemd leaves in a process: nothing, for the process forks afterwards.

use little_container::cgroup::systemd::{Bus, Refusal, Scope, ask};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use std::{
    fs,
    io::{Read, Write},
    os::{
        fd::AsRawFd,
        unix::{fs::MetadataExt, net::UnixListener},
    },
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};
use zbus::{Message, ObjectPath};

const SOCKET: &str = "LITTLE_CONTAINER_TEST_SOCKET";
const UNIT: &str = "little-container-test.scope";
const SCOPE: Scope<'_> = Scope { unit: UNIT, description: "a test", slice: None, pids: &[4242] };

fn me() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// Takes connections; every other one gets a scope, the rest no answer.
fn play(listener: &UnixListener) {
    for (number, stream) in listener.incoming().enumerate() {
        let (mut stream, mut bytes, mut buffer) = (stream.unwrap(), Vec::new(), [0; 4096]);
        let member = b"StartTransientUnit";
        while !bytes.windows(UNIT.len()).any(|w| w == UNIT.as_bytes())
            || !bytes.windows(member.len()).any(|w| w == member)
        {
            let read = stream.read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..read]);
        }
        if number % 2 == 0 {
            let at = bytes.windows(member.len()).position(|w| w == member).unwrap();
            let start = bytes[..at].windows(2).rposition(|w| w == b"l\x01").unwrap();
            let serial = u32::from_le_bytes(bytes[start + 8..start + 12].try_into().unwrap());
            let call = Message::method_call("/", "X").serial(serial.try_into().unwrap()).build(&()).unwrap();
            let job = ObjectPath::try_from("/job").unwrap();
            let signal = Message::signal("/", "a.b", "JobRemoved").build(&(1u32, &job, UNIT, "done")).unwrap();
            let reply = Message::method_return(&call.header()).build(&job).unwrap();
            let answer = [&b"OK 0\r\n"[..], signal.data(), reply.data()].concat();
            stream.write_all(&answer).unwrap();
        }
        // Until the other end is gone.
        let _ = stream.read(&mut buffer);
    }
}

#[test]
fn no_thread_is_started_and_no_descriptor_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || play(&listener));
    let alone = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "alone", "--test-threads=1", "--nocapture"])
        .env(SOCKET, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&alone.stdout);
    assert!(alone.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&alone.stderr));
}

/// The other half of the test above, in a process of its own.
#[test]
fn alone() {
    let Some(path) = std::env::var_os(SOCKET) else { return };
    let ways = [Bus::Session("/nonexistent".into()), Bus::Session(path.into())];
    // The harness and this test, as long as it runs no other.
    let (threads, open) = (count("/proc/self/task"), count("/proc/self/fd"));
    assert!(threads <= 2);
    for round in 0..10 {
        let asked = ask(&ways, me(), &SCOPE, Duration::from_millis(100)).unwrap();
        assert_eq!((count("/proc/self/task"), count("/proc/self/fd")), (threads, open + 1), "one connection, {round}");
        let done = asked.wait();
        assert!(if round % 2 == 0 { done == Ok(()) } else { matches!(done, Err(Refusal::TimedOut(_))) }, "{done:?}");
        assert_eq!((count("/proc/self/task"), count("/proc/self/fd")), (threads, open), "{round}");
    }
    drop(ask(&ways, me(), &SCOPE, Duration::from_secs(5)).unwrap());
    assert_eq!((count("/proc/self/task"), count("/proc/self/fd")), (threads, open));
}

/// A listener whose queue is full lets connect(2) wait, as one does that was stopped.
#[test]
fn a_full_queue_does_not_hold_us() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let listener = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(Path::new(&path)).unwrap()).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let patience = Duration::from_millis(150);
    let began = Instant::now();
    let mut queued = Vec::new();
    let refusal = loop {
        match ask(&[Bus::Session(path.clone())], me(), &SCOPE, patience) {
            Ok(asked) => queued.push(asked),
            Err(refusal) => break refusal,
        }
        assert!(queued.len() < 8, "the queue has an end");
    };
    assert_eq!(refusal, Refusal::TimedOut(patience));
    assert!(began.elapsed() < Duration::from_secs(2));
}
