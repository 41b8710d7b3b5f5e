//! A page for a terminal or a plain file. Table libraries wrap a cell that is too wide; a name is
//! better cut in its middle, and no two rows may look the same after that.

use std::collections::{BTreeMap, BTreeSet};

use unicode_width::UnicodeWidthStr as _;

use super::page::{Align, Block, Cell, Column, Item, Kind, Mark, Page, Piece, Table};
use crate::report::Line;
use crate::text::{cut, escape, fit, one_line};

/// The widest page on a terminal: longer lines are hard to follow.
pub const WIDEST: usize = 120;

/// The way a page looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Whether it is coloured.
    pub color: bool,
    /// Columns of the terminal; `None` where lines may be of any length.
    pub width: Option<usize>,
}

/// A column that is cut keeps at least this.
const NARROWEST: usize = 8;

/// Columns of the longest bar.
const BAR: usize = 24;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const BLUE: &str = "34";
const YELLOW: &str = "33";

/// The page, with a line end.
pub fn render(page: &Page, look: Look) -> String {
    let mut out = Lines { text: String::new(), look };
    for block in &page.blocks {
        match block {
            Block::Title(text) => out.wrapped(BOLD, "", &plain(text)),
            Block::Heading(_, text) => {
                out.line("", "");
                out.wrapped(BOLD, "", &plain(text));
            }
            Block::Line(text) => out.wrapped("", "", &plain(text)),
            Block::Note(text) => out.wrapped(DIM, "  ", &plain(text)),
            Block::Items(items, at_once) => out.items(items, *at_once),
            Block::Table(table) => out.table(table),
        }
    }
    out.text
}

/// Lines, coloured or not.
struct Lines {
    text: String,
    look: Look,
}

impl Lines {
    fn paint(&self, style: &str, text: &str) -> String {
        match self.look.color && !style.is_empty() && !text.is_empty() {
            true => format!("\x1b[{style}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn line(&mut self, style: &str, line: &str) {
        let line = self.paint(style, line.trim_end());
        self.text.push_str(&line);
        self.text.push('\n');
    }

    fn wrapped(&mut self, style: &str, indent: &str, text: &str) {
        for line in wrap(indent, text, self.look.width) {
            self.line(style, &line);
        }
    }

    fn items(&mut self, items: &[Item], at_once: usize) {
        for item in items.iter().take(at_once) {
            let (style, sign) = match item.mark {
                Mark::High | Mark::Broken => (RED, "!"),
                Mark::Medium | Mark::Doubt => (YELLOW, "!"),
                Mark::Low | Mark::Plain => (DIM, "·"),
            };
            for (index, line) in
                wrap("    ", &plain(&item.text), self.look.width).iter().enumerate()
            {
                match index {
                    0 => {
                        let line = format!("  {} {}", self.paint(style, sign), line.trim_start());
                        self.line("", &line);
                    }
                    _ => self.line("", line),
                }
            }
        }
        let more = items.len().saturating_sub(at_once);
        if more > 0 {
            self.line(DIM, &format!("  … {more} more in --format json"));
        }
    }

    fn table(&mut self, table: &Table) {
        let (columns, rows) = laid_out(table, self.look.width);
        let heads = columns.iter().map(|column| fit(column.of.head, column.width)).collect();
        let head = joined(&columns, heads);
        self.line(DIM, &self.fitted(&head));
        for (row, mut cells) in table.rows.iter().zip(rows) {
            // A bar is always last.
            let bar = match row.cells.last() {
                Some(Cell::Bar(_, line)) => {
                    cells.pop().map(|bar| self.paint(style_of(*line), &bar))
                }
                _ => None,
            };
            let line = self.fitted(&joined(&columns, cells));
            let line = bar.map_or_else(|| line.clone(), |bar| format!("{line}  {bar}"));
            self.line(if row.kind == Kind::Sum { DIM } else { "" }, &line);
        }
        let legend = Table::legend(columns.iter().map(|column| column.of));
        if !legend.is_empty() {
            self.wrapped(DIM, "  ", &legend);
        }
    }

    /// A line that is too long even with its names cut.
    fn fitted(&self, line: &str) -> String {
        self.look.width.map_or_else(|| line.to_owned(), |width| fit(line, width))
    }
}

/// The colour of a line of the ledger.
fn style_of(line: Line) -> &'static str {
    match line {
        Line::Asleep => GREEN,
        Line::Suspending | Line::Resuming => BLUE,
        Line::Aborted | Line::Blocked => RED,
        Line::NotTrying | Line::Unknown | Line::Unattributed => YELLOW,
    }
}

/// A column that is shown.
struct Shown<'a> {
    at: usize,
    of: &'a Column,
    width: usize,
}

/// Cells beside each other.
fn joined(columns: &[Shown<'_>], cells: Vec<String>) -> String {
    let mut line = String::new();
    for (column, text) in columns.iter().zip(cells) {
        let blank = " ".repeat(column.width.saturating_sub(text.width()));
        line.push_str("  ");
        match column.of.align {
            Align::Left => line.extend([text, blank]),
            Align::Right => line.extend([blank, text]),
        }
    }
    line
}

/// The columns that fit, and the rows' cells in them. Spare columns are left out first, then the
/// widest columns of text are cut.
fn laid_out(table: &Table, room: Option<usize>) -> (Vec<Shown<'_>>, Vec<Vec<String>>) {
    let columns = table.columns.iter().enumerate().map(|(at, of)| {
        let cells = table.rows.iter().map(|row| whole(&row.cells[at]).width());
        Shown { at, of, width: cells.chain([of.head.width()]).max().unwrap_or(0) }
    });
    let mut columns: Vec<_> = columns.collect();
    // Two blanks before each column.
    let excess = |columns: &[Shown<'_>]| {
        let needed = columns.iter().map(|column| column.width + 2).sum::<usize>();
        needed.saturating_sub(room.unwrap_or(usize::MAX))
    };
    while excess(&columns) > 0
        && let Some(spare) = columns.iter().rposition(|column| column.of.spare)
    {
        columns.remove(spare);
    }
    for _ in 0..excess(&columns) {
        let named = columns.iter_mut().filter(|column| column.of.align == Align::Left);
        if let Some(widest) = named.max_by_key(|column| column.width)
            && widest.width > NARROWEST
        {
            widest.width -= 1;
        }
    }
    let mut rows = vec![Vec::with_capacity(columns.len()); table.rows.len()];
    for column in &columns {
        let cells = table.rows.iter().map(|row| fitted(&row.cells[column.at], column.width));
        let cells = distinct(&cells.collect::<Vec<_>>(), column.width);
        rows.iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell));
    }
    (columns, rows)
}

/// A cell with all that it holds.
fn whole(cell: &Cell) -> String {
    fitted(cell, usize::MAX)
}

/// A cell for a column of `width`. Only a list gives way here: [`distinct`] cuts the others.
fn fitted(cell: &Cell, width: usize) -> String {
    match cell {
        Cell::Text(text) => plain(text),
        Cell::Number(shown, _) => shown.clone(),
        Cell::Names(names, more) => {
            let names: Vec<_> = names.iter().map(|name| plain(name)).collect();
            as_many_as_fit(&names, *more, width)
        }
        Cell::Bar(part, _) => bar(*part),
    }
}

/// The cells in at most `width` columns each, so that those that differ still do. A cut keeps both
/// ends of a cell; where that makes two the same, it keeps more of one end, and at last a number.
fn distinct(cells: &[String], width: usize) -> Vec<String> {
    let (fit_already, long): (BTreeSet<_>, BTreeSet<_>) =
        cells.iter().map(String::as_str).partition(|text| text.width() <= width);
    let mut taken: BTreeSet<String> = fit_already.into_iter().map(str::to_owned).collect();
    let mut cuts = BTreeMap::new();
    for text in long {
        let room = width.saturating_sub(1);
        let by_tail = [room / 2, room * 3 / 4, room / 4, room, 0];
        let cut_there = by_tail.into_iter().map(|tail| cut(text, width, tail));
        let numbered = (2u64..).map(|n| {
            let number = format!("~{n}");
            fit(text, width.saturating_sub(number.width())) + &number
        });
        let free = cut_there.chain(numbered).find(|cut| taken.insert(cut.clone()));
        cuts.insert(text, free.unwrap_or_default());
    }
    cells.iter().map(|text| cuts.get(text.as_str()).unwrap_or(text).clone()).collect()
}

/// The first of `parts`, and how many more there are than these.
fn as_many_as_fit(parts: &[String], more: usize, width: usize) -> String {
    let mut line = String::new();
    for (index, part) in parts.iter().enumerate() {
        let left = parts.len() - index + more;
        let rest = if left > 1 { format!(", +{}", left - 1).width() } else { 0 };
        if index > 0 && (line.width() + 2 + part.width()).saturating_add(rest) > width {
            return format!("{line}, +{left}");
        }
        if index > 0 {
            line.push_str(", ");
        }
        line.push_str(part);
    }
    if more > 0 { format!("{line}, +{more}") } else { line }
}

/// A bar in eighths of a column; whatever took any time at all shows.
fn bar(part: f64) -> String {
    if part <= 0.0 {
        return String::new();
    }
    let eighths = ((part * (BAR * 8) as f64).round() as usize).clamp(1, BAR * 8);
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(['▏', '▎', '▍', '▌', '▋', '▊', '▉'].get((eighths % 8).wrapping_sub(1)));
    bar
}

/// A text without line breaks or anything that drives a terminal.
pub fn plain(text: &[Piece]) -> String {
    let pieces = text.iter().map(|piece| match piece {
        Piece::Words(words) => words.clone(),
        Piece::Quote(text) => one_line(text),
        Piece::Name(bytes) if bytes.is_empty() => "(no name)".to_owned(),
        Piece::Name(bytes) => escape(bytes),
    });
    pieces.collect()
}

/// `text` in lines of at most `width`, each after `indent`. It breaks at spaces, but not before a
/// unit; a word that no line has room for loses its middle.
fn wrap(indent: &str, text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![format!("{indent}{text}")] };
    let room = width.saturating_sub(indent.width());
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in unbreakable(text) {
        let word = fit(&word, room);
        if !line.is_empty() && line.width() + 1 + word.width() > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += &word;
    }
    lines.push(line);
    lines.iter().map(|line| format!("{indent}{line}").trim_end().to_owned()).collect()
}

/// The words of `text`, a number and its unit as one.
fn unbreakable(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let number = |w: &&mut String| {
            w.trim_start_matches(['(', '<', '>']).starts_with(|c: char| c.is_ascii_digit())
        };
        let unit = ["ns", "µs", "ms", "s", "m", "h", "d", "%"]
            .contains(&word.trim_end_matches([',', ';', ':', '.', ')']));
        match words.last_mut().filter(number) {
            Some(last) if unit => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::render::page::words;

    fn table(columns: &[Column], rows: &[&[&str]]) -> Page {
        let mut page = Page::default();
        let row = |cells: &&[&str]| super::super::page::Row {
            cells: cells.iter().map(|cell| Cell::words(*cell)).collect(),
            kind: Kind::Plain,
            meaning: "",
        };
        page.table(columns, rows.iter().map(row));
        page
    }

    fn drawn(page: &Page, width: usize) -> Vec<String> {
        let look = Look { color: false, width: Some(width) };
        render(page, look).lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_break_at_spaces_and_not_before_a_unit() {
        let lines = |text| wrap("", text, Some(6));
        assert_eq!(lines("a bc def g"), ["a bc", "def g"]);
        assert_eq!(lines("took 5 s."), ["took", "5 s."]);
        assert_eq!(lines(""), [""]);
        assert_eq!(lines("far too long"), ["far", "too", "long"]);
        assert_eq!(lines("muchlongerthan that"), ["muc…an", "that"]);
        assert_eq!(wrap("  ", "far too long", None), ["  far too long"]);
    }

    #[test]
    fn spare_columns_go_then_names_are_cut() {
        let columns = [Column::text("name"), Column::number("n"), Column::number("spare").spare()];
        let page = table(&columns, &[&["a_name_of_twenty_chr", "1234", "567890"]]);
        assert_eq!(drawn(&page, 40)[1], "  a_name_of_twenty_chr  1234  567890");
        assert_eq!(drawn(&page, 30)[1], "  a_name_of_twenty_chr  1234");
        assert_eq!(drawn(&page, 20)[1], "  a_name…y_chr  1234");
        let wide = render(&page, Look::default());
        assert!(wide.contains("a_name_of_twenty_chr  1234  567890"), "{wide}");
    }

    #[test]
    fn names_that_are_cut_still_differ() {
        let names =
            ["PowerManagerA.WakeLocks", "PowerManagerB.WakeLocks", "PowerManagerC.WakeLocks"];
        let rows: Vec<[&str; 1]> = names.iter().map(|name| [*name]).collect();
        let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..]).collect();
        let lines = drawn(&table(&[Column::text("name")], &rows), 14);
        let different: BTreeSet<_> = lines.iter().collect();
        assert_eq!(different.len(), 4, "{lines:?}");
    }

    #[test]
    fn a_bar_shows_whatever_took_any_time() {
        assert_eq!([bar(0.0), bar(1e-9), bar(1.0)], [String::new(), "▏".into(), "█".repeat(BAR)]);
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_the_terminal(
            cells in proptest::collection::vec(proptest::collection::vec("[ -~ß名😀]{0,60}", 6), 0..4),
            text in "[ -~ß名😀]{0,300}", width in 60usize..130
        ) {
            let kinds = [Column::text("head"), Column::number("head").spare()];
            let columns: Vec<_> = kinds.into_iter().cycle().take(6).collect();
            let rows: Vec<Vec<&str>> =
                cells.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
            let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..]).collect();
            let mut page = table(&columns, &rows);
            page.blocks.push(Block::Line(words(text.as_str())));
            for line in drawn(&page, width) {
                prop_assert!(line.width() <= width, "{}", line);
            }
        }

        #[test]
        fn no_two_names_look_the_same(
            names in proptest::collection::btree_set("[ab]{0,14}", 0..40), width in 8usize..12
        ) {
            let names: Vec<String> = names.into_iter().collect();
            let cuts = distinct(&names, width);
            prop_assert!(cuts.iter().all(|cut| cut.width() <= width));
            prop_assert_eq!(cuts.iter().collect::<BTreeSet<_>>().len(), names.len());
        }
    }
}
