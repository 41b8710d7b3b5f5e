//! A page for a terminal or a plain file.

mod columns;

use unicode_width::UnicodeWidthStr as _;

use self::columns::{joined, laid_out};
use super::page::{Block, Cell, Item, Kind, Mark, Page, Piece, Table};
use crate::report::{Line, Severity};
use crate::text::{escape, fit, one_line};

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
                Mark::Finding(Severity::High) | Mark::Broken => (RED, "!"),
                Mark::Finding(Severity::Medium) | Mark::Doubt => (YELLOW, "!"),
                Mark::Finding(Severity::Low) | Mark::Plain => (DIM, "·"),
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
        if !table.rest.is_empty() {
            self.line(DIM, &format!("  {}", table.rest));
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
        Line::UserSpace | Line::Backoff | Line::NotTrying | Line::Unknown | Line::Unattributed => {
            YELLOW
        }
    }
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
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::render::page::{Column, words};

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
    }
}
