//! From an errno to a cause: what on this machine explains the failure, what mends it, and who can do it.

use crate::sys::{code, mount};
use std::{fmt, fs, io, path::Path};

/// One cause and one remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Why.
    pub cause: String,
    /// Who can mend it.
    pub who: Who,
    /// What to do.
    pub remedy: String,
}

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The user.
    You,
    /// Whoever is root on the machine.
    Administrator,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.who {
            Who::You => "you",
            Who::Administrator => "an administrator, once",
        };
        write!(f, "  cause: {}\n  fix ({who}): {}", self.cause, self.remedy)
    }
}

fn advice(who: Who, cause: impl Into<String>, remedy: impl Into<String>) -> Option<Advice> {
    Some(Advice { cause: cause.into(), who, remedy: remedy.into() })
}

/// The kernel's switches that concern user namespaces, as files have them. Read once, so that the rest is a function.
#[derive(Clone, Debug, Default)]
pub struct Switches {
    /// kernel.apparmor_restrict_unprivileged_userns
    pub apparmor: Option<String>,
    /// kernel.unprivileged_userns_clone
    pub clone: Option<String>,
    /// user.max_user_namespaces
    pub limit: Option<String>,
    /// Whether the kernel knows user namespaces at all.
    pub supported: bool,
    /// Seccomp of /proc/self/status: 2 where an outer sandbox filters our calls.
    pub filtered: bool,
    /// How deep we are already, as far as the map shows it.
    pub nested: bool,
    /// The path of this program.
    pub program: String,
}

impl Switches {
    /// Reads them.
    pub fn read() -> Switches {
        let file = |path: &str| fs::read_to_string(path).ok().map(|t| t.trim().to_owned());
        let status = file("/proc/self/status").unwrap_or_default();
        let map = file("/proc/self/uid_map").unwrap_or_default();
        Switches {
            apparmor: file("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            clone: file("/proc/sys/kernel/unprivileged_userns_clone"),
            limit: file("/proc/sys/user/max_user_namespaces"),
            supported: Path::new("/proc/self/ns/user").exists(),
            filtered: status.lines().any(|l| l.split_whitespace().eq(["Seccomp:", "2"])),
            nested: map.split_whitespace().ne(["0", "0", "4294967295"]),
            program: std::env::current_exe()
                .map(|p| p.display().to_string())
                .unwrap_or_else(|_| "little-container".into()),
        }
    }

    fn on(switch: &Option<String>, value: &str) -> bool {
        switch.as_deref() == Some(value)
    }
}

/// Why namespaces cannot be made, or why a fresh one has no rights.
pub fn namespaces(errno: i32, switches: &Switches) -> Option<Advice> {
    use Who::{Administrator, You};
    if !switches.supported || errno == code::EINVAL {
        return advice(
            Administrator,
            "this kernel was built without user namespaces (CONFIG_USER_NS), or lacks another of the namespaces",
            "boot a kernel that has them; those of Debian, Ubuntu, Fedora and RHEL do",
        );
    }
    if errno == code::ENOSPC || errno == code::EUSERS {
        return match switches.limit.as_deref() {
            Some("0") => advice(
                Administrator,
                "user.max_user_namespaces is 0, so that nobody may make a user namespace; this is not about a full disk",
                "sysctl -w user.max_user_namespaces=15000   # and the same line in /etc/sysctl.d/",
            ),
            limit => advice(
                if switches.nested { You } else { Administrator },
                format!(
                    "the limit of namespaces is reached (user.max_user_namespaces is {}, and at most 32 may be nested); this is \
                     not about a full disk",
                    limit.unwrap_or("unknown")
                ),
                if switches.nested {
                    "start it from outside the container you are in"
                } else {
                    "sysctl -w user.max_user_namespaces=15000"
                },
            ),
        };
    }
    if Switches::on(&switches.apparmor, "1") {
        return advice(Administrator, APPARMOR_CAUSE, apparmor_profile(&switches.program));
    }
    if Switches::on(&switches.clone, "0") {
        return advice(
            Administrator,
            "kernel.unprivileged_userns_clone is 0, so that only root may make a user namespace",
            "sysctl -w kernel.unprivileged_userns_clone=1   # and the same line in /etc/sysctl.d/",
        );
    }
    if switches.filtered {
        return advice(
            Administrator,
            "an outer container or sandbox refuses it by its seccomp filter",
            "start the outer one with `--security-opt seccomp=unconfined` (docker, podman), or run outside of it",
        );
    }
    advice(
        Administrator,
        "a security module or an outer container forbids it",
        "look into the kernel's log (`dmesg`) for the refusal, or run outside of the outer container",
    )
}

const APPARMOR_CAUSE: &str = "AppArmor takes all rights away in user namespaces of programs without a profile (Ubuntu 23.10 \
                              and later: kernel.apparmor_restrict_unprivileged_userns is 1)";

/// The profile that allows this very program what every Ubuntu before allowed all.
fn apparmor_profile(program: &str) -> String {
    format!(
        "put these lines into /etc/apparmor.d/little-container, then run `apparmor_parser -r` on that file\n    \
         abi <abi/4.0>,\n    include <tunables/global>\n    profile little-container \"{program}\" flags=(unconfined) {{\n      userns,\n    }}"
    )
}

/// Why ids could not be mapped.
pub fn mapping(said: &str, errno: i32, switches: &Switches) -> Option<Advice> {
    use Who::{Administrator, You};
    let has = |part: &str| said.contains(part);
    if Switches::on(&switches.apparmor, "1") && (errno == code::EPERM || errno == code::EACCES) {
        return namespaces(errno, switches);
    }
    if has("not allowed") || has("uid range") || has("gid range") {
        return advice(
            Administrator,
            "/etc/subuid and /etc/subgid do not allow this range, or give it to another name",
            "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER",
        );
    }
    if has("Operation not permitted") || has("Could not set caps") || errno == code::EPERM {
        return advice(
            You,
            "the helpers have no rights here: an outer sandbox, a service's hardening or an outer container took them",
            "run with --userns single, which needs none",
        );
    }
    advice(You, "the helper programs of package uidmap failed", "run with --userns single, which needs none")
}

/// Why a folder of the store cannot be made or written.
pub fn folder(path: &Path, e: i32) -> Option<Advice> {
    use Who::You;
    let existing = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    let fs = mount::file_system(existing).ok();
    let shown = existing.display();
    match e {
        code::ENOSPC if fs.is_some_and(|fs| fs.free > 1 << 20 && fs.free_inodes == 0) => {
            advice(You, format!("the file system of {shown} has no free inodes: too many files"), SPACE)
        }
        code::ENOSPC => advice(You, format!("the file system of {shown} is full"), SPACE),
        code::EDQUOT => advice(You, format!("your quota on the file system of {shown} is used up"), SPACE),
        code::EROFS => advice(You, format!("{shown} is mounted read-only"), MOVE),
        code::EACCES | code::EPERM if is_unreadable(path) => {
            advice(You, format!("you may not read {}", path.display()), READABLE)
        }
        code::EACCES | code::EPERM => advice(You, format!("{shown} does not let you write"), MOVE),
        code::ENOENT => advice(You, "there is nothing of that name", "check the spelling of the path"),
        code::ENOTSUP => advice(You, format!("the file system of {shown} has no extended attributes"), MOVE),
        _ => None,
    }
}

/// A FIFO is not opened to find out, for that could take for ever.
fn is_unreadable(path: &Path) -> bool {
    let refused = |e: io::Error| e.kind() == io::ErrorKind::PermissionDenied;
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => fs::File::open(path).is_err_and(refused),
        Ok(metadata) if metadata.is_dir() => fs::read_dir(path).is_err_and(refused),
        Ok(_) => false,
        Err(e) => refused(e),
    }
}

const READABLE: &str = "give a path that you may read; for the store that is --store DIR or LITTLE_CONTAINER_STORE";
const SPACE: &str = "`little-container images` and `ps -a` show what can be removed; or move the store to another file system with \
                     --store DIR or LITTLE_CONTAINER_STORE";
const MOVE: &str = "choose another store with --store DIR or LITTLE_CONTAINER_STORE";

#[cfg(test)]
mod tests {
    use super::*;

    fn free() -> Switches {
        Switches { limit: Some("15000".into()), supported: true, program: "/x".into(), ..Switches::default() }
    }

    fn cause(errno: i32, switches: &Switches) -> String {
        namespaces(errno, switches).map(|a| a.to_string()).unwrap_or_default()
    }

    #[test]
    fn every_switch_has_its_words() {
        let apparmor = Switches { apparmor: Some("1".into()), ..free() };
        assert!(cause(code::EPERM, &apparmor).contains("profile little-container \"/x\""));
        let clone = Switches { clone: Some("0".into()), ..free() };
        assert!(cause(code::EPERM, &clone).contains("unprivileged_userns_clone=1"));
        let none = Switches { limit: Some("0".into()), ..free() };
        assert!(cause(code::ENOSPC, &none).contains("not about a full disk"));
        assert!(cause(code::ENOSPC, &free()).contains("limit of namespaces"));
        assert!(cause(code::EINVAL, &free()).contains("CONFIG_USER_NS"));
        assert!(cause(code::EPERM, &Switches { filtered: true, ..free() }).contains("seccomp"));
        assert!(cause(code::EPERM, &free()).contains("dmesg"));
    }

    #[test]
    fn a_missing_kernel_option_comes_first() {
        let old = Switches { supported: false, ..free() };
        assert!(cause(code::EPERM, &old).contains("CONFIG_USER_NS"));
    }

    #[test]
    fn helpers() {
        let said = "newuidmap: uid range [1-65537) -> [100000-165536) not allowed";
        assert!(mapping(said, 0, &free()).is_some_and(|a| a.who == Who::Administrator));
        assert!(
            mapping("newuidmap: write to uid_map failed: Operation not permitted", 0, &free())
                .is_some_and(|a| a.who == Who::You)
        );
    }
}
