//! A verdict as a page: each broken limit with its value.

use crate::compare::check::{Check, Judged, Unit, Verdict};
use crate::render::labels::device;
use crate::render::page::{Block, Mark, Page, Piece, Section, Text, quote, words};
use crate::units::{count, time};

/// The page.
pub fn page(verdict: &Verdict) -> Page {
    let mut page = Page::default();
    let traces = count(verdict.traces.len() as u64, "trace");
    let result = if verdict.passed { "passed" } else { "FAILED" };
    let mut title = words(format!("{result}: {traces} checked against "));
    title.extend(quote(verdict.policy.as_str()));
    page.title(title);
    for trace in &verdict.traces {
        judged(&mut page, trace, verdict.confidence);
    }
    let unused = verdict.unused.iter().map(quote).collect();
    page.list("Patterns that match no source", Mark::Doubt, unused);
    page
}

fn judged(page: &mut Page, trace: &Judged, confidence: f64) {
    page.blocks.push(Block::Heading(Section::Other, quote(trace.trace.as_str())));
    let mut text = device(&trace.device);
    text.push(Piece::Words(format!(
        ", {}, {}: {} kept, {}{} broken, {} unknown",
        time(trace.duration_ns),
        count(trace.attempts, "attempt"),
        count(trace.kept, "limit"),
        match trace.within_noise.len() {
            0 => String::new(),
            n => format!("{n} over within noise, "),
        },
        trace.broken.len(),
        trace.unknown.len(),
    )));
    page.blocks.push(Block::Line(text));
    if !trace.broken.is_empty() {
        page.line("Broken:");
        page.items(Mark::Broken, trace.broken.iter().map(broken));
    }
    if !trace.within_noise.is_empty() {
        page.line("Over the limit, within noise:");
        let noise = trace.within_noise.iter().map(|check| within_noise(check, confidence));
        page.items(Mark::Plain, noise);
    }
    if !trace.unknown.is_empty() {
        page.line("Unknown:");
        page.items(Mark::Doubt, trace.unknown.iter().map(unknown));
    }
}

fn broken(check: &Check) -> Text {
    match &check.why {
        Some(why) => with(check, why),
        None => with(check, &allowed(check)),
    }
}

fn within_noise(check: &Check, confidence: f64) -> Text {
    let (value, least) = (check.value.unwrap_or_default(), check.at_least.unwrap_or_default());
    let (_, least) = both(value, least, check.unit);
    let percent = shown(confidence * 100.0, 9, Unit::Percent);
    with(check, &format!("{}; with {percent} confidence at least {least}", allowed(check)))
}

fn unknown(check: &Check) -> Text {
    let why = check.why.as_deref().unwrap_or_default();
    match check.value {
        Some(_) => with(check, &format!("{}, but {why}", allowed(check))),
        None => with(check, why),
    }
}

/// Value and limit.
fn allowed(check: &Check) -> String {
    let how = if check.limit.contains(".min_") { "at least" } else { "at most" };
    let (value, bound) = both(check.value.unwrap_or_default(), check.bound, check.unit);
    format!("{value}, allowed {how} {bound}")
}

fn with(check: &Check, result: &str) -> Text {
    let mut text = subject(check);
    text.push(Piece::Words(format!(": {result}")));
    text
}

/// The limit, and the source that it is about.
fn subject(check: &Check) -> Text {
    let mut text = quote(check.limit.as_str());
    if let Some(source) = &check.source {
        text.push(Piece::Words(", ".to_owned()));
        text.push(Piece::Name(source.bytes.to_vec()));
    }
    text
}

/// Value and limit, with as many digits as it takes to see the difference.
fn both(value: f64, bound: f64, unit: Unit) -> (String, String) {
    if unit == Unit::Seconds {
        // A policy's durations are whole seconds.
        let shown = |seconds: f64| time((seconds * 1e9) as u64);
        if shown(value) != shown(bound) {
            return (shown(value), shown(bound));
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
    fn a_broken_limit_looks_unlike_its_value() {
        let text = |value, bound| {
            let (value, bound) = both(value, bound, Unit::Percent);
            format!("{value} {bound}")
        };
        assert_eq!(text(16.306, 10.0), "16.3 % 10 %");
        assert_eq!(text(10.000_1, 10.0), "10.0001 % 10 %");
        assert_eq!(text(0.0, 0.0), "0 % 0 %");
        let text = |value, bound| both(value, bound, Unit::Seconds);
        assert_eq!(text(59.866, 1800.0), ("59.9 s".to_owned(), "30 m 00 s".to_owned()));
        assert_eq!(text(1800.0, 1800.2), ("1800 s".to_owned(), "1800.2 s".to_owned()));
    }
}
