//! Whether the kernel's overlay works in a user namespace, where a container's writes will go.
//!
//! Asked by doing it, never by version: a mount, a folder that is removed and made anew (which needs a whiteout and the
//! attribute user.overlay.opaque), and its renaming. What came out is kept in the runtime folder, under a name that holds
//! the device and the kernel, so that a start reads one small file.

use crate::{
    plan::{facts::Ability, step::Mapper},
    say,
    spec::{
        Raw,
        ids::{IdMap, own_as_root},
    },
    sys::{
        code, cred, dir,
        mount::{self, Attributes, magic},
        process,
    },
    userns,
};
use anyhow::{Context, Result, bail};
use std::{
    ffi::OsStr,
    fs,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
};

/// The beginning of the name of a probe's folder; our process number follows.
const PROBE: &str = ".probe-";

/// What is known of the folder, or what the probe says now.
pub fn ability(folder: &Path, runtime: &Path) -> Ability {
    let Ok(metadata) = fs::metadata(folder) else {
        return Ability::Fails(format!("{} is not there", folder.display()));
    };
    let memory = runtime.join(format!("overlay.{:x}.{}", metadata.dev(), process::uname().1));
    match fs::read_to_string(&memory) {
        Ok(text) if text == "works" => return Ability::Works(Raw::default()),
        Ok(text) if !text.is_empty() => return Ability::Fails(text),
        _ => {}
    }
    match probe(folder) {
        // Nothing was learned about overlay: the launch is going to say what is wrong with the namespaces.
        Err(e) if e.downcast_ref::<userns::NoNamespace>().is_some() => Ability::Works(Raw::default()),
        Ok(()) => {
            let _ = fs::write(memory, "works");
            Ability::Works(Raw::default())
        }
        Err(e) => {
            let why = explain(folder, &e);
            // A full disk passes; what the kernel cannot do stays so until the next boot.
            if !is_about_space(&e) {
                let _ = fs::write(memory, &why);
            }
            Ability::Fails(why)
        }
    }
}

fn is_about_space(e: &anyhow::Error) -> bool {
    let text = say::chain(e);
    ["No space left", "quota", "Read-only"].iter().any(|t| text.contains(t))
}

/// One line: the network file system by its name, else the step that failed.
fn explain(folder: &Path, e: &anyhow::Error) -> String {
    let kind = mount::file_system(folder).map(|fs| fs.kind).unwrap_or(0);
    match magic::NETWORK.iter().find(|(number, _)| *number == kind) {
        Some((_, name)) => format!("{} is on {name}, on which it cannot write", folder.display()),
        None => say::chain(e),
    }
}

/// Tries it out in a folder of its own, which is gone afterwards.
///
/// # Errors
/// The step that failed.
pub fn probe(folder: &Path) -> Result<()> {
    remove_dead(folder)?;
    let name = format!("{PROBE}{}", std::process::id());
    let place = folder.join(&name);
    let made = ["lower/old/in", "upper", "work", "merged"]
        .iter()
        .try_for_each(|part| fs::create_dir_all(place.join(part)))
        .with_context(|| format!("make a folder in {}", folder.display()));
    let (uid, gid) = cred::own_ids();
    let map = IdMap { uid: own_as_root(uid, &[]), gid: own_as_root(gid, &[]) };
    let mapper = Mapper::Ourselves { deny_setgroups: cred::effective_uid() != 0 };
    let outcome = made.and_then(|()| userns::inside(&map, &mapper, || try_out(&place).map(|()| Vec::new())).map(drop));
    let handle = fs::File::open(folder)?;
    dir::remove_tree(handle.as_fd(), OsStr::new(&name)).context("remove the probe's folder")?;
    outcome
}

/// What probes that were killed have left.
fn remove_dead(folder: &Path) -> Result<()> {
    let handle = fs::File::open(folder)?;
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix(PROBE)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = dir::remove_tree(handle.as_fd(), &name);
        }
    }
    Ok(())
}

fn try_out(place: &Path) -> Result<()> {
    mount::make_private().context("make mounts private")?;
    // Short relative names: no separator of the options can be in them.
    process::change_dir(place)?;
    let data = b"lowerdir=lower,upperdir=upper,workdir=work,userxattr";
    mount::mount_new("overlay", Path::new("merged"), Attributes::default(), data).context("mount overlay")?;
    fs::remove_dir(Path::new("merged/old/in")).context("remove a folder of the lower layer (whiteout)")?;
    fs::remove_dir(Path::new("merged/old")).context("remove a folder of the lower layer (whiteout)")?;
    fs::create_dir(Path::new("merged/old")).context("make a folder anew (opaque)")?;
    if fs::read_dir("merged/old")?.next().is_some() {
        bail!("a folder made anew is not empty (opaque)");
    }
    fs::rename("merged/old", "merged/new").context("rename a folder")?;
    match fs::metadata("merged/old") {
        Err(e) if e.raw_os_error() == Some(code::ENOENT) => Ok(()),
        _ => bail!("a renamed folder is still there"),
    }
}
