//! Our own words. They go to stderr, for stdout belongs to the container, and each is said once.

use std::{
    fmt::Display,
    io::Write,
    sync::atomic::{AtomicU8, Ordering},
};

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Level {
    /// Only why something failed
    Error,
    /// What the user should know, too
    #[default]
    Warn,
    /// What was decided and why, too
    Info,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Warn as u8);

/// Sets how much is said, for the whole process.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

fn wanted(level: Level) -> bool {
    LEVEL.load(Ordering::Relaxed) >= level as u8
}

/// One line that the user should know.
pub fn note(text: &str) {
    if wanted(Level::Warn) {
        line(&format!("little-container: note: {text}"));
    }
}

/// One line about what is being done, where that takes a while.
pub fn tell(text: &str) {
    if wanted(Level::Warn) {
        line(&format!("little-container: {text}"));
    }
}

/// Whether more is said than why something failed.
pub fn is_quiet() -> bool {
    !wanted(Level::Warn)
}

/// One line about a decision, for `--log-level info`.
pub fn info(text: &str) {
    if wanted(Level::Info) {
        line(&format!("little-container: {text}"));
    }
}

/// A decision, before the steps that follow from it (`--explain`).
pub fn choice(text: &str) {
    line(&format!("chosen  {text}"));
}

/// Why it failed: the first line names the step, the following ones, set in, cause and remedy.
pub fn error(text: &str) {
    line(&format!("little-container: error: {text}"));
}

/// A step, before it is done, and what it is for (`--explain`).
pub fn explain(side: &str, n: usize, of: usize, step: impl Display, why: &str) {
    line(&format!("{side:>7} {n:>2}/{of} {step}\n              {why}"));
}

/// Below a step that was told: it could not be done, and nothing depends on it (`--explain`).
pub fn not_done(e: &std::io::Error) {
    line(&format!("              not done: {}", words(e)));
}

/// A question; the answer is typed behind it.
pub fn ask(text: &str) {
    let _ = std::io::stderr().write_all(format!("little-container: {text}").as_bytes());
}

/// The words for an error, without the number that says nothing to most people.
pub fn words(e: &std::io::Error) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// An error and what lies under it, from the outside in, in one line.
pub fn chain(e: &anyhow::Error) -> String {
    let part = |e: &(dyn std::error::Error + 'static)| match e.downcast_ref::<std::io::Error>() {
        Some(e) => words(e),
        None => e.to_string(),
    };
    let mut parts: Vec<String> = e.chain().map(part).collect();
    parts.dedup();
    parts.join(": ")
}

/// In one write, so that lines of several processes do not mix; a closed stderr is nobody's loss.
fn line(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
