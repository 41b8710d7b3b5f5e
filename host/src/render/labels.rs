//! Words that all forms of the report say alike. Names are escaped for a terminal; Markdown and CSV
//! make them harmless in their own way.

use crate::report::{Ledger, Name, Source};
use crate::text::escape;
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

/// `: 3 slept, 1 failed`, out of how often each of [`OUTCOMES`] came; nothing if none did.
pub fn outcomes(counts: [u64; OUTCOMES.len()]) -> String {
    let told = counts.iter().zip(OUTCOMES).filter(|(n, _)| **n > 0);
    let told: Vec<_> = told.map(|(n, (_, word))| format!("{n} {word}")).collect();
    if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) }
}

/// What the ledger's `untold` line holds.
pub fn untold(ledger: &Ledger) -> &'static str {
    match ledger.blocked_ns {
        Some(_) => "missing, or not told apart",
        None => "awake, outside attempts",
    }
}

/// Whether a source did anything in the session.
pub fn busy(source: &Source) -> bool {
    source.cost_ns != 0 || source.held_ns != 0 || source.events != 0 || source.aborts != 0
}

/// A source, and which of its name it is or how many there are.
pub fn source(source: &Source) -> String {
    let mut text = name(&source.name);
    if source.name_cut {
        text.push('…');
    }
    match source.instance {
        Some(instance) => text += &format!(" #{instance}"),
        None if source.instances > 1 => text += &format!(" ({})", source.instances),
        None => {}
    }
    text
}

/// A source's name.
pub fn name(name: &Name) -> String {
    if name.bytes.is_empty() { "(no name)".to_owned() } else { escape(&name.bytes) }
}

/// What a capture can't tell.
pub fn unknown() -> String {
    "–".to_owned()
}

/// `pm_suspend`'s return value.
pub fn returned(value: Option<i32>) -> String {
    value.map_or_else(unknown, errno)
}
