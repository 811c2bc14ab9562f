//! One arm for each step: one system call or one idiom.

use super::{Failure, Inside, Roots};
use crate::{
    plan::{InitStep, security, step::Overlay},
    spec::{
        Raw,
        limits::{Bound, Ulimit},
    },
    sys::{
        clone, code, cred, limit, mount,
        mount::Attributes,
        process, seccomp,
        target::{self, Kind},
    },
};
use std::{
    fmt::Write,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

/// How long fuse-overlayfs may take to mount.
const FUSE_PATIENCE: Duration = Duration::from_secs(20);

/// Bytes that mount(2) takes as options: one page, with a zero at its end.
const OPTIONS_MAX: usize = 4096;

/// For what holds data of the kernel, never programs or devices.
const NOTHING: Attributes = Attributes { read_only: false, no_suid: true, no_dev: true, no_exec: true };

impl Inside {
    /// Does what the step says.
    pub(super) fn apply(&mut self, step: &InitStep) -> Result<(), Failure> {
        match step {
            InitStep::PrivateMounts => mount::make_private()?,
            InitStep::MountOverlay { overlay, volatile } => {
                mount_overlay(overlay, *volatile)?;
                self.layered.push(overlay.target.clone());
            }
            InitStep::AwaitFuse { target } => {
                self.await_fuse(target)?;
                self.layered.push(target.clone());
            }
            InitStep::OwnNetwork => clone::new_network_namespace()?,
            InitStep::OwnCgroup => clone::new_cgroup_namespace()?,
            InitStep::Affinity { cpus } => limit::set_affinity(cpus)?,
            InitStep::OomScoreAdj { value } => oom_score_adj(*value)?,
            InitStep::Rlimit { limit } => set_rlimit(limit)?,
            InitStep::AwaitGo => self.await_go()?,
            InitStep::OwnMounts => clone::new_mount_namespace()?,
            InitStep::BindRoot { source, target } => {
                mount::bind(source.path(), target.path())?;
                self.layered.push(target.clone());
            }
            InitStep::EnterRoot { root } => self.enter_root(root)?,
            InitStep::MountTmpfs { target, data, exec, read_only } => {
                self.mount_tmpfs(target, data, *exec, *read_only)?
            }
            InitStep::Device { name } => self.device(name)?,
            InitStep::Link { name, to } => target::make_link(self.dev()?.as_fd(), name, to)?,
            InitStep::MountDevpts { gid } => self.mount_devpts(*gid)?,
            InitStep::MountShm => self.mount_in_dev("tmpfs", "shm", "mode=1777,size=64m")?,
            InitStep::MountMqueue => self.mount_in_dev("mqueue", "mqueue", "")?,
            InitStep::MountProc => self.mount_proc()?,
            InitStep::MountSys => self.mount_sys()?,
            InitStep::BindSys => self.bind_sys()?,
            InitStep::MountCgroup => self.mount_cgroup()?,
            InitStep::File { target, content } => self.file(target, content)?,
            InitStep::Bind { source, target, folder, read_only } => self.bind(source, target, *folder, *read_only)?,
            InitStep::Folder { path } => drop(self.place(path.path(), Kind::Folder)?),
            InitStep::OpenTerminal { size, stderr } => self.open_terminal(*size, *stderr)?,
            InitStep::NoInput => self.no_input()?,
            InitStep::Mask { path } => self.mask(path.path())?,
            InitStep::ReadOnlyPath { path } => self.read_only_path(path.path())?,
            InitStep::LeaveOldRoot => self.leave_old_root()?,
            InitStep::ReadOnlyRoot => self.read_only_root()?,
            InitStep::Hostname { name } => process::set_hostname(name)?,
            InitStep::Loopback => process::loopback_up()?,
            InitStep::WorkDir { path } => {
                let dir = self.place(path.path(), Kind::Folder)?;
                process::change_dir_fd(dir.as_fd())?;
            }
            InitStep::LimitCapabilities { keep } => cred::limit_bounding_set(security::capability_bits(keep))?,
            InitStep::Become { user } => self.become_user(user)?,
            InitStep::NoNewPrivs => cred::no_new_privs()?,
            InitStep::RefuseCalls { names } => seccomp::refuse(names)?,
            InitStep::Reaper => super::reaper::split()?,
            InitStep::Exec { args, env, foreign } => return Err(super::exec::exec(self, args, env, *foreign)),
        }
        Ok(())
    }

    /// A launcher that has died says nothing any more: the end of the channel.
    fn await_go(&self) -> io::Result<()> {
        if self.channel.await_go()? { Ok(()) } else { Err(crate::sys::errno(code::EPERM)) }
    }

    /// Waits for the mount, not for the program: when that fails, the launcher ends us and says why.
    fn await_fuse(&self, target: &Raw) -> Result<(), Failure> {
        let start = Instant::now();
        let mut pause = Duration::from_micros(200);
        while !is_mounted(target.path())? {
            if !self.channel.launcher_lives() || start.elapsed() > FUSE_PATIENCE {
                return Err(Failure::with(crate::sys::errno(code::ENODEV), "fuse-overlayfs did not mount in time"));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Both roots are `.` for pivot_root: the old one then lies on top, and paths from `/` start below it, in the new one.
    fn enter_root(&mut self, root: &Raw) -> io::Result<()> {
        let old = target::open_dir(Path::new("/"))?;
        process::change_dir(root.path())?;
        mount::pivot_root()?;
        let new = target::open_dir(Path::new("/"))?;
        for place in std::mem::take(&mut self.layered) {
            let below = place.path().strip_prefix(root).unwrap_or(place.path());
            self.own.push(target::mount_of(target::open(new.as_fd(), below)?.as_fd())?);
        }
        self.roots = Some(Roots { new, old });
        Ok(())
    }

    /// A place to mount on, made where it is missing. Nothing is made in a folder of the machine.
    pub(super) fn place(&self, path: &Path, kind: Kind) -> Result<OwnedFd, Failure> {
        target::open_or_make(self.roots()?.new.as_fd(), path, kind, Some(&self.own)).map_err(|e| {
            let foreign = e.raw_os_error() == Some(code::EROFS);
            let detail = if foreign { format!("{} is not there", path.display()) } else { String::new() };
            Failure::with(e, detail)
        })
    }

    fn read_only_root(&self) -> Result<(), Failure> {
        let root = target::open(self.roots()?.new.as_fd(), Path::new("/"))?;
        let read_only = Attributes { read_only: true, ..Attributes::default() };
        Ok(change(&root, read_only, false, Path::new("/"))?)
    }

    fn leave_old_root(&mut self) -> Result<(), Failure> {
        let Some(Roots { new, old }) = self.roots.take() else { return Ok(()) };
        process::change_dir_fd(old.as_fd())?;
        mount::detach_here()?;
        process::change_dir_fd(new.as_fd())?;
        drop(old);
        let old = target::open_dir(Path::new("/"))?;
        // From here on the old root is the new one: no descriptor of the machine is left.
        self.roots = Some(Roots { new, old });
        Ok(())
    }

    /// Mounts a kernel file system on a folder of the root that must not be a link.
    fn mount_at(&self, fs: &str, path: &Path, attributes: Attributes, data: &str) -> Result<(), Failure> {
        let root = self.roots()?.new.as_fd();
        self.place(path, Kind::Folder)?;
        let place = plain(root, path)?;
        process::change_dir_fd(place.as_fd())?;
        Ok(mount::mount_new(fs, Path::new("."), attributes, data.as_bytes())?)
    }

    fn mount_tmpfs(&mut self, target: &Raw, data: &str, exec: bool, read_only: bool) -> Result<(), Failure> {
        let attributes = Attributes { no_exec: !exec, no_suid: true, no_dev: true, read_only };
        if target.path() == Path::new("/dev") {
            // Bound devices must stay usable: nodev concerns device files of this tmpfs, and there will be none.
            self.mount_at("tmpfs", target.path(), attributes, data)?;
            let dev = plain(self.roots()?.new.as_fd(), target.path())?;
            self.own.push(target::mount_of(dev.as_fd())?);
            self.dev = Some(dev);
            return Ok(());
        }
        let place = self.place(target.path(), Kind::Folder)?;
        process::change_dir_fd(place.as_fd())?;
        mount::mount_new("tmpfs", Path::new("."), attributes, data.as_bytes())?;
        self.own.push(target::mount_of(target::open(self.roots()?.new.as_fd(), target.path())?.as_fd())?);
        Ok(())
    }

    fn device(&self, name: &str) -> Result<(), Failure> {
        let source = Path::new("dev").join(name);
        let tree = match mount::clone_tree(self.roots()?.old.as_fd(), &source, false) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(self
                    .channel
                    .warn(&format!("this machine has no /dev/{name}, so the container has none"))?);
            }
            tree => tree?,
        };
        // Devices can be written to all the same; what is refused is to change mode, owner or times of the machine's own file,
        // as root could where root outside runs the container. Before Linux 5.12 that is left to the id map.
        let read_only = Attributes { read_only: true, ..Attributes::default() };
        match mount::set_attributes(tree.as_fd(), read_only, false) {
            Err(e) if e.raw_os_error() != Some(code::ENOSYS) => return Err(e.into()),
            _ => {}
        }
        let dev = self.dev()?.as_fd();
        target::make_file(dev, name)?;
        Ok(mount::attach(tree.as_fd(), dev, Path::new(name))?)
    }

    fn mount_in_dev(&self, fs: &str, name: &str, data: &str) -> Result<(), Failure> {
        let dev = self.dev()?.as_fd();
        target::make_folder(dev, name, 0o755)?;
        process::change_dir_fd(dev)?;
        Ok(mount::mount_new(fs, Path::new(name), NOTHING, data.as_bytes())?)
    }

    fn mount_devpts(&self, gid: Option<u32>) -> Result<(), Failure> {
        let dev = self.dev()?.as_fd();
        target::make_folder(dev, "pts", 0o755)?;
        process::change_dir_fd(dev)?;
        let mut data = String::from("newinstance,ptmxmode=0666,mode=0620");
        if let Some(gid) = gid {
            let _ = write!(data, ",gid={gid}");
        }
        let attributes = Attributes { no_dev: false, ..NOTHING };
        Ok(mount::mount_new("devpts", Path::new("pts"), attributes, data.as_bytes())?)
    }

    /// Inside another container a new /proc is refused when parts of the outer one are masked (mount_too_revealing).
    fn mount_proc(&self) -> Result<(), Failure> {
        match self.mount_at("proc", Path::new("/proc"), NOTHING, "") {
            Err(failure) if failure.errno == code::EPERM => {
                let tree = mount::clone_tree(self.roots()?.old.as_fd(), Path::new("proc"), true)?;
                self.attach_plain(&tree, Path::new("/proc"))?;
                Ok(self.channel.warn(
                    "the kernel refuses a new /proc here, as it does inside other containers: the surrounding one is shown, so \
                     that the command sees processes outside of it",
                )?)
            }
            done => done,
        }
    }

    fn mount_sys(&self) -> Result<(), Failure> {
        match self.mount_at("sysfs", Path::new("/sys"), Attributes { read_only: true, ..NOTHING }, "") {
            Err(failure) if failure.errno == code::EPERM => self.bind_sys(),
            done => done,
        }
    }

    fn bind_sys(&self) -> Result<(), Failure> {
        let tree = mount::clone_tree(self.roots()?.old.as_fd(), Path::new("sys"), true)?;
        self.place(Path::new("/sys"), Kind::Folder)?;
        let read_only = Attributes { read_only: true, ..NOTHING };
        let early = mount::set_attributes(tree.as_fd(), read_only, true);
        self.attach_plain(&tree, Path::new("/sys"))?;
        if early.is_err() {
            mount::remount_bind(Path::new("/sys"), read_only)?;
        }
        Ok(())
    }

    /// Not everywhere: a kernel without cgroup2, or an outer container that hides it. Nothing depends on it.
    fn mount_cgroup(&self) -> Result<(), Failure> {
        let Ok(place) = target::open_plain(self.roots()?.new.as_fd(), Path::new("/sys/fs/cgroup")) else {
            return Ok(());
        };
        let read_only = Attributes { read_only: true, ..NOTHING };
        let mounted = mount::mount_detached("cgroup2", read_only)
            .and_then(|tree| mount::attach(tree.as_fd(), place.as_fd(), Path::new("")));
        match mounted {
            Err(e) if self.explain.is_some() => {
                crate::say::not_done(&e);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn attach_plain(&self, tree: &OwnedFd, path: &Path) -> Result<(), Failure> {
        let place = plain(self.roots()?.new.as_fd(), path)?;
        Ok(mount::attach(tree.as_fd(), place.as_fd(), Path::new(""))?)
    }
}

/// Whether fuse-overlayfs is mounted on this very folder; the one around it may be such a mount itself.
fn is_mounted(folder: &Path) -> io::Result<bool> {
    use std::{fs::metadata, os::unix::fs::MetadataExt};
    let around = folder.parent().unwrap_or(folder);
    Ok(mount::file_system(folder)?.kind == mount::magic::FUSE && metadata(folder)?.dev() != metadata(around)?.dev())
}

/// The place at `path`, which the image must not have made a link.
pub(super) fn plain(root: std::os::fd::BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Failure> {
    target::open_plain(root, path).map_err(|e| {
        let link = e.raw_os_error() == Some(code::ELOOP);
        let detail =
            if link { format!("the image has a link in the place of {}", path.display()) } else { String::new() };
        Failure::with(e, detail)
    })
}

/// Adds attributes to a mount in the one way or, on an older kernel, in the other.
pub(super) fn change(tree: &OwnedFd, attributes: Attributes, recursive: bool, path: &Path) -> io::Result<()> {
    match mount::set_attributes(tree.as_fd(), attributes, recursive) {
        Err(e) if e.raw_os_error() == Some(code::ENOSYS) => mount::remount_bind(path, attributes),
        done => done,
    }
}

fn mount_overlay(overlay: &Overlay, volatile: bool) -> io::Result<()> {
    // userxattr: a user namespace may not write the trusted.* ones (overlayfs.rst).
    let rest: &[u8] = if volatile { b",userxattr,volatile" } else { b",userxattr" };
    let mut data = overlay.options();
    let mut open = Vec::new();
    if data.len() + rest.len() >= OPTIONS_MAX {
        // Many layers: by descriptors, whose paths are short. They need only last as long as the call.
        let mut short = overlay.clone();
        for layer in &mut short.lower {
            let folder = crate::sys::dir::open_root(layer.path())?;
            *layer = Raw::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
            open.push(folder);
        }
        data = short.options();
    }
    data.extend(rest);
    mount::mount_new("overlay", overlay.target.path(), Attributes::default(), &data)
}

/// By the machine's /proc, which is still there.
fn oom_score_adj(value: i16) -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", value.to_string())
}

fn set_rlimit(wanted: &Ulimit) -> io::Result<()> {
    let number = |bound| match bound {
        Bound::Of(n) => Some(n),
        Bound::Unlimited => None,
    };
    limit::set_rlimit(wanted.resource.name(), number(wanted.soft), number(wanted.hard))
}
