//! Where the time went.

use crate::render::labels;
use crate::render::page::{Cell, Column, Kind, Page, Row, Section};
use crate::report::{Ledger, Line};
use crate::units::{percent, shares, time};

/// The section.
pub fn ledger(page: &mut Page, ledger: &Ledger, whole_ns: u64) {
    page.section(Section::Ledger, "Where the time went");
    let (parts, unattributed): (Vec<_>, Vec<_>) =
        ledger.lines().partition(|(line, _)| *line != Line::Unattributed);
    let shares = shares(&parts.iter().map(|(_, ns)| *ns).collect::<Vec<_>>(), whole_ns);
    let part = |ns: u64| if whole_ns == 0 { 0.0 } else { ns as f64 / whole_ns as f64 };
    let rows = parts.into_iter().zip(shares).map(|((line, ns), share)| {
        let (label, meaning) = labels::line(line);
        let bar = Cell::Bar(part(ns), line);
        let cells = vec![Cell::words(label), Cell::time(ns), Cell::Number(share, ns), bar];
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
        Column::number("time").meaning("rounded; the exact lines, in --format json, add up"),
        Column::number("share"),
        Column::text(""),
    ];
    page.table(&columns, rows);
}
