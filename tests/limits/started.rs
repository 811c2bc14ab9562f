//! A container that runs on while a test looks at it from outside.

use crate::support::bed::Bed;

/// One that has begun. What it says is in NAME.out and NAME.err.
pub struct Started<'a> {
    bed: &'a Bed,
    pub name: String,
    /// The launcher's number on the machine.
    pub launcher: String,
}

/// `run --name NAME FLAGS --rootfs ROOTFS sh -c SCRIPT`, where the script says `ready` once.
#[track_caller]
pub fn start<'a>(bed: &'a Bed, name: &str, flags: &str, script: &str) -> Started<'a> {
    let launcher = bed.says(&format!(
        "rm -f {name}.out; export SCRIPT='{script}'
        setsid little-container run --name {name} {flags} --rootfs $ROOTFS sh -c \"$SCRIPT\" >{name}.out 2>{name}.err &
        n=0; until grep -q ready {name}.out; do
            [ $n -lt 200 ] && kill -0 $! || {{ cat {name}.err >&2; exit 1; }}; n=$((n + 1)); sleep 0.05
        done; echo $!"
    ));
    Started { bed, name: name.into(), launcher: launcher.trim().into() }
}

/// One that only waits.
#[track_caller]
pub fn sleeper<'a>(bed: &'a Bed, name: &str, flags: &str) -> Started<'a> {
    start(bed, name, flags, "echo ready; exec sleep 1000")
}

impl Started<'_> {
    /// What `ps --format json` says of it.
    #[track_caller]
    fn listed(&self, field: &str) -> serde_json::Value {
        let out = self.bed.lc(&["ps", "-a", "--format", "json"]);
        let all: Vec<serde_json::Value> = serde_json::from_str(&out.stdout).unwrap();
        all.iter().find(|c| c["name"] == self.name.as_str()).unwrap()[field].clone()
    }

    pub fn id(&self) -> String {
        self.listed("id").as_str().unwrap().into()
    }

    /// The number of its first process on the machine.
    pub fn pid(&self) -> String {
        self.listed("pid").to_string()
    }

    /// Its cgroup, as the machine sees it: a path from `/`.
    pub fn group(&self) -> String {
        group_of(self.bed, &self.pid())
    }

    /// A file of its group.
    pub fn file(&self, name: &str) -> String {
        self.bed.says(&format!("cat /sys/fs/cgroup{}/{name}", self.group())).trim().into()
    }

    pub fn remove(&self) {
        let out = self.bed.lc(&["rm", "-f", &self.name]);
        assert_eq!((out.status, out.stderr.as_str()), (0, ""), "{out:?}");
    }
}

/// The cgroup of a process.
pub fn group_of(bed: &Bed, pid: &str) -> String {
    bed.says(&format!("cut -d: -f3 /proc/{pid}/cgroup")).trim().into()
}

/// The part of a path that is a unit of ours.
#[track_caller]
pub fn unit_of(group: &str) -> &str {
    let is_ours = |part: &&str| part.starts_with("little-container-") && part.ends_with(".scope");
    group.split('/').find(is_ours).unwrap_or_else(|| panic!("no scope of ours in {group}"))
}
