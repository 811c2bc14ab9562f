//! Mounts (mount(2), and the descriptor-based calls since Linux 5.2: open_tree(2), move_mount(2), mount_setattr(2)).

use nix::mount::{MntFlags, MsFlags};
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// Attributes of one mount, as mount_setattr(2) and mount(2) both know them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Writes are refused.
    pub read_only: bool,
    /// setuid bits and file capabilities have no effect.
    pub no_suid: bool,
    /// Device files cannot be opened.
    pub no_dev: bool,
    /// Programs cannot be run.
    pub no_exec: bool,
}

impl Attributes {
    fn flags(self) -> MsFlags {
        let mut flags = MsFlags::empty();
        flags.set(MsFlags::MS_RDONLY, self.read_only);
        flags.set(MsFlags::MS_NOSUID, self.no_suid);
        flags.set(MsFlags::MS_NODEV, self.no_dev);
        flags.set(MsFlags::MS_NOEXEC, self.no_exec);
        flags
    }

    fn bits(self) -> u64 {
        let pick = |on: bool, bit: u64| if on { bit } else { 0 };
        pick(self.read_only, libc::MOUNT_ATTR_RDONLY)
            | pick(self.no_suid, libc::MOUNT_ATTR_NOSUID)
            | pick(self.no_dev, libc::MOUNT_ATTR_NODEV)
            | pick(self.no_exec, libc::MOUNT_ATTR_NOEXEC)
    }
}

/// Cuts every mount of this namespace off from the others, in both directions (mount_namespaces(7)).
pub fn make_private() -> io::Result<()> {
    Ok(nix::mount::mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?)
}

/// Mounts a new file system of kind `fs` on `target`, which is taken relative to the working directory.
pub fn mount_new(fs: &str, target: &Path, attributes: Attributes, data: &[u8]) -> io::Result<()> {
    let data = std::ffi::CString::new(data).map_err(|_| super::errno(libc::EINVAL))?;
    Ok(nix::mount::mount(Some(fs), target, Some(fs), attributes.flags(), Some(data.as_c_str()))?)
}

/// A new mount that is nowhere yet (fsopen(2), fsmount(2)): unlike mount(2), [`attach`] also puts it over one of the same file
/// system.
pub fn mount_detached(fs: &str, attributes: Attributes) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(fs, rustix::mount::FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let flags = [
        (attributes.read_only, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (attributes.no_suid, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (attributes.no_dev, MountAttrFlags::MOUNT_ATTR_NODEV),
        (attributes.no_exec, MountAttrFlags::MOUNT_ATTR_NOEXEC),
    ];
    let flags = flags.iter().filter(|(wanted, _)| *wanted).fold(MountAttrFlags::empty(), |all, (_, flag)| all | *flag);
    Ok(rustix::mount::fsmount(context.as_fd(), rustix::mount::FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}

/// Mounts on `target` what stands at `source`, without what is mounted below it.
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    Ok(nix::mount::mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

/// A copy of the mount at `path` relative to `dir`, attached nowhere (open_tree(2)). An empty path is `dir` itself.
pub fn clone_tree(dir: BorrowedFd<'_>, path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    flags.set(OpenTreeFlags::AT_EMPTY_PATH, path.as_os_str().is_empty());
    Ok(rustix::mount::open_tree(dir, path, flags)?)
}

/// Attaches a tree that [`clone_tree`] made to `path` relative to `dir`, following no link. An empty path is `dir` itself.
pub fn attach(tree: BorrowedFd<'_>, dir: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let mut flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    flags.set(MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH, path.as_os_str().is_empty());
    Ok(rustix::mount::move_mount(tree, c"", dir, path, flags)?)
}

/// Adds attributes to a mount, and to those below it with `recursive` (mount_setattr(2), Linux 5.12).
///
/// Before 5.12 there is only the remount of one mount, so that `recursive` gives ENOSYS where it cannot be kept.
pub fn set_attributes(tree: BorrowedFd<'_>, attributes: Attributes, recursive: bool) -> io::Result<()> {
    // SAFETY: mount_attr is plain data; zeroes are a valid one.
    let mut request: libc::mount_attr = unsafe { std::mem::zeroed() };
    request.attr_set = attributes.bits();
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, and the request is as long as said.
    let rc = unsafe {
        let size = size_of::<libc::mount_attr>();
        libc::syscall(libc::SYS_mount_setattr, tree.as_raw_fd(), c"".as_ptr(), flags, &raw mut request, size)
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Changes the attributes of the mount at `target` in the way before mount_setattr(2).
pub fn remount_bind(target: &Path, attributes: Attributes) -> io::Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | attributes.flags();
    Ok(nix::mount::mount(None::<&str>, target, None::<&str>, flags, None::<&str>)?)
}

/// Exchanges the root of the namespace; with `.` for both, the old root then lies on top of the new (pivot_root(2)).
pub fn pivot_root() -> io::Result<()> {
    Ok(nix::unistd::pivot_root(".", ".")?)
}

/// Takes the mount at the working directory, and everything below it, out of the namespace (umount2(2), MNT_DETACH).
pub fn detach_here() -> io::Result<()> {
    Ok(nix::mount::umount2(".", MntFlags::MNT_DETACH)?)
}

/// What kind of file system this is, and how it is mounted (statfs(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// The magic number of statfs(2).
    pub kind: u64,
    /// Bytes that an ordinary user may still write.
    pub free: u64,
    /// Files that may still be made; 0 where the file system does not count them.
    pub free_inodes: u64,
    /// How it is mounted.
    pub attributes: Attributes,
}

/// Magic numbers of statfs(2) that we tell apart.
pub mod magic {
    /// fuse(4)
    pub const FUSE: u64 = 0x6573_5546;
    /// cgroups(7), version 2
    pub const CGROUP2: u64 = 0x6367_7270;
    /// nfs(5)
    pub const NFS: u64 = 0x6969;
    /// File systems that many machines share, on which the kernel's overlay cannot write and locks are slow.
    pub const NETWORK: &[(u64, &str)] = &[
        (NFS, "nfs"),
        (0x0BD0_0BD0, "lustre"),
        (0x4750_4653, "gpfs"),
        (0xFF53_4D42, "cifs"),
        (0xFE53_4D42, "smb2"),
        (0x00C3_6400, "ceph"),
        (0x0102_1997, "9p"),
        (0x1983_0326, "fhgfs"),
        (0x5346_414F, "afs"),
    ];
}

/// statfs(2) of a path.
pub fn file_system(path: &Path) -> io::Result<FileSystem> {
    let stat = rustix::fs::statfs(path)?;
    let flags = stat.f_flags as u64;
    Ok(FileSystem {
        kind: stat.f_type as u64 & 0xFFFF_FFFF,
        free: stat.f_bavail.saturating_mul(stat.f_bsize as u64),
        free_inodes: if stat.f_files == 0 { 0 } else { stat.f_ffree },
        attributes: Attributes {
            read_only: flags & libc::ST_RDONLY != 0,
            no_suid: flags & libc::ST_NOSUID != 0,
            no_dev: flags & libc::ST_NODEV != 0,
            no_exec: flags & libc::ST_NOEXEC != 0,
        },
    })
}
