//! Which ids exist inside, and who writes the maps.

use super::{facts::SubIds, step::Mapper};
use crate::spec::{
    User, Userns,
    ids::{IdMap, Range, own_as_itself, own_as_root},
    user::Id,
};
use anyhow::{Result, bail};

/// The outcome.
pub struct Ids {
    /// The maps.
    pub map: IdMap,
    /// Who writes them.
    pub mapper: Mapper,
    /// Who the command runs as when neither the user nor the image says so.
    pub default_user: User,
    /// What was decided and why.
    pub choice: String,
    /// What the user should know.
    pub note: Option<String>,
}

/// The caller, and which other ids it may map.
pub struct Caller<'a> {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The others.
    pub ids: &'a SubIds,
}

/// Decides by `--userns` and by what this user may map.
pub fn choose(userns: Userns, facts: &Caller<'_>) -> Result<Ids> {
    let cause = match facts.ids {
        SubIds::None(cause) => Some(cause.as_str()),
        _ => None,
    };
    match (userns, cause) {
        (Userns::Range, Some(cause)) => bail!(
            "--userns range cannot be had: {cause}\n  \
             fix (you): --userns single runs with your own id alone"
        ),
        (Userns::Single, _) => Ok(single(facts, "asked for by --userns single".into(), None)),
        (Userns::Auto, Some(cause)) => {
            let note =
                format!("no range of ids ({cause}): only your own exists inside, so other owners show as nobody");
            Ok(single(facts, format!("no range: {cause}"), Some(note)))
        }
        (Userns::KeepId, _) => Ok(keep(facts)),
        (Userns::Auto | Userns::Range, None) => Ok(range(facts)),
    }
}

fn root_user() -> User {
    User { user: Id::Number(0), group: Some(Id::Number(0)) }
}

fn single(facts: &Caller<'_>, why: String, note: Option<String>) -> Ids {
    Ids {
        map: IdMap { uid: own_as_root(facts.uid, &[]), gid: own_as_root(facts.gid, &[]) },
        mapper: ourselves(facts),
        default_user: root_user(),
        choice: format!("ids: root inside is you (uid {}), no other id ({why})", facts.uid),
        note,
    }
}

fn ourselves(facts: &Caller<'_>) -> Mapper {
    // Without privilege the kernel takes a gid_map only after setgroups(2) was given up (user_namespaces(7)).
    Mapper::Ourselves { deny_setgroups: !matches!(facts.ids, SubIds::Privileged { .. }) }
}

fn ranges<'a>(facts: &Caller<'a>) -> (&'a [Range], &'a [Range], Mapper) {
    match facts.ids {
        SubIds::Helpers { uid, gid, newuidmap, newgidmap } => {
            let mapper = Mapper::Helpers { newuidmap: newuidmap.clone(), newgidmap: newgidmap.clone() };
            (uid, gid, mapper)
        }
        SubIds::Privileged { uid, gid } => (uid, gid, ourselves(facts)),
        SubIds::None(_) => (&[], &[], ourselves(facts)),
    }
}

fn range(facts: &Caller<'_>) -> Ids {
    let (uid, gid, mapper) = ranges(facts);
    let count: u64 = uid.iter().map(|r| u64::from(r.count)).sum();
    let whose = match facts.ids {
        SubIds::Privileged { .. } => "that root may hand on",
        _ => "of your subordinate ids",
    };
    Ids {
        map: IdMap { uid: own_as_root(facts.uid, uid), gid: own_as_root(facts.gid, gid) },
        mapper,
        default_user: root_user(),
        choice: format!("ids: root inside is you (uid {}), and {count} more {whose}", facts.uid),
        note: None,
    }
}

fn keep(facts: &Caller<'_>) -> Ids {
    let (uid, gid, mapper) = ranges(facts);
    let (uid, gid) = (own_as_itself(facts.uid, uid), own_as_itself(facts.gid, gid));
    let others = match facts.ids {
        SubIds::None(cause) => format!("; no other id exists: {cause}"),
        _ => String::new(),
    };
    Ids {
        map: IdMap { uid, gid },
        mapper,
        default_user: User { user: Id::Number(facts.uid), group: Some(Id::Number(facts.gid)) },
        choice: format!("ids: you keep uid {} and gid {} inside (--userns keep-id){others}", facts.uid, facts.gid),
        note: None,
    }
}
