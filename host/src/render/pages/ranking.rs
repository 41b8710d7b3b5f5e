//! The sources by their cost.

use sleepwalk_trace::time::BootNanos;

use crate::compare::merge::MergedSource;
use crate::render::labels;
use crate::render::page::{Cell, Column, Kind, Page, Row, Section, Text, UNKNOWN};
use crate::report::{Source, Sum};
use crate::units::{count, percent, time};

/// A source, or all of one name.
pub struct Ranked<'a> {
    label: Text,
    /// In how many of the sessions it is; empty for a single session.
    sessions: String,
    sum: &'a Sum,
    /// When its longest hold began, after the start of the session.
    longest_after_ns: Option<u64>,
}

impl<'a> Ranked<'a> {
    /// A source of one session.
    pub fn source(source: &'a Source, start: BootNanos) -> Self {
        Self {
            label: labels::source(source),
            sessions: String::new(),
            sum: &source.sum,
            longest_after_ns: source.longest_hold_at_ns.map(|at| at.since(start)),
        }
    }

    /// A name of several sessions.
    pub fn merged(source: &'a MergedSource, sessions: u64) -> Self {
        let sessions = format!("{} of {sessions}", source.sessions);
        let label = labels::ranked(&source.name, source.kind, None);
        Self { label, sessions, sum: &source.sum, longest_after_ns: None }
    }
}

const COST: Column = Column::number("cost");
const COST_KNOWN: &str = "its blocked time, its share of the attempts that it aborted and of the back-off \
                          after them, and what its wakes cost";
const COST_PART: &str = "its share of the attempts that it aborted, and what its wakes cost; blocked time \
                         is unknown, so the order counts the time held as well";
const BLOCKED: Column = Column::number("blocked")
    .meaning("its share of the time in which user space waited to suspend");
const ALONE: Column = Column::number("alone")
    .meaning("the part with no other source active, which is what fixing it alone would save");
const HELD: Column = Column::number("held").meaning("how long it was active");
const HELD_LEAST: &str = "how long it was active; ≥: at least, it was gone in the next snapshot";
const LONGEST: Column =
    Column::number("longest").meaning("its longest hold without a break").spare();
const LONGEST_AT: Column =
    Column::number("began").meaning("when that hold did, after the start of the session").spare();
const HELD_PART: Column = Column::number("held %").meaning("of the session").spare();
const HOLDS: Column = Column::number("holds").meaning("activations").spare();

/// The section: the first `top`, or all of them and the idle ones as well.
pub fn ranking(
    page: &mut Page,
    ranked: &[Ranked<'_>],
    top: Option<usize>,
    left_out: u64,
    whole_ns: u64,
) {
    page.section(Section::Ranking, "Sources and interrupts by cost");
    let busy = ranked.iter().filter(|s| s.sum.busy()).count();
    if busy == 0 && (top.is_some() || ranked.is_empty()) {
        let seen = count(ranked.len() as u64, "source");
        page.line(format!("No source was active; {seen} seen."));
        return;
    }
    let sessions = ranked.iter().any(|s| !s.sessions.is_empty());
    let blocked = ranked.iter().any(|s| s.sum.blocked_share_ns.is_some());
    let mut columns = vec![Column::number("#"), Column::text("source")];
    columns.extend(sessions.then_some(Column::text("in").spare()));
    columns.push(COST.meaning(if blocked { COST_KNOWN } else { COST_PART }));
    columns.extend([BLOCKED, ALONE].into_iter().filter(|_| blocked));
    let least = ranked.iter().any(|s| s.sum.held_at_least);
    let held = if least { HELD.meaning(HELD_LEAST) } else { HELD };
    columns.extend([Column::number("aborts"), Column::number("wakes"), held, LONGEST]);
    columns.extend((!sessions).then_some(LONGEST_AT));
    columns.extend([HELD_PART, HOLDS]);
    columns.push(Column::number("events").spare());
    let row = |(index, s): (usize, &Ranked<'_>)| {
        let sum = s.sum;
        let mut cells =
            vec![Cell::Number((index + 1).to_string(), index as u64), Cell::Text(s.label.clone())];
        cells.extend(sessions.then(|| Cell::words(s.sessions.as_str())));
        cells.push(Cell::time(sum.cost_ns));
        if blocked {
            cells.push(Cell::known_time(sum.blocked_share_ns));
            cells.push(Cell::known_time(sum.blocked_sole_ns));
        }
        let least = if sum.held_at_least { "≥" } else { "" };
        let held = Cell::shown(format!("{least}{}", time(sum.held_ns)), sum.held_ns);
        cells.extend([Cell::count(sum.aborts), Cell::count(sum.wakes), held]);
        cells.push(Cell::time(sum.longest_hold_ns));
        let began = |ns| Cell::Number(if ns == 0 { "0 s".to_owned() } else { time(ns) }, ns);
        let began = s.longest_after_ns.map_or_else(|| Cell::Number(UNKNOWN.to_owned(), 0), began);
        cells.extend((!sessions).then_some(began));
        let held = percent(sum.held_ns, whole_ns);
        cells.push(Cell::Number(held.trim_end_matches(" %").to_owned(), sum.held_ns));
        cells.extend([Cell::count(sum.activations), Cell::count(sum.events)]);
        Row { cells, kind: if sum.busy() { Kind::Plain } else { Kind::Idle }, meaning: "" }
    };
    let shown = ranked.iter().filter(|s| top.is_none() || s.sum.busy());
    page.table(&columns, shown.take(top.unwrap_or(usize::MAX)).enumerate().map(row));
    let mut rest = Vec::new();
    if let Some(top) = top {
        let (more, idle) = (busy.saturating_sub(top), (ranked.len() - busy) as u64);
        rest.extend((more > 0).then(|| format!("{more} more, see --top")));
        rest.extend((idle > 0).then(|| format!("{} never active", count(idle, "source"))));
    }
    rest.extend((left_out > 0).then(|| format!("{left_out} left out by --top")));
    page.rest(&rest);
}
