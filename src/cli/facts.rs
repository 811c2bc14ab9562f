//! Gathering what the plan must know: this machine, this user, this image.

pub mod limits;

use super::Context;
use crate::{
    host::{self, machine, mirror, overlay, resolv},
    image,
    oci::Platform,
    plan::{
        facts::{Ability, Dirs, Facts, Image, Source, SubIds},
        ids::{self, Caller, Ids},
    },
    say,
    spec::{Network, Raw, Rootfs, Spec, Storage, Userns, Volume},
    store::{images, sweep},
    sys::{cred, mount, process, tty},
    userns,
};
use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

/// The ids for work on images: a range where one can really be mapped, else the single id, with the note that says why.
pub fn usable_ids() -> Result<Ids> {
    let (uid, gid) = cred::own_ids();
    let known = host::sub_ids(Userns::Auto);
    let ids = ids::choose(Userns::Auto, &Caller { uid, gid, ids: &known })?;
    match userns::inside(&ids.map, &ids.mapper, || Ok(Vec::new())) {
        Err(e) if ids.map.is_range() && e.downcast_ref::<userns::MapError>().is_some() => {
            let none = SubIds::None(say::chain(&e));
            ids::choose(Userns::Auto, &Caller { uid, gid, ids: &none })
        }
        // Without any namespace an image can still be unpacked, by a single id.
        _ => Ok(ids),
    }
}

/// Reads no more than this spec needs.
pub fn gather(spec: &Spec, context: &Context, runtime: &Path) -> Result<Facts> {
    let store = &context.store;
    let id = process::random::<32>()?.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let (uid, gid) = cred::own_ids();
    let overlay = match spec.storage {
        Storage::Auto | Storage::Overlay => overlay::ability(&store.root().join("containers"), runtime),
        _ => Ability::default(),
    };
    let image = image(spec, context)?;
    let fuse = match (spec.storage, &overlay) {
        (Storage::Auto, _) if image.plain_whiteouts => host::fuse(),
        (Storage::FuseOverlayfs, _) | (Storage::Auto, Ability::Fails(_)) => host::fuse(),
        _ => Ability::default(),
    };
    Ok(Facts {
        uid,
        gid,
        ids: host::sub_ids(spec.userns),
        image,
        overlay,
        fuse,
        dirs: Dirs {
            container: store.container(&id).into(),
            mount_point: store.mount_point().into(),
            points: store.points().map(Raw::from).unwrap_or_default(),
            mark: runtime.join(sweep::mark_name(&id)?).into(),
        },
        volumes: spec.volumes.iter().map(source).collect::<Result<_>>()?,
        resolv_conf: resolv::content(spec.network),
        term: host::term(),
        window: if spec.terminal { window() } else { None },
        cgroup2: host::has_cgroup2() || spec.network == Network::None && Path::new("/sys/fs/cgroup").exists(),
        limits: limits::gather(&spec.limits)?,
        id,
    })
}

fn window() -> Option<tty::Size> {
    tty::size(io::stdout().as_fd()).or_else(|_| tty::size(io::stdin().as_fd())).ok()
}

fn source(volume: &Volume) -> Result<Source> {
    let path = fs::canonicalize(&volume.source).map_err(|e| {
        let remedy = if e.kind() == io::ErrorKind::NotFound {
            format!("`mkdir -p {}` makes a folder there", volume.source)
        } else {
            "give a path that you may read".into()
        };
        anyhow::anyhow!("-v {}:{}: {}\n  cause: the source must be there: nothing is made on the machine to mount from\n  fix (you): {remedy}", volume.source, volume.target, say::words(&e))
    })?;
    let folder = path.is_dir();
    Ok(Source { path: path.into(), folder })
}

fn image(spec: &Spec, context: &Context) -> Result<Image> {
    match &spec.rootfs {
        Rootfs::Host => machine::image(&context.store.root().join("host")),
        Rootfs::Dir(path) => {
            let layers = mirror::layers(path.path(), cred::own_ids().0, &context.store.root().join("host/mirrors"))?;
            Ok(Image { layers, ..Image::default() })
        }
        Rootfs::Image(name) => stored(name, context),
    }
}

fn stored(name: &str, context: &Context) -> Result<Image> {
    let root = context.store.root();
    let image = images::find(root, name)?.with_context(|| format!("the image {name:?} has just been removed"))?;
    let mut layers: Vec<PathBuf> =
        image.layers.iter().skip(image.hidden).rev().map(|l| images::layer_dir(root, l)).collect();
    // The kernel refuses an overlay that has a layer twice (ELOOP), as images of many empty layers do. Where one comes again
    // further down it adds nothing: whatever it brings or hides, the upper one does.
    let mut seen = BTreeSet::new();
    layers.retain(|layer| seen.insert(layer.clone()));
    if let Some(gone) = layers.iter().find(|l| !l.is_dir()) {
        bail!(
            "the image {name:?} is not whole\n  cause: its layer {} is gone\n  \
             fix (you): `little-container rmi -f {name}`, then import it again",
            gone.display()
        );
    }
    check_platform(&format!("the image {:?}", image.name), &image.platform())?;
    check_store(root)?;
    let raw = |words: &[String]| words.iter().cloned().map(Raw::from).collect();
    Ok(Image {
        layers: layers.into_iter().map(Raw::from).collect(),
        parts: Vec::new(),
        foreign: !image::arch::is_native(&image.architecture),
        env: raw(&image.config.env),
        entrypoint: raw(&image.config.entrypoint),
        cmd: raw(&image.config.cmd),
        working_dir: image.config.working_dir.into(),
        user: image.config.user,
        volumes: raw(&image.config.volumes),
        exposed_ports: image.config.exposed_ports,
        labels: image.config.labels,
        stop_signal: image.config.stop_signal,
        plain_whiteouts: image.plain_whiteouts,
    })
}

/// An image for another machine runs only where the kernel was told by which program (binfmt_misc).
pub fn check_platform(what: &str, platform: &Platform) -> Result<()> {
    let (own, wanted) = (image::arch::own(), platform.architecture.as_str());
    if image::arch::is_native(wanted) || image::arch::has_interpreter(wanted) {
        return Ok(());
    }
    let variant = if platform.variant.is_empty() { String::new() } else { format!("/{}", platform.variant) };
    bail!(
        "{what} is for {wanted}{variant}, and this machine is {own}\n  \
         cause: no interpreter for {wanted} programs is registered in binfmt_misc\n  \
         fix (an administrator, once): apt install qemu-user-static   # or take an image for {own}"
    )
}

/// Programs cannot be run from a store that is mounted noexec; the kernel would only say "permission denied".
fn check_store(root: &Path) -> Result<()> {
    if mount::file_system(root).is_ok_and(|fs| fs.attributes.no_exec) {
        bail!(
            "no program can be run from the store {}\n  cause: its file system is mounted noexec\n  \
             fix (you): move the store: --store DIR or LITTLE_CONTAINER_STORE",
            root.display()
        );
    }
    Ok(())
}
