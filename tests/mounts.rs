//! /proc, /sys and /dev inside, what is hidden in them, and what is there inside another container.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use std::{collections::BTreeMap, fs};
use support::{Ground, Need, outcome, program};

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Mount point to kind and options, the last mount of a place.
fn mounts(ground: &Ground, flags: &[&str]) -> BTreeMap<String, (String, String)> {
    let table = ground.says(flags, "cat /proc/self/mounts");
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields[1].to_owned(), (fields[2].to_owned(), fields[3].to_owned()))
    };
    table.lines().map(row).collect()
}

#[track_caller]
fn assert_options(mounts: &BTreeMap<String, (String, String)>, place: &str, kind: &str, wanted: &[&str]) {
    let (found, options) = mounts.get(place).unwrap_or_else(|| panic!("{place} is no mount: {mounts:?}"));
    assert_eq!(found, kind, "{place}");
    let options: Vec<&str> = options.split(',').collect();
    for option in wanted {
        assert!(options.contains(option), "{place} is not {option}: {options:?}");
    }
}

#[test]
fn each_place_has_its_file_system_and_options() {
    let ground = ground!();
    let all = mounts(&ground, &[]);
    assert_options(&all, "/proc", "proc", &["rw", "nosuid", "nodev", "noexec"]);
    assert_options(&all, "/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]);
    assert_options(&all, "/dev", "tmpfs", &["rw", "nosuid", "nodev", "mode=755"]);
    assert_options(&all, "/dev/pts", "devpts", &["rw", "nosuid", "noexec", "mode=620", "ptmxmode=666"]);
    assert_options(&all, "/dev/shm", "tmpfs", &["rw", "nosuid", "nodev", "noexec"]);
    assert_options(&all, "/dev/mqueue", "mqueue", &["rw", "nosuid", "nodev", "noexec"]);
    if fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok() {
        assert_options(&all, "/sys/fs/cgroup", "cgroup2", &["ro", "nosuid", "nodev", "noexec"]);
    }
    for place in ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"] {
        if fs::metadata(place).is_ok() {
            assert_options(&all, place, "proc", &["ro"]);
        }
    }
    for file in ["resolv.conf", "hosts", "hostname"] {
        assert_options(&all, &format!("/etc/{file}"), "tmpfs", &[]);
    }
    let none = mounts(&ground, &["--network", "none"]);
    assert_options(&none, "/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]);
}

#[test]
fn proc_shows_this_container_only() {
    let ground = ground!();
    let out = ground.says(&[], "cd /proc; for p in [0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done; readlink 1/exe");
    assert!(out.starts_with("sh -c cd /proc;"), "{out}");
    assert!(!out.contains(&ground.path("").display().to_string()), "{out}");
    assert_eq!(out.lines().last(), Some("/bin/busybox"));
    let spaces = "for n in user mnt pid uts ipc cgroup; do readlink /proc/self/ns/$n; done";
    let own =
        ["user", "mnt", "pid", "uts", "ipc", "cgroup"].map(|n| fs::read_link(format!("/proc/self/ns/{n}")).unwrap());
    let inside = ground.says(&[], spaces);
    for (own, inside) in own.iter().zip(inside.lines()) {
        assert_ne!(own.display().to_string(), inside);
    }
}

#[test]
fn what_tells_about_the_machine_is_hidden() {
    let ground = ground!();
    let script = format!(
        "for p in {}; do if [ -d $p ]; then echo $p $(ls -A $p | wc -l); elif [ -e $p ]; then echo $p $(wc -c < $p); fi; done",
        MASKED.join(" ")
    );
    let there: Vec<&str> = MASKED.into_iter().filter(|p| fs::metadata(p).is_ok()).collect();
    assert!(there.contains(&"/proc/interrupts"), "{there:?}");
    let expected: String = there.iter().map(|p| format!("{p} 0\n")).collect();
    assert_eq!(ground.says(&[], &script), expected);
    // And it stays so: the mask can neither be taken off nor written through.
    let out = ground.sh(
        &[],
        "umount /proc/interrupts; umount /proc; mount -t proc p /proc; mount -o remount,rw /sys; touch /sys/firmware/x",
    );
    assert_ne!(out.status, 0);
    assert_eq!(out.stderr.lines().count(), 5, "{out:?}");
}

#[test]
fn what_changes_the_machine_is_read_only() {
    let ground = ground!();
    for path in ["/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/kernel/profiling", "/sys/x"] {
        let out = ground.sh(&[], &format!("echo 0 > {path}"));
        assert_eq!(out.status, 1, "{path}");
        assert!(out.stderr.contains("Read-only file system") || out.stderr.contains("nonexistent"), "{path}: {out:?}");
    }
}

#[test]
fn dev_has_the_usual_and_nothing_else() {
    let ground = ground!();
    let list = "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n";
    assert_eq!(ground.says(&[], "ls -A /dev"), list);
    let with_terminal = ground.says(&["-t"], "ls -A1 /dev").replace("\r\n", "\n");
    assert_eq!(with_terminal, format!("console\n{list}"));
    let look = "cd /dev; stat -c '%n %a %F' null zero full random urandom tty shm mqueue pts pts/ptmx; stat -c '%t,%T' null zero full random urandom tty";
    let kinds = "null 666 character special file\nzero 666 character special file\nfull 666 character special file\n\
                 random 666 character special file\nurandom 666 character special file\ntty 666 character special file\n\
                 shm 1777 directory\nmqueue 1777 directory\npts 755 directory\npts/ptmx 666 character special file\n";
    assert_eq!(ground.says(&[], look), format!("{kinds}1,3\n1,5\n1,7\n1,8\n1,9\n5,0\n"));
    let links = "for l in core fd stdin stdout stderr ptmx; do readlink /dev/$l; done";
    let targets = "/proc/kcore\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n";
    assert_eq!(ground.says(&[], links), targets);
}

#[test]
fn devices_work() {
    let ground = ground!();
    let script = "echo x > /dev/null; head -c 3 /dev/zero | od -An -tx1; head -c 5 /dev/urandom | wc -c; \
                  echo x > /dev/full || echo full; (echo out > /dev/stdout) | cat; (echo err > /dev/stderr) 2>&1 | cat; \
                  echo x > /dev/shm/f && cat /dev/shm/f; mkdir /dev/mqueue/d || echo queue";
    let out = ground.sh(&[], script);
    assert_eq!(out.stdout, " 00 00 00\n5\nfull\nout\nerr\nx\nqueue\n", "{out:?}");
    let terminals = "exec 3<>/dev/ptmx; ls /dev/pts; exec 4<>/dev/ptmx; ls /dev/pts";
    assert_eq!(ground.says(&[], terminals), "0\nptmx\n0\n1\nptmx\n");
    // Files of devices cannot be made, and one of an image would not work.
    assert_ne!(ground.sh(&[], "mknod /x c 1 3").status, 0);
}

#[test]
fn terminals_belong_to_the_group_tty_where_it_exists() {
    let ground = ground!(Need::Range);
    assert_eq!(ground.says(&["-t"], "stat -c '%a %g' /dev/pts/0"), "620 5\r\n");
    assert_eq!(ground.says(&["-t", "--userns", "single"], "stat -c '%a %g' /dev/pts/0"), "620 0\r\n");
}

#[test]
fn only_dockers_capabilities_and_no_new_ones() {
    let ground = ground!();
    let status = "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs)' /proc/self/status";
    let set = "00000000a80425fb";
    let none = "0000000000000000";
    let expected =
        format!("CapInh:\t{none}\nCapPrm:\t{set}\nCapEff:\t{set}\nCapBnd:\t{set}\nCapAmb:\t{none}\nNoNewPrivs:\t1\n");
    assert_eq!(ground.says(&[], status), expected);
    assert_ne!(ground.sh(&[], "mount -t tmpfs x /tmp").status, 0);
    assert_ne!(ground.sh(&[], "hostname other").status, 0);
    assert_eq!(ground.sh(&[], "chown 0:0 /tmp && chmod 700 /tmp && kill -0 1").status, 0);
}

/// `sh -c SCRIPT` in namespaces as an outer container has them; $0 is the program and $1 the root file system.
fn in_outer_container(ground: &Ground, script: &str) -> support::Outcome {
    let mut command = ground.command("unshare");
    command.args(["-U", "-r", "-m", "-p", "-f", "--mount-proc", "sh", "-ec", script]);
    outcome(command.arg(program()).arg(ground.rootfs()))
}

#[test]
fn inside_another_container_it_works_as_well() {
    let ground = ground!(Need::Program("unshare"));
    let out = in_outer_container(
        &ground,
        "exec $0 run --rm --rootfs $1 sh -c 'id -u; echo x > /x; cat /x; ls /proc | grep -c ^1$'",
    );
    assert_eq!((out.status, out.stdout.as_str()), (0, "0\nx\n1\n"), "{out:?}");
    assert!(!out.stderr.contains("/proc"), "{out:?}");
}

#[test]
fn where_a_new_proc_is_refused_the_outer_one_is_shown_with_a_note() {
    let ground = ground!(Need::Program("unshare"));
    let script = "mount -t tmpfs mask /proc/irq; exec $0 run --rm --rootfs $1 sh -c 'id -u; ls /proc/irq | wc -l; echo x > /x; cat /x'";
    let out = in_outer_container(&ground, script);
    assert_eq!((out.status, out.stdout.as_str()), (0, "0\n0\nx\n"), "{out:?}");
    let note = "little-container: note: the kernel refuses a new /proc here, as it does inside other containers: the surrounding \
                one is shown, so that the command sees processes outside of it\n";
    assert!(out.stderr.contains(note), "{out:?}");
    assert_eq!(out.stderr.matches("note: the kernel refuses").count(), 1);
    assert_eq!(ground.leftovers(), [""; 0]);
}
