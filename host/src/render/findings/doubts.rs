//! Findings that cast doubt on the report.

use super::{Session, line, name, words};
use crate::render::labels::spaced;
use crate::render::page::Text;
use crate::report::{FindingKind, Losses, Unattributed};
use crate::units::{count, time};

/// Their words.
pub fn sentence(kind: &FindingKind, session: &Session) -> Text {
    match kind {
        FindingKind::BlockedUnknown { unrecorded, unknown_ns, longest } => {
            let why = match unrecorded {
                true => "Activations or waits were not recorded",
                false => "A thread may have been waiting since before the records begin",
            };
            let mut text = line(format!(
                "{why}, so {} awake cannot be split into blocked time and time when nothing tried to \
                 suspend.",
                session.part(*unknown_ns),
            ));
            if let Some(held) = longest {
                text.extend([words(" "), name(&held.source)]);
                text.push(words(format!(" was held the longest, for {}.", session.held(held))));
            }
            text
        }
        FindingKind::Unattributed(parts) => line(unattributed(parts, session)),
        FindingKind::DeadHook { hooks } => {
            let hooks: Vec<_> = hooks.iter().map(spaced).collect();
            let (noun, never) = if hooks.len() == 1 { ("hook", "it") } else { ("hooks", "they") };
            line(format!(
                "{} {noun} of 6 never fired, although other records prove that {never} must have: {}. \
                 What {never} would have recorded is unknown.",
                hooks.len(),
                hooks.join(", ")
            ))
        }
        FindingKind::Charger { charger_ns, spans, more } => {
            let (on, at) = (session.part(*charger_ns), spans_at(spans, *more));
            line(format!(
                "On a charger or over USB for {on}, from {at}: a phone on a cable seldom suspends \
                 fully. Use adb over Wi-Fi, or detach the capture and pull the cable."
            ))
        }
        FindingKind::Lost(losses) => line(lost(losses, &session.part(losses.doubtful_ns))),
        FindingKind::LateSnapshots { late, attempts, edges } => {
            let known = match edges {
                true => "the activations show which sources were active",
                false => "which sources were active is a guess",
            };
            let attempts = count(*attempts, "attempt");
            line(format!("The snapshot for {late} of {attempts} came after the freeze; {known}."))
        }
        _ => Text::new(),
    }
}

/// `0 s to 1 m 04 s, 5 m 00 s to 6 m 00 s, …`
fn spans_at(spans: &[(u64, u64)], more: bool) -> String {
    let at = |ns| if ns == 0 { "0 s".to_owned() } else { time(ns) };
    let spans = spans.iter().map(|&(start, end)| format!("{} to {}", at(start), at(end)));
    spans.collect::<Vec<_>>().join(", ") + if more { ", …" } else { "" }
}

fn unattributed(parts: &Unattributed, session: &Session) -> String {
    let mut why = Vec::new();
    if parts.blocked_ns > 0 {
        why.push(format!(
            "{} blocked with no source known to be active (an activation was lost, or no snapshot has \
             the source)",
            time(parts.blocked_ns)
        ));
    }
    if parts.attempts > 0 {
        let (attempts, ns) = (count(parts.attempts, "attempt"), time(parts.attempts_ns));
        why.push(format!("{ns} for {attempts} without a known cause"));
    }
    if parts.wakes > 0 {
        let (wakes, ns) = (count(parts.wakes, "wake"), time(parts.wakes_ns));
        why.push(format!("{ns} for {wakes} by no known source or interrupt"));
    }
    format!("{} is charged to no source: {}.", session.part(parts.total_ns()), why.join("; "))
}

fn lost(losses: &Losses, doubtful: &str) -> String {
    let Losses { events, chunks, records, contradictions, .. } = *losses;
    let missing = [(events, "event"), (chunks, "chunk"), (records, "record")];
    let missing = missing.into_iter().filter(|(n, _)| *n > 0);
    let missing = missing.map(|(n, noun)| count(n, noun)).collect::<Vec<_>>().join(", ");
    let lost = match missing.as_str() {
        "" => "Some activations were lost without being counted".to_owned(),
        missing => format!("{missing} lost, so the active sources are uncertain for {doubtful}"),
    };
    match contradictions {
        0 => format!("{lost}."),
        1 => format!("{lost}: 1 snapshot or counter contradicts the recorded ones."),
        n => format!("{lost}: {n} snapshots or counters contradict the recorded ones."),
    }
}
