//! Output of the listing verbs: a table for people, JSON for programs.

use crate::EXIT_OURS;
use anyhow::Result;
use comfy_table::Table;
use serde::Serialize;
use std::io::{ErrorKind, Write};

/// `--format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns
    #[default]
    Table,
    /// One JSON array
    Json,
}

/// Prints on stdout. A reader that has gone is no error.
pub fn print(text: &str) -> Result<u8> {
    print_while_read(text).map(|_| 0)
}

/// The same, for what goes on and on; false: the reader has gone.
pub fn print_while_read(text: &str) -> Result<bool> {
    match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(anyhow::Error::from(e).context(format!("write to stdout (status {EXIT_OURS})"))),
        Ok(()) => Ok(true),
    }
}

/// Does the same for each name: prints it if something was done, or says why not and goes on. The exit status of it all.
pub fn each(names: &[String], mut act: impl FnMut(&str) -> Result<bool>) -> Result<u8> {
    let mut status = 0;
    for name in names {
        match act(name) {
            Ok(true) => {
                print(&format!("{name}\n"))?;
            }
            Ok(false) => {}
            Err(e) => {
                crate::say::error(&super::failure::describe(&e).0);
                status = 1;
            }
        }
    }
    Ok(status)
}

/// Rows under these heads, as docker lays them out.
pub fn rows(heads: &[&str], rows: Vec<Vec<String>>) -> Result<u8> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(heads.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    let text: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    print(&text)
}

/// One JSON array.
pub fn json<T: Serialize>(items: &[T]) -> Result<u8> {
    print(&format!("{}\n", serde_json::to_string_pretty(items)?))
}

/// `3 hours ago`, for a time as RFC 3339.
pub fn ago(time: &str) -> String {
    let Ok(then) = time.parse::<jiff::Timestamp>() else { return "?".into() };
    let seconds = (jiff::Timestamp::now().as_second() - then.as_second()).max(0);
    let steps = [(86_400 * 365, "year"), (86_400 * 30, "month"), (86_400, "day"), (3600, "hour"), (60, "minute")];
    for (size, name) in steps {
        let n = seconds / size;
        if n >= 1 {
            return format!("{n} {name}{} ago", if n == 1 { "" } else { "s" });
        }
    }
    format!("{seconds} second{} ago", if seconds == 1 { "" } else { "s" })
}

/// `5h12m`, `45s`.
pub fn span(span: std::time::Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, _) => format!("{hours}h{minutes}m"),
    }
}

/// `12.3MB`, in powers of ten as docker has it.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{bytes}B") } else { format!("{value:.1}{unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1}TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!([size(0), size(999), size(1000), size(12_345_678)], ["0B", "999B", "1.0kB", "12.3MB"]);
    }

    #[test]
    fn times() {
        let before = |seconds| (jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds)).to_string();
        assert_eq!(ago(&before(3)), "3 seconds ago");
        assert_eq!(ago(&before(3700)), "1 hour ago");
        assert_eq!(ago("?"), "?");
    }
}
