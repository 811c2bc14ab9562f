//! Against a systemd that is played: it reads what we say and answers what the test wants.

use super::{
    buses::users,
    said::{MANAGER, SYSTEMD, SYSTEMD_PATH},
    *,
};
use std::{
    io::{Read, Write},
    os::unix::{
        fs::{MetadataExt, chown},
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    thread::{self, JoinHandle},
};
use tempfile::TempDir;

const UNIT: &str = "little-container-test.scope";
const JOB: &str = "/org/freedesktop/systemd1/job/7";
const OK: &[u8] = b"OK 0123456789abcdef0123456789abcdef\r\n";

fn me() -> u32 {
    std::fs::metadata("/proc/self").unwrap().uid()
}

/// What was said to the other end, and the number of each message.
struct Heard {
    before: String,
    calls: Vec<(Vec<u8>, u32)>,
}

impl Heard {
    /// Reads until the request has come; nothing was answered so far.
    fn read(stream: &mut UnixStream) -> Heard {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the request is there without any answer");
            bytes.extend_from_slice(&buffer[..read]);
            let Some(begin) = bytes.windows(7).position(|w| w == b"BEGIN\r\n") else { continue };
            let before = String::from_utf8(bytes[..begin + 7].to_vec()).unwrap();
            let calls = calls(&bytes[begin + 7..]);
            if calls.last().is_some_and(|(call, _)| has(call, "StartTransientUnit")) {
                return Heard { before, calls };
            }
        }
    }

    fn number(&self, member: &str) -> u32 {
        self.calls.iter().find(|(call, _)| has(call, member)).unwrap().1
    }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

fn calls(mut bytes: &[u8]) -> Vec<(Vec<u8>, u32)> {
    let mut all = Vec::new();
    while let Some(length) = wire::length(bytes).filter(|length| *length <= bytes.len()) {
        all.push((bytes[..length].to_vec(), u32::from_ne_bytes(bytes[8..12].try_into().unwrap())));
        bytes = &bytes[length..];
    }
    all
}

fn call(number: u32) -> Message {
    Message::method_call("/", "X").serial(number.try_into().unwrap()).build(&()).unwrap()
}

fn reply(number: u32, sender: &str) -> Vec<u8> {
    let to = call(number);
    let path = ObjectPath::try_from(JOB).unwrap();
    Message::method_return(&to.header()).sender(sender).build(&path).unwrap().data().to_vec()
}

fn error(number: u32, name: &str, text: &str) -> Vec<u8> {
    let to = call(number);
    Message::error(&to.header(), name).build(&text).unwrap().data().to_vec()
}

fn removed(job: &str, unit: &str, result: &str, sender: &str) -> Vec<u8> {
    let body = (7u32, ObjectPath::try_from(job).unwrap(), unit, result);
    let signal = Message::signal(SYSTEMD_PATH, MANAGER, "JobRemoved").sender(sender);
    signal.build(&body).unwrap().data().to_vec()
}

/// A listener for one connection.
fn listen(
    folder: &TempDir,
    name: &str,
    play: impl FnOnce(&mut UnixStream) + Send + 'static,
) -> (PathBuf, JoinHandle<()>) {
    let path = folder.path().join(name);
    let listener = UnixListener::bind(&path).unwrap();
    let played = thread::spawn(move || play(&mut listener.accept().unwrap().0));
    (path, played)
}

/// Asks on these, and waits, for `patience` in milliseconds.
fn try_all(ways: &[Bus], patience: u64) -> Result<(), Refusal> {
    let scope = Scope { unit: UNIT, description: "a test", slice: Some("test.slice"), pids: &[4242] };
    ask(ways, me(), &scope, Duration::from_millis(patience))?.wait()
}

/// As [`try_all`], where a bus answers with `answer` to the number of the request.
fn try_bus(answer: impl FnOnce(&Heard) -> Vec<u8> + Send + 'static) -> Result<(), Refusal> {
    let folder = tempfile::tempdir().unwrap();
    let (path, played) = listen(&folder, "bus", |stream| {
        let heard = Heard::read(stream);
        let _ = stream.write_all(&[OK, &answer(&heard)].concat());
        // Until the other end has had enough.
        let _ = stream.read(&mut [0; 1]);
    });
    let result = try_all(&[Bus::Session(path)], 5000);
    played.join().unwrap();
    result
}

#[test]
fn all_is_said_before_the_first_answer() {
    let done = try_bus(|heard| {
        let hex: String = me().to_string().bytes().map(|b| format!("{b:x}")).collect();
        assert_eq!(heard.before, format!("\0AUTH EXTERNAL {hex}\r\nBEGIN\r\n"));
        let members = ["Hello", "AddMatch", "Subscribe", "StartTransientUnit"];
        assert_eq!(heard.calls.len(), members.len());
        assert!(heard.calls.iter().zip(members).all(|((call, _), member)| has(call, member)));
        assert!(has(&heard.calls[1].0, &format!("member='JobRemoved',arg2='{UNIT}'")));
        for word in [UNIT, "PIDs", "Delegate", "inactive-or-failed", "a test", "test.slice", "TasksMax"] {
            assert!(has(&heard.calls[3].0, word), "{word}");
        }
        let start = heard.number("StartTransientUnit");
        [reply(start, ":1.1"), removed(JOB, UNIT, "done", ":1.1")].concat()
    });
    assert_eq!(done, Ok(()));
}

#[test]
fn the_job_may_end_before_the_reply() {
    let done = try_bus(|heard| {
        let start = heard.number("StartTransientUnit");
        [removed(JOB, UNIT, "done", ":1.1"), reply(start, ":1.1")].concat()
    });
    assert_eq!(done, Ok(()));
}

#[test]
fn other_jobs_and_other_voices_do_not_count() {
    let done = try_bus(|heard| {
        let start = heard.number("StartTransientUnit");
        let others = [
            removed(JOB, UNIT, "done", ":1.66"),
            removed("/org/freedesktop/systemd1/job/8", UNIT, "done", ":1.1"),
            removed(JOB, "another.scope", "done", ":1.1"),
            error(heard.number("Subscribe"), "org.freedesktop.systemd1.AlreadySubscribed", ""),
            reply(start, ":1.1"),
            removed(JOB, UNIT, "canceled", ":1.1"),
        ];
        others.concat()
    });
    assert_eq!(done, Err(Refusal::Job("canceled".to_owned())));
}

#[test]
fn a_refusal_is_told_in_systemds_words() {
    let name = "org.freedesktop.systemd1.UnitExists";
    let refused = try_bus(move |heard| error(heard.number("StartTransientUnit"), name, "Unit was already loaded."));
    let message = "Unit was already loaded.".to_owned();
    assert_eq!(refused, Err(Refusal::Refused { name: name.to_owned(), message }));
    let refused = try_bus(|heard| error(heard.number("AddMatch"), "org.freedesktop.DBus.Error.LimitsExceeded", "no"));
    assert!(matches!(refused, Err(Refusal::Refused { .. })), "{refused:?}");
}

#[test]
fn without_systemd_behind_a_bus_the_next_way_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = |stream: &mut UnixStream| {
        let start = Heard::read(stream).number("StartTransientUnit");
        let none = error(start, "org.freedesktop.DBus.Error.NameHasNoOwner", "Name does not exist");
        stream.write_all(&[OK, &none].concat()).unwrap();
    };
    let stranger = |stream: &mut UnixStream| {
        Heard::read(stream);
        stream.write_all(b"REJECTED DBUS_COOKIE_SHA1\r\n").unwrap();
    };
    let systemd = |stream: &mut UnixStream| {
        let heard = Heard::read(stream);
        assert_eq!(heard.calls.len(), 1, "there is no bus to greet");
        // There systemd signs with its own name, which zbus neither writes nor reads.
        let place = ":1.000000000000000000000";
        let mut answer = [reply(heard.calls[0].1, place), removed(JOB, UNIT, "done", place)].concat();
        while let Some(at) = answer.windows(place.len()).position(|w| w == place.as_bytes()) {
            answer[at..at + place.len()].copy_from_slice(SYSTEMD.as_bytes());
        }
        stream.write_all(&[OK, &answer].concat()).unwrap();
    };
    let missing = Bus::Session(folder.path().join("missing"));
    let (empty, first) = listen(&folder, "empty", nobody);
    let (closed, second) = listen(&folder, "closed", stranger);
    let (private, third) = listen(&folder, "private", systemd);
    let ways = [missing, Bus::Session(empty), Bus::Address(format!("unix:path={}", closed.display()))];
    assert_eq!(try_all(&[&ways[..], &[Bus::Private(private)]].concat(), 5000), Ok(()));
    [first, second, third].into_iter().for_each(|played| played.join().unwrap());

    let Err(Refusal::Unreachable(tried)) = try_all(&ways, 5000) else { panic!("nobody is there any more") };
    assert_eq!(tried.matches("; ").count(), 2, "{tried}");
    assert_eq!(try_all(&[], 5000), Err(Refusal::Unreachable("there is no socket of it".to_owned())));
}

#[test]
fn silence_ends_with_patience() {
    let until_closed = |stream: &mut UnixStream| {
        let _ = stream.read_to_end(&mut Vec::new());
    };
    let slowly = |stream: &mut UnixStream| {
        // A byte now and then keeps nobody waiting longer.
        let _ = stream.write_all(OK);
        for byte in removed(JOB, UNIT, "done", ":1.1") {
            thread::sleep(Duration::from_millis(10));
            let _ = stream.write_all(&[byte]);
        }
    };
    let lively = |stream: &mut UnixStream| {
        let other = removed(JOB, "another.scope", "done", ":1.1").repeat(100);
        let _ = stream.write_all(OK);
        while stream.write_all(&other).is_ok() {}
    };
    let plays: [fn(&mut UnixStream); 3] = [until_closed, slowly, lively];
    for (number, play) in plays.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let (path, played) = listen(&folder, "bus", play);
        let began = Instant::now();
        let ended = try_all(&[Bus::Session(path)], 200);
        assert_eq!(ended, Err(Refusal::TimedOut(Duration::from_millis(200))), "{number}");
        assert!(began.elapsed() < Duration::from_millis(1500), "{number}: {:?}", began.elapsed());
        played.join().unwrap();
    }
}

#[test]
fn nonsense_is_an_error_and_no_more() {
    let huge = [b"l\x02\x01\x01", &[0xff; 16][..]].concat();
    let no_fields = [b"l\x02\x01\x01\0\0\0\0\x01\0\0\0\x08\0\0\0", &[0xff; 16][..]].concat();
    let bytes: Vec<u8> = (0..=255).collect();
    for after in [&huge, &no_fields, &bytes, &b"\n".repeat(64)] {
        let answer = after.clone();
        let ended = try_bus(move |_| answer);
        assert!(matches!(ended, Err(Refusal::Broken(_))), "{after:?}: {ended:?}");
    }
    for before in [&b"\n"[..], b"\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0xff; 9000], b"ERROR \x1b[2J\r\n", b""] {
        let folder = tempfile::tempdir().unwrap();
        let (path, played) = listen(&folder, "bus", |stream| {
            Heard::read(stream);
            let _ = stream.write_all(before);
        });
        let ended = try_all(&[Bus::Session(path)], 5000);
        let Err(Refusal::Unreachable(why)) = ended else { panic!("{before:?}: {ended:?}") };
        assert!(!why.contains('\x1b'), "{why}");
        played.join().unwrap();
    }
}

#[test]
fn every_cut_and_every_flipped_byte_of_an_answer_is_survived() {
    let whole = [reply(9, ":1.1"), removed(JOB, UNIT, "done", ":1.1")].concat();
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            wire::read_all(&bytes);
        }
        wire::read_all(&whole[..at]);
    }
    assert_eq!(wire::read_all(&whole), 2);
}

#[test]
fn sockets_are_found_where_they_are_ours() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("systemd")).unwrap();
    let _kept = [UnixListener::bind(at("bus")).unwrap(), UnixListener::bind(at("systemd/private")).unwrap()];
    let both = [Bus::Private(at("systemd/private")), Bus::Session(at("bus"))];
    let [here, missing, relative] = [folder.path().to_owned(), at("missing"), PathBuf::from("tmp")];
    assert_eq!(users(me(), &[missing.clone(), relative, here.clone()], ""), both);
    assert_eq!(users(me() + 1, std::slice::from_ref(&here), ""), [], "the folder is another user's");

    std::fs::write(at("file"), "").unwrap();
    let own = format!("unix:path={},guid=00", at("bus").display());
    let same = format!("{own};;tcp:host=localhost,port=1;unix:path={};nonsense", at("file").display());
    assert_eq!(users(me(), std::slice::from_ref(&here), &same), both, "known, and none that could be used");
    let address = format!("unix:path={}", at("bus").display());
    assert_eq!(users(me(), &[missing], &address), [Bus::Address(address.clone())]);
    assert_eq!(users(me(), &[], "unix:abstract=x"), [Bus::Address("unix:abstract=x".to_owned())]);
    if chown(at("bus"), Some(4242), None).is_ok() {
        assert_eq!(users(me(), &[here], &address), both[..1], "the socket is another user's");
    }
}
