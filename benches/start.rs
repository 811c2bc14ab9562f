//! `cargo bench --bench start [-- --runs N --json FILE --single --range --variants --against PROGRAM]`
//!
//! How long a start takes, beside the bare system calls, bwrap, crun and podman, where they are installed, and beside our
//! own variants; what memory it takes. Everything runs as a plain user, in turn, on this machine, in this hour: only the
//! ratios mean something elsewhere. Nothing here fails because of a time. `--against` adds another build of ours.

mod floor;
mod measure;
mod memory;
mod peers;
mod report;
#[path = "../tests/support/mod.rs"]
mod support;

use measure::rounds;
use peers::{Place, installed, word};
use serde_json::Value;
use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};
use support::{Ground, Need, program};

/// What the command line says.
struct Options {
    runs: usize,
    json: Option<PathBuf>,
    single: bool,
    range: bool,
    variants: bool,
    against: Option<PathBuf>,
}

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    if words.first().is_some_and(|w| w == floor::WORD) {
        return ExitCode::from(floor::main(&words[1..]));
    }
    let options = match options(&words) {
        Ok(options) => options,
        Err(e) => {
            eprintln!("start: {e}");
            return ExitCode::from(2);
        }
    };
    let Some(ground) = Ground::new(&[Need::Program("busybox")]) else { return ExitCode::SUCCESS };
    let place = Place::new(&ground);
    let against = options.against.as_ref().map(|other| reachable(&ground, other));
    let mut groups = Vec::new();
    if options.single {
        groups.push(single(&place, against.as_deref(), options.runs));
    }
    if options.range && !place.has_range() {
        println!("no range of ids: {} has none, or newuidmap is not installed", ground.user.uid);
    } else if options.range {
        groups.push(range(&place, against.as_deref(), options.runs));
    }
    if options.variants {
        groups.push(variants(&place, options.runs));
    }
    let memory = report::memory(&memory::waiting(&ground));
    place.clear(program(), &[]);
    match options.json.map(|path| report::keep(&path, &groups, &memory)) {
        Some(Err(e)) => {
            eprintln!("start: {e}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// `cargo bench` gives `--bench`; without it this is a test run, which only looks whether everything still works.
fn options(words: &[OsString]) -> Result<Options, String> {
    let bench = words.iter().any(|w| w == "--bench");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/start.json");
    let mut options = Options {
        runs: if bench { 200 } else { 2 },
        json: bench.then_some(file),
        single: false,
        range: false,
        variants: false,
        against: None,
    };
    let mut words = words.iter();
    while let Some(name) = words.next() {
        let mut value = || words.next().ok_or(format!("{} needs a value", name.display()));
        match word(name) {
            "--runs" => options.runs = word(value()?).parse().map_err(|e| format!("--runs: {e}"))?,
            "--json" => options.json = Some(value()?.into()),
            "--against" => options.against = Some(value()?.into()),
            "--single" => options.single = true,
            "--range" => options.range = true,
            "--variants" => options.variants = true,
            _ if word(name).starts_with("--") && word(name) != "--bench" => {
                return Err(format!("{} is not known; see the head of benches/start.rs", word(name)));
            }
            _ => {}
        }
    }
    if !(options.single || options.range || options.variants) {
        (options.single, options.range, options.variants) = (true, true, true);
    }
    Ok(options)
}

fn single(place: &Place<'_>, against: Option<&Path>, runs: usize) -> Value {
    let words = ["--rm", "--userns", "single"];
    let mut all = vec![place.us("little-container", program(), &words)];
    all.extend(against.map(|other| place.us("little-container, the other build", other, &words)));
    all.push(place.floor(false));
    if installed("bwrap") {
        all.push(place.bwrap());
        all.push(place.bwrap_same_work());
    }
    if installed("crun") {
        all.push(place.crun(false));
    }
    report::group("one id", &rounds(place.ground, all, runs))
}

fn range(place: &Place<'_>, against: Option<&Path>, runs: usize) -> Value {
    let words = ["--rm", "--userns", "range"];
    let mut all = vec![place.us("little-container", program(), &words)];
    all.extend(against.map(|other| place.us("little-container, the other build", other, &words)));
    all.push(place.floor(true));
    if installed("crun") {
        all.push(place.crun(true));
    }
    if installed("podman") {
        all.push(place.podman());
    }
    report::group("a range of ids", &rounds(place.ground, all, runs))
}

fn variants(place: &Place<'_>, runs: usize) -> Value {
    let us = |name: &str, words: &[&str]| place.us(name, program(), words);
    let kept = place.ground.path("work/kept");
    let crowded = place.crowded(program());
    let all = vec![
        us("--rm --rootfs", &["--rm"]),
        place.by_name(program()),
        us("--storage copy", &["--rm", "--storage", "copy"]).every(4),
        us("--storage fuse-overlayfs", &["--rm", "--storage", "fuse-overlayfs"]).every(4),
        us("--init", &["--rm", "--init"]),
        us("without --rm", &["--store", word(kept.as_os_str())]),
        us("with 1000 stopped containers", &["--rm", "--store", word(crowded.as_os_str())]),
    ];
    let rows = rounds(place.ground, all, runs);
    place.clear(program(), &[kept, crowded]);
    report::group("our own variants", &rows)
}

/// A copy that the user can run.
fn reachable(ground: &Ground, program: &Path) -> PathBuf {
    let copy = ground.path("other-build");
    std::fs::copy(program, &copy).expect("--against names a program");
    copy
}
