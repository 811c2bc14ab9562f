//! A command with a limit on its time, so that what hangs fails.

use super::Outcome;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    io::Read,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Runs it to its end, for so many seconds at most. Streams that somebody else still holds a second later are left.
pub fn outcome(command: &mut Command, seconds: u64) -> Outcome {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap();
    let stdout = read(child.stdout.take().unwrap());
    let stderr = read(child.stderr.take().unwrap());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > Duration::from_secs(seconds) {
            let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
            let _ = child.wait();
            panic!("no end in {seconds} s: {command:?}\n{}\n{}", text(&stdout), text(&stderr));
        }
        thread::sleep(Duration::from_millis(2));
    };
    Outcome {
        status: status.code().or(status.signal().map(|s| 128 + s)).unwrap(),
        stdout: text(&stdout),
        stderr: text(&stderr),
    }
}

fn read(mut source: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut piece = [0; 65536];
        while let Ok(n @ 1..) = source.read(&mut piece) {
            if sender.send(piece[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn text(stream: &mpsc::Receiver<Vec<u8>>) -> String {
    let end = Instant::now() + Duration::from_secs(1);
    let mut all = vec![];
    while let Ok(piece) = stream.recv_timeout(end.saturating_duration_since(Instant::now())) {
        all.extend(piece);
    }
    String::from_utf8_lossy(&all).into_owned()
}
