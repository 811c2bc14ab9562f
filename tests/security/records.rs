//! A store in which somebody has written: records, names and marks are read as what they may be at worst.

use super::{
    STRANGER, picture, put,
    support::{Ground, Need, outcome},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

fn id(digits: &str) -> String {
    digits.repeat(32)
}

/// A record as this version writes it, of a container whose run was killed.
fn record(ground: &Ground, id: &str) -> Value {
    ground.ok(["run", "--rootfs", ground.rootfs().to_str().unwrap(), "true"]);
    let folder = ground.store().join("containers");
    let made = fs::read_dir(&folder).unwrap().flatten().map(|e| e.path());
    let own = made.into_iter().find(|p| p.join("container.json").is_file()).unwrap();
    let mut record: Value = serde_json::from_slice(&fs::read(own.join("container.json")).unwrap()).unwrap();
    ground.ok(["rm".as_ref(), own.file_name().unwrap()]);
    record["id"] = json!(id);
    record["remove"] = json!(true);
    record["exit"] = Value::Null;
    record["init"] = Value::Null;
    record["runner"]["start_time"] = json!(1);
    record
}

fn write(ground: &Ground, folder: &str, record: &Value) -> PathBuf {
    let folder = ground.store().join("containers").join(folder);
    put(ground, &folder.join("container.json"), record.to_string(), 0o600);
    ground.own_all(&folder);
    folder
}

/// What a run after a reboot sees: no marks.
fn forget_marks(ground: &Ground) {
    let _ = fs::remove_dir_all(ground.path("run/little-container"));
}

/// A folder with something in it that must stay.
fn victim(ground: &Ground, place: &Path) -> Vec<String> {
    for name in ["precious", "sub/deep"] {
        put(ground, &place.join(name), "content\n", 0o644);
    }
    ground.own_all(place);
    picture(place)
}

/// Every way to have a container taken away.
fn remove_in_every_way(ground: &Ground, words: &[&str]) {
    for word in words {
        for flags in [&["rm"][..], &["rm", "-f"]] {
            let out = ground.end(flags.iter().chain([word]));
            assert!(!out.stderr.contains("panicked"), "{out:?}");
        }
    }
    forget_marks(ground);
    let out = outcome(&mut ground.run(["true"]));
    assert_eq!(out.status, 0, "{out:?}");
    let out = outcome(&mut ground.run(["true"]));
    assert_eq!(out.status, 0, "{out:?}");
    ground.end(["ps", "-a"]);
}

#[test]
fn a_record_names_no_program_to_run() {
    let ground = ground!(Need::Root);
    let (id, sign) = (id("ab"), ground.path("work/ran"));
    let mut record = record(&ground, &id);
    let helper = ground.file("newuidmap", format!("#!/bin/sh\necho ran > {}\nexit 1\n", sign.display()));
    put(&ground, &helper, fs::read(&helper).unwrap(), 0o755);
    let map = json!([{"inside": 0, "outside": ground.user.uid, "count": 1}, {"inside": 1, "outside": 600000, "count": 65536}]);
    record["map"] = json!({"uid": map, "gid": map});
    for mapper in [
        json!({"helpers": {"newuidmap": helper, "newgidmap": helper}}),
        json!({"helpers": {"newuidmap": "newuidmap", "newgidmap": "./newuidmap"}}),
    ] {
        record["mapper"] = mapper;
        let folder = write(&ground, &id, &record);
        // What the user cannot remove as they are, so that the map is needed.
        put(&ground, &folder.join("upper/sub/file"), "", 0o644);
        for name in ["upper/sub", "upper/sub/file"] {
            std::os::unix::fs::lchown(folder.join(name), Some(STRANGER.uid), Some(STRANGER.gid)).unwrap();
        }
        remove_in_every_way(&ground, &[&id, &id[..12]]);
        assert!(!sign.exists(), "the program that a record names was run");
        // By a mark of a run that is gone.
        symlink(ground.store(), ground.path("run/little-container").join(format!("{id}.1.1"))).unwrap();
        outcome(&mut ground.run(["true"]));
        assert!(!sign.exists(), "the program that a record names was run");
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn names_lead_to_containers_only() {
    let ground = ground!();
    ground.ok(["run", "--rm", "--rootfs", ground.rootfs().to_str().unwrap(), "true"]);
    let outside = ground.path("work/victim");
    let before = victim(&ground, &outside);
    let images = ground.store().join("images");
    let names = ground.store().join("names");
    let links = [
        ("absolute", outside.clone()),
        ("relative", PathBuf::from("../../../../../../work/victim")),
        ("images", "../images".into()),
        ("all", ".".into()),
        ("store", "..".into()),
        ("empty-part", "a/..".into()),
        ("short", "abcdef".into()),
    ];
    let kept = victim(&ground, &images);
    let stays = ground.store().join("containers/abcdef");
    let odd = victim(&ground, &stays);
    for (name, to) in &links {
        let _ = fs::remove_file(names.join(name));
        symlink(to, names.join(name)).unwrap();
        ground.own(&names.join(name));
        let out = ground.end(["rm", name]);
        assert_ne!(out.status, 0, "{name}: {out:?}");
        remove_in_every_way(&ground, &[name]);
        assert_eq!(picture(&outside), before, "{name}");
        assert_eq!(picture(&images), kept, "{name}");
        assert_eq!(picture(&stays), odd, "{name}");
    }
    // Such a link does not keep a name from being used.
    for (name, _) in &links[..2] {
        let out = outcome(&mut ground.run(["--name", name, "true"]));
        assert!(!out.stderr.contains("panicked"), "{out:?}");
        assert_eq!(picture(&outside), before, "{name}");
    }
    for word in ["../../../../../../work/victim", outside.to_str().unwrap(), "..", ".", "abcdef", "abc", "../images"] {
        assert_ne!(ground.end(["rm", word]).status, 0, "{word}");
        remove_in_every_way(&ground, &[word]);
        assert_eq!(picture(&outside), before, "{word}");
    }
    assert_eq!((picture(&images), picture(&stays)), (kept, odd));
}

#[test]
fn a_record_speaks_of_its_own_folder_only() {
    let ground = ground!();
    let outside = ground.path("work/victim");
    let before = victim(&ground, &outside);
    let other = id("cd");
    let broken = id("ab");
    let plain = record(&ground, &broken);
    let kept = ground.store().join("containers").join(&other);
    let mut others = plain.clone();
    others["id"] = json!(other);
    others["remove"] = json!(false);
    write(&ground, &other, &others);
    victim(&ground, &kept.join("upper"));
    let kept_before = picture(&kept);
    for wrong in [outside.to_str().unwrap(), "../../../../../../work/victim", &other, "", "..", "."] {
        let mut record = plain.clone();
        record["id"] = json!(wrong);
        let folder = write(&ground, &broken, &record);
        forget_marks(&ground);
        assert_eq!(outcome(&mut ground.run(["true"])).status, 0);
        assert_eq!(picture(&outside), before, "{wrong}");
        assert_eq!(picture(&kept), kept_before, "{wrong}");
        // It is told as what it is, and can be taken away.
        assert!(folder.exists(), "{wrong}");
        let out = ground.end(["ps", "-a"]);
        assert!(out.stderr.contains(&format!("record of {}", &broken[..12])), "{wrong}: {out:?}");
        assert!(!out.stdout.contains(&broken[..12]), "{wrong}: {out:?}");
        let out = ground.end(["rm", "-f", &broken]);
        assert_eq!((out.status, folder.exists()), (0, false), "{wrong}: {out:?}");
        assert_eq!(picture(&outside), before, "{wrong}");
        assert_eq!(picture(&kept), kept_before, "{wrong}");
    }
    // A name that another container has is not given away by a record that claims it.
    assert_eq!(outcome(&mut ground.lc(["rm", &other])).status, 0);
}

#[test]
fn a_container_that_is_a_link_is_none() {
    let ground = ground!();
    let outside = ground.path("work/victim");
    let id = id("ef");
    let record = record(&ground, &id);
    for with_record in [false, true] {
        let _ = fs::remove_dir_all(&outside);
        if with_record {
            put(&ground, &outside.join("container.json"), record.to_string(), 0o600);
        }
        let before = victim(&ground, &outside);
        let link = ground.store().join("containers").join(&id);
        let plant = || {
            let _ = fs::remove_file(&link);
            symlink(&outside, &link).unwrap();
            ground.own(&link);
        };
        plant();
        remove_in_every_way(&ground, &[&id, &id[..8]]);
        assert_eq!(picture(&outside), before, "{with_record}");
        plant();
        symlink(ground.store(), ground.path("run/little-container").join(format!("{id}.1.1"))).unwrap();
        outcome(&mut ground.run(["true"]));
        assert_eq!(picture(&outside), before, "{with_record}");
        // Nor is a part of a container followed.
        let _ = fs::remove_file(&link);
        let folder = write(&ground, &id, &record);
        symlink(&outside, folder.join("upper")).unwrap();
        remove_in_every_way(&ground, &[&id]);
        assert_eq!(picture(&outside), before, "{with_record}");
        assert!(!folder.exists());
    }
}

#[test]
fn the_first_run_of_a_login_spares_what_another_is_about_to_start() {
    let ground = ground!();
    for n in 0..20 {
        for m in 0..50 {
            put(&ground, &ground.rootfs().join(format!("many/{n}/{m}")), "x", 0o644);
        }
    }
    ground.own_all(&ground.rootfs().join("many"));
    ground.ok(["run", "--rm", "--rootfs", ground.rootfs().to_str().unwrap(), "true"]);
    let containers = ground.store().join("containers");
    for round in 0..2 {
        let mut first = ground.run(["--storage", "copy", "sh", "-c", "find /many -type f | wc -l"]);
        let mut first = first.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        while fs::read_dir(&containers).unwrap().count() == 0 && start.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_micros(100));
        }
        thread::sleep(Duration::from_millis(4 * round));
        // It stands still in the middle of it, with every process that it has.
        let all: Vec<Pid> = ground
            .left_processes()
            .iter()
            .map(|line| Pid::from_raw(line.split(' ').next().unwrap().parse().unwrap()))
            .collect();
        let signal = |signal| all.iter().for_each(|pid| kill(*pid, signal).unwrap_or_default());
        signal(Signal::SIGSTOP);
        // In another session there is another runtime folder, and no mark in it.
        let runtime = ground.path("work").join(format!("run-{round}"));
        fs::create_dir(&runtime).unwrap();
        ground.own(&runtime);
        let second = outcome(ground.run(["true"]).env("XDG_RUNTIME_DIR", &runtime));
        signal(Signal::SIGCONT);
        assert_eq!(second.status, 0, "{second:?}");
        let out = first.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stderr), "", "round {round}");
        assert_eq!(String::from_utf8_lossy(&out.stdout), "1000\n", "round {round}");
        first = ground.lc(["ps"]).stdout(Stdio::null()).spawn().unwrap();
        assert!(first.wait().unwrap().success());
    }
    assert_eq!(ground.leftovers(), [""; 0]);
}
