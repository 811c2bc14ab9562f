//! The commands that are compared.

use super::{
    floor,
    image::{Image, TAG},
    registry::Registry,
    rounds::Contender,
};
use crate::{
    measure,
    support::{Ground, find, program},
};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// One image, in a registry and as a layout that the user can read.
pub struct Place<'a> {
    ground: &'a Ground,
    /// `127.0.0.1:PORT/NAME:TAG`
    name: String,
    layout: PathBuf,
    /// This program itself, where the user can run it.
    own: PathBuf,
}

impl<'a> Place<'a> {
    pub fn new(ground: &'a Ground, registry: &Registry, image: &Image) -> io::Result<Place<'a>> {
        let own = reachable(ground, &std::env::current_exe()?, "bench")?;
        let layout = ground.path(&format!("layout-{}", image.name));
        link_tree(&image.layout, &layout)?;
        let name = format!("{}/{}:{TAG}", registry.address, image.name);
        Ok(Place { ground, name, layout, own })
    }

    fn contender(&self, name: &str, make: impl Fn(&Path) -> Vec<Command> + 'a) -> Contender<'a> {
        Contender { name: name.into(), ground: self.ground, make: Box::new(make) }
    }

    /// Our own program, and another build of it: with a range of ids where the user has one, and with a single id.
    pub fn ours(&self, alone: Option<&Place<'a>>, against: Option<&Path>) -> Vec<Contender<'a>> {
        let mut all = vec![self.pull("little-container", program())];
        all.extend(alone.map(|alone| alone.pull("little-container, one id", program())));
        match against.map(|other| reachable(self.ground, other, "other-build")) {
            Some(Ok(other)) => {
                all.push(self.pull("the other build", &other));
                all.extend(alone.map(|alone| alone.pull("the other build, one id", &other)));
            }
            Some(Err(e)) => eprintln!("the other build is left out: {e}"),
            None => {}
        }
        all
    }

    fn pull(&self, name: &str, program: &Path) -> Contender<'a> {
        let (ground, image, program) = (self.ground, self.name.clone(), program.to_owned());
        self.contender(name, move |store| {
            let mut command = ground.command(&program);
            command.arg("--store").arg(store.join("store")).args(["-q", "pull", &image]);
            vec![command]
        })
    }

    pub fn others(&self) -> Vec<Contender<'a>> {
        let mut all = Vec::new();
        if installed("skopeo") && installed("umoci") {
            all.push(self.skopeo_umoci());
        }
        if installed("podman") {
            all.push(self.podman());
        }
        all
    }

    /// Fetched into a layout, then unpacked from there.
    fn skopeo_umoci(&self) -> Contender<'a> {
        let (ground, image) = (self.ground, self.name.clone());
        self.contender("skopeo copy, umoci raw unpack", move |folder| {
            let layout = format!("{}:{TAG}", folder.join("layout").display());
            let mut skopeo = ground.command("skopeo");
            skopeo.args(["--insecure-policy", "copy", "-q", "--src-tls-verify=false"]);
            skopeo.arg(format!("docker://{image}")).arg(format!("oci:{layout}"));
            let mut umoci = ground.command("umoci");
            umoci.args(["raw", "unpack", "--rootless", "--image", &layout]).arg(folder.join("rootfs"));
            vec![skopeo, umoci]
        })
    }

    /// With its usual driver; with `vfs` it copies every layer for the next one.
    fn podman(&self) -> Contender<'a> {
        let (ground, image) = (self.ground, self.name.clone());
        // Podman insists on a policy; a user may have one of his own.
        let config = ground.path("home/.config/containers");
        let policy = r#"{ "default": [{ "type": "insecureAcceptAnything" }] }"#;
        let written = fs::create_dir_all(&config).and_then(|()| fs::write(config.join("policy.json"), policy));
        written.unwrap_or_else(|e| eprintln!("{}: {e}", config.display()));
        self.contender("podman pull", move |folder| {
            let mut command = ground.command("podman");
            // Its --runroot may have 50 characters only.
            command.args(["--cgroup-manager=cgroupfs", "--storage-driver", "overlay", "--root"]);
            command.arg(folder.join("root")).arg("--runroot").arg(folder.join("r"));
            command.args(["pull", "-q", "--tls-verify=false"]).arg(format!("docker://{image}"));
            vec![command]
        })
    }

    /// Ends the process that podman leaves behind for its next call.
    pub fn clear(&self) {
        measure::end_pause(&self.ground.path("run"));
    }

    pub fn floors(&self) -> Vec<Contender<'a>> {
        let floor = |what: &'static str, name: &str| {
            let (ground, own, layout) = (self.ground, self.own.clone(), self.layout.clone());
            self.contender(name, move |folder| {
                let mut command = ground.command(&own);
                command.args([floor::WORD, what]).arg(&layout);
                if what == floor::WRITE {
                    command.arg(folder);
                }
                vec![command]
            })
        };
        vec![floor(floor::INFLATE, "floor: hash, inflate, hash"), floor(floor::WRITE, "floor: write the files")]
    }
}

/// The same files at a place that the user can reach: the folders above the cache may be closed to him.
fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (old, new) = (entry.path(), to.join(entry.file_name()));
        if old.is_dir() {
            link_tree(&old, &new)?;
        } else if fs::hard_link(&old, &new).is_err() {
            fs::copy(&old, &new)?;
        }
    }
    Ok(())
}

/// A copy that the user can run.
fn reachable(ground: &Ground, program: &Path, name: &str) -> io::Result<PathBuf> {
    let copy = ground.path(name);
    fs::copy(program, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}

/// Whether a peer is there; a line where it is not.
fn installed(program: &str) -> bool {
    let there = find(program).is_some();
    if !there {
        println!("{program} is left out: it is not installed");
    }
    there
}
