//! Containers: listed, found by name, removed.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use kit::{Running, assert_advice, assert_error, wait_for};
use std::{fs, path::Path};
use support::{Ground, Need, outcome};

/// A container that stays when its command has ended.
fn ended(ground: &Ground, flags: &[&str], script: &str) -> i32 {
    let mut command = ground.lc(["run"]);
    command.args(flags).arg("--rootfs").arg(ground.rootfs()).args(["sh", "-c", script]);
    outcome(&mut command).status
}

/// SIGKILL for the runner; the command is gone when this comes back.
fn kill_and_wait(ground: &Ground, running: &mut Running) {
    let of = |c: &serde_json::Value| (c["status"] == "running").then(|| c["pid"].as_i64()).flatten();
    // The record is written while the command runs already.
    let pid = || ground.containers().iter().find_map(of);
    wait_for("the record", || pid().is_some());
    let pid = pid().unwrap();
    running.kill();
    wait_for("the command ends", || !Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(ground.left_processes(), [""; 0]);
}

fn column<'a>(table: &'a str, row: usize, from: &str, to: &str) -> &'a str {
    let lines: Vec<&str> = table.lines().collect();
    let start = lines[0].find(from).unwrap();
    let end = lines[0].find(to).unwrap_or(usize::MAX).min(lines[row].len());
    lines[row].get(start..end).unwrap_or("").trim()
}

#[test]
fn ps_shows_what_runs_and_with_a_what_has_ended() {
    let ground = ground!();
    assert_eq!(ground.ok(["ps"]).lines().count(), 1);
    assert_eq!(ended(&ground, &["--name", "first"], "exit 7"), 7);
    let running = ground.running(&["--name", "second"]);
    let table = ground.ok(["ps"]);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert_eq!(column(&table, 1, "STATUS", "NAMES"), "Up");
    assert_eq!(column(&table, 1, "NAMES", "~"), "second");
    assert_eq!(column(&table, 1, "IMAGE", "COMMAND"), ground.rootfs().display().to_string());
    assert!(column(&table, 1, "COMMAND", "CREATED").starts_with("sh -c 'echo begun; exec"), "{table}");
    let all = ground.ok(["ps", "-a"]);
    assert_eq!(all.lines().count(), 3, "{all}");
    let row = (1..3).find(|n| column(&all, *n, "NAMES", "~") == "first").unwrap();
    assert!(column(&all, row, "STATUS", "NAMES").starts_with("Exited (7) "), "{all}");
    let json = ground.containers();
    let of = |name: &str| json.iter().find(|c| c["name"] == name).unwrap();
    assert_eq!((&of("first")["status"], &of("first")["exit_code"]), (&"exited".into(), &7.into()));
    assert_eq!((&of("second")["status"], &of("second")["exit_code"]), (&"running".into(), &serde_json::Value::Null));
    let pid = of("second")["pid"].as_i64().unwrap();
    assert!(fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().contains("sleep\x001000"));
    assert!(of("second")["choices"].as_array().unwrap().iter().any(|c| c.as_str().unwrap().starts_with("storage: ")));
    let ids = ground.ok(["ps", "-aq"]);
    assert!(ids.lines().all(|id| id.len() == 12 && json.iter().any(|c| c["id"].as_str().unwrap().starts_with(id))));
    assert_eq!((ids.lines().count(), ground.ok(["ps", "-q"]).lines().count()), (2, 1));
    drop(running);
}

#[test]
fn rm_takes_names_ids_and_beginnings_of_ids() {
    let ground = ground!();
    for name in ["one", "two", "three"] {
        ended(&ground, &["--name", name], "echo x > /file");
    }
    let id =
        |name: &str| ground.containers().iter().find(|c| c["name"] == name).unwrap()["id"].as_str().unwrap().to_owned();
    let (two, three) = (id("two"), id("three"));
    assert_eq!(ground.ok(["rm", "one", &two, &three[..12]]), format!("one\n{two}\n{}\n", &three[..12]));
    assert_eq!(ground.leftovers(), [""; 0]);
    assert_eq!(fs::read_dir(ground.store().join("names")).unwrap().count(), 0);
    let out = ground.end(["rm", "one"]);
    assert_advice(&out, 1, &["no container is called \"one\"", "ps -a"]);
    assert_eq!(ground.ok(["rm", "-f", "one"]), "");
    assert_error(&ground.end(["rm", "../../x"]), 1, &["no container is called"]);
}

#[test]
fn rm_goes_on_after_one_that_is_not_there() {
    let ground = ground!();
    ended(&ground, &["--name", "one"], "true");
    let out = ground.end(["rm", "gone", "one"]);
    assert_eq!((out.status, out.stdout.as_str()), (1, "one\n"), "{out:?}");
}

#[test]
fn a_running_container_is_removed_by_force_only() {
    let ground = ground!();
    let mut running = ground.running(&["--name", "busy"]);
    let out = ground.end(["rm", "busy"]);
    assert_advice(&out, 1, &["is running", "rm -f"]);
    assert_eq!(ground.containers()[0]["status"], "running");
    assert_eq!(ground.ok(["rm", "-f", "busy"]), "busy\n");
    assert_eq!(running.0.wait().unwrap().code(), Some(137));
    assert_eq!(ground.leftovers(), [""; 0]);
    assert_eq!(ground.left_processes(), [""; 0]);
}

#[test]
fn a_name_belongs_to_one_container() {
    let ground = ground!();
    ended(&ground, &["--name", "mine"], "true");
    let mut command = ground.lc(["run", "--name", "mine", "--rootfs"]);
    let out = outcome(command.arg(ground.rootfs()).args(["touch", "/never"]));
    assert_advice(&out, 125, &["the name \"mine\" is taken by container ", "rm mine"]);
    assert_eq!(ground.containers().len(), 1);
    ground.ok(["rm", "mine"]);
    assert_eq!(ended(&ground, &["--name", "mine", "--rm"], "true"), 0);
    // --rm has given it back, and so has a command that did not start.
    let mut command = ground.lc(["run", "--name", "mine", "--rootfs"]);
    assert_eq!(outcome(command.arg(ground.rootfs()).arg("nothing")).status, 127);
    assert_eq!(ended(&ground, &["--name", "mine"], "true"), 0);
    assert_eq!(ground.containers().len(), 1);
}

#[test]
fn one_of_many_at_once_gets_the_name() {
    let ground = ground!();
    let children: Vec<_> = (0..6)
        .map(|_| {
            let mut command = ground.lc(["run", "--name", "mine", "--rootfs"]);
            command.arg(ground.rootfs()).arg("true").stderr(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    let codes: Vec<i32> = children.into_iter().map(|mut c| c.wait().unwrap().code().unwrap()).collect();
    assert_eq!(codes.iter().filter(|c| **c == 0).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|c| **c == 125).count(), 5, "{codes:?}");
    assert_eq!(ground.containers().len(), 1);
}

#[test]
fn a_killed_runner_takes_its_container_along_and_shows_as_killed() {
    let ground = ground!();
    let mut running = ground.running(&["--name", "poor"]);
    kill_and_wait(&ground, &mut running);
    let shown = ground.containers();
    assert_eq!((&shown[0]["status"], &shown[0]["exit_code"]), (&"killed".into(), &serde_json::Value::Null));
    assert!(ground.ok(["ps", "-a"]).contains("Killed with its runner"));
    assert_eq!(ground.ok(["ps", "-q"]), "");
    assert_eq!(ground.ok(["rm", "poor"]), "poor\n");
    // Its mark goes with the next run.
    assert_eq!(ground.sh(&[], "true").status, 0);
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn a_killed_run_with_rm_is_collected_by_the_next_run() {
    let ground = ground!();
    let mut running = ground.running(&["--rm", "--name", "poor"]);
    kill_and_wait(&ground, &mut running);
    assert_eq!(ground.containers().len(), 1);
    assert_eq!(ground.sh(&[], "true").status, 0);
    assert_eq!(ground.containers().len(), 0);
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn files_of_any_mapped_owner_are_removed() {
    let ground = ground!(Need::Range);
    let script = "mkdir -p /d/e; echo x > /d/e/f; chown -R 33:34 /d; chmod 700 /d /d/e; \
                  mkdir /locked; touch /locked/in; chmod 000 /locked; rm -rf /home; mkdir /home; touch /home/new";
    assert_eq!(ended(&ground, &["--name", "kept"], script), 0);
    assert_eq!(ground.ok(["rm", "kept"]), "kept\n");
    assert_eq!(ground.leftovers(), [""; 0]);
    assert_eq!(ended(&ground, &["--rm"], script), 0);
    assert_eq!(ground.leftovers(), [""; 0]);
    assert_eq!(ended(&ground, &["--rm", "--storage", "copy"], script), 0);
    assert_eq!(ground.leftovers(), [""; 0]);
    let mut killed = ground.running(&["--rm"]);
    kill_and_wait(&ground, &mut killed);
    assert_eq!(ground.sh(&[], "true").status, 0);
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn a_broken_record_does_not_break_the_list() {
    let ground = ground!();
    ended(&ground, &["--name", "good"], "true");
    ended(&ground, &["--name", "bad"], "true");
    let bad = ground.containers().iter().find(|c| c["name"] == "bad").unwrap()["id"].as_str().unwrap().to_owned();
    let record = ground.store().join("containers").join(&bad).join("container.json");
    fs::write(&record, "{\"version\":1,").unwrap();
    let out = ground.end(["ps", "-a", "--format", "json"]);
    assert_eq!(out.status, 0, "{out:?}");
    assert!(out.stdout.contains("\"good\"") && !out.stdout.contains("\"bad\""), "{out:?}");
    assert!(out.stderr.contains(&format!("note: the record of {} cannot be read: ", &bad[..12])), "{out:?}");
    assert_eq!(ground.ok(["ps"]).lines().count(), 1);
    assert_eq!(ground.sh(&[], "true").status, 0);
    // It can be removed all the same.
    assert_eq!(ground.ok(["rm", &bad[..12]]), format!("{}\n", &bad[..12]));
    assert_eq!(ground.containers().len(), 1);
    assert_eq!(ended(&ground, &["--name", "bad"], "true"), 0);
}

#[test]
fn what_another_machine_runs_is_left_alone() {
    let ground = ground!();
    ended(&ground, &["--name", "far"], "true");
    let id = ground.containers()[0]["id"].as_str().unwrap().to_owned();
    let path = ground.store().join("containers").join(id).join("container.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["machine"] = "elsewhere-1".into();
    record["exit"] = serde_json::Value::Null;
    fs::write(&path, record.to_string()).unwrap();
    assert!(ground.ok(["ps", "-a"]).contains("On elsewhere-1"));
    assert_advice(&ground.end(["rm", "far"]), 1, &["belongs to the machine elsewhere-1", "rm -f"]);
    assert_eq!(ground.ok(["rm", "-f", "far"]), "far\n");
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn what_a_killed_run_left_is_collected_by_a_run_with_another_store() {
    let ground = ground!();
    let mut running = ground.running(&["--rm"]);
    kill_and_wait(&ground, &mut running);
    let mut command = ground.lc(["--store", "other", "run", "--rm", "--rootfs"]);
    assert_eq!(outcome(command.arg(ground.rootfs()).arg("true")).status, 0);
    assert_eq!(ground.leftovers(), [""; 0]);
}
