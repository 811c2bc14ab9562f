//! `doctor`: what this machine can do, what it lacks, and the one line that mends it.

use super::{Global, table, variable};
use crate::{
    cgroup::place,
    host::{self, config, diagnose, diagnose::Switches, dirs, overlay},
    image,
    plan::{
        self,
        facts::{Ability, Manager, SubIds},
        ids::{self, Caller},
    },
    say,
    spec::{Limits, Userns},
    store::{Store, images},
    sys::{cred, mount, process},
    userns,
};
use anyhow::Result;
use serde::Serialize;
use std::{fs, io, path::PathBuf};

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// As it should be.
    Good,
    /// It works, with less.
    Less,
    /// Nothing runs without it.
    Bad,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

fn check(what: &'static str, verdict: Verdict, found: impl Into<String>, mend: Option<String>) -> Check {
    Check { what, verdict, found: found.into(), mend }
}

pub fn doctor(flags: &Flags, global: &Global) -> Result<u8> {
    let mut checks = vec![kernel(), namespaces(), ids()];
    match store(global) {
        Ok(store) => {
            checks.push(disk(&store));
            checks.push(storage(&store));
            checks.push(default_image(&store));
        }
        Err(e) => checks.push(check("store", Verdict::Bad, super::failure::describe(&e).0, None)),
    }
    checks.push(runtime());
    checks.push(network());
    checks.push(limits());
    let able = checks.iter().all(|c| c.verdict != Verdict::Bad);
    if flags.json {
        let all = serde_json::json!({ "can_run": able, "version": env!("CARGO_PKG_VERSION"), "checks": checks });
        table::print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
    } else {
        table::print(&told(&checks, able))?;
    }
    Ok(u8::from(!able))
}

fn told(checks: &[Check], able: bool) -> String {
    let mut text = String::new();
    for check in checks {
        let mark = match check.verdict {
            Verdict::Good => "ok  ",
            Verdict::Less => "less",
            Verdict::Bad => "BAD ",
        };
        text.push_str(&format!("{mark}  {:<16} {}\n", check.what, check.found));
        if let Some(mend) = &check.mend {
            text.push_str(&format!("{:24}mend: {mend}\n", ""));
        }
    }
    text.push_str(if able { "\nyou can run containers: yes\n" } else { "\nyou can run containers: no\n" });
    text
}

fn kernel() -> Check {
    let (_, release) = process::uname();
    let number = |part: Option<&str>| {
        part.and_then(|p| p.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok())
    };
    let mut parts = release.split('.');
    let version: (u32, u32) = (number(parts.next()).unwrap_or(0), number(parts.next()).unwrap_or(0));
    let (verdict, mend) = match version {
        v if v < (5, 6) => {
            (Verdict::Bad, Some("boot Linux 5.6 or later (openat2, pidfd); 5.12 or later has everything".into()))
        }
        v if v < (5, 12) => {
            (Verdict::Less, Some("Linux 5.12 or later: overlay without FUSE, read-only volumes".into()))
        }
        _ => (Verdict::Good, None),
    };
    check("kernel", verdict, format!("Linux {release}, {}", image::arch::own()), mend)
}

/// By doing it: a namespace, its maps, and the first right that is needed inside.
fn namespaces() -> Check {
    let (uid, gid) = cred::own_ids();
    let none = SubIds::None("not needed".into());
    let tried = ids::choose(Userns::Single, &Caller { uid, gid, ids: &none }).and_then(|ids| {
        userns::inside(&ids.map, &ids.mapper, || {
            mount::make_private()?;
            Ok(Vec::new())
        })
    });
    match tried {
        Ok(_) => check("namespaces", Verdict::Good, "an ordinary user may make them", None),
        Err(e) => {
            let errno = e.chain().find_map(|e| e.downcast_ref::<io::Error>()).and_then(io::Error::raw_os_error);
            let advice = diagnose::namespaces(errno.unwrap_or(crate::sys::code::EPERM), &Switches::read());
            let (cause, mend) = advice.map(|a| (a.cause, a.remedy)).unwrap_or_default();
            check("namespaces", Verdict::Bad, format!("cannot be made: {cause}"), Some(mend))
        }
    }
}

fn ids() -> Check {
    match host::sub_ids(Userns::Auto) {
        SubIds::None(ref cause) => {
            let user = cred::user_name(cred::own_ids().0).unwrap_or_else(|| "USER".into());
            let mend = match cause {
                c if c.contains("installed") => "(administrator) apt install uidmap".into(),
                c if c.contains("setuid root") => {
                    "(administrator) chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap".into()
                }
                c if c.contains("nosuid") => "put newuidmap and newgidmap of package uidmap first in PATH".into(),
                c if c.contains("no_new_privs") => "start it from a shell that has not set no_new_privs".into(),
                _ => format!("(administrator) usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"),
            };
            check("ids", Verdict::Less, format!("only your own inside: {cause}"), Some(mend))
        }
        SubIds::Privileged { uid, .. } => {
            check("ids", Verdict::Good, format!("you are root, and hand on {} ids", total(&uid)), None)
        }
        ref ids @ SubIds::Helpers { ref uid, .. } => {
            let (own, gid) = cred::own_ids();
            // The files may promise what the helpers then refuse.
            let tried = ids::choose(Userns::Range, &Caller { uid: own, gid, ids })
                .and_then(|ids| userns::inside(&ids.map, &ids.mapper, || Ok(Vec::new())));
            match tried {
                Ok(_) => check("ids", Verdict::Good, format!("{} subordinate ids, newuidmap works", total(uid)), None),
                Err(e) => check("ids", Verdict::Less, say::chain(&e), Some("--userns single needs no helper".into())),
            }
        }
    }
}

fn total(ranges: &[crate::spec::ids::Range]) -> u64 {
    ranges.iter().map(|r| u64::from(r.count)).sum()
}

fn store(global: &Global) -> Result<Store> {
    let named = global.store.clone().or_else(|| variable("STORE").map(PathBuf::from)).or(config::read()?.store);
    Store::open(&named.map_or_else(dirs::default_store, Ok)?)
}

fn disk(store: &Store) -> Check {
    let root = store.root();
    let Ok(fs) = mount::file_system(root) else {
        return check("store", Verdict::Bad, format!("{} cannot be looked at", root.display()), None);
    };
    let found = format!("{}, {} free", root.display(), table::size(fs.free));
    let elsewhere = || Some("--store DIR or LITTLE_CONTAINER_STORE moves it".to_owned());
    let network = mount::magic::NETWORK.iter().find(|(kind, _)| *kind == fs.kind);
    let probe = root.join("containers").join(format!(".doctor-{}", std::process::id()));
    if let Err(e) = fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)) {
        let advice = diagnose::folder(&probe, e.raw_os_error().unwrap_or(0)).map(|a| a.cause);
        return check(
            "store",
            Verdict::Bad,
            format!("{found}: {}", advice.unwrap_or_else(|| say::words(&e))),
            elsewhere(),
        );
    }
    match network {
        _ if fs.attributes.no_exec => check("store", Verdict::Bad, format!("{found}, mounted noexec"), elsewhere()),
        _ if fs.free < 100 << 20 => check("store", Verdict::Less, format!("{found}: that is little"), elsewhere()),
        Some((_, name)) => {
            check("store", Verdict::Less, format!("{found}, on {name}: slower, and no kernel overlay"), elsewhere())
        }
        None => check("store", Verdict::Good, found, None),
    }
}

fn storage(store: &Store) -> Check {
    let fuse = host::fuse();
    match (overlay::probe(&store.root().join("containers")), fuse) {
        (Ok(()), Ability::Works(_)) => {
            check("copy-on-write", Verdict::Good, "the kernel's overlay; fuse-overlayfs, too", None)
        }
        (Ok(()), Ability::Fails(_)) => check("copy-on-write", Verdict::Good, "the kernel's overlay", None),
        (Err(e), Ability::Works(_)) => check(
            "copy-on-write",
            Verdict::Less,
            format!("fuse-overlayfs, not the kernel's overlay: {}", say::chain(&e)),
            None,
        ),
        (Err(e), Ability::Fails(why)) => check(
            "copy-on-write",
            Verdict::Less,
            format!("only by copying the image: {}; {why}", say::chain(&e)),
            Some("apt install fuse-overlayfs".into()),
        ),
    }
}

fn default_image(store: &Store) -> Check {
    let chosen = config::read().ok().and_then(|c| c.default_image);
    match chosen {
        Some(name) if images::find(store.root(), &name).is_ok_and(|i| i.is_some()) => {
            check("default image", Verdict::Good, name, None)
        }
        Some(name) => check(
            "default image",
            Verdict::Less,
            format!("{name} is not in the store; this machine's own programs are used"),
            Some(format!("little-container import --default {name} FILE")),
        ),
        None => check(
            "default image",
            Verdict::Less,
            "none; this machine's own programs are used (image host)",
            Some("./setup gets one, or: little-container import --default NAME FILE".into()),
        ),
    }
}

fn runtime() -> Check {
    match dirs::runtime() {
        Ok((folder, _)) => check("runtime folder", Verdict::Good, folder.display().to_string(), None),
        Err(e) => check("runtime folder", Verdict::Bad, super::failure::describe(&e).0, None),
    }
}

fn network() -> Check {
    let low = fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap_or_default();
    let mut bounds = low.split_whitespace().filter_map(|n| n.parse::<u32>().ok());
    let (from, to) = (bounds.next().unwrap_or(1), bounds.next().unwrap_or(0));
    let gid = cred::own_ids().1;
    if (from..=to).contains(&gid) {
        return check("network", Verdict::Good, "the machine's own, or none; ping works", None);
    }
    let mend = "(administrator) sysctl -w net.ipv4.ping_group_range='0 2147483647'".into();
    check(
        "network",
        Verdict::Less,
        "the machine's own, or none; ping needs a right with the machine's network",
        Some(mend),
    )
}

/// What can be limited, by which cgroup.
fn limits() -> Check {
    let groups = place::look(cred::effective_uid(), &Limits::default());
    let (controllers, by) = match (&groups.subtree, &groups.manager) {
        (Some(subtree), _) => (subtree.controllers.clone(), format!("in {}", subtree.path)),
        (None, Manager::Reachable { controllers }) => (controllers.clone(), "by scopes of systemd".into()),
        _ => {
            let (cause, mend) = plan::limits::why_none(&groups);
            return check("limits", Verdict::Less, format!("none can be held: {cause}"), Some(mend));
        }
    };
    let wanted = ["memory", "cpu", "pids", "io", "cpuset"];
    let missing: Vec<&str> = wanted.into_iter().filter(|name| !controllers.iter().any(|c| c == name)).collect();
    let found = format!("{} {by}", controllers.join(", "));
    match missing.as_slice() {
        [] => check("limits", Verdict::Good, found, None),
        missing => {
            let found = format!("{found}; not {}", missing.join(", "));
            // What most limits are about; the others are rarely handed on and rarely asked for.
            let verdict = if missing.iter().any(|m| ["memory", "cpu", "pids"].contains(m)) {
                Verdict::Less
            } else {
                Verdict::Good
            };
            let mend = (verdict == Verdict::Less).then(|| format!("(administrator) {}", plan::limits::delegation()));
            check("limits", verdict, found, mend)
        }
    }
}
