//! The commands that are compared: the floor, others' programs, and our own in its variants.

use crate::{floor, measure::Contender, support::Ground};
use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The program that every container runs.
const TRUE: &str = "/bin/true";
/// Containers that lie about in the store of one variant.
pub const STOPPED: usize = 1000;

/// A file system for each, as some write into theirs, and what else they need.
pub struct Place<'a> {
    pub ground: &'a Ground,
    own: PathBuf,
    range: Option<(u32, u32)>,
}

impl<'a> Place<'a> {
    pub fn new(ground: &'a Ground) -> Place<'a> {
        let own = ground.path("bench");
        fs::copy(std::env::current_exe().unwrap(), &own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
        let root = ground.rootfs();
        ["proc", "sys", "dev"].iter().for_each(|name| folder(ground, &root.join(name)));
        let range = first_range(ground, "/etc/subuid").zip(first_range(ground, "/etc/subgid"));
        Place { ground, own, range }
    }

    pub fn has_range(&self) -> bool {
        self.range.is_some() && crate::support::find("newuidmap").is_some()
    }

    /// A copy of the root file system.
    fn root(&self, name: &str) -> PathBuf {
        let root = self.ground.path(name);
        crate::support::copy_tree(&self.ground.rootfs(), &root);
        root
    }

    fn ours(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = self.ground.command(program);
        command.args(["run", "--network", "none"]).args(words);
        command
    }

    /// Our own program, or another build of it, on the folder that all of them start from.
    pub fn us(&self, name: &str, program: &Path, words: &[&str]) -> Contender<'a> {
        let mut words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        words.extend(["--rootfs".into(), self.ground.rootfs().display().to_string(), TRUE.into()]);
        let (ground, program) = (self.ground, program.to_owned());
        let place = Place { ground, own: self.own.clone(), range: self.range };
        Contender::new(name, move |_| place.ours(&program, &words.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    /// Our own program with an image of the store.
    pub fn by_name(&self, program: &Path) -> Contender<'a> {
        let mut import = self.ground.command(program);
        import.args(["import", "busybox"]).arg(self.ground.rootfs());
        quiet(&mut import);
        let place = Place { ground: self.ground, own: self.own.clone(), range: self.range };
        let program = program.to_owned();
        Contender::new("image by name", move |_| place.ours(&program, &["--rm", "busybox", TRUE]))
    }

    /// The bare system calls.
    pub fn floor(&self, range: bool) -> Contender<'a> {
        let place = self.ground.path(if range { "floor-range" } else { "floor" });
        ["", "upper", "work", "merged"].iter().for_each(|name| folder(self.ground, &place.join(name)));
        crate::support::copy_tree(&self.ground.rootfs(), &place.join("lower"));
        let sub = self.range.filter(|_| range);
        let words = sub.map_or(["-".into(), "-".into()], |(uid, gid)| [uid, gid].map(|n| n.to_string()));
        let (own, ground) = (self.own.clone(), self.ground);
        Contender::new("bare system calls", move |_| {
            let mut command = ground.command(&own);
            command.arg(floor::WORD).arg(&place).args(&words).arg(TRUE);
            command
        })
    }

    pub fn bwrap(&self) -> Contender<'a> {
        let (root, ground) = (self.root("bwrap"), self.ground);
        Contender::new("bwrap", move |_| {
            let mut command = ground.command("bwrap");
            command.args(["--unshare-all", "--bind"]).arg(&root).args(["/", "--proc", "/proc", "--dev", "/dev", TRUE]);
            command
        })
    }

    /// The same mounts, files, masks and limits as ours, as far as bwrap can be told: all but the copy-on-write layer.
    pub fn bwrap_same_work(&self) -> Contender<'a> {
        let (root, ground) = (self.root("bwrap-same"), self.ground);
        for name in ["hosts", "hostname", "resolv.conf"] {
            fs::write(root.join("etc").join(name), "").unwrap();
        }
        let file = ground.file("etc-file", "");
        Contender::new("bwrap, the same mounts", move |_| {
            let mut command = ground.command("bwrap");
            command.args(["--unshare-all", "--die-with-parent", "--new-session", "--hostname", "box", "--bind"]);
            command.arg(&root).args(["/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm"]);
            command.args(["--mqueue", "/dev/mqueue", "--ro-bind", "/sys", "/sys"]);
            for name in ["hosts", "hostname", "resolv.conf"] {
                command.arg("--bind").arg(&file).arg(format!("/etc/{name}"));
            }
            for masked in
                ["/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/acpi", "/sys/firmware"]
            {
                match fs::metadata(masked) {
                    Ok(m) if m.is_dir() => command.args(["--tmpfs", masked]),
                    Ok(_) => command.args(["--ro-bind", "/dev/null", masked]),
                    Err(_) => &mut command,
                };
            }
            for read_only in ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"] {
                command.args(["--ro-bind", read_only, read_only]);
            }
            command.args(["--cap-drop", "ALL", "--chdir", "/", TRUE]);
            command
        })
    }

    /// A bundle as `crun spec --rootless` makes it, with our root, our command, and every namespace that we make.
    pub fn crun(&self, range: bool) -> Contender<'a> {
        let (name, ground) = (if range { "crun-range" } else { "crun" }, self.ground);
        let bundle = ground.path(name);
        folder(ground, &bundle);
        quiet(ground.command("crun").args(["spec", "--rootless"]).current_dir(&bundle));
        let root = self.root(&format!("{name}/rootfs"));
        let config = bundle.join("config.json");
        let text = fs::read(&config).unwrap_or_else(|_| b"{}".into());
        let mut spec: serde_json::Value = serde_json::from_slice(&text).unwrap();
        spec["root"] = serde_json::json!({ "path": root, "readonly": false });
        spec["process"]["args"] = serde_json::json!([TRUE]);
        spec["process"]["terminal"] = false.into();
        if let Some(all) = spec["linux"]["namespaces"].as_array_mut() {
            all.push(serde_json::json!({ "type": "cgroup" }));
        }
        if let Some((uid, gid)) = self.range.filter(|_| range) {
            let map = |own: u32, sub: u32| {
                serde_json::json!([
                    { "containerID": 0, "hostID": own, "size": 1 },
                    { "containerID": 1, "hostID": sub, "size": 65_535 }
                ])
            };
            spec["linux"]["uidMappings"] = map(ground.user.uid, uid);
            spec["linux"]["gidMappings"] = map(ground.user.gid, gid);
        }
        fs::write(&config, spec.to_string()).unwrap();
        ground.own(&config);
        Contender::new("crun", move |round| {
            let mut command = ground.command("crun");
            command.args(["--cgroup-manager=disabled", "run", "--bundle"]).arg(&bundle);
            command.arg(format!("lc-bench-{}-{round}", std::process::id()));
            command
        })
    }

    pub fn podman(&self) -> Contender<'a> {
        let (root, ground) = (self.root("podman"), self.ground);
        let podman = Contender::new("podman", move |_| {
            let mut command = ground.command("podman");
            command.args(["run", "--rm", "--network", "none", "--rootfs"]).arg(&root).arg(TRUE);
            command
        });
        podman.every(10)
    }

    /// A store in which many containers have ended, as `run` without `--rm` leaves them.
    pub fn crowded(&self, program: &Path) -> PathBuf {
        let store = self.ground.path("work/crowded");
        let words = ["--store", store.to_str().unwrap()];
        quiet(self.ours(program, &words).arg("--rootfs").arg(self.ground.rootfs()).arg(TRUE));
        let containers = store.join("containers");
        let Some(first) = fs::read_dir(&containers).into_iter().flatten().flatten().next() else { return store };
        let id = first.file_name().into_string().unwrap();
        let record = fs::read_to_string(first.path().join("container.json")).unwrap();
        for n in 1..STOPPED {
            let other = format!("{n:064x}");
            let place = containers.join(&other);
            ["", "upper", "work"].iter().for_each(|name| folder(self.ground, &place.join(name)));
            fs::write(place.join("container.json"), record.replace(&id, &other)).unwrap();
            self.ground.own(&place.join("container.json"));
        }
        store
    }

    /// Takes away what plain removal cannot: files of mapped owners, and podman's process that waits for the next call.
    pub fn clear(&self, program: &Path, stores: &[PathBuf]) {
        for store in stores {
            let ids = fs::read_dir(store.join("containers")).into_iter().flatten().flatten().map(|e| e.file_name());
            for some in ids.collect::<Vec<_>>().chunks(100) {
                quiet(self.ground.command(program).arg("--store").arg(store).args(["rm", "-f"]).args(some));
            }
        }
        let storage = self.ground.path("home/.local/share/containers");
        if storage.exists() {
            quiet(self.ground.command("podman").args(["unshare", "rm", "-rf"]).arg(storage));
            crate::measure::end_pause(&self.ground.path("run"));
        }
    }
}

/// A folder of the user's; for the ground itself, whatever was there stays.
fn folder(ground: &Ground, path: &Path) {
    fs::create_dir_all(path).unwrap();
    ground.own(path);
}

/// Runs it and says in one line when it failed.
fn quiet(command: &mut Command) {
    let program = command.get_program().to_owned();
    match command.output() {
        Ok(out) if out.status.success() => {}
        Ok(out) => println!("{}: {}", program.display(), String::from_utf8_lossy(&out.stderr).trim()),
        Err(e) => println!("{}: {e}", program.display()),
    }
}

fn first_range(ground: &Ground, file: &str) -> Option<u32> {
    let name = nix::unistd::User::from_uid(ground.user.uid.into()).ok()??.name;
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix(':')?.split(':').next()?.parse().ok())
}

/// Whether a peer is there; a line where it is not.
pub fn installed(program: &str) -> bool {
    let there = crate::support::find(program).is_some();
    if !there {
        println!("{program} is left out: it is not installed");
    }
    there
}

/// A path as a word.
pub fn word(path: &OsStr) -> &str {
    path.to_str().expect("the bench's own paths are text")
}
