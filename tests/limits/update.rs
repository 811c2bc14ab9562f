//! `update` and `stats`: a container that runs already.

use crate::{
    kit::assert_error,
    started::{Started, sleeper},
    support::bed::Bed,
};
use serde_json::Value;

/// What `inspect` says is enforced for a flag.
#[track_caller]
fn enforced(bed: &Bed, name: &str, flag: &str) -> (String, String) {
    let told = bed.inspect(name);
    let limits = told["Limits"].as_array().unwrap();
    let one = limits.iter().find(|l| l["Limit"] == flag).unwrap_or_else(|| panic!("no {flag} in {limits:?}"));
    (one["Requested"].as_str().unwrap().into(), one["Enforced"].as_str().unwrap().into())
}

fn files(running: &Started) -> [String; 2] {
    [running.file("memory.max"), running.file("pids.max")]
}

#[test]
fn the_limits_of_a_running_container_change() {
    let bed = bed!();
    let running = sleeper(&bed, "changing", "--memory 64m --pids-limit 50");
    let out = bed.lc(&["update", "--memory", "128m", "--pids-limit", "60", "changing"]);
    assert_eq!((out.status, out.stderr.as_str()), (0, ""), "{out:?}");
    assert_eq!(files(&running), ["134217728", "60"]);
    assert_eq!(enforced(&bed, "changing", "--memory"), ("128m".into(), "134217728".into()));
    assert_eq!(enforced(&bed, "changing", "--pids-limit"), ("60".into(), "60".into()));
    // One that it did not have, and the others stay.
    assert_eq!(bed.lc(&["update", "--cpus", "0.25", "changing"]).status, 0);
    assert_eq!(
        (running.file("cpu.max"), files(&running)),
        ("25000 100000".into(), ["134217728", "60"].map(String::from))
    );
    assert_eq!(enforced(&bed, "changing", "--cpus"), ("0.25".into(), "25000 100000".into()));
    running.remove();
    bed.assert_nothing_left();
}

#[test]
fn nonsense_changes_nothing() {
    let bed = bed!();
    let running = sleeper(&bed, "steady", "--memory 64m --pids-limit 50");
    for (flag, word) in [("--memory", "-1g"), ("--memory", "0.0"), ("--cpus", "0.0"), ("--pids-limit", "0")] {
        let out = bed.lc(&["update", flag, word, "steady"]);
        assert!(out.status != 0 && out.stderr.contains(flag), "{flag} {word}: {out:?}");
    }
    // The good half of a bad line neither.
    assert_ne!(bed.lc(&["update", "--memory", "128m", "--cpus", "100000", "steady"]).status, 0);
    assert_eq!(files(&running), ["67108864", "50"]);
    running.remove();
}

#[test]
fn what_cannot_be_updated_says_why() {
    let bed = bed!();
    assert_eq!(bed.lc(&["run", "--name", "past", "--memory", "64m", "--rootfs", bed.rootfs(), "true"]).status, 0);
    assert_error(&bed.lc(&["update", "--memory", "128m", "past"]), 1, &["not running"]);
    let free = sleeper(&bed, "free", "");
    assert_error(&bed.lc(&["update", "--memory", "128m", "free"]), 1, &["no cgroup"]);
    assert_error(&bed.lc(&["update", "--memory", "128m", "nobody"]), 1, &["nobody"]);
    free.remove();
    assert_eq!(bed.lc(&["rm", "past"]).status, 0);
    bed.assert_nothing_left();
}

/// A number of bytes, or the beginning of a text such as `1.2MiB / 64MiB`.
fn bytes(value: &Value) -> Option<f64> {
    let Some(text) = value.as_str() else { return value.as_f64() };
    let text = text.split('/').next()?.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = match text[end..].trim().to_lowercase().as_str() {
        "" | "b" => 1.0,
        "kib" | "k" => 1024.0,
        "kb" => 1000.0,
        "mib" | "m" => 1024.0 * 1024.0,
        "mb" => 1_000_000.0,
        _ => return None,
    };
    Some(text[..end].parse::<f64>().ok()? * unit)
}

#[test]
fn stats_are_read_once_as_json() {
    let bed = bed!();
    let running = sleeper(&bed, "measured", "--memory 64m");
    let out = bed.lc(&["stats", "--no-stream", "--format", "json", "measured"]);
    assert_eq!((out.status, out.stderr.as_str()), (0, ""), "{out:?}");
    let all: Vec<serde_json::Map<String, Value>> = serde_json::from_str(&out.stdout).unwrap();
    let [one] = &all[..] else { panic!("not one object: {}", out.stdout) };
    let of = |names: &[&str]| one.iter().find(|(key, _)| names.contains(&key.to_lowercase().as_str())).map(|(_, v)| v);
    let id = of(&["id"]).and_then(Value::as_str).unwrap();
    assert!(running.id().starts_with(id) && id.len() >= 12, "{id}");
    assert_eq!(of(&["name"]).and_then(Value::as_str), Some("measured"));
    let usage = of(&["memusage", "mem_usage", "memory", "memory_current", "memory_usage"]).and_then(bytes);
    assert!(usage.is_some_and(|u| u > 0.0 && u < 67_108_864.0), "{}", out.stdout);
    running.remove();
}

/// What is told at the end is what stood at the end.
#[test]
fn the_last_limit_is_the_one_that_is_told() {
    let bed = bed!();
    let script = "little-container run --name shrinks --memory 128m --rootfs $ROOTFS sh -c 'echo ready; read x; exec tail /dev/zero' \
                  <go >out 2>err & exec 3>go; for n in $(seq 50); do grep -q ready out && break; sleep 0.1; done; \
                  little-container update --memory 32m shrinks && echo >&3; wait $!; echo $?; cat err";
    let out = bed.sh(&format!("cd; rm -f go; mkfifo go; {script}"));
    assert!(out.stdout.contains("137\n") && out.stdout.contains("--memory 32m was used up"), "{out:?}");
    assert_eq!(bed.lc(&["rm", "shrinks"]).status, 0);
}

/// A file that somebody else has changed, and one that was refused.
#[test]
fn what_is_named_is_in_force_and_what_is_refused_is_not() {
    let bed = bed!();
    let running = sleeper(&bed, "named", "--memory 64m --pids-limit 50 --cgroup-conf cpu.max=50000");
    assert_eq!(running.file("cpu.max"), "50000 100000");
    let out = bed.lc(&["update", "--cgroup-conf", "memory.max=128m", "named"]);
    assert_error(&out, 1, &["--cgroup-conf memory.max: --memory "]);
    assert_eq!(bed.lc(&["update", "--cgroup-conf", "cpu.max=25000", "named"]).status, 0);
    assert_eq!(running.file("cpu.max"), "25000 100000");
    assert_ne!(bed.lc(&["update", "--pids-limit", "60", "--cgroup-conf", "memory.low=nonsense", "named"]).status, 0);
    assert_eq!(files(&running), ["67108864", "50"]);
    let group = bed.inspect("named")["CgroupPath"].as_str().unwrap().to_owned();
    bed.says(&format!("echo max >{group}/memory.max; echo max >{group}/pids.max"));
    assert_eq!(enforced(&bed, "named", "--memory").1, "max");
    assert_eq!(bed.lc(&["update", "--memory", "64m", "named"]).status, 0);
    assert_eq!(bed.says(&format!("cat {group}/memory.max {group}/pids.max")), "67108864\nmax\n");
    running.remove();
    bed.assert_nothing_left();
}

/// Nothing that one of them has written down is lost, and neither is the end.
#[test]
fn updates_at_once_and_at_the_end() {
    let bed = bed!();
    let running = sleeper(&bed, "busy", "--pids-limit 50");
    let script = "little-container update --memory 100m busy >1.out 2>&1 & little-container update --cpus 0.5 busy >2.out 2>&1 &
        little-container update --cpu-weight 50 busy >3.out 2>&1 & little-container update --pids-limit 60 busy >4.out 2>&1 &
        wait; cat [1-4].out";
    assert_eq!(bed.says(script), "busy\n".repeat(4));
    for (flag, value) in
        [("--memory", "104857600"), ("--cpus", "50000 100000"), ("--cpu-weight", "50"), ("--pids-limit", "60")]
    {
        assert_eq!(enforced(&bed, "busy", flag).1, value, "{flag}");
    }
    running.remove();
    let script = "for n in 1 2 3 4 5 6 7 8 9 10; do
            little-container run --name end$n --pids-limit 50 --rootfs $ROOTFS sleep 0.3 &
            m=0; while kill -0 $! 2>/dev/null; do m=$((m + 1)); little-container update --pids-limit 6$m end$n; done >/dev/null 2>&1
            wait $!; echo $? $(little-container inspect end$n | grep -c '\"Status\": \"exited\"')
            little-container rm end$n >/dev/null
        done";
    assert_eq!(bed.says(script), "0 1\n".repeat(10));
    bed.assert_nothing_left();
}
