//! Where it is shown: on a terminal again and again at the same place, else line after line, or as JSON.

use super::{
    row::Row,
    screen::{Signs, Style, Table},
};
use crate::{
    cli::table::{self, Format},
    sys::{
        signal::{self, Signals, Wait, number},
        tty,
    },
};
use anyhow::Result;
use std::{env, io::stdout, os::fd::AsFd, time::Instant};

/// Why a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// It is time.
    Time,
    /// The window has another size, or we were stopped and go on.
    Redraw,
    /// Nobody reads any more.
    Gone,
}

/// How it is shown.
#[derive(Debug)]
pub struct Output {
    way: Way,
    /// Those that change what a terminal shows; all that end us do so.
    signals: Option<Signals>,
}

#[derive(Debug)]
enum Way {
    Json { once: bool },
    Lines { table: Table, head: bool },
    Once { table: Table },
    Live { table: Table, begun: bool },
}

impl Output {
    /// # Errors
    /// Those of signalfd(2).
    pub fn new(format: Format, once: bool) -> Result<Output> {
        let terminal = tty::is_terminal(stdout().as_fd());
        let dumb = variable("TERM").is_none_or(|term| term == "dumb");
        let style = Style { bars: Some(signs()), colours: variable("NO_COLOR").is_none() && !dumb };
        let way = match (format, once) {
            (Format::Json, once) => Way::Json { once },
            (Format::Table, true) if terminal => Way::Once { table: Table::new(style, false) },
            (Format::Table, true) => Way::Lines { table: Table::new(Style::default(), false), head: true },
            (Format::Table, false) if terminal && !dumb => Way::Live { table: Table::new(style, true), begun: false },
            (Format::Table, false) => Way::Lines { table: Table::new(Style::default(), true), head: true },
        };
        let live = matches!(way, Way::Live { .. });
        let signals = live.then(|| Signals::catch(&[number::SIGWINCH, number::SIGCONT])).transpose()?;
        Ok(Output { way, signals })
    }

    /// Shows it, in one write; false: nobody reads any more.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn show(&mut self, rows: &[Row]) -> Result<bool> {
        let text = match &mut self.way {
            Way::Json { once } => {
                let all: Vec<_> = rows.iter().map(Row::json).collect();
                let text = if *once { serde_json::to_string_pretty(&all) } else { serde_json::to_string(&all) };
                format!("{}\n", text?)
            }
            Way::Once { table } => lined(&table.lines(rows, window().1)),
            Way::Lines { table, head } => {
                let lines = table.lines(rows, None);
                lined(lines.get(usize::from(!std::mem::take(head))..).unwrap_or_default())
            }
            Way::Live { table, begun } => {
                let (height, width) = window();
                let text = frame(&table.lines(rows, width), height);
                // What stood there moves up, out of the window, where it can be found again.
                let room = if std::mem::replace(begun, true) { String::new() } else { "\n".repeat(height - 1) };
                format!("{room}{text}")
            }
        };
        table::print_while_read(&text)
    }

    /// Waits, not longer than until then.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&mut self, until: Instant) -> Result<Woken> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Woken::Time);
            }
            let stdout = stdout();
            // Nothing is waited for of it, but a reader that has gone is always told.
            let mut wanted = vec![(stdout.as_fd(), Wait::Change)];
            wanted.extend(self.signals.as_ref().map(|signals| (signals.as_fd(), Wait::Read)));
            let ready = signal::poll(&wanted, Some(left))?;
            if ready.first() == Some(&true) {
                return Ok(Woken::Gone);
            }
            if ready.get(1) == Some(&true) && self.changed()? {
                return Ok(Woken::Redraw);
            }
        }
    }

    fn changed(&mut self) -> Result<bool> {
        let mut any = false;
        while let Some(received) = self.signals.as_mut().map(Signals::take).transpose()?.flatten() {
            any = true;
            if let (number::SIGCONT, Way::Live { begun, .. }) = (received.number, &mut self.way) {
                // The shell has written there meanwhile.
                *begun = false;
            }
        }
        Ok(any)
    }
}

fn lined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The table at the top of the window, the cursor below it, and nothing else in it.
fn frame(lines: &[String], height: usize) -> String {
    // The last line of the window is the cursor's.
    let room = height - 1;
    let mut shown = lines.to_vec();
    if lines.len() > room && room > 1 {
        shown.truncate(room - 1);
        shown.push(format!("… and {} more", lines.len() - shown.len()));
    }
    let text: String = shown.iter().take(room).map(|line| format!("{line}\x1b[K\r\n")).collect();
    format!("\x1b[H{text}\x1b[J")
}

/// Lines, at least two, and columns; none where the terminal does not know.
fn window() -> (usize, Option<usize>) {
    let (rows, columns) = tty::size(stdout().as_fd()).unwrap_or_default();
    let rows = if rows == 0 { 24 } else { usize::from(rows).max(2) };
    (rows, Some(usize::from(columns)).filter(|columns| *columns > 0))
}

fn signs() -> Signs {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default().to_lowercase();
    if locale.contains("utf-8") || locale.contains("utf8") { Signs::Blocks } else { Signs::Ascii }
}

/// If it says anything.
fn variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_the_window() {
        let lines: Vec<String> = (0..5).map(|n| format!("l{n}")).collect();
        assert_eq!(frame(&lines[..2], 24), "\x1b[Hl0\x1b[K\r\nl1\x1b[K\r\n\x1b[J");
        assert_eq!(frame(&lines, 6).matches("\r\n").count(), 5);
        let cut = frame(&lines, 4);
        assert!(cut.contains("l1\x1b[K\r\n… and 3 more\x1b[K\r\n\x1b[J"), "{cut:?}");
        assert_eq!(frame(&lines, 2), "\x1b[Hl0\x1b[K\r\n\x1b[J");
    }
}
