//! The table: how wide its columns are, which of them there is room for, bars and colours.

use super::row::{Column, Row};

/// How many cells a bar has.
const BAR: usize = 5;

/// Between two columns.
const GAP: usize = 3;

/// What is left out first where the window is narrow: none stands for the bars.
const LEAST: [Option<Column>; 9] = [
    Some(Column::Pressure),
    Some(Column::Disk),
    None,
    Some(Column::Peak),
    Some(Column::Id),
    Some(Column::MemoryShare),
    Some(Column::Throttled),
    Some(Column::Pids),
    Some(Column::Memory),
];

/// What the terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Bars, of these signs.
    pub bars: Option<Signs>,
    pub colours: bool,
}

/// What bars are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signs {
    /// `██▌`
    Blocks,
    /// `##`
    Ascii,
}

/// A table that is printed again and again; its columns never become narrower.
#[derive(Debug)]
pub struct Table {
    style: Style,
    widths: [usize; Column::ALL.len()],
}

impl Table {
    /// `again`: room is kept for numbers that are larger than those of the first time.
    pub fn new(style: Style, again: bool) -> Table {
        let width = |column: Column| {
            let (head, least) = column.head();
            if again { head.len().max(least) } else { head.len() }
        };
        Table { style, widths: Column::ALL.map(width) }
    }

    /// The head and a line for each container, cut to `width` cells.
    pub fn lines(&mut self, rows: &[Row], width: Option<usize>) -> Vec<String> {
        for (column, known) in Column::ALL.iter().zip(&mut self.widths) {
            let widest = rows.iter().map(|row| row.cell(*column).chars().count()).max();
            *known = widest.unwrap_or(0).max(*known);
        }
        let (columns, bars) = self.fitting(rows, width);
        let line = |cell: &dyn Fn(Column) -> (String, usize)| {
            let mut text = String::new();
            let mut used = 0;
            for column in &columns {
                let (content, length) = cell(*column);
                let room = self.width(*column, bars);
                text.push_str(&content);
                text.push_str(&" ".repeat(room.saturating_sub(length) + GAP));
                used += room + GAP;
            }
            match width {
                // Not even the last columns fit: what is wide is cut, and then nothing is coloured.
                Some(width) if used > width + GAP => text.chars().take(width).collect(),
                _ => text.trim_end().to_owned(),
            }
        };
        let fits = width.is_none_or(|width| self.total(&columns, bars) <= width);
        let colours = self.style.colours && fits;
        let mut lines = vec![line(&|column| (column.head().0.into(), column.head().0.len()))];
        lines.extend(rows.iter().map(|row| line(&|column| self.cell(row, column, bars, colours))));
        lines
    }

    /// The columns that there is room for, and whether there is some for bars.
    fn fitting(&self, rows: &[Row], width: Option<usize>) -> (Vec<Column>, bool) {
        let mut columns = Column::ALL.to_vec();
        let mut bars = self.style.bars.is_some();
        let Some(width) = width else { return (columns, bars) };
        let says = |column: &Column| rows.iter().any(|row| row.cell(*column) != "-");
        let mut least = LEAST.to_vec();
        // Without a name there is only the id.
        if rows.iter().any(|row| row.name.is_none()) {
            least.iter_mut().filter(|one| **one == Some(Column::Id)).for_each(|one| *one = Some(Column::Name));
        }
        // What says nothing goes first.
        least.sort_by_key(|one| one.as_ref().is_none_or(says));
        for one in least {
            if self.total(&columns, bars) <= width {
                break;
            }
            match one {
                Some(column) => columns.retain(|other| *other != column),
                None => bars = false,
            }
        }
        (columns, bars)
    }

    fn total(&self, columns: &[Column], bars: bool) -> usize {
        let all: usize = columns.iter().map(|column| self.width(*column, bars) + GAP).sum();
        all.saturating_sub(GAP)
    }

    fn width(&self, column: Column, bars: bool) -> usize {
        let bar = if bars && matches!(column, Column::Cpu | Column::MemoryShare) { BAR + 1 } else { 0 };
        self.widths.get(column as usize).copied().unwrap_or(0) + bar
    }

    /// Its text, and how many cells that takes.
    fn cell(&self, row: &Row, column: Column, bars: bool, colours: bool) -> (String, usize) {
        let text = row.cell(column);
        let share = match column {
            Column::Cpu => row.cpu_share(),
            Column::MemoryShare => row.memory_share(),
            _ => return (text.clone(), text.chars().count()),
        };
        let number = self.width(column, false);
        let content = match self.style.bars.filter(|_| bars) {
            Some(signs) => format!("{text:<number$} {}", bar(share.unwrap_or(0.0), signs)),
            None => text,
        };
        let length = content.chars().count();
        match share.filter(|_| colours) {
            Some(share) => (format!("\x1b[{}m{content}\x1b[0m", colour(share)), length),
            None => (content, length),
        }
    }
}

/// Green, yellow, red.
fn colour(share: f64) -> u8 {
    match share {
        share if share < 0.7 => 32,
        share if share < 0.9 => 33,
        _ => 31,
    }
}

fn bar(share: f64, signs: Signs) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    let parts = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    match signs {
        Signs::Blocks => {
            let part = (eighths % 8).checked_sub(1).and_then(|n| parts.get(n));
            std::iter::repeat_n('█', eighths / 8).chain(part.copied()).collect()
        }
        // Something is more than nothing.
        Signs::Ascii => "#".repeat(eighths.div_ceil(8)),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::row::tests::row, *};

    #[test]
    fn bars() {
        let blocks = |share| bar(share, Signs::Blocks);
        assert_eq!([blocks(0.0), blocks(0.5), blocks(1.0), blocks(7.0)], ["", "██▌", "█████", "█████"]);
        assert_eq!([blocks(0.025), blocks(-1.0), blocks(f64::NAN)], ["▏", "", ""]);
        let ascii = |share| bar(share, Signs::Ascii);
        assert_eq!([ascii(0.0), ascii(0.03), ascii(0.5), ascii(1.0)], ["", "#", "###", "#####"]);
        assert_eq!([colour(0.69), colour(0.7), colour(0.9), colour(3.0)], [32, 33, 31, 31]);
    }

    fn drawn(style: Style, width: usize) -> Vec<String> {
        Table::new(style, false).lines(&[row("web", true), row("db", false)], Some(width))
    }

    #[test]
    fn a_wide_window_shows_all() {
        let lines = drawn(Style { bars: Some(Signs::Blocks), colours: false }, 200);
        assert_eq!(
            lines,
            [
                "CONTAINER ID   NAME   CPU %          MEM USAGE / LIMIT     MEM %          PEAK       THROTTLED   PIDS     \
                 BLOCK I/O    PRESSURE",
                "a1a1a1a1a1a1   web    40.00% █████   100.0MiB / 200.0MiB   50.00% ██▌     150.0MiB   96%         3 / 50   \
                 1.0MB / 0B   -",
                "a1a1a1a1a1a1   db     -              - / 7.8GiB            -              -          -           -        \
                 -            -",
            ]
        );
    }

    #[test]
    fn colours_take_no_room() {
        let plain = drawn(Style { bars: Some(Signs::Ascii), colours: false }, 200);
        let coloured = drawn(Style { bars: Some(Signs::Ascii), colours: true }, 200);
        assert!(coloured[1].contains("\x1b[31m40.00% #####\x1b[0m "), "{}", coloured[1]);
        assert!(coloured[1].contains("\x1b[32m50.00% ###\x1b[0m "), "{}", coloured[1]);
        let bare = |line: &String| line.replace("\x1b[31m", "").replace("\x1b[32m", "").replace("\x1b[0m", "");
        assert_eq!(coloured.iter().map(bare).collect::<Vec<_>>(), plain);
    }

    #[test]
    fn a_narrow_window_shows_what_matters() {
        let style = Style { bars: Some(Signs::Blocks), colours: false };
        let heads = |width| drawn(style, width)[0].split("   ").map(|head| head.trim().to_owned()).collect::<Vec<_>>();
        let without =
            |line: Vec<String>| line.into_iter().filter(|head| !head.is_empty()).collect::<Vec<_>>().join(",");
        let shown = |width| without(heads(width));
        assert_eq!(shown(110), "CONTAINER ID,NAME,CPU %,MEM USAGE / LIMIT,MEM %,PEAK,THROTTLED,PIDS");
        assert_eq!(shown(75), "NAME,CPU %,MEM USAGE / LIMIT,MEM %,THROTTLED,PIDS");
        assert_eq!(shown(40), "NAME,CPU %,MEM USAGE / LIMIT");
        assert_eq!(shown(16), "NAME,CPU %");
        for width in 1..200 {
            let lines = drawn(style, width);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:?}");
        }
        // What says nothing goes before what does, and without a name the id stays.
        let mut nameless = row("x", false);
        nameless.name = None;
        let lines = Table::new(style, false).lines(&[nameless], Some(60));
        assert_eq!(lines[0].split("   ").filter(|head| !head.is_empty()).count(), 4, "{lines:?}");
        assert!(lines[0].starts_with("CONTAINER ID   CPU %") && lines[1].contains("- / 7.8GiB"), "{lines:?}");
    }

    #[test]
    fn columns_stay_where_they_are() {
        let mut table = Table::new(Style::default(), true);
        let first = table.lines(&[row("a-name-that-is-rather-long", true)], None);
        let second = table.lines(&[row("web", true)], None);
        assert_eq!((&first[0], first[1].find("100.0MiB")), (&second[0], second[1].find("100.0MiB")));
        assert_eq!(table.lines(&[], None).len(), 1);
    }
}
