//! Whether there is room for an image, and what is said when there is not.

use super::Found;
use crate::{
    store::Store,
    sys::{code, mount},
    userns::Remote,
};
use anyhow::{Result, anyhow, bail};
use std::io;

/// How much more room a layer takes than its packed form, in tenths: a guess that is right for most.
const UNPACKED: u64 = 25;

/// Refuses what cannot fit; what may not fit is tried.
pub fn check(store: &Store, found: &Found) -> Result<()> {
    let Ok(file_system) = mount::file_system(store.root()) else { return Ok(()) };
    let bytes = found.todo.bytes;
    if bytes > file_system.free {
        bail!("{}", short(store, &format!("{} are needed, packed", size(bytes)), file_system.free));
    }
    let likely = bytes + bytes / 10 * UNPACKED;
    if likely > file_system.free {
        crate::say::info(&format!(
            "about {} are needed, and {} are free; trying",
            size(likely),
            size(file_system.free)
        ));
    }
    Ok(())
}

/// Says of a full disk what it is about.
pub fn explain(e: anyhow::Error, store: &Store, found: &Found) -> anyhow::Error {
    let bytes = found.todo.bytes;
    let guess = bytes / 10 * UNPACKED;
    // What was written of a layer is gone by now: where the guess was too low, the numbers would say that there is room.
    let free = mount::file_system(store.root()).map_or(0, |fs| fs.free);
    let unpacked = if guess > free { format!("about {}", size(guess)) } else { "more than that".into() };
    let needed = format!("{} packed and {unpacked} unpacked are needed", size(bytes));
    full(&e, store, &needed).unwrap_or(e)
}

/// What to say where an error is about a full disk or a quota that is used up; `needed`: how much there had to be.
pub fn full(e: &anyhow::Error, store: &Store, needed: &str) -> Option<anyhow::Error> {
    let remote = e.chain().find_map(|part| part.downcast_ref::<Remote>()).map(|remote| remote.errno);
    let own = e.chain().find_map(|part| part.downcast_ref::<io::Error>()).and_then(io::Error::raw_os_error);
    let free = mount::file_system(store.root()).map_or(0, |fs| fs.free);
    match remote.or(own)? {
        code::ENOSPC => Some(anyhow!("{}", short(store, needed, free))),
        code::EDQUOT => Some(anyhow!(
            "no room in the store {}\n  cause: your quota on its file system is used up: {needed}\n  fix (you): {REMEDY}",
            store.root().display()
        )),
        _ => None,
    }
}

const REMEDY: &str = "`little-container image prune` removes what nothing needs; `little-container store move DIR` or \
                      --store DIR takes another file system; what has come is kept";

fn short(store: &Store, needed: &str, free: u64) -> String {
    let on = place(store.root()).map_or(String::new(), |place| format!(" ({place})"));
    format!(
        "no room in the store {}\n  cause: its file system{on} has {} free, and {needed}\n  fix (you): {REMEDY}",
        store.root().display(),
        size(free)
    )
}

/// Where the file system of a path is mounted, and what it is, as df(1) has it.
fn place(path: &std::path::Path) -> Option<String> {
    let real = std::fs::canonicalize(path).ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mut best: Option<(usize, String)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let (Some(device), Some(at), Some(kind)) = (words.next(), words.next(), words.next()) else { continue };
        let better = best.as_ref().is_none_or(|(length, _)| at.len() >= *length);
        if better && real.starts_with(at) {
            best = Some((at.len(), format!("{device}, {kind}, on {at}")));
        }
    }
    best.map(|(_, told)| told)
}

/// `12.3MB`, in powers of ten.
pub fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    if unit == "B" { format!("{bytes}B") } else { format!("{value:.1}{unit}") }
}
