//! This very machine, where the tests run as its plain user with a user manager.

use super::{Outcome, Who, within};
use crate::support::{Ground, program};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

/// One test at a time, in all processes: what is left is looked for on the whole machine.
pub struct Here {
    ground: Ground,
    rootfs: String,
    _turn: fs::File,
}

/// Why limits cannot be enforced here.
pub fn refusal() -> Option<String> {
    let uid = nix::unistd::getuid();
    if uid.is_root() {
        return Some("here the tests run as root, who has no session; run them as the user who is logged in".into());
    }
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return Some("this machine has no pure cgroup v2 at /sys/fs/cgroup".into());
    }
    let runtime = runtime();
    if !fs::metadata(&runtime).is_ok_and(|m| m.uid() == uid.as_raw()) || !runtime.join("systemd/private").exists() {
        return Some(format!("the user {uid} has no manager of systemd here ({})", runtime.display()));
    }
    let group = format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers");
    let controllers = fs::read_to_string(&group).unwrap_or_default();
    let missing = ["memory", "cpu", "pids"].into_iter().find(|c| !controllers.split_whitespace().any(|w| w == *c));
    missing.map(|controller| format!("this machine does not delegate the controller {controller} to users ({group})"))
}

fn runtime() -> PathBuf {
    format!("/run/user/{}", nix::unistd::getuid()).into()
}

impl Here {
    pub fn new() -> Option<Here> {
        let ground = Ground::new(&[])?;
        let place = std::env::temp_dir().join(format!("little-container-bed-{}.here", ground.user.uid));
        let turn = fs::File::options().create(true).append(true).open(place).unwrap();
        turn.lock().unwrap();
        let rootfs = ground.rootfs().display().to_string();
        Some(Here { ground, rootfs, _turn: turn })
    }

    pub fn rootfs(&self) -> &str {
        &self.rootfs
    }

    /// A copy, as the folder that it is built in may be closed to others.
    pub fn bring(&self, program: &Path, name: &str) -> String {
        let copy = self.ground.path(name);
        fs::copy(program, &copy).unwrap();
        copy.display().to_string()
    }

    pub fn execute(&self, words: &[&str], who: Who, seconds: u64) -> Outcome {
        assert_ne!(who, Who::Root, "no root here; ask for a bed with one");
        // env(1) looks the first word up in the PATH that it is given.
        let mut command = self.ground.command("env");
        let path = format!("PATH={}:/usr/local/bin:/usr/bin:/bin", program().parent().unwrap().display());
        command.arg(path).args(words).env("ROOTFS", &self.rootfs);
        self.session(&mut command, who);
        within::outcome(&mut command, seconds)
    }

    /// The variables of a login, which lead to the manager.
    fn session(&self, command: &mut Command, who: Who) {
        if who == Who::Sessionless {
            command.env_remove("XDG_RUNTIME_DIR");
            return;
        }
        let runtime = runtime();
        let bus = runtime.join("bus");
        command.env("XDG_RUNTIME_DIR", &runtime);
        if bus.exists() {
            command.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", bus.display()));
        }
    }
}
