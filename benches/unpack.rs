//! `cargo bench --bench unpack [-- --runs N --json FILE --against PROGRAM --ours]`
//!
//! How long a pull takes from a registry on this machine, beside what others take for the same, and beside its floors: the
//! hashing and inflating alone, and the writing of the files alone. Each begins with an empty store on the same file
//! system; the page cache stays as it is. Only the ratios mean something elsewhere. Nothing here fails because of a time.
//! `--against` adds another build of ours, `--ours` leaves out the others' programs.

#[path = "unpack/floor.rs"]
mod floor;
#[path = "unpack/image.rs"]
mod image;
#[allow(dead_code, reason = "made for the bench of starts")]
mod measure;
#[allow(dead_code, reason = "made for the bench of starts")]
mod memory;
#[path = "unpack/peers.rs"]
mod peers;
#[path = "unpack/registry.rs"]
mod registry;
#[allow(dead_code, reason = "made for the bench of starts")]
mod report;
#[path = "unpack/rounds.rs"]
mod rounds;
#[macro_use]
#[path = "../tests/support/mod.rs"]
mod support;

use image::Image;
use peers::Place;
use registry::Registry;
use serde_json::Value;
use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};
use support::{Ground, Need};

/// What the command line says.
struct Options {
    runs: usize,
    /// Bytes of the plain layers.
    bytes: u64,
    json: Option<PathBuf>,
    against: Option<PathBuf>,
    /// Only our own builds and the floors.
    ours: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == floor::WORD) {
        return floor::main(&words[1..]);
    }
    match options(&words).and_then(|options| measure(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("unpack: {e}");
            ExitCode::FAILURE
        }
    }
}

/// `cargo bench` gives `--bench`; without it this is a test run, which only looks whether everything still works.
fn options(words: &[String]) -> Result<Options, String> {
    let bench = words.iter().any(|w| w == "--bench");
    let mut options = Options {
        runs: if bench { 5 } else { 1 },
        bytes: if bench { 300 } else { 4 } << 20,
        json: bench.then(|| folder().join("unpack.json")),
        against: None,
        ours: false,
    };
    let mut words = words.iter();
    while let Some(name) = words.next() {
        let mut value = || words.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--runs" => options.runs = value()?.parse().map_err(|e| format!("--runs: {e}"))?,
            "--json" => options.json = Some(value()?.into()),
            "--against" => options.against = Some(value()?.into()),
            "--ours" => options.ours = true,
            "--bench" => {}
            other if other.starts_with("--") => {
                return Err(format!("{other} is not known; see the head of benches/unpack.rs"));
            }
            _ => {}
        }
    }
    Ok(options)
}

/// What is kept from one time to the next.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench")
}

fn measure(options: &Options) -> Result<(), String> {
    let Some(ground) = Ground::new(&[Need::Program(registry::PROGRAM)]) else { return Ok(()) };
    // Without a range of ids: its files all have one owner.
    let single = Ground::nameless(&[]);
    let made = |name, parts| image::ready(&folder(), name, parts, options.bytes).map_err(|e| format!("{name}: {e}"));
    let images = [made("eight", &image::EIGHT[..])?, made("one", &image::ONE[..])?];
    let registry = Registry::start()?;
    let mut groups = Vec::new();
    for image in &images {
        registry.push(image)?;
        groups.push(group(&ground, single.as_ref(), &registry, image, options)?);
    }
    let kept = options.json.as_ref().map(|path| report::keep(path, &groups, &Value::Null));
    kept.unwrap_or(Ok(())).map_err(|e| e.to_string())
}

fn group(
    ground: &Ground,
    single: Option<&Ground>,
    registry: &Registry,
    image: &Image,
    options: &Options,
) -> Result<Value, String> {
    let place = Place::new(ground, registry, image).map_err(|e| e.to_string())?;
    let alone = single.map(|ground| Place::new(ground, registry, image)).transpose().map_err(|e| e.to_string())?;
    let mut all = place.ours(alone.as_ref(), options.against.as_deref());
    if !options.ours {
        all.extend(place.others());
    }
    all.extend(place.floors());
    let Image { layers, plain, packed, files, .. } = image;
    let title = format!(
        "{layers} layer(s), {} MB plain, {} MB packed ({:.1} times), {files} files",
        plain >> 20,
        packed >> 20,
        *plain as f64 / (*packed).max(1) as f64
    );
    let rows = rounds::rounds(all, options.runs);
    place.clear();
    Ok(rounds::print(&title, &rows))
}
