//! Limits: what a container may use is what its user said, or the run is refused with the reason.
//!
//! Most of it is shown on a bed (`support/bed.rs`), which has cgroup v2 and a user manager; `refusals` and `here` are about
//! any machine.

#[macro_use]
mod support;
#[path = "limits/ends.rs"]
mod ends;
#[path = "limits/escapes.rs"]
mod escapes;
#[path = "limits/groups.rs"]
mod groups;
#[path = "limits/here.rs"]
mod here;
#[path = "limits/hogs.rs"]
mod hogs;
#[path = "support/kit.rs"]
mod kit;
#[path = "limits/refusals.rs"]
mod refusals;
#[path = "limits/started.rs"]
mod started;
#[path = "limits/update.rs"]
mod update;
#[path = "limits/values.rs"]
mod values;
#[path = "limits/variants.rs"]
mod variants;

use support::{Outcome, bed::Bed};

/// The three limits that most people want, and what then stands in their files.
const THREE: [&str; 6] = ["--memory", "64m", "--cpus", "0.5", "--pids-limit", "50"];
const THREE_FILES: &str = "67108864\n50000 100000\n50\n";
const FILES: [&str; 3] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/pids.max"];
/// The same as a line of shell.
const RUN_THREE: &str = "little-container run --rm --memory 64m --cpus 0.5 --pids-limit 50 --rootfs $ROOTFS cat \
                         /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max";

/// cat(1) of the three files is the first program of the container, so they stood before it.
#[track_caller]
fn assert_three(bed: &Bed) {
    let out = bed.lc(&[&["run", "--rm"], &THREE[..], &["--rootfs", bed.rootfs(), "cat"], &FILES].concat());
    assert_ran(&out, THREE_FILES);
}

/// Ended well, said this, and not a word on stderr.
#[track_caller]
fn assert_ran(out: &Outcome, stdout: &str) {
    assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (0, stdout, ""));
}

/// The place that all of them stand on.
#[test]
fn a_container_runs_where_limits_can_be_enforced() {
    let bed = bed!();
    let out = bed.run(&[], "id -u; echo so >&2; exit 3");
    assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (3, "0\n", "so\n"));
    assert_eq!(bed.says("stat -fc %T /sys/fs/cgroup; id -un | grep -c root || true"), "cgroup2fs\n0\n");
    bed.assert_nothing_left();
}
