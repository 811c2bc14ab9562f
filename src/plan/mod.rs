//! How the spec is carried out on this machine: `plan(&Spec, &Facts) -> Plan`, a pure function.
//!
//! A [`Plan`] is two ordered lists of plain values: what the launcher does outside, and what the first process does
//! inside. It can be printed (`run --dry-run`), told while it happens (`run --explain`), stored and compared in tests.

mod describe;
pub mod facts;
pub mod ids;
pub mod limits;
mod process;
mod rootfs;
pub mod security;
pub mod step;

pub use describe::words;
pub use facts::Facts;
pub use step::{HostStep, InitStep, Namespace};

use crate::spec::{Network, Spec, ids::IdMap};
use anyhow::Result;
use ids::Caller;
use serde::{Deserialize, Serialize};
use step::Mapper;

/// What will be done, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Of this format.
    pub version: u32,
    /// The launcher's part, outside.
    pub host: Vec<HostStep>,
    /// The first process's part, inside.
    pub init: Vec<InitStep>,
    /// What was decided and why, in words: one line each.
    pub choices: Vec<String>,
    /// What the user should know, once, on stderr.
    pub notes: Vec<String>,
    /// What becomes of each limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<limits::Limited>,
}

impl Plan {
    /// The id maps, and who writes them.
    pub fn ids(&self) -> Option<(IdMap, Mapper)> {
        self.host.iter().find_map(|step| match step {
            HostStep::MapIds { map, mapper } => Some((map.clone(), mapper.clone())),
            _ => None,
        })
    }
}

/// The version of the plan's format.
pub const VERSION: u32 = 1;

/// Those that every container is cloned into. A network of its own takes the kernel three times as long as all of these,
/// so that the first process makes it while the launcher has the ids mapped and the folders made.
const NAMESPACES: &[Namespace] =
    &[Namespace::User, Namespace::Mount, Namespace::Pid, Namespace::Uts, Namespace::Ipc, Namespace::Cgroup];

/// Works out the steps.
///
/// # Errors
/// The spec cannot be carried out on this machine; the error says which part, why, and what else there is.
pub fn plan(spec: &Spec, facts: &Facts) -> Result<Plan> {
    let mut choices = Vec::new();
    let mut notes = Vec::new();
    let ids = ids::choose(spec.userns, &Caller { uid: facts.uid, gid: facts.gid, ids: &facts.ids })?;
    choices.push(ids.choice);
    notes.extend(ids.note);
    let root = rootfs::choose(spec, facts)?;
    choices.push(root.choice.clone());
    notes.extend(root.note.clone());

    let limits = limits::choose(spec, facts)?;
    choices.extend(limits.choice.clone());
    notes.extend(limits.notes.iter().cloned());

    let mut host = vec![HostStep::Mark { path: facts.dirs.mark.clone() }];
    let first = clone(&limits);
    host.extend(limits.before);
    host.push(first);
    // systemd takes longest: all that does not need its answer is done meanwhile.
    let guarded = !limits.ask.is_empty();
    host.extend(limits.ask);
    host.push(HostStep::MapIds { map: ids.map.clone(), mapper: ids.mapper.clone() });
    host.extend(root.folders(facts));
    host.extend(spec.name.clone().map(|name| HostStep::ClaimName { name }));
    if let step::Mapper::Helpers { .. } = ids.mapper {
        host.push(HostStep::AwaitMaps);
    }
    host.extend(root.host(facts));
    host.extend(limits.join);
    host.push(HostStep::Go);
    if !guarded {
        host.push(HostStep::Guard { for_scope: false });
    }
    host.push(HostStep::Record { path: facts.dirs.container.path().join("container.json").into() });
    host.push(HostStep::Sweep);

    let mut init = before_go(spec, facts);
    init.push(InitStep::AwaitGo);
    if limits.grouped {
        init.push(InitStep::OwnCgroup);
    }
    init.extend(limits.early);
    init.extend(root.init(facts));
    init.push(InitStep::EnterRoot { root: facts.dirs.mount_point.clone() });
    init.extend(rootfs::system_mounts(spec, facts, &ids.map));
    init.extend(rootfs::files(spec, facts));
    init.extend(rootfs::volumes(spec, facts));
    init.extend(process::terminal(spec, facts));
    init.extend(security::hidden_paths());
    init.push(InitStep::LeaveOldRoot);
    init.extend(process::steps(spec, facts, &ids.default_user, limits.inside)?);
    Ok(Plan { version: VERSION, host, init, choices, notes, limits: limits.limited })
}

/// A cgroup namespace has the group at its root in which it is made: where the container gets one of its own, that is done
/// inside, once the first process is there.
fn clone(limits: &limits::Chosen) -> HostStep {
    let kept = |namespace: &&Namespace| !(limits.grouped && **namespace == Namespace::Cgroup);
    let namespaces = NAMESPACES.iter().filter(kept).copied().collect();
    HostStep::Clone { namespaces, grouped: !limits.before.is_empty() }
}

/// What needs the namespaces alone, neither ids nor folders: done while the launcher has those made.
fn before_go(spec: &Spec, facts: &Facts) -> Vec<InitStep> {
    let mut steps = vec![InitStep::PrivateMounts];
    if spec.network == Network::None {
        steps.extend([InitStep::OwnNetwork, InitStep::Loopback]);
    }
    steps.push(InitStep::Hostname { name: hostname(spec, facts).into() });
    steps
}

/// `--hostname`, else the short id.
fn hostname<'a>(spec: &'a Spec, facts: &'a Facts) -> &'a str {
    spec.hostname.as_deref().unwrap_or(short_id(&facts.id))
}

/// The short form of a container's id, which is also its default host name.
pub fn short_id(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
