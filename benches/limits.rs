//! `cargo bench --bench limits [-- --runs N --json FILE --against PROGRAM]`
//!
//! What limits cost: a start with three of them, from systemd and in a delegated cgroup, beside one without; the part of it
//! that is D-Bus and systemd, beside what others pay for theirs. It runs where limits can be held: on this machine where it
//! can, else in the small machine that the tests use, into which this program copies itself. Only the ratios mean something
//! elsewhere. Nothing here fails because of a time. `--against` adds another build of ours.

#[path = "limits/inside.rs"]
mod inside;
#[allow(dead_code, reason = "made for the bench of starts")]
mod measure;
#[allow(dead_code, reason = "made for the bench of starts")]
mod memory;
#[allow(dead_code, reason = "the memory is not measured here")]
mod report;
#[macro_use]
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "limits/systemd.rs"]
mod systemd;

use measure::Row;
use serde_json::Value;
use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};
use support::bed::Bed;

/// How long all of it may take, in seconds.
const PATIENCE: u64 = 900;

/// What the command line says.
struct Options {
    runs: usize,
    json: Option<PathBuf>,
    against: Option<PathBuf>,
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.split_first() {
        Some((first, rest)) if first == inside::WORD => return inside::main(rest),
        Some((first, rest)) if first == inside::SERVE => return inside::serve(rest),
        _ => {}
    }
    match options(&words).and_then(|options| measure(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("limits: {e}");
            ExitCode::FAILURE
        }
    }
}

/// `cargo bench` gives `--bench`; without it this is a test run, which only looks whether everything still works.
fn options(words: &[String]) -> Result<Options, String> {
    let bench = words.iter().any(|w| w == "--bench");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/limits.json");
    let mut options = Options { runs: if bench { 50 } else { 2 }, json: bench.then_some(file), against: None };
    let mut words = words.iter();
    while let Some(name) = words.next() {
        let mut value = || words.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--runs" => options.runs = value()?.parse().map_err(|e| format!("--runs: {e}"))?,
            "--json" => options.json = Some(value()?.into()),
            "--against" => options.against = Some(value()?.into()),
            "--bench" => {}
            other if other.starts_with("--") => {
                return Err(format!("{other} is not known; see the head of benches/limits.rs"));
            }
            _ => {}
        }
    }
    Ok(options)
}

fn measure(options: &Options) -> Result<(), String> {
    let Some(bed) = Bed::new("") else { return Ok(()) };
    println!("on {}", bed.what());
    let own = bed.bring(&env::current_exe().map_err(|e| e.to_string())?, "bench");
    let against = options.against.as_ref().map(|other| bed.bring(other, "other-build")).unwrap_or_default();
    let script = format!("exec {own} {} {} \"$ROOTFS\" {against}", inside::WORD, options.runs);
    let out = bed.sh_for(PATIENCE, &script);
    eprint!("{}", out.stderr);
    if out.status != 0 {
        return Err(format!("the part inside ended with {}: {}", out.status, out.stdout));
    }
    let mut groups = Vec::new();
    for line in out.stdout.lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(group) if group.is_object() => groups.push(report::group(&title(&group), &rows(&group))),
            _ => println!("\n{line}"),
        }
    }
    let kept = options.json.as_ref().map(|path| report::keep(path, &groups, &Value::Null));
    kept.unwrap_or(Ok(())).map_err(|e| e.to_string())
}

fn title(group: &Value) -> String {
    group["title"].as_str().unwrap_or_default().to_owned()
}

/// As [`inside::print`] has written them.
fn rows(group: &Value) -> Vec<Row> {
    let one = |row: &Value| {
        let times = row["times"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        let peak_kb = row["peak_kb"].as_i64().unwrap_or(0);
        Row { peak_kb, ..Row::sorted(row["name"].as_str().unwrap_or_default(), times) }
    };
    group["rows"].as_array().into_iter().flatten().map(one).collect()
}
