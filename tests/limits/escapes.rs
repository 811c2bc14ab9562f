//! What a hostile command tries against its limits. The image `host` has unshare(1).

use crate::support::bed::Bed;

/// A script in a container with a cgroup2 of its own on /mnt, all that a user namespace inside can have.
fn attack(bed: &Bed, flags: &[&str], script: &str) -> crate::support::Outcome {
    let inner = "unshare -UrmC sh -c \"mount -t cgroup2 none /mnt && $SCRIPT\"; echo end $?";
    let words = [&["run", "--rm"], flags, &["-e", &format!("SCRIPT={script}"), "--image", "host", "sh", "-c", inner]];
    bed.lc(&words.concat())
}

/// A container needs no more than a second namespace to write to the files of the root of its first one: the limits must not
/// be there.
#[test]
fn a_namespace_within_lifts_nothing() {
    let bed = bed!();
    let hop = "mkdir /mnt/x && echo 0 >/mnt/x/cgroup.procs && exec unshare -C sh -c '
        for file in memory.max memory.swap.max; do echo max >/mnt/$file; done
        cat /mnt/memory.max; head -c 200m /dev/zero | tail | wc -c'";
    let out = attack(&bed, &["--memory", "64m"], hop);
    assert_eq!(out.stdout, "max\n0\nend 0\n", "{out:?}");
    assert!(out.stderr.contains("--memory 64m was used up"), "{out:?}");
    bed.assert_nothing_left();
}

/// Groups deeper than a path can be long, threaded ones, frozen ones with a process in them: all go with the container.
#[test]
fn groups_of_its_own_go_with_it() {
    let bed = bed!();
    let deep = "cd /mnt; n=0; while [ $n -lt 150 ]; do
            name=$(printf %060d $n); mkdir $name && cd -P ./$name || exit 3; n=$((n + 1))
        done; sleep 1000 & echo $! >cgroup.procs";
    let frozen = "mkdir /mnt/f /mnt/f/g; sleep 1000 & echo $! >/mnt/f/g/cgroup.procs; echo 1 >/mnt/f/cgroup.freeze";
    let threaded = "mkdir /mnt/t /mnt/t/u; echo threaded >/mnt/t/cgroup.type; echo threaded >/mnt/t/u/cgroup.type
        sleep 1000 & echo $! >/mnt/t/u/cgroup.procs";
    for script in [deep, frozen, threaded] {
        let out = attack(&bed, &["--pids-limit", "100"], script);
        assert_eq!((out.status, out.stdout.as_str(), out.stderr.as_str()), (0, "end 0\n", ""), "{script}: {out:?}");
        bed.assert_nothing_left();
    }
}
