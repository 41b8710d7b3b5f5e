//! The sources by their cost.

use crate::compare::merge::Sum;
use crate::render::labels;
use crate::render::page::{Cell, Column, Kind, Page, Row, Section, Text, name};
use crate::report::Source;
use crate::units::{count, percent};

/// A source, or all of one name.
pub struct Ranked {
    label: Text,
    /// In how many of the sessions it is; empty for a single session.
    sessions: String,
    cost_ns: u64,
    blocked: Option<(u64, u64)>,
    held_ns: u64,
    aborts: u64,
    wakes: u64,
    activations: u64,
    events: u64,
}

impl Ranked {
    /// A source of one session.
    pub fn source(s: &Source) -> Self {
        Self {
            label: labels::source(s),
            sessions: String::new(),
            cost_ns: s.cost_ns,
            blocked: s.blocked_share_ns.zip(s.blocked_sole_ns),
            held_ns: s.held_ns,
            aborts: s.aborts,
            wakes: s.wakes,
            activations: s.activations,
            events: s.events,
        }
    }

    /// A name of several sessions.
    pub fn sum(s: &Sum, sessions: u64) -> Self {
        Self {
            label: name(&s.name),
            sessions: format!("{} of {sessions}", s.sessions),
            cost_ns: s.cost_ns,
            blocked: s.blocked_share_ns.zip(s.blocked_sole_ns),
            held_ns: s.held_ns,
            aborts: s.aborts,
            wakes: s.wakes,
            activations: s.activations,
            events: s.events,
        }
    }

    /// Whether it did anything.
    pub fn busy(&self) -> bool {
        self.cost_ns != 0 || self.held_ns != 0 || self.events != 0 || self.aborts != 0
    }
}

const COST: Column = Column::number("cost");
const COST_KNOWN: &str = "its blocked time, its share of the attempts that it aborted, and the time \
                          awake after its wakes";
const COST_PART: &str = "its share of the attempts that it aborted, and the time awake after its \
                         wakes; blocked time is unknown";
const BLOCKED: Column = Column::number("blocked")
    .meaning("its share of the time in which user space waited to suspend");
const ALONE: Column = Column::number("alone")
    .meaning("the part with no other source active, which is what fixing it alone would save");
const HELD: Column = Column::number("held").meaning("how long it was active");
const HELD_PART: Column = Column::number("held %").meaning("of the session").spare();
const HOLDS: Column = Column::number("holds").meaning("activations").spare();

/// The section: the first `top`, or all of them and the idle ones as well.
pub fn ranking(
    page: &mut Page,
    ranked: &[Ranked],
    top: Option<usize>,
    left_out: u64,
    whole_ns: u64,
) {
    page.section(Section::Ranking, "What kept it awake");
    let busy = ranked.iter().filter(|s| s.busy()).count();
    if busy == 0 && (top.is_some() || ranked.is_empty()) {
        let seen = count(ranked.len() as u64, "source");
        page.line(format!("No source was active; {seen} seen."));
        return;
    }
    let sessions = ranked.iter().any(|s| !s.sessions.is_empty());
    let blocked = ranked.iter().any(|s| s.blocked.is_some());
    let mut columns = vec![Column::number("#"), Column::text("source")];
    columns.extend(sessions.then_some(Column::text("in").spare()));
    columns.push(COST.meaning(if blocked { COST_KNOWN } else { COST_PART }));
    columns.extend([BLOCKED, ALONE].into_iter().filter(|_| blocked));
    columns.extend([Column::number("aborts"), Column::number("wakes"), HELD, HELD_PART, HOLDS]);
    columns.push(Column::number("events").spare());
    let row = |(index, s): (usize, &Ranked)| {
        let mut cells =
            vec![Cell::Number((index + 1).to_string(), index as u64), Cell::Text(s.label.clone())];
        cells.extend(sessions.then(|| Cell::words(s.sessions.as_str())));
        cells.push(Cell::time(s.cost_ns));
        if blocked {
            cells.push(Cell::known_time(s.blocked.map(|(share, _)| share)));
            cells.push(Cell::known_time(s.blocked.map(|(_, alone)| alone)));
        }
        cells.extend([Cell::count(s.aborts), Cell::count(s.wakes), Cell::time(s.held_ns)]);
        let held = percent(s.held_ns, whole_ns);
        cells.push(Cell::Number(held.trim_end_matches(" %").to_owned(), s.held_ns));
        cells.extend([Cell::count(s.activations), Cell::count(s.events)]);
        Row { cells, kind: if s.busy() { Kind::Plain } else { Kind::Idle }, meaning: "" }
    };
    let shown = ranked.iter().filter(|s| top.is_none() || s.busy());
    page.table(&columns, shown.take(top.unwrap_or(usize::MAX)).enumerate().map(row));
    let mut rest = Vec::new();
    if let Some(top) = top {
        let (more, idle) = (busy.saturating_sub(top), (ranked.len() - busy) as u64);
        rest.extend((more > 0).then(|| format!("{more} more, see --top")));
        rest.extend((idle > 0).then(|| format!("{} never active", count(idle, "source"))));
    }
    rest.extend((left_out > 0).then(|| format!("{left_out} left out by --top")));
    if !rest.is_empty() {
        page.note(format!("… {}", rest.join(", ")));
    }
}
