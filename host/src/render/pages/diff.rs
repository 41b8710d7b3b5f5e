//! A comparison as a page.

use crate::compare::diff::{
    AttemptChange, Diff, Group, LineChange, Measure, Part, Presence, Side, SourceChange, Spread,
};
use crate::render::labels;
use crate::render::page::{Cell, Column, Mark, Page, Piece, UNKNOWN, name, quote, words};
use crate::units::{SECOND, count, percent};

/// The page, with the `top` sources that changed most.
pub fn page(diff: &Diff, top: usize) -> Page {
    let mut page = Page::default();
    page.title(words("Changes for better or worse"));
    let columns = [
        Column::text("side"),
        Column::number("traces"),
        Column::number("length"),
        Column::number("awake"),
        Column::number("attempts"),
        Column::text("device"),
    ];
    page.table(&columns, [side("before", &diff.before), side("after", &diff.after)]);
    page.list("Warnings", Mark::Doubt, diff.warnings.iter().map(quote).collect());
    page.heading("Where the time went, in per cent of the session");
    let lines = diff.ledger.iter().filter(|line| moved(&line.percent));
    page.table(&columns_of("line"), lines.map(ledger));
    page.heading("Suspend attempts, per hour awake");
    let outcomes: Vec<_> = diff.attempts.iter().filter(|o| moved(&o.per_awake_hour)).collect();
    if outcomes.is_empty() {
        let known =
            |o: &AttemptChange| o.per_awake_hour.before.or(o.per_awake_hour.after).is_some();
        let known = diff.attempts.iter().any(known);
        page.line(if known { "There were none." } else { "No trace recorded them." });
    }
    page.table(&columns_of("result"), outcomes.into_iter().map(outcome));
    sources(&mut page, diff, top);
    page
}

/// Three digits.
fn short(value: f64) -> String {
    let digits = match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// Whether there is anything of it on either side.
fn moved(measure: &Measure) -> bool {
    let some = |spread: Option<Spread>| spread.is_some_and(|spread| spread.max > 0.0);
    some(measure.before) || some(measure.after)
}

fn side(what: &str, side: &Side) -> [Cell; 6] {
    let awake = side.awake_ns.map(|ns| percent(ns, side.duration_ns));
    [
        Cell::words(what),
        Cell::words(side.traces.len().to_string()),
        Cell::time(side.duration_ns),
        Cell::known(awake),
        Cell::count(side.attempts),
        Cell::Text(quote(side.devices.join(", "))),
    ]
}

fn columns_of(what: &'static str) -> [Column; 4] {
    let [before, after, change] = ["before", "after", "change"].map(Column::number);
    [Column::text(what), before, after, change]
}

fn ledger(line: &LineChange) -> [Cell; 4] {
    let [before, after] = sides(&line.percent, short);
    let label = match line.line {
        Part::Awake => "awake",
        Part::Line(line) => labels::line(line).0,
    };
    [Cell::words(label), before, after, points(&line.percent)]
}

fn outcome(outcome: &AttemptChange) -> [Cell; 4] {
    let [before, after] = sides(&outcome.per_awake_hour, short);
    let word = match outcome.outcome {
        Group::All => "all",
        Group::Outcome(outcome) => labels::outcome(outcome),
    };
    [Cell::words(word), before, after, Cell::words(change(&outcome.per_awake_hour, short))]
}

fn sides(measure: &Measure, show: fn(f64) -> String) -> [Cell; 2] {
    [measure.before, measure.after].map(|spread| Cell::known(spread.map(|s| ranged(s, show))))
}

/// The median, and where there are several traces how far they are apart.
fn ranged(s: Spread, show: fn(f64) -> String) -> String {
    if s.traces < 2 {
        return show(s.median);
    }
    format!("{} ({}–{})", show(s.median), show(s.min), show(s.max))
}

/// The change alone, without its share of the value before.
fn points(measure: &Measure) -> Cell {
    Cell::known(measure.change.map(|change| signed(change, short)))
}

fn change(measure: &Measure, show: fn(f64) -> String) -> String {
    let Some(change) = measure.change else { return UNKNOWN.to_owned() };
    // A share that rounds to nothing, or is huge, adds nothing to the change itself.
    let percent = measure.change_percent.filter(|percent| (0.5..1_000.0).contains(&percent.abs()));
    let percent = percent.map(|percent| format!(" ({})", signed(percent, |p| format!("{p:.0} %"))));
    signed(change, show) + &percent.unwrap_or_default()
}

fn signed(value: f64, show: fn(f64) -> String) -> String {
    let shown = show(value.abs());
    match value {
        // A change that rounds to nothing has no sign.
        _ if shown == show(0.0) => "±0".to_owned(),
        v if v < 0.0 => format!("−{shown}"),
        _ => format!("+{shown}"),
    }
}

fn sources(page: &mut Page, diff: &Diff, top: usize) {
    // Where costs cannot be compared, the time held still can.
    let by_cost = diff.sources.iter().any(|s| s.cost_ns_per_awake_hour.change.is_some());
    let measure = |s: &SourceChange| match by_cost {
        true => s.cost_ns_per_awake_hour,
        false => s.held_ns_per_awake_hour,
    };
    let what = if by_cost { "cost" } else { "time held" };
    page.heading(format!("Sources by {what}, in seconds per hour awake"));
    let changed = |s: &&SourceChange| s.presence != Presence::Both || differs(s);
    let sources: Vec<_> = diff.sources.iter().filter(changed).collect();
    if sources.is_empty() {
        page.line("None changed.");
    }
    let [source, before, after, changes] = columns_of("source");
    let columns =
        [source, before, after, changes, Column::number("aborts"), Column::number("wakes")];
    page.table(&columns, sources.iter().take(top).map(|s| row(s, &measure(s))));
    let mut rest = Vec::new();
    let more = sources.len().saturating_sub(top);
    let same = (diff.sources.len() - sources.len()) as u64;
    rest.extend((more > 0).then(|| format!("{more} more changed less, see --top")));
    rest.extend((same > 0).then(|| format!("{} did not change", count(same, "source"))));
    page.rest(&rest);
}

fn row(s: &SourceChange, measure: &Measure) -> [Cell; 6] {
    let mut label = name(&s.name);
    match s.presence {
        Presence::Both => {}
        Presence::New => label.push(Piece::Words(" (new)".to_owned())),
        Presence::Vanished => label.push(Piece::Words(" (vanished)".to_owned())),
    }
    let seconds = |value: f64| short(value / SECOND as f64);
    let [before, after] = sides(measure, seconds);
    [
        Cell::Text(label),
        before,
        after,
        Cell::words(change(measure, seconds)),
        points(&s.aborts_per_awake_hour),
        points(&s.wakes_per_awake_hour),
    ]
}

/// Whether any of it changed.
fn differs(s: &SourceChange) -> bool {
    [
        &s.cost_ns_per_awake_hour,
        &s.blocked_share_ns_per_awake_hour,
        &s.held_ns_per_awake_hour,
        &s.aborts_per_awake_hour,
        &s.wakes_per_awake_hour,
    ]
    .iter()
    .any(|measure| measure.change.is_some_and(|change| change != 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_rounds_to_nothing_is_left_out() {
        let shown = |change_percent| {
            let measure = Measure { before: None, after: None, change: Some(2.34), change_percent };
            change(&measure, |value| format!("{value:.2}"))
        };
        assert_eq!(shown(Some(6.2)), "+2.34 (+6 %)");
        assert_eq!(shown(Some(-0.6)), "+2.34 (−1 %)");
        for nothing in [None, Some(0.2), Some(-0.4), Some(1_000.0)] {
            assert_eq!(shown(nothing), "+2.34");
        }
    }
}
