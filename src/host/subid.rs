//! Subordinate ids: which there are, and whether the helpers that map them can work (subuid(5), newuidmap(1)).

use crate::{
    plan::facts::SubIds,
    spec::ids::Range,
    sys::{cred, helper, mount},
};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
};

/// What root hands on where no range is set aside for it: the ids that programs of a distribution use.
const USUAL_IDS: u32 = 65_536;

/// For an ordinary user: the ranges of the files, or of the directory service by getsubids(1), and the helpers.
pub fn lookup() -> SubIds {
    find().unwrap_or_else(SubIds::None)
}

fn find() -> Result<SubIds, String> {
    let (uid, _) = cred::own_ids();
    let newuidmap = working_helper("newuidmap")?;
    let newgidmap = working_helper("newgidmap")?;
    let name = NameOf::new(uid);
    if name.get().is_none() {
        return Err(format!(
            "uid {uid} has no name on this machine, and newuidmap maps ids only for users who have one"
        ));
    }
    let uids = ranges("/etc/subuid", uid, &name, &[])?;
    let gids = ranges("/etc/subgid", uid, &name, &["-g"])?;
    Ok(SubIds::Helpers { uid: uids, gid: gids, newuidmap: newuidmap.into(), newgidmap: newgidmap.into() })
}

/// The user's name, from /etc/passwd if it is there: asking the name service costs more than everything else of a start.
struct NameOf {
    local: Option<String>,
    uid: u32,
}

impl NameOf {
    fn new(uid: u32) -> NameOf {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let local = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        });
        NameOf { local, uid }
    }

    fn get(&self) -> Option<String> {
        self.local.clone().or_else(|| cred::user_name(self.uid))
    }
}

fn ranges(file: &str, uid: u32, name: &NameOf, getsubids: &[&str]) -> Result<Vec<Range>, String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let number = uid.to_string();
    let mut found = parse(&text, &[&number]);
    let name = name.get();
    if let Some(name) = &name {
        found.extend(parse(&text, &[name]));
        if found.is_empty() {
            found = ask_getsubids(name, getsubids);
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    Err(format!("{file} has no range for {} (uid {uid})", name.unwrap_or_default()))
}

/// The lines `NAME:START:COUNT` of these owners; lines that are not so are passed over.
fn parse(text: &str, owners: &[&str]) -> Vec<Range> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let range = Range { start: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? };
            let whole = fields.next().is_none() && range.count > 0 && range.start.checked_add(range.count).is_some();
            (owners.contains(&owner) && whole).then_some(range)
        })
        .collect()
}

/// Where ranges come from a directory service (`subid:` in nsswitch.conf), only this program can tell.
fn ask_getsubids(name: &str, flags: &[&str]) -> Vec<Range> {
    let configured =
        fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default().lines().any(|l| l.starts_with("subid:"));
    let program = configured.then(|| helper::find("getsubids", std::env::var_os("PATH").as_deref())).flatten();
    let Some(program) = program else { return Vec::new() };
    let words = flags.iter().copied().chain([name]);
    let Ok((_, out)) = helper::output(&program, words) else { return Vec::new() };
    // `0: NAME START COUNT`
    String::from_utf8_lossy(&out)
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [.., start, count] = fields[..] else { return None };
            Some(Range { start: start.parse().ok()?, count: count.parse().ok()? })
        })
        .collect()
}

/// Finds a helper and looks for each of the reasons for which it could not do its work.
fn working_helper(name: &str) -> Result<PathBuf, String> {
    let Some(program) = helper::find(name, std::env::var_os("PATH").as_deref()) else {
        return Err(format!("{name} is not installed (package uidmap)"));
    };
    if cred::has_no_new_privs() {
        return Err(format!("no_new_privs is set on this process, so that {name} gets no rights"));
    }
    let metadata = fs::metadata(&program).map_err(|e| format!("{}: {e}", program.display()))?;
    let setuid = metadata.permissions().mode() & 0o4000 != 0 && metadata.uid() == 0;
    if !setuid && !cred::has_file_capabilities(&program) {
        return Err(format!("{} is not setuid root", program.display()));
    }
    if mount::file_system(&program).is_ok_and(|fs| fs.attributes.no_suid) {
        return Err(format!("{} is on a file system mounted nosuid", program.display()));
    }
    Ok(program)
}

/// For root: its own ranges where it has some, else the ids of its own namespace as they are.
pub fn privileged() -> SubIds {
    let of = |file: &str, map: &str| {
        let own = parse(&fs::read_to_string(file).unwrap_or_default(), &["root", "0"]);
        if own.is_empty() { identity(&fs::read_to_string(map).unwrap_or_default()) } else { own }
    };
    SubIds::Privileged { uid: of("/etc/subuid", "/proc/self/uid_map"), gid: of("/etc/subgid", "/proc/self/gid_map") }
}

/// The ids from 1 to 65535 that exist in a namespace with this map.
fn identity(map: &str) -> Vec<Range> {
    let mut all: Vec<Range> = map
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().map(str::parse::<u32>);
            let (inside, _, count) = (fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?);
            let start = inside.max(1);
            let end = inside.saturating_add(count).min(USUAL_IDS);
            (start < end).then_some(Range { start, count: end - start })
        })
        .collect();
    all.sort_by_key(|r| r.start);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subuid_lines() {
        let text =
            "ana:100000:65536\n# x\nbob:1:2\n1000:300000:10\nana:9:0\nana:4294967295:2\nana:5:6:7\nana:400000:65536\n";
        let starts = |owners: &[&str]| parse(text, owners).iter().map(|r| r.start).collect::<Vec<_>>();
        assert_eq!(starts(&["ana"]), [100_000, 400_000]);
        assert_eq!(starts(&["1000"]), [300_000]);
        assert!(starts(&["carl"]).is_empty());
    }

    #[test]
    fn ids_of_a_namespace() {
        let whole = identity("         0          0 4294967295\n");
        assert_eq!(whole, [Range { start: 1, count: 65_535 }]);
        let nested = identity("0 1000 1\n1 100000 65536\n");
        assert_eq!(nested, [Range { start: 1, count: 65_535 }]);
        assert!(identity("0 1000 1\n").is_empty());
    }
}
