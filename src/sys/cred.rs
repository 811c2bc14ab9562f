//! Credentials: ids, groups, capabilities and no_new_privs (credentials(7), capabilities(7)).

use rustix::thread::{CapabilitySet, CapabilitySets};
use std::io;

/// Our real user and group id.
pub fn own_ids() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

/// Our effective user id.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The user name the system's own sources give for a uid (getent(1)): the file, a directory service, systemd.
///
/// By the program and not by getpwuid(3), which loads the services' libraries into us, and into a static build those of
/// another C library.
pub fn user_name(uid: u32) -> Option<String> {
    let program = super::helper::find("getent", std::env::var_os("PATH").as_deref())?;
    let (status, line) = super::helper::output(&program, ["passwd", &uid.to_string()]).ok()?;
    let name = String::from_utf8_lossy(&line).split(':').next()?.to_owned();
    (status.success() && !name.is_empty()).then_some(name)
}

/// Sets all three group ids, then all three user ids (setresgid(2), setresuid(2)).
pub fn set_ids(uid: u32, gid: u32) -> io::Result<()> {
    let gid = nix::unistd::Gid::from_raw(gid);
    nix::unistd::setresgid(gid, gid, gid)?;
    let uid = nix::unistd::Uid::from_raw(uid);
    Ok(nix::unistd::setresuid(uid, uid, uid)?)
}

/// Replaces the supplementary groups (setgroups(2)).
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    let groups: Vec<_> = groups.iter().map(|g| nix::unistd::Gid::from_raw(*g)).collect();
    Ok(nix::unistd::setgroups(&groups)?)
}

/// Promises that no execve(2) will give more privileges than we have (PR_SET_NO_NEW_PRIVS).
pub fn no_new_privs() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Whether a program has file capabilities (the extended attribute security.capability, capabilities(7)).
pub fn has_file_capabilities(program: &std::path::Path) -> bool {
    let mut none: [u8; 0] = [];
    rustix::fs::getxattr(program, "security.capability", &mut none[..]).is_ok_and(|length| length > 0)
}

/// Whether that promise was made already, by us or by an ancestor.
pub fn has_no_new_privs() -> bool {
    rustix::thread::no_new_privs().unwrap_or(false)
}

/// Takes everything that is not in `keep` (bits by capability number) out of the bounding set (PR_CAPBSET_DROP).
pub fn limit_bounding_set(keep: u64) -> io::Result<()> {
    for capability in 0..64 {
        if keep & (1 << capability) != 0 {
            continue;
        }
        // SAFETY: prctl(2) with PR_CAPBSET_DROP takes one number.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            // The first number that the kernel does not know ends the list.
            return match io::Error::last_os_error() {
                e if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
                e => Err(e),
            };
        }
    }
    Ok(())
}

/// Sets the effective and permitted set to `keep`, and leaves the inheritable and ambient ones empty (capset(2)).
pub fn set_capabilities(keep: u64) -> io::Result<()> {
    let keep = CapabilitySet::from_bits_retain(keep);
    rustix::thread::clear_ambient_capability_set()?;
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// Lets a program that we exec have all that we have, also where we are not root (the ambient set of capabilities(7)).
pub fn hand_on_capabilities() -> io::Result<()> {
    let all = rustix::thread::capabilities(None)?.permitted;
    rustix::thread::set_capabilities(None, CapabilitySets { effective: all, permitted: all, inheritable: all })?;
    for one in all.iter() {
        rustix::thread::configure_capability_in_ambient_set(one, true)?;
    }
    Ok(())
}
