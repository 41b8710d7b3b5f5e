//! A comparison as a page.

use crate::compare::diff::{
    AttemptChange, Diff, Group, LineChange, Measure, Measured, Part, Per, Presence, Regression,
    Side, SourceChange, Spread, Verdict,
};
use crate::render::labels;
use crate::render::page::{Cell, Column, Mark, Page, Piece, Text, UNKNOWN, name, quote, words};
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
    let regressions = diff.regressions.iter().map(|of| regression(of, diff.per));
    page.list("Significantly worse", Mark::Broken, regressions.collect());
    page.heading("Where the time went, in per cent of the session");
    let lines = diff.ledger.iter().filter(|line| moved(&line.percent));
    let [line, before, after, change, verdict] = columns_of("line");
    page.table(&[line, before, after, change.spare(), verdict], lines.map(ledger));
    page.heading(format!("Suspend attempts, {}", per(diff.per)));
    let outcomes: Vec<_> = diff.attempts.iter().filter(|o| moved(&o.rate)).collect();
    if outcomes.is_empty() {
        let known = |o: &AttemptChange| o.rate.before.or(o.rate.after).is_some();
        let known = diff.attempts.iter().any(known);
        page.line(if known { "There were none." } else { "No trace recorded them." });
    }
    page.table(&columns_of("result"), outcomes.into_iter().map(outcome));
    sources(&mut page, diff, top);
    page
}

/// The divisor of rates, in words.
fn per(per: Per) -> &'static str {
    match per {
        Per::Session => "per hour of session",
        Per::SleepOpportunity => "per hour of sleep opportunity",
        Per::Awake => "per hour awake",
        Per::Attempt => "per attempt",
    }
}

/// The measure that is worse, before and after.
fn regression(of: &Regression, by: Per) -> Text {
    let mut text = Text::new();
    if let Some(source) = &of.source {
        text.extend(name(source));
        text.push(Piece::Words(", ".to_owned()));
    }
    let what = match (of.line, of.outcome) {
        (Some(line), _) => part(line),
        (_, Some(outcome)) => group(outcome),
        _ => measured(of.measure),
    };
    let (show, unit): (fn(f64) -> String, _) = match of.measure {
        Measured::Percent => (short, " % of the session"),
        Measured::Rate | Measured::Aborts | Measured::Wakes => (short, " "),
        _ => (seconds, " s "),
    };
    let by = if of.measure == Measured::Percent { "" } else { per(by) };
    let (before, after) = (show(of.before), show(of.after));
    text.push(Piece::Words(format!("{what}: {before} before, {after} after{unit}{by}")));
    text
}

/// A column of the sources, in words.
fn measured(measure: Measured) -> &'static str {
    match measure {
        Measured::Percent => "share",
        Measured::Rate => "attempts",
        Measured::CostNs => "cost",
        Measured::BlockedShareNs => "blocked",
        Measured::HeldNs => "time held",
        Measured::Aborts => "aborts",
        Measured::Wakes => "wakes",
    }
}

fn part(part: Part) -> &'static str {
    match part {
        Part::Awake => "awake",
        Part::Line(line) => labels::line(line).0,
    }
}

fn group(group: Group) -> &'static str {
    match group {
        Group::All => "all",
        Group::Outcome(outcome) => labels::outcome(outcome),
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Significant => "significant",
        Verdict::WithinNoise => "within noise",
        Verdict::Unknown => "unknown",
    }
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

/// Nanoseconds as seconds.
fn seconds(ns: f64) -> String {
    short(ns / SECOND as f64)
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

fn columns_of(what: &'static str) -> [Column; 5] {
    let [before, after, change] = ["before", "after", "change"].map(Column::number);
    [Column::text(what), before, after, change, Column::text("verdict")]
}

fn ledger(line: &LineChange) -> [Cell; 5] {
    let [before, after] = sides(&line.percent, short);
    let verdict = Cell::words(verdict(line.percent.verdict));
    [Cell::words(part(line.line)), before, after, points(&line.percent), verdict]
}

fn outcome(outcome: &AttemptChange) -> [Cell; 5] {
    let [before, after] = sides(&outcome.rate, short);
    let change = Cell::words(change(&outcome.rate, short));
    let verdict = Cell::words(verdict(outcome.rate.verdict));
    [Cell::words(group(outcome.outcome)), before, after, change, verdict]
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
    let by_cost = diff.sources.iter().any(|s| s.cost_ns.change.is_some());
    let measure = |s: &SourceChange| if by_cost { s.cost_ns } else { s.held_ns };
    let what = if by_cost { "cost" } else { "time held" };
    page.heading(format!("Sources by {what}, in seconds {}", per(diff.per)));
    let changed = |s: &&SourceChange| s.presence != Presence::Both || differs(s);
    let sources: Vec<_> = diff.sources.iter().filter(changed).collect();
    if sources.is_empty() {
        page.line("None changed.");
    }
    let [source, before, after, changes, verdict] = columns_of("source");
    let [aborts, wakes] = ["aborts", "wakes"].map(|head| Column::number(head).spare());
    let columns = [source, before, after, changes, aborts, wakes, verdict];
    page.table(&columns, sources.iter().take(top).map(|s| row(s, &measure(s))));
    let mut rest = Vec::new();
    let more = sources.len().saturating_sub(top);
    let same = (diff.sources.len() - sources.len()) as u64;
    rest.extend((more > 0).then(|| format!("{more} more changed less, see --top")));
    rest.extend((same > 0).then(|| format!("{} did not change", count(same, "source"))));
    page.rest(&rest);
}

fn row(s: &SourceChange, measure: &Measure) -> [Cell; 7] {
    let mut label = labels::ranked(&s.name, s.kind, None);
    if !s.failed_steps.is_empty() {
        let steps: Vec<_> = s.failed_steps.iter().map(labels::spaced).collect();
        label.push(Piece::Words(format!(" at {}", steps.join(", "))));
    }
    match s.presence {
        Presence::Both => {}
        Presence::New => label.push(Piece::Words(" (new)".to_owned())),
        Presence::Vanished => label.push(Piece::Words(" (vanished)".to_owned())),
    }
    let [before, after] = sides(measure, seconds);
    [
        Cell::Text(label),
        before,
        after,
        Cell::words(change(measure, seconds)),
        points(&s.aborts),
        points(&s.wakes),
        Cell::words(significance(s, measure)),
    ]
}

/// The verdict on a source; where the measure that is shown is not the significant one, the others are
/// named.
fn significance(s: &SourceChange, shown: &Measure) -> String {
    let mut text = verdict(s.verdict).to_owned();
    if s.verdict == Verdict::Significant && shown.verdict != Verdict::Significant {
        let measures = s.measures().into_iter();
        let others = measures.filter(|(_, measure)| measure.verdict == Verdict::Significant);
        let others: Vec<_> = others.map(|(key, _)| measured(key)).collect();
        text = format!("{text}: {}", others.join(", "));
    }
    text
}

/// Whether any of it changed.
fn differs(s: &SourceChange) -> bool {
    let changed = |measure: &Measure| measure.change.is_some_and(|change| change != 0.0);
    s.measures().into_iter().any(|(_, measure)| changed(measure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_rounds_to_nothing_is_left_out() {
        let shown = |change_percent| {
            let measure = Measure { change: Some(2.34), change_percent, ..Measure::default() };
            change(&measure, |value| format!("{value:.2}"))
        };
        assert_eq!(shown(Some(6.2)), "+2.34 (+6 %)");
        assert_eq!(shown(Some(-0.6)), "+2.34 (−1 %)");
        for nothing in [None, Some(0.2), Some(-0.4), Some(1_000.0)] {
            assert_eq!(shown(nothing), "+2.34");
        }
    }
}
