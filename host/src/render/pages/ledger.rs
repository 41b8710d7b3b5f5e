//! Where the time went.

use crate::render::labels;
use crate::render::page::{Cell, Column, Kind, Page, Row, Section};
use crate::report::{Ledger, Line};
use crate::units::{percent, shares, time, times};

/// The section.
pub fn ledger(page: &mut Page, ledger: &Ledger, whole_ns: u64) {
    page.section(Section::Ledger, "Where the time went");
    let (parts, unattributed): (Vec<_>, Vec<_>) =
        ledger.lines().partition(|(line, _)| *line != Line::Unattributed);
    let known: Vec<_> = parts.iter().map(|(_, ns)| *ns).collect();
    let shown = times(&known, whole_ns).into_iter().zip(shares(&known, whole_ns));
    let part = |ns: u64| if whole_ns == 0 { 0.0 } else { ns as f64 / whole_ns as f64 };
    let rows = parts.into_iter().zip(shown).map(|((line, ns), (shown, share))| {
        let (label, meaning) = labels::line(line);
        let bar = Cell::Bar(part(ns), line);
        let cells = vec![Cell::words(label), Cell::shown(shown, ns), Cell::Number(share, ns), bar];
        Row { cells, kind: Kind::Plain, meaning }
    });
    let sum = |label, ns| Row {
        cells: vec![
            Cell::words(label),
            Cell::Number(time(ns), ns),
            Cell::Number(percent(ns, whole_ns), ns),
            Cell::words(""),
        ],
        kind: Kind::Sum,
        meaning: "",
    };
    let mut rows: Vec<_> = rows.collect();
    rows.push(sum("the whole session", whole_ns));
    rows.extend(unattributed.into_iter().map(|(line, ns)| sum(labels::line(line).0, ns)));
    let columns = [
        Column::text("line"),
        Column::number("time").meaning("rounded, so that the lines add up; exact in --format json"),
        Column::number("share"),
        Column::text(""),
    ];
    page.table(&columns, rows);
}
