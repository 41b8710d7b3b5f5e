//! A verdict as a page: what broke, with value and limit.

use crate::compare::check::{Check, Judged, Unit, Verdict};
use crate::render::page::{Block, Page, Piece, Text, words};
use crate::units::{count, time};

/// The page.
pub fn page(verdict: &Verdict) -> Page {
    let mut page = Page::default();
    let traces = count(verdict.traces.len() as u64, "trace");
    let said = if verdict.passed { "passed" } else { "FAILED" };
    let title = format!("{said}: {traces} held to {}", verdict.policy);
    page.blocks.push(Block::Title(words(title)));
    for trace in &verdict.traces {
        judged(&mut page, trace);
    }
    let unused = verdict.unused.iter().map(|glob| words(glob.as_str()));
    page.list("Patterns that fit no source", unused.collect());
    page
}

fn judged(page: &mut Page, trace: &Judged) {
    page.heading(trace.trace.as_str());
    page.line(format!(
        "{}, {}, {}: {} kept, {} broken, {} untold",
        if trace.device.is_empty() { "unnamed device" } else { &trace.device },
        time(trace.duration_ns),
        count(trace.attempts, "attempt"),
        count(trace.kept, "limit"),
        trace.broken.len(),
        trace.untold.len(),
    ));
    let items: Vec<_> = trace.broken.iter().map(broken).collect();
    if !items.is_empty() {
        page.line("Broken:");
        page.blocks.push(Block::Items(items));
    }
    let items: Vec<_> = trace.untold.iter().map(untold).collect();
    if !items.is_empty() {
        page.line("Can't be told:");
        page.blocks.push(Block::Items(items));
    }
}

fn broken(check: &Check) -> Text {
    let mut text = of(check);
    let value = check.value.unwrap_or_default();
    let least = check.limit.contains(".min_");
    let how = if least { "at least" } else { "at most" };
    let (value, bound) = both(value, check.bound, check.unit);
    text.push(Piece::Words(match &check.why {
        Some(why) => format!(": {why}"),
        None => format!(": {value}, allowed {how} {bound}"),
    }));
    text
}

fn untold(check: &Check) -> Text {
    let mut text = of(check);
    let why = check.why.as_deref().unwrap_or_default();
    text.push(Piece::Words(format!(": {why}")));
    text
}

fn of(check: &Check) -> Text {
    let mut text = words(check.limit.as_str());
    if let Some(source) = &check.source {
        text.push(Piece::Words(", ".to_owned()));
        text.push(Piece::Name(source.bytes.clone()));
    }
    text
}

/// Value and limit, to as many digits as it takes to tell them apart.
fn both(value: f64, bound: f64, unit: Unit) -> (String, String) {
    if unit == Unit::Seconds {
        // A policy's durations are whole seconds.
        let told = |seconds: f64| time((seconds * 1e9) as u64);
        if told(value) != told(bound) {
            return (told(value), told(bound));
        }
    }
    let at = |digits| (shown(value, digits, unit), shown(bound, digits, unit));
    (1..12).map(at).find(|(value, bound)| value != bound).unwrap_or_else(|| at(12))
}

fn shown(value: f64, digits: usize, unit: Unit) -> String {
    let number = format!("{value:.digits$}");
    let number = number.trim_end_matches('0').trim_end_matches('.');
    match unit {
        Unit::Percent => format!("{number} %"),
        Unit::PerHour => format!("{number} per hour"),
        Unit::Count => number.to_owned(),
        Unit::Seconds => format!("{number} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_beyond_its_limit_does_not_look_like_it() {
        let text = |value, bound| {
            let (value, bound) = both(value, bound, Unit::Percent);
            format!("{value} {bound}")
        };
        assert_eq!(text(16.306, 10.0), "16.3 % 10 %");
        assert_eq!(text(10.000_1, 10.0), "10.0001 % 10 %");
        assert_eq!(text(0.0, 0.0), "0 % 0 %");
        let text = |value, bound| both(value, bound, Unit::Seconds);
        assert_eq!(text(59.866, 1800.0), ("59.866 s".to_owned(), "30 m 00 s".to_owned()));
        assert_eq!(text(1800.0, 1800.5), ("1800 s".to_owned(), "1800.5 s".to_owned()));
    }
}
