//! What a user is told after the work: one line for each kind of thing, never one for each file.

use std::collections::BTreeMap;

/// Counts by kind, with the first example of each.
#[derive(Debug, Default)]
pub struct Notes(BTreeMap<&'static str, (u64, String)>);

impl Notes {
    /// Counts one more of `kind`, a plural like "device nodes left out".
    pub fn add(&mut self, kind: &'static str, path: &[u8]) {
        let entry = self.0.entry(kind).or_insert_with(|| (0, path.escape_ascii().to_string()));
        entry.0 += 1;
    }

    /// One line a kind: `device nodes left out: 3, the first "dev/null"`.
    pub fn lines(self) -> Vec<String> {
        self.0.into_iter().map(|(kind, (count, first))| format!("{kind}: {count}, the first \"{first}\"")).collect()
    }
}
