//! What somebody with ill intent might try: an image that is after the machine, a forged store, folders of others.
//!
//! Each test stands for something that was possible once, here or in another runner.

#[macro_use]
mod support;
#[path = "security/elf.rs"]
mod elf;
#[path = "security/exec.rs"]
mod exec;
#[path = "security/inside.rs"]
mod inside;
#[path = "support/kit.rs"]
mod kit;
#[path = "security/places.rs"]
mod places;
#[path = "security/records.rs"]
mod records;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};
use support::{Ground, Outcome, User};

/// Who has nothing to do with the user of the tests.
const STRANGER: User = User { uid: 54_399, gid: 54_399 };

/// Runs it to its end, which must come soon.
#[track_caller]
fn soon(command: &mut Command) -> Outcome {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    let (sender, receiver) = mpsc::channel();
    let waiter = thread::spawn(move || {
        // Nobody listens to one that came too late.
        let _ = sender.send(child.wait_with_output().unwrap());
    });
    let Ok(out) = receiver.recv_timeout(Duration::from_secs(10)) else {
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        panic!("it hangs: {command:?}");
    };
    waiter.join().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&out.status);
    Outcome {
        status: out.status.code().or(signal.map(|s| 128 + s)).unwrap(),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

/// A file of the user's in a root file system.
fn put(ground: &Ground, path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Not through a link to busybox.
    let _ = fs::remove_file(path);
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    ground.own(path);
}

/// Makes a static program of C text and puts it there.
fn compile(ground: &Ground, text: &str, flags: &[&str], place: &Path) {
    let source = ground.file("source.c", text);
    let mut command = Command::new("cc");
    command.args(["-static", "-no-pie", "-w", "-O1"]).args(flags).arg(&source).arg("-o").arg(place);
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    ground.own(place);
}

/// A copy of the program that the user owns, as who has installed it for themselves.
fn own_program(ground: &Ground) -> PathBuf {
    let place = ground.path("work/own-little-container");
    put(ground, &place, fs::read(support::program()).unwrap(), 0o755);
    place
}

/// Everything below a folder: what it is, what is in it, when it was changed.
fn picture(folder: &Path) -> Vec<String> {
    let mut all: Vec<String> = support::walk(folder)
        .iter()
        .map(|path| {
            let m = fs::symlink_metadata(path).unwrap();
            let content = if m.is_file() { fs::read(path).unwrap() } else { Vec::new() };
            let link = fs::read_link(path).unwrap_or_default();
            format!("{} {:?} {:?} {link:?} {content:?}", path.display(), m.permissions(), m.modified().unwrap())
        })
        .collect();
    all.sort();
    all
}
