//! More of the ground: images, configuration, a terminal for stderr, conditions that are waited for.
#![allow(dead_code, reason = "each test program uses a part")]

use super::support::{Ground, Outcome, copy_tree, outcome, walk};
use std::{
    ffi::OsStr,
    fs,
    io::Read,
    os::{fd::OwnedFd, unix::fs::symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

impl Ground {
    /// The program with these words; it must succeed. What it printed.
    #[track_caller]
    pub fn ok<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> String {
        let out = outcome(&mut self.lc(words));
        assert_eq!(out.status, 0, "{out:?}");
        out.stdout
    }

    /// The program with these words, to its end.
    pub fn end<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Outcome {
        outcome(&mut self.lc(words))
    }

    /// `run --rm FLAGS --rootfs ROOTFS sh -c SCRIPT`, which must succeed. What it printed.
    #[track_caller]
    pub fn says(&self, flags: &[&str], script: &str) -> String {
        let out = self.sh(flags, script);
        assert_eq!(out.status, 0, "{out:?}");
        out.stdout
    }

    /// Another root file system of the user's, in the working folder, with its name in /etc/which.
    pub fn other_root(&self, name: &str) -> PathBuf {
        let root = self.path("work").join(name);
        fs::create_dir_all(root.parent().unwrap()).unwrap();
        copy_tree(&self.rootfs(), &root);
        fs::write(root.join("etc/which"), format!("{name}\n")).unwrap();
        self.own_all(&root);
        root
    }

    /// A root file system that holds /bin/busybox and these links to it, and nothing else at all.
    pub fn bare_root(&self, name: &str, programs: &[&str]) -> PathBuf {
        let root = self.path("work").join(name);
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::copy(self.rootfs().join("bin/busybox"), root.join("bin/busybox")).unwrap();
        for program in programs {
            symlink("busybox", root.join("bin").join(program)).unwrap();
        }
        self.own_all(&root);
        root
    }

    /// Everything below a folder becomes the user's.
    pub fn own_all(&self, folder: &Path) {
        for entry in walk(folder) {
            self.own(&entry);
        }
    }

    /// An image of the store, with its name in /etc/which.
    #[track_caller]
    pub fn image(&self, name: &str) {
        let root = self.other_root(&format!("{}.root", name.replace(['/', ':'], "_")));
        fs::write(root.join("etc/which"), format!("{name}\n")).unwrap();
        self.ok([OsStr::new("import"), OsStr::new(name), root.as_os_str()]);
        fs::remove_dir_all(root).unwrap();
    }

    /// The configuration file.
    pub fn config(&self, text: &str) {
        let folder = self.path("home/.config/little-container");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.toml"), text).unwrap();
        self.own_all(&self.path("home/.config"));
    }

    /// `ps -a --format json`
    #[track_caller]
    pub fn containers(&self) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.ok(["ps", "-a", "--format", "json"])).unwrap()
    }

    /// `images --format json`
    #[track_caller]
    pub fn images(&self) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.ok(["images", "--format", "json"])).unwrap()
    }

    /// A container that runs until it is killed; it has begun when this comes back.
    pub fn running(&self, flags: &[&str]) -> Running {
        let mut command = self.lc(["run"]);
        command.args(flags).arg("--rootfs").arg(self.rootfs()).args(["sh", "-c", "echo begun; exec sleep 1000"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut begun = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut begun).unwrap();
        assert_eq!(&begun, b"begun\n");
        Running(child)
    }
}

/// A runner that is under way.
pub struct Running(pub Child);

impl Running {
    /// SIGKILL for the runner itself.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both ends of a terminal: the outer one, and the one for a program.
pub fn terminal() -> (OwnedFd, OwnedFd) {
    let ends = nix::pty::openpty(None, None).unwrap();
    (ends.master, ends.slave)
}

/// Runs it with a terminal as stderr: status, stdout, and what stood on the terminal.
pub fn with_stderr_terminal(command: &mut Command) -> (i32, String, String) {
    let (master, slave) = terminal();
    let out = command.stderr(slave).output().unwrap();
    // Our copy of the inner end must be closed, or the outer one never ends.
    command.stderr(Stdio::null());
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    let mut outer = fs::File::from(master);
    // The end of a terminal reads as an error (EIO).
    while let Ok(n @ 1..) = outer.read(&mut buffer) {
        text.extend(&buffer[..n]);
    }
    let text = String::from_utf8_lossy(&text).replace("\r\n", "\n");
    (out.status.code().unwrap(), String::from_utf8_lossy(&out.stdout).into_owned(), text)
}

/// Waits until it holds.
#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An error as the user meets it: one of ours, with a remedy and who can do it, and nothing raw.
#[track_caller]
pub fn assert_error(out: &Outcome, status: i32, parts: &[&str]) {
    assert_eq!(out.status, status, "{out:?}");
    let first = out.stderr.lines().find(|l| !l.starts_with("little-container: note: ")).unwrap_or_default();
    assert!(first.starts_with("little-container: error: "), "{}", out.stderr);
    for part in parts {
        assert!(out.stderr.contains(part), "{part:?} is not in: {}", out.stderr);
    }
    for raw in ["os error", "panicked", "RUST_BACKTRACE", "Os {"] {
        assert!(!out.stderr.contains(raw), "{}", out.stderr);
    }
}

/// Like [`assert_error`], and a line says what mends it and who can do it.
#[track_caller]
pub fn assert_advice(out: &Outcome, status: i32, parts: &[&str]) {
    assert_error(out, status, parts);
    assert!(out.stderr.contains("\n  fix ("), "{}", out.stderr);
}

/// A tar archive, member by member.
pub struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    pub fn new() -> Archive {
        Archive(tar::Builder::new(Vec::new()))
    }

    fn add(&mut self, name: &str, kind: tar::EntryType, mode: u32, ids: (u32, u32), content: &[u8]) -> &mut Archive {
        self.raw(name.as_bytes(), kind, mode, ids, content, "", (0, 0))
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of a header")]
    fn raw(
        &mut self,
        name: &[u8],
        kind: tar::EntryType,
        mode: u32,
        ids: (u32, u32),
        content: &[u8],
        link: &str,
        device: (u32, u32),
    ) -> &mut Archive {
        let mut header = tar::Header::new_ustar();
        // Not by set_path, which refuses what a hostile archive has.
        header.as_old_mut().name[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(ids.0.into());
        header.set_gid(ids.1.into());
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.set_device_major(device.0).unwrap();
        header.set_device_minor(device.1).unwrap();
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    /// busybox and its names.
    pub fn programs(&mut self, root: &Path) -> &mut Archive {
        self.folder("bin", 0o755, (0, 0));
        self.file("bin/busybox", &fs::read(root.join("bin/busybox")).unwrap(), 0o755, (0, 0));
        for name in ["sh", "cat", "stat", "sort", "readlink", "od", "ls"] {
            self.link(&format!("bin/{name}"), "busybox");
        }
        self
    }

    pub fn file(&mut self, name: &str, content: &[u8], mode: u32, ids: (u32, u32)) -> &mut Archive {
        self.add(name, tar::EntryType::Regular, mode, ids, content)
    }

    pub fn folder(&mut self, name: &str, mode: u32, ids: (u32, u32)) -> &mut Archive {
        self.add(name, tar::EntryType::Directory, mode, ids, b"")
    }

    pub fn fifo(&mut self, name: &str) -> &mut Archive {
        self.add(name, tar::EntryType::Fifo, 0o644, (0, 0), b"")
    }

    pub fn link(&mut self, name: &str, to: &str) -> &mut Archive {
        self.raw(name.as_bytes(), tar::EntryType::Symlink, 0o777, (0, 0), b"", to, (0, 0))
    }

    pub fn hard_link(&mut self, name: &str, to: &str) -> &mut Archive {
        self.raw(name.as_bytes(), tar::EntryType::Link, 0o644, (0, 0), b"", to, (0, 0))
    }

    pub fn device(&mut self, name: &str, number: (u32, u32)) -> &mut Archive {
        self.raw(name.as_bytes(), tar::EntryType::Char, 0o666, (0, 0), b"", "", number)
    }

    pub fn bytes(&mut self) -> Vec<u8> {
        std::mem::replace(&mut self.0, tar::Builder::new(Vec::new())).into_inner().unwrap()
    }
}
