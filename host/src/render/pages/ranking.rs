//! The sources by their cost.

use crate::compare::merge::MergedSource;
use crate::render::labels;
use crate::render::page::{Cell, Column, Kind, Page, Row, Section, Text, name};
use crate::report::{Source, Sum};
use crate::units::{count, percent, time};

/// A source, or all of one name.
pub struct Ranked<'a> {
    label: Text,
    /// In how many of the sessions it is; empty for a single session.
    sessions: String,
    sum: &'a Sum,
}

impl<'a> Ranked<'a> {
    /// A source of one session.
    pub fn source(source: &'a Source) -> Self {
        Self { label: labels::source(source), sessions: String::new(), sum: &source.sum }
    }

    /// A name of several sessions.
    pub fn merged(source: &'a MergedSource, sessions: u64) -> Self {
        let sessions = format!("{} of {sessions}", source.sessions);
        Self { label: name(&source.name), sessions, sum: &source.sum }
    }
}

const COST: Column = Column::number("cost");
const COST_KNOWN: &str = "its blocked time, its share of the attempts that it aborted, and the time \
                          awake after its wakes";
const COST_PART: &str = "its share of the attempts that it aborted, and the time awake after its \
                         wakes; blocked time is unknown, so the order counts the time held as well";
const BLOCKED: Column = Column::number("blocked")
    .meaning("its share of the time in which user space waited to suspend");
const ALONE: Column = Column::number("alone")
    .meaning("the part with no other source active, which is what fixing it alone would save");
const HELD: Column = Column::number("held").meaning("how long it was active");
const HELD_LEAST: &str = "how long it was active; ≥: at least, it was gone in the next snapshot";
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
    page.section(Section::Ranking, "Sources that kept it awake");
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
    columns.extend([Column::number("aborts"), Column::number("wakes"), held, HELD_PART, HOLDS]);
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
