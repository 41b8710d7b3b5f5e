//! Words that all reports share.

use super::page::{Piece, Text, UNKNOWN, name, quote, words};
use crate::report::Source;
use crate::units::errno;

/// Outcomes in the order in which they are shown, and their words.
pub const OUTCOMES: [(&str, &str); 5] = [
    ("slept", "slept"),
    ("no_sleep", "did not sleep"),
    ("aborted", "aborted"),
    ("failed", "failed"),
    ("unknown", "unfinished"),
];

/// The place of an outcome among [`OUTCOMES`].
pub fn order(outcome: &str) -> usize {
    OUTCOMES.iter().position(|(key, _)| *key == outcome).unwrap_or(OUTCOMES.len() - 1)
}

/// `16 attempts to suspend: 3 slept, 1 failed`, from the count of each of [`OUTCOMES`].
pub fn attempts(counts: [u64; OUTCOMES.len()]) -> String {
    let all: u64 = counts.iter().sum();
    let some = counts.iter().zip(OUTCOMES).filter(|(n, _)| **n > 0);
    let some: Vec<_> = some.map(|(n, (_, word))| format!("{n} {word}")).collect();
    let some = if some.is_empty() { String::new() } else { format!(": {}", some.join(", ")) };
    format!("{} to suspend{some}", crate::units::count(all, "attempt"))
}

/// A model, or the words for none.
pub fn device(model: &str) -> Text {
    if model.is_empty() { words("unnamed device") } else { quote(model) }
}

/// A source with its instance, or with how many of its name there are.
pub fn source(source: &Source) -> Text {
    let mut text = name(&source.name);
    if source.name_cut {
        text.push(Piece::Words("…".to_owned()));
    }
    match source.instance {
        Some(instance) => text.push(Piece::Words(format!(" [{instance}]"))),
        None if source.instances > 1 => text.push(Piece::Words(format!(" ×{}", source.instances))),
        None => {}
    }
    text
}

/// The words for a key of the report, such as `suspend_noirq`.
pub fn spaced(key: &str) -> String {
    key.replace('_', " ")
}

/// `pm_suspend`'s return value.
pub fn returned(value: Option<i32>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), errno)
}
