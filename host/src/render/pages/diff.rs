//! A comparison as a page.

use crate::compare::diff::{Diff, Line, Measure, Outcome, Presence, Side, Source, Spread};
use crate::render::labels::unknown;
use crate::render::page::{Align, Block, Page, Piece, Text, name, words};
use crate::units::{SECOND, count, percent, time};

/// The page, with the `top` sources that changed most.
pub fn page(diff: &Diff, top: usize) -> Page {
    let mut page = Page::default();
    page.blocks.push(Block::Title(words("What got better or worse")));
    page.table(
        [
            ("side", Align::Left),
            ("traces", Align::Right),
            ("length", Align::Right),
            ("awake", Align::Right),
            ("attempts", Align::Right),
            ("device", Align::Left),
        ],
        5,
        vec![side("before", &diff.before), side("after", &diff.after)],
    );
    page.list("Beware", diff.warnings.iter().map(words).collect());
    page.heading("Where the time went, in per cent of the session");
    let lines = diff.ledger.iter().filter(|line| moved(&line.percent));
    page.table(head("line"), 0, lines.map(ledger).collect());
    page.heading("Attempts to suspend, per hour awake");
    let outcomes: Vec<_> = diff.attempts.iter().filter(|o| moved(&o.per_awake_hour)).collect();
    if outcomes.is_empty() {
        let told = |o: &Outcome| o.per_awake_hour.before.or(o.per_awake_hour.after).is_some();
        let told = diff.attempts.iter().any(told);
        page.line(if told { "There were none." } else { "No trace tells." });
    }
    page.table(head("outcome"), 0, outcomes.into_iter().map(outcome).collect());
    sources(&mut page, diff, top);
    page
}

/// Three digits, more or less: there are six numbers in a line.
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

fn side(what: &str, side: &Side) -> [Text; 6] {
    [
        words(what),
        words(side.traces.len().to_string()),
        words(time(side.duration_ns)),
        words(side.awake_ns.map_or_else(unknown, |ns| percent(ns, side.duration_ns))),
        words(side.attempts.to_string()),
        words(side.devices.join(", ")),
    ]
}

fn head(what: &'static str) -> [(&'static str, Align); 4] {
    [
        (what, Align::Left),
        ("before", Align::Right),
        ("after", Align::Right),
        ("change", Align::Right),
    ]
}

fn ledger(line: &Line) -> [Text; 4] {
    let what = match line.line {
        "suspending" => "going to sleep",
        "resuming" => "waking up",
        "aborted" => "attempts that did not sleep",
        "blocked" => "blocked by a source",
        "not_trying" => "awake, nobody asked to suspend",
        "untold" => "awake, not told apart",
        "unattributed" => "of that, charged to nobody",
        other => other,
    };
    let [before, after] = sides(&line.percent, short);
    let change = line.percent.change.map_or_else(unknown, |c| signed(c, short));
    [words(what), before, after, words(change)]
}

fn outcome(outcome: &Outcome) -> [Text; 4] {
    let [before, after] = sides(&outcome.per_awake_hour, short);
    let what = outcome.outcome.replace('_', " ");
    [words(what), before, after, words(change(&outcome.per_awake_hour, short))]
}

fn sides(measure: &Measure, show: fn(f64) -> String) -> [Text; 2] {
    [measure.before, measure.after].map(|spread| words(ranged(spread, show)))
}

/// The median, and where there are several traces how far they are apart.
fn ranged(spread: Option<Spread>, show: fn(f64) -> String) -> String {
    let Some(s) = spread else { return unknown() };
    if s.traces < 2 {
        return show(s.median);
    }
    format!("{} ({}–{})", show(s.median), show(s.min), show(s.max))
}

fn change(measure: &Measure, show: fn(f64) -> String) -> String {
    let Some(change) = measure.change else { return unknown() };
    // What rounds to nothing or is beyond measure says no more than the change itself.
    let percent = measure.change_percent.filter(|percent| (0.5..1_000.0).contains(&percent.abs()));
    let percent = percent.map(|percent| format!(" ({})", signed(percent, |p| format!("{p:.0} %"))));
    signed(change, show) + &percent.unwrap_or_default()
}

fn signed(value: f64, show: fn(f64) -> String) -> String {
    let shown = show(value.abs());
    match value {
        // What is shown as nothing has no sign.
        _ if shown == show(0.0) => "±0".to_owned(),
        v if v < 0.0 => format!("−{shown}"),
        _ => format!("+{shown}"),
    }
}

fn sources(page: &mut Page, diff: &Diff, top: usize) {
    // Where costs can't be compared, what was held still can.
    let by_cost = diff.sources.iter().any(|s| s.cost_ns_per_awake_hour.change.is_some());
    let of = |s: &Source| match by_cost {
        true => s.cost_ns_per_awake_hour,
        false => s.held_ns_per_awake_hour,
    };
    let what = if by_cost { "cost" } else { "time held" };
    page.heading(format!("Sources by {what}, in seconds per hour awake"));
    let changed = |s: &&Source| s.presence != Presence::Both || differs(s);
    let sources: Vec<_> = diff.sources.iter().filter(changed).collect();
    if sources.is_empty() {
        page.line("None changed.");
    }
    let row = |s: &&Source| {
        let mut who = name(&s.name);
        match s.presence {
            Presence::Both => {}
            Presence::New => who.push(Piece::Words(" (new)".to_owned())),
            Presence::Vanished => who.push(Piece::Words(" (vanished)".to_owned())),
        }
        let seconds = |value: f64| short(value / SECOND as f64);
        let measure = of(s);
        let [before, after] = sides(&measure, seconds);
        let counted = |m: &Measure| words(m.change.map_or_else(unknown, |c| signed(c, short)));
        [
            who,
            before,
            after,
            words(change(&measure, seconds)),
            counted(&s.aborts_per_awake_hour),
            counted(&s.wakes_per_awake_hour),
        ]
    };
    page.table(
        [
            ("source", Align::Left),
            ("before", Align::Right),
            ("after", Align::Right),
            ("change", Align::Right),
            ("aborts", Align::Right),
            ("wakes", Align::Right),
        ],
        0,
        sources.iter().take(top).map(row).collect(),
    );
    let rest = sources.len().saturating_sub(top);
    if rest > 0 {
        page.line(format!("{rest} more changed less."));
    }
    let same = (diff.sources.len() - sources.len()) as u64;
    if same > 0 {
        page.line(format!("{} did not change.", count(same, "source")));
    }
}

/// Whether any of it changed.
fn differs(s: &Source) -> bool {
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
    fn a_share_that_says_nothing_is_left_out() {
        let told = |change_percent| {
            let measure = Measure { before: None, after: None, change: Some(2.34), change_percent };
            change(&measure, |value| format!("{value:.2}"))
        };
        assert_eq!(told(Some(6.2)), "+2.34 (+6 %)");
        assert_eq!(told(Some(-0.6)), "+2.34 (−1 %)");
        for nothing in [None, Some(0.2), Some(-0.4), Some(1_000.0)] {
            assert_eq!(told(nothing), "+2.34");
        }
    }
}
