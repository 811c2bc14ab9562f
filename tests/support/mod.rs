//! The ground the end-to-end tests stand on: a plain user, a home of its own, a root file system, and the program.
//!
//! Everything is made from what the machine has (a static busybox). As root, a user `lc-test` with a subordinate range is
//! made once and the program runs as that user. A test says what it [`Need`]s; where that is missing it is skipped with the
//! reason, and with `CI=true` it fails.
#![allow(dead_code, reason = "each test program uses a part")]

#[macro_use]
pub mod bed;

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};
use tempfile::TempDir;

/// Something that a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The user has subordinate ids and newuidmap works.
    Range,
    /// fuse-overlayfs and /dev/fuse.
    Fuse,
    /// The tests run as root, so that they can become other users and mount.
    Root,
    /// A program in PATH.
    Program(&'static str),
    /// `../shared/fixtures`, which a clone alone does not have; CI does not insist on it.
    Fixtures,
}

/// Who runs the program.
#[derive(Clone, Copy, Debug)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// A place of one test: a home, a store in it, a root file system, all gone afterwards.
pub struct Ground {
    folder: TempDir,
    pub user: User,
}

/// The ground, or the end of a test that cannot be run here.
#[macro_export]
macro_rules! ground {
    ($($need:expr),*) => {
        match $crate::support::Ground::new(&[$($need),*]) {
            Some(ground) => ground,
            None => return,
        }
    };
}

impl Ground {
    pub fn new(needs: &[Need]) -> Option<Ground> {
        let user = *USER.get_or_init(plain_user);
        Ground::with_user(user, needs)
    }

    /// For a user that has no name, no home and no subordinate ids.
    pub fn nameless(needs: &[Need]) -> Option<Ground> {
        let mut all = vec![Need::Root];
        all.extend(needs);
        Ground::with_user(User { uid: 54_321, gid: 54_321 }, &all)
    }

    /// As root itself.
    pub fn as_root(needs: &[Need]) -> Option<Ground> {
        let mut all = vec![Need::Root];
        all.extend(needs);
        Ground::with_user(User { uid: 0, gid: 0 }, &all)
    }

    fn with_user(user: User, needs: &[Need]) -> Option<Ground> {
        for need in needs.iter().chain(&[Need::Program("busybox")]) {
            if let Some(why) = missing(*need, user) {
                assert!(std::env::var("CI").as_deref() != Ok("true") || *need == Need::Fixtures, "needed here: {why}");
                eprintln!("skipped: {why}");
                return None;
            }
        }
        hear_hangups();
        let folder = tempfile::Builder::new().prefix("lc-test-").tempdir().unwrap();
        let ground = Ground { folder, user };
        fs::set_permissions(ground.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["home", "run", "work"] {
            fs::create_dir(ground.path(name)).unwrap();
            ground.own(&ground.path(name));
        }
        fs::set_permissions(ground.path("run"), fs::Permissions::from_mode(0o700)).unwrap();
        Some(ground)
    }

    /// A path of the ground: `home`, `run` (the runtime folder), `work` (the working folder), or below them.
    pub fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.folder.path().into() } else { self.folder.path().join(name) }
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.path("home/.local/share/little-container")
    }

    /// Gives a file or folder to the user.
    pub fn own(&self, path: &Path) {
        std::os::unix::fs::lchown(path, Some(self.user.uid), Some(self.user.gid)).unwrap();
    }

    /// A file of the user's in the working folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path("work").join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).unwrap();
            self.own(parent);
        }
        fs::write(&path, content).unwrap();
        self.own(&path);
        path
    }

    /// A root file system of the user's: busybox and its names, /etc/passwd with users of its own.
    pub fn rootfs(&self) -> PathBuf {
        let root = self.path("rootfs");
        if !root.exists() {
            copy_tree(busybox_root(), &root);
            for entry in walk(&root) {
                self.own(&entry);
            }
        }
        root
    }

    /// Any program as the user, with a clean environment, in the working folder.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.path("work"));
        command.env("HOME", self.path("home")).env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.env("XDG_RUNTIME_DIR", self.path("run"));
        // No test asks a registry of the world; those that have one of their own say so.
        command.env("LITTLE_CONTAINER_PULL", "never");
        command.stdin(Stdio::null());
        if self.user.uid != nix::unistd::getuid().as_raw() {
            command.uid(self.user.uid).gid(self.user.gid);
        }
        command
    }

    /// The program with these words.
    pub fn lc<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command(program());
        command.args(words);
        command
    }

    /// `run --rm --rootfs ROOTFS` and these words.
    pub fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.lc(["run", "--rm", "--rootfs"]);
        command.arg(self.rootfs()).args(words);
        command
    }

    /// `run --rm FLAGS --rootfs ROOTFS sh -c SCRIPT`
    pub fn sh(&self, flags: &[&str], script: &str) -> Outcome {
        let mut command = self.lc(["run", "--rm"]);
        command.args(flags).arg("--rootfs").arg(self.rootfs()).args(["sh", "-c", script]);
        outcome(&mut command)
    }

    /// Names of processes of this ground's user whose command line holds the ground's path: none may be left.
    pub fn left_processes(&self) -> Vec<String> {
        let place = self.path("").display().to_string();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let lines = entries.filter_map(|e| {
            let line = String::from_utf8_lossy(&fs::read(e.path().join("cmdline")).ok()?).replace('\0', " ");
            line.contains(&place).then(|| format!("{} {line}", e.file_name().to_string_lossy()))
        });
        lines.collect()
    }

    /// What a run must not leave: containers, marks, mounts on the machine. Empty when all is well.
    pub fn leftovers(&self) -> Vec<String> {
        let names = |path: PathBuf| {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|e| e.path().display().to_string()).collect::<Vec<_>>()
        };
        let mut left = names(self.store().join("containers"));
        left.extend(names(self.path("run/little-container")).into_iter().filter(|n| !n.contains("/overlay.")));
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let place = self.path("").display().to_string();
        left.extend(mounts.lines().filter(|l| l.contains(&place)).map(String::from));
        left
    }
}

/// The tests themselves may have been started by nohup(1), and what it ignores every program below would ignore, too.
fn hear_hangups() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: the default action runs no code of ours.
    let _ = unsafe { signal(Signal::SIGHUP, SigHandler::SigDfl) };
}

impl Drop for Ground {
    /// Files of mapped owners cannot be removed by the temporary folder's own way when nobody is root.
    fn drop(&mut self) {
        let _ = self.lc(["rm", "-f"]).args(names(&self.store().join("containers"))).output();
        let _ = self.lc(["rmi", "-f"]).args(image_names(self)).output();
    }
}

fn names(path: &Path) -> Vec<String> {
    let mut all: Vec<String> =
        fs::read_dir(path).into_iter().flatten().flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    all.push("none".into());
    all
}

fn image_names(ground: &Ground) -> Vec<String> {
    let out = ground.lc(["images", "-q"]).output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    let mut all: Vec<String> = out.unwrap_or_default().lines().map(String::from).collect();
    all.push("none".into());
    all
}

/// How a command ended and what it printed.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs it to its end. A signal counts as 128 and its number.
pub fn outcome(command: &mut Command) -> Outcome {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    Outcome {
        status: status.code().or(signal.map(|s| 128 + s)).unwrap(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// `../shared/fixtures`, where it is there.
pub fn fixtures() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    path.is_dir().then_some(path)
}

/// The program, copied to where every user can reach it: once for each build, as a debug build is large.
pub fn program() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let built = Path::new(env!("CARGO_BIN_EXE_little-container"));
        let meta = fs::metadata(built).unwrap();
        let prefix = format!("lc-program-{}-", nix::unistd::getuid());
        let place = std::env::temp_dir().join(format!("{prefix}{}-{}", meta.ino(), meta.mtime_nsec() ^ meta.mtime()));
        let path = place.join("little-container");
        let is_ours = |path: &Path| fs::metadata(path).is_ok_and(|m| m.uid() == nix::unistd::getuid().as_raw());
        if is_ours(&place) && fs::metadata(&path).is_ok_and(|copy| copy.len() == meta.len()) {
            return path;
        }
        forget_old_programs(&prefix);
        let draft = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap().keep();
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(built, draft.join("little-container")).unwrap();
        match fs::rename(&draft, &place) {
            Ok(()) => path,
            // Another test program was quicker, or something else is there.
            Err(_) => draft.join("little-container"),
        }
    })
}

/// Those of other builds, when no test can be using them any more.
fn forget_old_programs(prefix: &str) {
    let old = |entry: &fs::DirEntry| {
        let age = entry.metadata().ok().and_then(|m| m.modified().ok()).and_then(|t| t.elapsed().ok());
        entry.file_name().to_string_lossy().starts_with(prefix) && age.is_some_and(|age| age.as_secs() > 3600)
    };
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten().filter(old) {
        let _ = fs::remove_dir_all(entry.path());
    }
}

static USER: OnceLock<User> = OnceLock::new();

/// Ourselves, or as root the user `lc-test`.
fn plain_user() -> User {
    if !nix::unistd::getuid().is_root() {
        return User { uid: nix::unistd::getuid().as_raw(), gid: nix::unistd::getgid().as_raw() };
    }
    // Several test programs may come here at once: useradd takes its own lock, and the second one finds the user there.
    for _ in 0..20 {
        if let Some(user) = nix::unistd::User::from_name("lc-test").unwrap() {
            open_device("/dev/fuse");
            return User { uid: user.uid.as_raw(), gid: user.gid.as_raw() };
        }
        let _ = Command::new("useradd").args(["--create-home", "--shell", "/bin/sh", "lc-test"]).output();
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("cannot make the user lc-test with useradd");
}

/// Every distribution opens these devices to all; a bare machine may not have.
fn open_device(path: &str) {
    if fs::metadata(path).is_ok() {
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o666));
    }
}

fn missing(need: Need, user: User) -> Option<String> {
    match need {
        Need::Root if !nix::unistd::getuid().is_root() => Some("root, to become other users and to mount".into()),
        Need::Root => None,
        Need::Program(name) => find(name).is_none().then(|| format!("the program {name} is not installed")),
        Need::Fuse if find("fuse-overlayfs").is_none() => Some("fuse-overlayfs is not installed".into()),
        Need::Fuse => {
            let mode = fs::metadata("/dev/fuse").map(|m| m.permissions().mode() & 0o006).unwrap_or(0);
            (mode != 0o006).then(|| "/dev/fuse is not open to all".into())
        }
        Need::Fixtures => fixtures().is_none().then(|| "no ../shared/fixtures".into()),
        Need::Range => {
            let name = nix::unistd::User::from_uid(user.uid.into()).ok().flatten().map(|u| u.name).unwrap_or_default();
            let text = fs::read_to_string("/etc/subuid").unwrap_or_default();
            let has = text.lines().any(|l| l.split(':').next().is_some_and(|o| o == name || o == user.uid.to_string()));
            (!has || find("newuidmap").is_none())
                .then(|| format!("user {name} has no range in /etc/subuid, or no newuidmap"))
        }
    }
}

pub fn find(program: &str) -> Option<PathBuf> {
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|d| Path::new(d).join(program))
        .find(|p| p.exists())
}

/// Made once for each test program.
fn busybox_root() -> &'static Path {
    static PLACE: OnceLock<TempDir> = OnceLock::new();
    let folder = PLACE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["bin", "etc", "tmp", "root", "home/web"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        let busybox = find("busybox").unwrap();
        fs::copy(&busybox, root.join("bin/busybox")).unwrap();
        let list = Command::new(&busybox).arg("--list").output().unwrap();
        for name in String::from_utf8(list.stdout).unwrap().lines().filter(|n| *n != "busybox") {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/home/web:/bin/sh\n";
        fs::write(root.join("etc/passwd"), passwd).unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\nweb:x:34:\nssl:x:99:web\n").unwrap();
        folder
    });
    folder.path()
}

/// Files, folders and links; what the root file system of the tests has.
pub fn copy_tree(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Everything below a folder, itself included.
pub fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_path_buf()];
    let mut at = 0;
    while at < all.len() {
        if fs::symlink_metadata(&all[at]).unwrap().is_dir() {
            all.extend(fs::read_dir(&all[at]).unwrap().map(|e| e.unwrap().path()));
        }
        at += 1;
    }
    all
}
