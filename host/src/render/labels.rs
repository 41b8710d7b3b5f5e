//! Words that all reports share.

use super::page::{Piece, Text, UNKNOWN, name, quote, words};
use crate::report::{Attempt, Line, Name, Outcome, Source, SourceKind};
use crate::units::{count, errno};

/// The words for an outcome.
pub fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Slept => "slept",
        Outcome::NoSleep => "did not sleep",
        Outcome::Aborted => "aborted",
        Outcome::Failed => "failed",
        Outcome::Unfinished => "unfinished",
    }
}

/// `16 suspend attempts: 3 slept, 1 failed`, from the number of each outcome.
pub fn attempts(number: impl Fn(Outcome) -> u64) -> String {
    let counts = Outcome::ALL.map(|of| (number(of), of));
    let all: u64 = counts.iter().map(|(n, _)| n).sum();
    let some = counts.into_iter().filter(|(n, _)| *n > 0);
    let some: Vec<_> = some.map(|(n, of)| format!("{n} {}", outcome(of))).collect();
    let some = if some.is_empty() { String::new() } else { format!(": {}", some.join(", ")) };
    count(all, "suspend attempt") + &some
}

/// The words for a line of the ledger, and their meaning.
pub fn line(line: Line) -> (&'static str, &'static str) {
    match line {
        Line::Asleep => ("asleep", "in machine_suspend, or as the clocks show"),
        Line::Suspending => ("going to sleep", "attempts that slept, up to machine_suspend"),
        Line::Resuming => ("waking up", "attempts that slept, after machine_suspend"),
        Line::Aborted => ("attempts that did not sleep", "charged to what kept them from sleeping"),
        Line::Blocked => {
            ("blocked by a source", "user space waited to suspend, charged to the active sources")
        }
        Line::UserSpace => (
            "user space not ready",
            "the wait had ended, and user space had not written wakeup_count yet: a user-space wakelock",
        ),
        Line::Backoff => {
            ("back-off", "after an attempt or a refused write of wakeup_count, up to the next wait")
        }
        Line::NotTrying => {
            ("awake, nothing tried to suspend", "outside attempts and the suspend loop")
        }
        Line::Unknown => (
            "reason unknown",
            "records are missing, or a thread may have been waiting, or events were not recorded",
        ),
        Line::Unattributed => ("of which charged to no source", ""),
    }
}

/// A model, or the words for none.
pub fn device(model: &str) -> Text {
    if model.is_empty() { words("unnamed device") } else { quote(model) }
}

/// A source with its instance, or with how many of its name there are; an interrupt with its number.
pub fn source(source: &Source) -> Text {
    let mut text = ranked(&source.name, source.kind, source.irq);
    if source.name_cut {
        text.push(Piece::Words("…".to_owned()));
    }
    match source.instance {
        Some(instance) => text.push(Piece::Words(format!(" [{instance}]"))),
        None if source.sum.instances > 1 => {
            text.push(Piece::Words(format!(" ×{}", source.sum.instances)))
        }
        None => {}
    }
    text
}

/// The name of a row in the ranking. `irq`: the number of an interrupt.
pub fn ranked(of: &Name, kind: SourceKind, irq: Option<u32>) -> Text {
    let mut text = match kind {
        SourceKind::Source => Text::new(),
        SourceKind::Interrupt => words("irq "),
        SourceKind::Device => words("device "),
    };
    // Without handlers, its number is its name.
    let number = irq.map(|irq| irq.to_string()).filter(|irq| irq.as_bytes() != &of.bytes[..]);
    text.extend(number.map(|irq| Piece::Words(format!("{irq} "))));
    text.extend(name(of));
    text
}

/// The words for a key of the report, such as `suspend_noirq`.
pub fn spaced(key: impl ToString) -> String {
    key.to_string().replace('_', " ")
}

/// `pm_suspend`'s return value.
pub fn returned(value: Option<i32>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), errno)
}

/// The failure of an attempt beside wakeups: a device and its step, or tasks that did not freeze; `None`
/// where none is known.
pub fn failure(attempt: &Attempt) -> Option<Text> {
    if attempt.freeze_timeout {
        return Some(words("tasks that did not freeze"));
    }
    let step = attempt.failed_step.map(|step| format!(" ({})", spaced(step))).unwrap_or_default();
    let device = attempt.failed_device.as_ref()?;
    let device = Piece::Quote(device.clone());
    Some(vec![Piece::Words("device ".to_owned()), device, Piece::Words(step)])
}

/// An interrupt's number and name; `None` if neither is known.
pub fn interrupt(irq: Option<u32>, name: Option<&str>) -> Option<Text> {
    let number = irq.map(|irq| Piece::Words(irq.to_string()));
    let space = irq.and(name).map(|_| Piece::Words(" ".to_owned()));
    let name = name.map(|name| Piece::Quote(name.to_owned()));
    let text: Text = number.into_iter().chain(space).chain(name).collect();
    (!text.is_empty()).then_some(text)
}
