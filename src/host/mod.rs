//! Facts about this machine. What is written here is what makes a fact: what the overlay probe found, in the runtime folder, so
//! that it is asked once per boot; the empty folders that lie over somebody else's (`mirror`), in the store; and, by `import
//! --default`, a line of the configuration.

pub mod config;
pub mod diagnose;
pub mod dirs;
pub mod machine;
pub mod mirror;
pub mod overlay;
pub mod resolv;
pub mod subid;

use crate::{
    plan::facts::{Ability, SubIds},
    say,
    spec::{Raw, Userns},
    sys::{cred, helper},
};
use std::{fs, path::Path};

/// Which other ids the caller may map, for what `--userns` asks. A single id needs no look at any file.
pub fn sub_ids(userns: Userns) -> SubIds {
    if cred::effective_uid() == 0 {
        return subid::privileged();
    }
    match userns {
        Userns::Single => SubIds::None("not asked for".into()),
        _ => subid::lookup(),
    }
}

/// The program fuse-overlayfs and the device it needs.
pub fn fuse() -> Ability {
    let Some(program) = helper::find("fuse-overlayfs", std::env::var_os("PATH").as_deref()) else {
        return Ability::Fails("fuse-overlayfs is not installed (package fuse-overlayfs)".into());
    };
    match fs::OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        Ok(_) => Ability::Works(program.into()),
        Err(e) => Ability::Fails(format!("/dev/fuse cannot be opened: {}", say::words(&e))),
    }
}

/// Whether a cgroup v2 hierarchy can be mounted on this machine.
pub fn has_cgroup2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists() || Path::new("/sys/fs/cgroup/unified").exists()
}

/// TERM of the caller, if it has one.
pub fn term() -> Option<Raw> {
    std::env::var_os("TERM").filter(|t| !t.is_empty()).map(Raw::from)
}
