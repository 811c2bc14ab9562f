//! The cases: what is asked for, on which machine.

#[path = "limits.rs"]
pub mod limits;

use little_container::{
    plan::facts::{Ability, Dirs, Facts, Image, Part, Source, SubIds},
    spec::{Network, Raw, Rootfs, Spec, Storage, Tmpfs, Userns, Volume, ids::Range},
};
use std::ffi::OsStr;

/// One golden page.
pub struct Case {
    /// The name of the page.
    pub name: &'static str,
    pub spec: Spec,
    pub facts: Facts,
}

const RANGE: Range = Range { start: 100_000, count: 65_536 };
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// An ordinary machine: subordinate ids, the kernel's overlay, an image without configuration.
pub fn facts() -> Facts {
    Facts {
        id: ID.into(),
        uid: 1000,
        gid: 1000,
        ids: SubIds::Helpers {
            uid: vec![RANGE],
            gid: vec![RANGE],
            newuidmap: "/usr/bin/newuidmap".into(),
            newgidmap: "/usr/bin/newgidmap".into(),
        },
        image: Image { layers: vec!["/s/layers/top/root".into(), "/s/layers/base/root".into()], ..Image::default() },
        overlay: Ability::Works("/s".into()),
        fuse: Ability::Works("/usr/bin/fuse-overlayfs".into()),
        dirs: Dirs {
            container: format!("/s/containers/{ID}").into(),
            mount_point: "/s/mnt".into(),
            points: "/s/points".into(),
            mark: format!("/r/{ID}.4321.98765").into(),
        },
        volumes: Vec::new(),
        resolv_conf: "nameserver 192.0.2.53\n".into(),
        term: Some("xterm-256color".into()),
        window: Some((24, 80)),
        cgroup2: true,
        limits: Default::default(),
    }
}

fn without_range() -> Facts {
    Facts { ids: SubIds::None("no line for you in /etc/subuid".into()), ..facts() }
}

fn without_overlay() -> Facts {
    Facts { overlay: Ability::Fails("this kernel refuses it in a user namespace".into()), ..facts() }
}

fn without_any_overlay() -> Facts {
    Facts { fuse: Ability::Fails("fuse-overlayfs is not installed".into()), ..without_overlay() }
}

/// Root on the machine, which may write any map.
fn as_root() -> Facts {
    let usual = || vec![Range { start: 1, count: 65_535 }];
    Facts { uid: 0, gid: 0, ids: SubIds::Privileged { uid: usual(), gid: usual() }, ..facts() }
}

/// The image `host`: each folder of the machine is an overlay of its own.
fn host_image(facts: Facts) -> Facts {
    let part = |name: &str, layers: &[&str]| Part {
        name: name.into(),
        layers: layers.iter().copied().map(Raw::from).collect(),
    };
    let image = Image {
        layers: vec!["/s/host/skeleton".into()],
        parts: vec![part("etc", &["/s/host/etc", "/etc"]), part("usr", &["/usr"])],
        ..Image::default()
    };
    Facts { image, ..facts }
}

/// As an image of a registry would come.
fn image_with_config() -> Facts {
    let mut facts = facts();
    facts.image.env = vec!["PATH=/opt/bin:/bin".into(), "LANG=C.UTF-8".into(), "COLOR=red".into()];
    facts.image.entrypoint = vec!["/docker-entrypoint.sh".into()];
    facts.image.cmd = vec!["serve".into(), "--port".into(), "80".into()];
    facts.image.working_dir = "/srv".into();
    facts.image.user = "www-data".into();
    facts
}

/// One that is covered, one that is ours, one that is none, two that are made.
fn image_with_volumes() -> Facts {
    let mut facts = with_volumes(facts(), &[("/home/me/data".into(), true)]);
    facts.image.volumes = ["/data/cache", "/proc/x", "../up", "/", "/var/lib/db", "/srv"].map(Raw::from).into();
    facts
}

fn volumes_covered() -> Spec {
    Spec { volumes: vec![Volume::parse("/home/me/data:/data".as_ref()).unwrap()], ..spec() }
}

fn whiteouts_as_files() -> Facts {
    let mut facts = Facts { fuse: Ability::Works("/usr/bin/fuse-overlayfs".into()), ..facts() };
    facts.image.plain_whiteouts = true;
    facts
}

pub fn with_volumes(facts: Facts, volumes: &[(Raw, bool)]) -> Facts {
    let volumes = volumes.iter().map(|(path, folder)| Source { path: path.clone(), folder: *folder }).collect();
    Facts { volumes, ..facts }
}

/// `run sh -c 'echo hello'` without a terminal, standard input handed on.
fn spec() -> Spec {
    let command = ["sh", "-c", "echo hello"].map(Raw::from).into();
    Spec { rootfs: Rootfs::Image("ubuntu:22.04".into()), command, stdin: true, ..Spec::default() }
}

fn case(name: &'static str, spec: Spec, facts: Facts) -> Case {
    Case { name, spec, facts }
}

/// Every case.
pub fn all() -> Vec<Case> {
    let mut all = ids();
    all.extend(storage());
    all.extend(mounts());
    all.extend(process());
    all.extend(errors());
    all.extend(limits::cases());
    all.extend(limits::errors());
    all
}

fn ids() -> Vec<Case> {
    let keep = || Spec { userns: Userns::KeepId, ..spec() };
    let two = |count| vec![Range { start: 100_000, count }, Range { start: 500_000, count: 1000 }];
    let mut two_ranges = facts();
    if let SubIds::Helpers { uid, gid, .. } = &mut two_ranges.ids {
        (*uid, *gid) = (two(500), two(600));
    }
    vec![
        case("default", spec(), facts()),
        case("range-asked-for", Spec { userns: Userns::Range, ..spec() }, facts()),
        case("range-of-two", keep(), two_ranges),
        case("single-with-note", spec(), without_range()),
        case("single-asked-for", Spec { userns: Userns::Single, ..spec() }, facts()),
        case("keep-id-range", keep(), facts()),
        case("keep-id-single", keep(), without_range()),
        case("privileged", spec(), as_root()),
        case("privileged-single", Spec { userns: Userns::Single, ..spec() }, as_root()),
    ]
}

fn storage() -> Vec<Case> {
    let by = |storage| Spec { storage, ..spec() };
    vec![
        case("overlay-volatile", Spec { remove: true, ..spec() }, facts()),
        case("fuse-instead", spec(), without_overlay()),
        case("fuse-asked-for", by(Storage::FuseOverlayfs), facts()),
        case("copy-instead", spec(), without_any_overlay()),
        case("copy-asked-for", by(Storage::Copy), facts()),
        case("host-image", Spec { rootfs: Rootfs::Host, ..spec() }, host_image(facts())),
        case("host-image-fuse", Spec { rootfs: Rootfs::Host, ..spec() }, host_image(without_overlay())),
        case("named", Spec { name: Some("web-1".into()), ..spec() }, facts()),
    ]
}

fn mounts() -> Vec<Case> {
    let volume = |text: &str| Volume::parse(OsStr::new(text)).unwrap();
    let tmpfs = |text: &str| Tmpfs::parse(OsStr::new(text)).unwrap();
    // Typed from the deepest to the highest: the plan must turn them round.
    let nested = Spec {
        volumes: vec![volume("data:/srv/data/deep:ro"), volume("./a file:/srv/data/file"), volume("/src:/srv")],
        tmpfs: vec![tmpfs("/srv/data:size=64m,mode=755"), tmpfs("/run:exec,ro")],
        ..spec()
    };
    let sources = [("/w/data".into(), true), ("/w/a file".into(), false), ("/src".into(), true)];
    vec![
        case("volumes-nested", nested, with_volumes(facts(), &sources)),
        case("read-only", Spec { read_only: true, ..spec() }, facts()),
        case("network-none", Spec { network: Network::None, ..spec() }, facts()),
        case("no-cgroup2", spec(), Facts { cgroup2: false, ..facts() }),
    ]
}

fn process() -> Vec<Case> {
    let words = |all: &[&str]| all.iter().copied().map(Raw::from).collect();
    let everything = Spec {
        env: words(&["COLOR=blue", "HOSTNAME=other", "EMPTY="]),
        workdir: Some("relative/place".into()),
        user: "web:33".parse().ok(),
        hostname: Some("box".into()),
        entrypoint: Some("/bin/busybox".into()),
        command: words(&["echo", "two words", "it's", ""]),
        ..spec()
    };
    vec![
        case("terminal", Spec { terminal: true, ..spec() }, facts()),
        case(
            "terminal-of-unknown-size",
            Spec { terminal: true, ..spec() },
            Facts { window: None, term: None, ..facts() },
        ),
        case("no-input", Spec { stdin: false, ..spec() }, facts()),
        case("init", Spec { init: true, ..spec() }, facts()),
        case("no-command", Spec { command: Vec::new(), ..spec() }, facts()),
        case("image-with-config", Spec { command: Vec::new(), ..spec() }, image_with_config()),
        case("image-with-config-and-command", spec(), image_with_config()),
        case("volumes-of-the-image", volumes_covered(), image_with_volumes()),
        case("volumes-of-the-image-read-only", Spec { read_only: true, ..volumes_covered() }, image_with_volumes()),
        case("whiteouts-as-files", spec(), whiteouts_as_files()),
        case("user-workdir-hostname-entrypoint", everything, image_with_config()),
        case("entrypoint-cleared", Spec { entrypoint: Some("".into()), ..spec() }, image_with_config()),
    ]
}

fn errors() -> Vec<Case> {
    let by = |storage| Spec { storage, ..spec() };
    let mut bad_user = facts();
    bad_user.image.user = "a b".into();
    vec![
        case("error-range-without-one", Spec { userns: Userns::Range, ..spec() }, without_range()),
        case("error-overlay", by(Storage::Overlay), without_overlay()),
        case("error-fuse", by(Storage::FuseOverlayfs), without_any_overlay()),
        case("error-copy-of-host", by(Storage::Copy), host_image(facts())),
        case("error-nothing-for-host", spec(), host_image(without_any_overlay())),
        case("error-empty-command", Spec { command: vec!["".into()], ..spec() }, facts()),
        case("error-user-of-image", spec(), bad_user),
    ]
}
