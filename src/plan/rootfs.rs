//! The root file system: how writes are kept apart from the image, and what is mounted in it.

use super::{
    facts::{Ability, Facts},
    hostname,
    step::{HostStep, InitStep, Overlay},
};
use crate::spec::{Network, Raw, Spec, Storage, ids::IdMap};
use anyhow::{Result, bail};
use std::path::Component;

/// Files of the machine that every container sees as its own.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// The way in which writes are kept apart, and why this one.
pub struct Root {
    driver: Driver,
    pub choice: String,
    pub note: Option<String>,
}

enum Driver {
    Overlay { volatile: bool },
    Fuse { program: Raw },
    Copy,
}

/// Decides by `--storage` and by what works where the container's writes go.
pub fn choose(spec: &Spec, facts: &Facts) -> Result<Root> {
    // What a removed container wrote is never read again, so that nothing has to reach the disk.
    let overlay = || Driver::Overlay { volatile: spec.remove };
    let root = |driver, choice: String| Ok(Root { driver, choice: format!("storage: {choice}"), note: None });
    let unread = Ability::Fails("layers of this image have their whiteouts as files, which only others read".into());
    let kernel = if facts.image.plain_whiteouts { &unread } else { &facts.overlay };
    match (spec.storage, kernel, &facts.fuse) {
        (Storage::Auto | Storage::Overlay, Ability::Works(_), _) => {
            root(overlay(), "the kernel's overlay, which works here for an ordinary user".into())
        }
        (Storage::Auto, Ability::Fails(why), Ability::Works(program)) => root(
            Driver::Fuse { program: program.clone() },
            format!("{program}, since the kernel's overlay does not work here: {why}"),
        ),
        (Storage::Auto, Ability::Fails(why), Ability::Fails(why_fuse)) => {
            refuse_copy_of_host(facts)?;
            let choice = format!(
                "storage: a copy, since neither the kernel's overlay ({why}) nor fuse-overlayfs ({why_fuse}) works here"
            );
            let note = format!(
                "copying the image for this container: the kernel's overlay does not work here ({why}), nor does fuse-overlayfs \
                 ({why_fuse})"
            );
            Ok(Root { driver: Driver::Copy, choice, note: Some(note) })
        }
        (Storage::Overlay, Ability::Fails(why), _) => {
            bail!("--storage overlay does not work here: {why}\n  fix (you): --storage auto takes what does")
        }
        (Storage::FuseOverlayfs, _, Ability::Works(program)) => {
            root(Driver::Fuse { program: program.clone() }, format!("{program}, asked for by --storage"))
        }
        (Storage::FuseOverlayfs, _, Ability::Fails(why)) => {
            bail!("--storage fuse-overlayfs does not work here: {why}\n  fix (you): --storage auto takes what does")
        }
        (Storage::Copy, ..) => {
            refuse_copy_of_host(facts)?;
            root(Driver::Copy, "a copy of the image, asked for by --storage".into())
        }
    }
}

fn refuse_copy_of_host(facts: &Facts) -> Result<()> {
    if facts.image.parts.is_empty() {
        return Ok(());
    }
    bail!(
        "the image host cannot be copied, for it is this whole machine\n  \
         fix (you): use an image of the store, see `little-container images`"
    )
}

impl Root {
    /// The folders that must be there.
    pub fn folders(&self, facts: &Facts) -> Vec<HostStep> {
        let folder = |path: Raw, mode| HostStep::MakeFolder { path, mode };
        let mut steps = vec![folder(facts.dirs.container.clone(), 0o700)];
        match self.driver {
            Driver::Copy => steps.push(folder(at(facts, "root"), 0o755)),
            _ => {
                for overlay in overlays(facts) {
                    steps.extend([folder(overlay.upper, 0o755), folder(overlay.work, 0o755)]);
                }
            }
        }
        steps
    }

    /// What the launcher does besides.
    pub fn host(&self, facts: &Facts) -> Vec<HostStep> {
        match &self.driver {
            Driver::Overlay { .. } => Vec::new(),
            Driver::Fuse { program } => {
                let squash = !facts.image.parts.is_empty();
                overlays(facts)
                    .into_iter()
                    .map(|overlay| HostStep::Fuse { program: program.clone(), overlay, squash })
                    .collect()
            }
            Driver::Copy => {
                let layers = facts.image.layers.iter().rev().cloned().collect();
                vec![HostStep::Copy { layers, to: at(facts, "root") }]
            }
        }
    }

    /// What the first process mounts.
    pub fn init(&self, facts: &Facts) -> Vec<InitStep> {
        match self.driver {
            Driver::Overlay { volatile } => {
                overlays(facts).into_iter().map(|overlay| InitStep::MountOverlay { overlay, volatile }).collect()
            }
            Driver::Fuse { .. } => {
                let mounts = overlays(facts).into_iter().map(|o| InitStep::AwaitFuse { target: o.target });
                mounts.chain([InitStep::OwnMounts]).collect()
            }
            Driver::Copy => {
                vec![InitStep::BindRoot { source: at(facts, "root"), target: facts.dirs.mount_point.clone() }]
            }
        }
    }
}

/// The root's overlay, then one for each of the machine's folders in the image `host`.
fn overlays(facts: &Facts) -> Vec<Overlay> {
    // What the image lacks to mount on comes from below it, so that nothing has to be made and removed in every container.
    let points = Some(facts.dirs.points.clone()).filter(|p| !p.is_empty());
    let root = Overlay {
        lower: facts.image.layers.iter().cloned().chain(points).collect(),
        upper: at(facts, "upper"),
        work: at(facts, "work"),
        target: facts.dirs.mount_point.clone(),
    };
    let part = |part: &super::facts::Part| Overlay {
        lower: part.layers.clone(),
        upper: at(facts, &format!("upper.{}", part.name)),
        work: at(facts, &format!("work.{}", part.name)),
        target: facts.dirs.mount_point.path().join(&part.name).into(),
    };
    std::iter::once(root).chain(facts.image.parts.iter().map(part)).collect()
}

fn at(facts: &Facts, name: &str) -> Raw {
    facts.dirs.container.path().join(name).into()
}

/// /proc, /sys, /dev and what is below them.
pub fn system_mounts(spec: &Spec, facts: &Facts, map: &IdMap) -> Vec<InitStep> {
    let mut steps = vec![InitStep::MountProc];
    steps.push(if spec.network == Network::Host { InitStep::BindSys } else { InitStep::MountSys });
    if facts.cgroup2 {
        steps.push(InitStep::MountCgroup);
    }
    steps.push(InitStep::MountTmpfs {
        target: "/dev".into(),
        data: "mode=755,size=64m".into(),
        exec: true,
        read_only: false,
    });
    steps.extend(DEVICES.iter().map(|name| InitStep::Device { name: (*name).into() }));
    // Terminals belong to the group tty where that id exists inside, as on any machine.
    let tty = map.gid.iter().any(|e| e.contains(5)).then_some(5);
    steps.extend([InitStep::MountDevpts { gid: tty }, InitStep::MountShm, InitStep::MountMqueue]);
    let link = |(name, to): (&str, &str)| InitStep::Link { name: name.into(), to: to.into() };
    steps.extend(
        [
            ("ptmx", "pts/ptmx"),
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("core", "/proc/kcore"),
        ]
        .map(link),
    );
    steps
}

/// resolv.conf, hosts and hostname.
pub fn files(spec: &Spec, facts: &Facts) -> Vec<InitStep> {
    let name = hostname(spec, facts);
    let hosts = format!(
        "127.0.0.1\tlocalhost {name}\n::1\tlocalhost ip6-localhost ip6-loopback {name}\nfe00::0\tip6-localnet\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    );
    vec![
        InitStep::File { target: "/etc/resolv.conf".into(), content: facts.resolv_conf.clone() },
        InitStep::File { target: "/etc/hosts".into(), content: hosts.into() },
        InitStep::File { target: "/etc/hostname".into(), content: format!("{name}\n").into() },
    ]
}

/// `-v`, `--tmpfs` and the image's volumes, a place before the places below it.
pub fn volumes(spec: &Spec, facts: &Facts) -> Vec<InitStep> {
    let binds = spec.volumes.iter().zip(&facts.volumes).map(|(volume, source)| {
        let step = InitStep::Bind {
            source: source.path.clone(),
            target: volume.target.clone(),
            folder: source.folder,
            read_only: volume.read_only,
        };
        (volume.target.clone(), step)
    });
    let tmpfs = spec.tmpfs.iter().map(|t| {
        let step = InitStep::MountTmpfs {
            target: t.target.clone(),
            data: t.data.clone(),
            exec: t.exec,
            read_only: t.read_only,
        };
        (t.target.clone(), step)
    });
    let mut all: Vec<_> = binds.chain(tmpfs).collect();
    let asked: Vec<Raw> = all.iter().map(|(target, _)| target.clone()).collect();
    let free = |path: &&Raw| !asked.iter().any(|target| path.path().starts_with(target.path()));
    all.extend(facts.image.volumes.iter().filter(|path| is_volume(path)).filter(free).map(|path| {
        (path.clone(), if spec.read_only { in_memory(path, facts) } else { InitStep::Folder { path: path.clone() } })
    }));
    all.sort_by_key(|(target, _)| target.path().components().count());
    all.into_iter().map(|(_, step)| step).collect()
}

/// An image says what it likes: no place of ours, and none that could not be a folder of its own.
fn is_volume(path: &Raw) -> bool {
    let path = path.path();
    let ours = ["/proc", "/sys", "/dev"].iter().any(|place| path.starts_with(place));
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    path.is_absolute() && path.parent().is_some() && plain && !ours
}

/// A place to write to where all else is read-only. Whoever the image runs as may write there.
fn in_memory(path: &Raw, facts: &Facts) -> InitStep {
    let mode = if matches!(facts.image.user.as_str(), "" | "0" | "root") { "mode=755" } else { "mode=1777" };
    InitStep::MountTmpfs { target: path.clone(), data: mode.into(), exec: true, read_only: false }
}
