//! Progress for a file or a pipe: a line every half minute.

use super::Progress;
use crate::{say, spec::Digest, transfer::pull::in_one_line, transfer::pull::size};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(30);

pub struct Lines {
    name: String,
    bytes: u64,
    state: Mutex<State>,
}

struct State {
    come: u64,
    told: Instant,
    said: BTreeSet<String>,
}

impl Lines {
    pub fn new(name: &str, bytes: u64) -> Lines {
        let state = State { come: 0, told: Instant::now(), said: BTreeSet::new() };
        Lines { name: name.into(), bytes, state: Mutex::new(state) }
    }
}

impl Progress for Lines {
    fn begin(&self, _: &Digest, _: u64, _: u64) {}

    fn more(&self, _: &Digest, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.come += bytes;
        if state.told.elapsed() >= PAUSE {
            state.told = Instant::now();
            say::tell(&format!("{}: {} of {}", self.name, size(state.come), size(self.bytes)));
        }
    }

    fn done(&self, _: &Digest, _: bool) {}

    fn tell(&self, _: &Digest, text: &str) {
        let text = in_one_line(text);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The same of five layers is said once.
        if state.said.insert(text.clone()) {
            say::tell(&format!("{}: {text}", self.name));
        }
    }
}
