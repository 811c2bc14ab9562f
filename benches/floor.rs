//! The floor: what a start cannot do without, and nothing else. The bench program starts itself again as this.
//!
//! No image is looked up, no state kept, nothing checked, nothing masked: one clone3(2) into every namespace, the id maps, a
//! private mount tree, an overlay with /proc, /sys and /dev on it, the loopback device, a name, the new root, the command.

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::wait::{WaitStatus, waitpid},
    unistd::{Gid, Pid, Uid, chdir, execv, getgid, getuid, mkdir, pivot_root, setresgid, setresuid, symlinkat},
};
use std::{
    ffi::{CString, OsString},
    fs, io,
    io::{PipeReader, Read, Write},
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::Path,
    process::{Command, Stdio},
};

/// The first word by which the bench program knows that it is to be the floor.
pub const WORD: &str = "--as-floor";

const SPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWNET;

/// `PLACE SUBUID SUBGID COMMAND…`: PLACE holds lower, upper, work and merged; with `-` for both, a single id is mapped.
pub fn main(words: &[OsString]) -> u8 {
    let [place, subuid, subgid, command @ ..] = words else { return 125 };
    match start(Path::new(place), &subuid.to_string_lossy(), &subgid.to_string_lossy(), command) {
        Ok(status) => status,
        Err(e) => {
            eprintln!("floor: {e}");
            125
        }
    }
}

fn start(place: &Path, subuid: &str, subgid: &str, command: &[OsString]) -> io::Result<u8> {
    let (wait, mut go) = io::pipe()?;
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    // SAFETY: clone_args is plain data; zeroes mean «none».
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = SPACES as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: no stack is given and there is one thread, so that the child goes on as after fork(2).
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match pid {
        0 => {
            let e = inside(wait, place, command).err().unwrap_or(io::Error::last_os_error());
            eprintln!("floor, inside: {e}");
            // SAFETY: _exit(2) has no condition.
            unsafe { libc::_exit(125) }
        }
        pid if pid > 0 => {
            if subuid == "-" {
                let write = |file: &str, text: String| fs::write(format!("/proc/{pid}/{file}"), text);
                write("setgroups", "deny".into())?;
                write("uid_map", format!("0 {uid} 1"))?;
                write("gid_map", format!("0 {gid} 1"))?;
            } else {
                let both = [("newuidmap", uid, subuid), ("newgidmap", gid, subgid)];
                let helpers = both.map(|(program, own, sub)| helper(program, pid, own, sub));
                for helper in helpers {
                    if !helper?.wait()?.success() {
                        return Err(io::Error::other("the id maps were not written"));
                    }
                }
            }
            go.write_all(b"x")?;
            match waitpid(Pid::from_raw(pid as i32), None)? {
                WaitStatus::Exited(_, status) => Ok(status as u8),
                other => Err(io::Error::other(format!("{other:?}"))),
            }
        }
        _ => Err(io::Error::last_os_error()),
    }
}

fn helper(program: &str, pid: i64, own: u32, sub: &str) -> io::Result<std::process::Child> {
    let words = ["0".to_owned(), own.to_string(), "1".into(), "1".into(), sub.into(), "65535".into()];
    let mut command = Command::new(Path::new("/usr/bin").join(program));
    command.arg(pid.to_string()).args(words).stdin(Stdio::null()).spawn()
}

fn inside(mut wait: PipeReader, place: &Path, command: &[OsString]) -> io::Result<()> {
    wait.read_exact(&mut [0])?;
    setresgid(Gid::from_raw(0), Gid::from_raw(0), Gid::from_raw(0))?;
    setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0))?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let part = |name: &str| place.join(name).display().to_string();
    let layers = format!("lowerdir={},upperdir={},workdir={},userxattr", part("lower"), part("upper"), part("work"));
    let new = |kind: &str, at: &str, flags, data: &str| mount(Some(kind), at, Some(kind), flags, Some(data));
    new("overlay", &part("merged"), MsFlags::empty(), &layers)?;
    chdir(&place.join("merged"))?;
    let nothing = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    new("proc", "proc", nothing, "")?;
    new("sysfs", "sys", nothing | MsFlags::MS_RDONLY, "")?;
    new("tmpfs", "dev", MsFlags::MS_NOSUID, "mode=755,size=64m")?;
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let (from, to) = (Path::new("/dev").join(name), Path::new("dev").join(name));
        fs::File::create(&to)?;
        mount(Some(&from), &to, none, MsFlags::MS_BIND, none)?;
    }
    for name in ["dev/pts", "dev/shm", "dev/mqueue"] {
        mkdir(name, nix::sys::stat::Mode::from_bits_truncate(0o755))?;
    }
    new("devpts", "dev/pts", MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")?;
    new("tmpfs", "dev/shm", nothing, "mode=1777,size=64m")?;
    new("mqueue", "dev/mqueue", nothing, "")?;
    symlinkat("/proc/self/fd", nix::fcntl::AT_FDCWD, "dev/fd")?;
    symlinkat("pts/ptmx", nix::fcntl::AT_FDCWD, "dev/ptmx")?;
    loopback()?;
    nix::unistd::sethostname("floor")?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    let words = command.iter().map(|w| CString::new(w.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    execv(words.first().ok_or(io::ErrorKind::InvalidInput)?, &words)?;
    Ok(())
}

fn loopback() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: ifreq is plain data; zeroes are a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as _, b'o' as _]);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as _;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which outlives the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
