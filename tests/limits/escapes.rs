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

/// systemd's own attempt at such a scope fails, and it forgets the scope: the next run must not.
#[test]
fn a_scope_that_systemd_could_not_remove() {
    let bed = bed!();
    let start = "export SCRIPT='cd /mnt; n=0; while [ $n -lt 150 ]; do
            name=$(printf %060d $n); mkdir $name && cd -P ./$name || exit 3; n=$((n + 1))
        done; echo ready; sleep 1000'
        setsid little-container run --rm --pids-limit 100 -e SCRIPT --image host \\
            unshare -UrmC sh -c \"mount -t cgroup2 none /mnt && $SCRIPT\" >deep.out 2>&1 & launcher=$!
        n=0; until grep -q ready deep.out; do [ $n -lt 200 ] || exit 1; n=$((n + 1)); sleep 0.05; done
        kill -9 $(pgrep -P $launcher -x little-containe) && sleep 0.2; kill -9 $launcher; sleep 1";
    bed.says(start);
    assert_eq!(bed.run(&[], "true").stderr, "");
    bed.assert_nothing_left();
}

/// A systemd that does not answer keeps nobody who wants to end, and what it does later leaves nothing.
#[test]
fn an_interrupt_while_systemd_is_silent() {
    let bed = bed!();
    let script = "manager=$(pgrep -u $(id -u) -x systemd | head -n 1); kill -STOP $manager; before=$(date +%s)
        timeout --preserve-status -s INT 1 little-container run --rm --memory 64m --rootfs $ROOTFS echo ran
        echo $?; after=$(date +%s); kill -CONT $manager; [ $((after - before)) -lt 8 ] || echo late";
    let out = bed.sh(script);
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("130\n", ""), "{out:?}");
    bed.assert_nothing_left();
}

/// The same trick without any limit, from a terminal whose cgroup belongs to its user: who else is in there must be out of reach.
#[test]
fn a_caller_in_a_cgroup_of_its_own_is_out_of_reach() {
    let bed = bed!();
    let script = r#"cat >hop.sh <<'EOF'
mount -t cgroup2 none /mnt && mkdir /mnt/x && echo 0 >/mnt/x/cgroup.procs &&
exec unshare -C sh -c 'echo hopped; echo 1 >/mnt/cgroup.kill; sleep 1'
EOF
cat >caller.sh <<'EOF'
setsid sleep 100 & bystander=$!; sleep 0.2
little-container run --rm $FLAGS -v ./hop.sh:/hop.sh --image host unshare -UrmC sh /hop.sh; kill $bystander && echo alive
EOF
systemd-run --user --scope -q sh caller.sh"#;
    assert_eq!(bed.sh(script).stdout, "hopped\nalive\n");
    bed.assert_nothing_left();
}
