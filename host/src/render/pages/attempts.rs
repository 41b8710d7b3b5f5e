//! The suspend attempts and their ends.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::render::labels::{self, outcome, returned, spaced};
use crate::render::page::{Cell, Column, Page, Piece, Text, UNKNOWN, name, words};
use crate::report::{Attempt, Evidence, Name, Wake};
use crate::units::{count, time};

/// Names in one cell.
const NAMES: usize = 4;

/// Rows of wakes: a long tail of single wakes has little to show.
const WAKES: usize = 10;

/// Attempts with one result.
#[derive(Default)]
struct Group<'a> {
    count: u64,
    awake_ns: u64,
    blamed: BTreeMap<&'a Name, Blamed>,
    /// A device that failed, or tasks that did not freeze.
    failure: Option<Text>,
    /// Attempts for which wakeup_count was not written.
    unarmed: u64,
    /// The wake interrupts in those without a source, and how often.
    irqs: BTreeMap<(Option<u32>, Option<&'a str>), u64>,
}

/// How often a name is blamed.
#[derive(Default)]
struct Blamed {
    times: u64,
    /// Attempts of those for which it is proven.
    proven: u64,
    /// Attempts that it settled, where others came up later.
    first: u64,
}

/// The section on their results; none without attempts.
pub fn attempts<'a>(page: &mut Page, attempts: impl IntoIterator<Item = &'a Attempt>) {
    let mut groups = BTreeMap::<_, Group<'_>>::new();
    for attempt in attempts {
        let Attempt { outcome, stage, errno, mode, .. } = attempt;
        let failure = (attempt.freeze_timeout, attempt.failed_step, &attempt.failed_device);
        let group = groups.entry((*outcome, *stage, *errno, *mode, failure)).or_default();
        group.count += 1;
        group.failure = labels::failure(attempt);
        let awake_ns = attempt.duration_ns().saturating_sub(attempt.slept_ns);
        group.awake_ns = group.awake_ns.saturating_add(awake_ns);
        group.unarmed += u64::from(attempt.armed == Some(false));
        if attempt.irq.is_some() && attempt.causes.is_empty() && attempt.wake.is_none() {
            let irq = (attempt.irq, attempt.irq_name.as_deref());
            *group.irqs.entry(irq).or_default() += 1;
        }
        for cause in &attempt.causes {
            let blamed = group.blamed.entry(&cause.name).or_default();
            blamed.times += 1;
            blamed.proven += u64::from(cause.evidence == Evidence::Proven);
            blamed.first += u64::from(cause.first && attempt.causes.len() > 1);
        }
    }
    if groups.is_empty() {
        return;
    }
    let all: u64 = groups.values().map(|group| group.count).sum();
    page.heading(count(all, "suspend attempt"));
    let blamed = || groups.values().flat_map(|group| group.blamed.values());
    let unsure = blamed().any(|blamed| blamed.proven == 0);
    let first = blamed().any(|blamed| blamed.first > 0);
    let columns = [
        Column::number("count"),
        Column::text("result"),
        Column::text("at"),
        Column::text("mode").spare(),
        Column::text("returned"),
        Column::number("awake").meaning("how long they took, without the sleep"),
        Column::text("kept awake by").meaning(match (unsure, first) {
            (true, true) => "? means likely, not proven; * came up first and settled the attempt",
            (true, false) => "? means likely, not proven",
            (false, true) => "* came up first and settled the attempt",
            (false, false) => "",
        }),
    ];
    let rows = groups.iter().map(|((result, stage, errno, mode, _), group)| {
        [
            Cell::count(group.count),
            Cell::words(outcome(*result)),
            Cell::words(spaced(stage)),
            Cell::words(spaced(mode)),
            Cell::words(returned(*errno)),
            Cell::time(group.awake_ns),
            blame(group),
        ]
    });
    page.table(&columns, rows);
}

fn blame(group: &Group<'_>) -> Cell {
    let mut names: Vec<_> = group.blamed.iter().collect();
    names.sort_by_key(|(name, blamed)| (Reverse((blamed.times, blamed.first)), *name));
    let more = names.len().saturating_sub(NAMES);
    let times =
        |times: u64| if times == group.count { String::new() } else { format!(" ×{times}") };
    let shown = names.into_iter().take(NAMES).map(|(source, blamed)| {
        let mut text = name(source);
        let sure = if blamed.proven == 0 { "?" } else { "" };
        let settled = if blamed.first > 0 { "*" } else { "" };
        text.push(Piece::Words(format!("{sure}{settled}{}", times(blamed.times))));
        text
    });
    let irqs = group.irqs.iter().take(NAMES).filter_map(|((irq, name), woke)| {
        let mut text = words("interrupt ");
        text.extend(labels::interrupt(*irq, *name)?);
        text.push(Piece::Words(times(*woke)));
        Some(text)
    });
    let shown: Vec<_> = group.failure.iter().cloned().chain(shown).chain(irqs).collect();
    match shown.is_empty() {
        true if group.unarmed == group.count => Cell::words("wakeup_count was not written"),
        true => Cell::words(UNKNOWN),
        false => Cell::Names(shown, more),
    }
}

/// The end of a sleep: the number and name of the interrupt, and the source.
type Key<'a> = (Option<u32>, &'a Option<String>, Option<&'a Name>);

/// The section on the ends of sleeps, by interrupt and source; none without wakes.
pub fn wakes<'a>(page: &mut Page, attempts: impl IntoIterator<Item = &'a Attempt>) {
    let mut groups = BTreeMap::<Key<'_>, (u64, u64, u64)>::new();
    for attempt in attempts {
        let Some(Wake { irq, irq_name, source, evidence, .. }) = &attempt.wake else { continue };
        let source = source.as_ref().map(|source| &source.name);
        let (times, slept_ns, proven) = groups.entry((*irq, irq_name, source)).or_default();
        *times += 1;
        *slept_ns = slept_ns.saturating_add(attempt.slept_ns);
        *proven += u64::from(*evidence == Evidence::Proven);
    }
    if groups.is_empty() {
        return;
    }
    page.heading("Interrupts and sources that woke it");
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, (times, slept_ns, _))| Reverse((*times, *slept_ns)));
    let more = groups.len().saturating_sub(WAKES);
    let unsure = groups.iter().any(|((.., source), (.., proven))| source.is_some() && *proven == 0);
    let columns = [
        Column::number("wakes"),
        Column::number("mean sleep"),
        Column::text("interrupt"),
        Column::text("source").meaning(if unsure {
            "? means likely, not proven; a known interrupt then bears the cost"
        } else {
            ""
        }),
    ];
    let row = |((irq, irq_name, source), (times, slept_ns, proven)): (Key<'_>, (u64, u64, u64))| {
        let source = source.map_or_else(
            || words(UNKNOWN),
            |source| {
                let mut text = name(source);
                text.push(Piece::Words(if proven == 0 { "?" } else { "" }.to_owned()));
                text
            },
        );
        let mean = Cell::Number(time(slept_ns / times), slept_ns / times);
        [
            Cell::count(times),
            mean,
            Cell::Text(labels::interrupt(irq, irq_name.as_deref()).unwrap_or(words(UNKNOWN))),
            Cell::Text(source),
        ]
    };
    page.table(&columns, groups.into_iter().take(WAKES).map(row));
    page.rest(&(more > 0).then(|| format!("{more} more")).into_iter().collect::<Vec<_>>());
}
