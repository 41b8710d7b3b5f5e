//! The findings in words. Names stay pieces, which each skin escapes in its own way.

mod attempts;
mod awake;
mod doubts;

use super::page::{Piece, Text};
use super::terminal::plain;
use crate::report::{Finding, FindingKind, Held, Name};
use crate::units::{percent, time};

/// A finding as plain text, with its names escaped.
pub fn text(finding: &Finding, session_ns: u64) -> String {
    plain(&sentence(finding, session_ns))
}

/// A finding as a sentence or two; `session_ns`: the length of the session.
pub fn sentence(finding: &Finding, session_ns: u64) -> Text {
    let kind = &finding.kind;
    let session = Session { ns: session_ns };
    match kind {
        FindingKind::Blocker { .. }
        | FindingKind::BlockingGroup { .. }
        | FindingKind::Waker { .. }
        | FindingKind::UserSpace { .. }
        | FindingKind::Backoff { .. }
        | FindingKind::NotTrying { .. }
        | FindingKind::LongestHold { .. }
        | FindingKind::WorstHour { .. } => awake::sentence(kind, &session),
        FindingKind::BlockedUnknown { .. }
        | FindingKind::Unattributed(_)
        | FindingKind::DeadHook { .. }
        | FindingKind::Charger { .. }
        | FindingKind::Lost(_)
        | FindingKind::LateSnapshots { .. } => doubts::sentence(kind, &session),
        _ => attempts::sentence(kind, &session),
    }
}

/// The session that the findings are of.
struct Session {
    ns: u64,
}

impl Session {
    /// A time, and its share of the session.
    fn part(&self, ns: u64) -> String {
        format!("{} ({})", time(ns), percent(ns, self.ns))
    }

    /// How long a source was held.
    fn held(&self, held: &Held) -> String {
        let least = if held.at_least { "at least " } else { "" };
        format!("{least}{}", self.part(held.held_ns))
    }
}

/// Words alone.
fn line(text: impl Into<String>) -> Text {
    vec![words(text)]
}

/// A name, and the words after it.
fn named(source: &Name, rest: impl Into<String>) -> Text {
    vec![name(source), words(rest)]
}

fn words(text: impl Into<String>) -> Piece {
    Piece::Words(text.into())
}

fn name(name: &Name) -> Piece {
    match name.bytes.is_empty() {
        true => words("a source without a name"),
        false => Piece::Name(name.bytes.to_vec()),
    }
}

/// `a, b and c`.
fn list(names: &[Name]) -> Text {
    let mut text = Text::new();
    for (nth, of) in names.iter().enumerate() {
        text.extend(match names.len() - nth {
            _ if nth == 0 => None,
            1 => Some(words(" and ")),
            _ => Some(words(", ")),
        });
        text.push(name(of));
    }
    text
}

/// Names, each with a value: `a (3), b (2)`.
fn listed(names: &[(Name, u64)], value: impl Fn(u64) -> String) -> Text {
    let mut text = Text::new();
    for (source, n) in names {
        text.extend((!text.is_empty()).then(|| words(", ")));
        text.extend([name(source), words(format!(" ({})", value(*n)))]);
    }
    text
}
