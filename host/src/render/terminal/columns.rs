//! The layout of a table. Table libraries wrap a cell that is too wide; a name is better cut in its
//! middle, and no two rows may look the same after that.

use std::collections::{BTreeMap, BTreeSet};

use unicode_width::UnicodeWidthStr as _;

use super::plain;
use crate::render::page::{Align, Cell, Column, Table};
use crate::text::{cut, fit};

/// A column that is cut keeps at least this.
const NARROWEST: usize = 8;

/// Columns of the longest bar.
const BAR: usize = 24;

/// A column that is shown.
pub(super) struct Shown<'a> {
    at: usize,
    pub of: &'a Column,
    pub width: usize,
}

/// Cells beside each other.
pub(super) fn joined(columns: &[Shown<'_>], cells: Vec<String>) -> String {
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
pub(super) fn laid_out(table: &Table, room: Option<usize>) -> (Vec<Shown<'_>>, Vec<Vec<String>>) {
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
        Cell::Text(text) | Cell::Folded(text, _) => plain(text),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bar_shows_whatever_took_any_time() {
        assert_eq!([bar(0.0), bar(1e-9), bar(1.0)], [String::new(), "▏".into(), "█".repeat(BAR)]);
    }

    proptest! {
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
