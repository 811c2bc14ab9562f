//! What the command has that it should not have: rights, keys, devices of the machine.

use super::{
    compile, put,
    support::{Ground, Need, outcome},
};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

/// The default capabilities, as bits.
const ALL: &str = "00000000a80425fb";

#[test]
fn capabilities_are_no_more_than_said() {
    let ground = ground!(Need::Range);
    let look =
        "while read -r name set; do case $name in Cap*|NoNewPrivs:) echo $name $set;; esac; done < /proc/self/status";
    let none = "0000000000000000";
    for flags in [&[][..], &["--init"], &["-t"]] {
        let root = ground.says(flags, look).replace('\r', "");
        let sets =
            format!("CapInh: {none}\nCapPrm: {ALL}\nCapEff: {ALL}\nCapBnd: {ALL}\nCapAmb: {none}\nNoNewPrivs: 1\n");
        assert_eq!(root, sets, "{flags:?}");
        let web = ground.says(&[flags, &["-u", "web"]].concat(), look).replace('\r', "");
        let sets =
            format!("CapInh: {none}\nCapPrm: {none}\nCapEff: {none}\nCapBnd: {ALL}\nCapAmb: {none}\nNoNewPrivs: 1\n");
        assert_eq!(web, sets, "{flags:?}");
    }
}

#[test]
fn the_first_process_of_init_can_but_signal() {
    let ground = ground!(Need::Range);
    for user in ["root", "web"] {
        let script = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/1/status; head -n 1 /proc/1/status";
        let said = ground.says(&["--init", "-u", user], script);
        let set = |name: &str| {
            let line = said.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("{name} {said}"));
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        for name in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
            assert_eq!(set(name) & !(1 << 5), 0, "{user} {said}");
        }
        assert_eq!(set("NoNewPrivs:"), 1, "{said}");
    }
    // And it can signal.
    for user in ["root", "web"] {
        let mut command = ground.lc(["run", "--rm", "--init", "-u", user, "--rootfs"]);
        command.arg(ground.rootfs()).args(["sh", "-c", "trap 'echo told; exit 3' TERM; echo begun; sleep 100 & wait"]);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGTERM)
            .unwrap();
        std::io::Read::read_to_string(&mut said, &mut line).unwrap();
        assert_eq!((line.as_str(), child.wait().unwrap().code()), ("begun\ntold\n", Some(3)), "{user}");
    }
}

#[test]
fn keys_of_the_caller_stay_outside() {
    let ground = ground!(Need::Program("cc"));
    let keys = ground.rootfs().join("bin/keys");
    compile(&ground, include_str!("keys.c"), &[], &keys);
    for flags in [&[][..], &["--init"], &["-t"]] {
        let mut command = ground.command(&keys);
        command.arg("out").arg(super::support::program()).args(["run", "--rm"]).args(flags);
        let out = outcome(command.arg("--rootfs").arg(ground.rootfs()).args(["keys", "in"]));
        assert_eq!(out.status, 0, "{out:?}");
        assert!(!out.stdout.contains("TOP-SECRET"), "{flags:?}: a key of the caller's was read: {}", out.stdout);
        for call in ["keyctl", "add_key", "request_key", "join", "old keyctl", "old add_key", "old request_key"] {
            let line = out.stdout.lines().find_map(|l| l.strip_prefix(call)?.strip_prefix(": "));
            // A kernel may be without the old ones.
            let Some(line) = line.map(str::trim) else {
                assert!(call.starts_with("old"), "{out:?}");
                continue;
            };
            assert!(
                ["Operation not permitted", "Function not implemented"].contains(&line),
                "{flags:?} {call}: {line}"
            );
        }
    }
}

/// Puts a device of the machine back as it was, whatever happens.
struct Device(&'static str, fs::Metadata);

impl Drop for Device {
    fn drop(&mut self) {
        let _ = std::os::unix::fs::chown(self.0, Some(self.1.uid()), Some(self.1.gid()));
        let _ = fs::set_permissions(self.0, self.1.permissions());
        let time = |t: std::io::Result<std::time::SystemTime>| {
            let since = t.ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
            nix::sys::time::TimeSpec::from_duration(since)
        };
        let (read, changed) = (time(self.1.accessed()), time(self.1.modified()));
        let follow = nix::sys::stat::UtimensatFlags::FollowSymlink;
        let _ = nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, self.0, &read, &changed, follow);
    }
}

fn seen(device: &str) -> (u32, u32, u32, i64) {
    let m = fs::metadata(device).unwrap();
    (m.permissions().mode(), m.uid(), m.gid(), m.mtime())
}

fn devices_stay(ground: &Ground) {
    let names = ["/dev/full", "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/dev/tty"];
    let kept: Vec<Device> = names.iter().map(|name| Device(name, fs::metadata(name).unwrap())).collect();
    // Nothing that would hurt others while it lasts.
    let script = "for d in full null zero urandom random tty; do chmod a+rwx /dev/$d; chown 0:7 /dev/$d; \
                  touch -d '2001-01-01 00:00' /dev/$d; done; rm /dev/full; mv /dev/zero /dev/nought; \
                  echo x > /dev/null && head -c 4 /dev/urandom | wc -c; echo x > /dev/full";
    for flags in [&[][..], &["--init"], &["--read-only"], &["--userns", "single"]] {
        let before: Vec<_> = names.iter().map(|name| seen(name)).collect();
        let out = ground.sh(flags, script);
        let after: Vec<_> = names.iter().map(|name| seen(name)).collect();
        assert_eq!(after, before, "{flags:?}: {out:?}");
        assert_eq!(out.stdout, "4\n", "{flags:?} {out:?}");
    }
    drop(kept);
}

#[test]
fn devices_of_the_machine_are_not_changed() {
    let ground = ground!();
    devices_stay(&ground);
}

#[test]
fn devices_of_the_machine_are_not_changed_by_root() {
    let Some(ground) = Ground::as_root(&[]) else { return };
    devices_stay(&ground);
}

#[test]
fn devices_can_be_used() {
    let ground = ground!();
    put(&ground, &ground.rootfs().join("x"), "", 0o644);
    let script = "echo x > /dev/null && head -c 3 /dev/zero | wc -c && head -c 3 /dev/random | wc -c; echo x > /dev/full; \
                  echo $?; cat /dev/null | wc -c";
    for flags in [&[][..], &["--read-only"], &["--init"]] {
        let out = ground.sh(flags, script);
        assert_eq!((out.status, out.stdout.as_str()), (0, "3\n3\n1\n0\n"), "{flags:?} {out:?}");
        assert!(out.stderr.contains("No space left on device"), "{out:?}");
    }
}
