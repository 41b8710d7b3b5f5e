//! Where the time went.

use crate::render::page::{Cell, Column, Kind, Page, Row, Section};
use crate::report::Ledger;
use crate::units::{percent, shares, time};

/// A line of the ledger: its key, its words, and their meaning.
pub type Line = (&'static str, &'static str, &'static str);

/// The lines that sum to the session.
const LINES: [Line; 7] = [
    ("asleep", "asleep", "in machine_suspend"),
    ("suspending", "going to sleep", "attempts that slept, up to machine_suspend"),
    ("resuming", "waking up", "attempts that slept, after machine_suspend"),
    ("aborted", "attempts that did not sleep", "charged to the sources that ended them"),
    (
        "blocked",
        "blocked by a source",
        "user space waited to suspend, charged to the active sources",
    ),
    ("not_trying", "awake, nothing tried to suspend", "outside attempts and waits"),
    ("unknown", "awake, reason unknown", "records are missing, or a hook is"),
];

/// The part of them that no source is charged with.
const UNATTRIBUTED: Line = ("unattributed", "of which charged to no source", "");

/// The words for a key.
pub fn label(key: &str) -> &str {
    let lines = LINES.iter().chain([&UNATTRIBUTED]);
    lines.into_iter().find(|line| line.0 == key).map_or(key, |line| line.1)
}

/// The section.
pub fn ledger(page: &mut Page, l: &Ledger, whole_ns: u64) {
    page.section(Section::Ledger, "Where the time went");
    let times = [
        Some(l.asleep_ns),
        Some(l.suspending_ns),
        Some(l.resuming_ns),
        Some(l.aborted_ns),
        l.blocked_ns,
        l.not_trying_ns,
        l.untold_ns,
    ];
    let known: Vec<_> =
        LINES.iter().zip(times).filter_map(|(line, ns)| Some((*line, ns?))).collect();
    let shares = shares(&known.iter().map(|(_, ns)| *ns).collect::<Vec<_>>(), whole_ns);
    let part = |ns: u64| if whole_ns == 0 { 0.0 } else { ns as f64 / whole_ns as f64 };
    let row = |(((key, label, meaning), ns), share): ((Line, u64), String)| Row {
        cells: vec![
            Cell::words(label),
            Cell::time(ns),
            Cell::Number(share, ns),
            Cell::Bar(part(ns), key),
        ],
        kind: Kind::Plain,
        meaning,
    };
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
    let mut rows: Vec<_> = known.into_iter().zip(shares).map(row).collect();
    rows.push(sum("the whole session", whole_ns));
    rows.push(sum(UNATTRIBUTED.1, l.unattributed_ns));
    let columns = [
        Column::text("line"),
        Column::number("time").meaning("rounded; the exact lines, in --format json, add up"),
        Column::number("share"),
        Column::text(""),
    ];
    page.table(&columns, rows);
}
