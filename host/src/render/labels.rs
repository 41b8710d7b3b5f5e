//! Words that all forms of the report say alike. Names are escaped for a terminal; Markdown and CSV
//! make them harmless in their own way.

use crate::report::{Ledger, Line, Name, Outcome, Source};
use crate::text::escape;
use crate::units::errno;

/// An outcome.
pub fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Slept => "slept",
        Outcome::NoSleep => "did not sleep",
        Outcome::Aborted => "aborted",
        Outcome::Failed => "failed",
        Outcome::Unfinished => "unfinished",
    }
}

/// `: 3 slept, 1 failed`, from the count of each of [`Outcome::ALL`]; nothing if all are 0.
pub fn outcomes(counts: [u64; 5]) -> String {
    let some = counts.iter().zip(Outcome::ALL).filter(|(n, _)| **n > 0);
    let some: Vec<_> = some.map(|(n, of)| format!("{n} {}", outcome(of))).collect();
    if some.is_empty() { String::new() } else { format!(": {}", some.join(", ")) }
}

/// A line of the ledger.
pub fn line(line: Line, ledger: &Ledger) -> &'static str {
    match line {
        Line::Asleep => "asleep",
        Line::Suspending => "going to sleep",
        Line::Resuming => "waking up",
        Line::Aborted => "attempts that did not sleep",
        Line::Blocked => "blocked by a source",
        Line::NotTrying => "awake, nothing tried to suspend",
        Line::Unknown if ledger.knows_blocked() => "unknown, records are missing",
        Line::Unknown => "awake, outside attempts",
        Line::Unattributed => "unattributed, part of the above",
    }
}

/// A source, and which of its name it is or how many there are.
pub fn source(source: &Source) -> String {
    let mut text = name(&source.name);
    if source.name_cut {
        text.push('…');
    }
    match source.instance {
        Some(instance) => text += &format!(" #{instance}"),
        None if source.sum.instances > 1 => text += &format!(" ({})", source.sum.instances),
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
