//! Progress on a terminal: a line for each layer.

use super::Progress;
use crate::{spec::Digest, transfer::pull::in_one_line};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// How often a second the lines are drawn at most.
const DRAWN: u8 = 8;

/// No thread draws: a process that forks may have but one.
pub struct Live {
    all: MultiProgress,
    bars: Mutex<BTreeMap<String, ProgressBar>>,
    ends: [&'static str; 2],
}

impl Live {
    pub fn new(ends: [&'static str; 2]) -> Live {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWN));
        Live { all, bars: Mutex::default(), ends }
    }

    fn bar(&self, layer: &Digest) -> ProgressBar {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars.entry(layer.to_string()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(0).with_style(style("{prefix} {msg}")));
            bar.set_prefix(layer.hex().chars().take(12).collect::<String>());
            bar
        });
        bar.clone()
    }
}

/// What is too long for the terminal is cut by the library.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Live {
    fn begin(&self, layer: &Digest, size: u64, have: u64) {
        let bar = self.bar(layer);
        bar.set_style(style(
            "{prefix} {decimal_bytes:>9} of {decimal_total_bytes:9} {decimal_bytes_per_sec:>12} {msg}",
        ));
        bar.set_message("");
        bar.set_length(size);
        bar.set_position(have);
        bar.reset_eta();
        bar.tick();
    }

    fn more(&self, layer: &Digest, bytes: u64) {
        self.bar(layer).inc(bytes);
    }

    fn done(&self, layer: &Digest, new: bool) {
        let bar = self.bar(layer);
        bar.set_style(style("{prefix} {msg}"));
        bar.finish_with_message(self.ends[usize::from(!new)]);
    }

    fn tell(&self, layer: &Digest, text: &str) {
        let bar = self.bar(layer);
        bar.set_message(in_one_line(text));
        bar.tick();
    }
}
