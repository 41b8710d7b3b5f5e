//! The findings in words. Names stay pieces, which each skin escapes in its own way.

use super::page::{Piece, Text};
use super::terminal::plain;
use crate::report::{Finding, FindingKind, Name, NotTryingHint, Waker};
use crate::units::{count, errno, percent, time};

/// A finding as plain text, with its names escaped.
pub fn text(finding: &Finding, session_ns: u64) -> String {
    plain(&sentence(finding, session_ns))
}

/// A finding as a sentence or two; `session_ns`: the length of the session.
pub fn sentence(finding: &Finding, session_ns: u64) -> Text {
    let part = |ns| format!("{} ({})", time(ns), percent(ns, session_ns));
    match &finding.kind {
        FindingKind::Blocker { source, share_ns, alone_ns, blocked_ns } => {
            let alone = match *alone_ns {
                0 => "but never alone, so fixing it alone would save nothing".to_owned(),
                ns if time(ns) == time(*share_ns) => {
                    "and it was the only active source throughout, \
                    so fixing it would save all of that"
                        .to_owned()
                }
                ns => format!(
                    "{} of it as the only active source, which fixing it would save",
                    time(ns)
                ),
            };
            let (share, blocked) = (part(*share_ns), time(*blocked_ns));
            let rest =
                format!(" blocked suspend the longest: {share} of {blocked} blocked, {alone}.");
            vec![name(source), words(rest)]
        }
        FindingKind::Aborter { source, aborts, proven, attempts, abort_ns } => {
            let attempts = count(*attempts, "attempt");
            let wasted = part(*abort_ns);
            let rest = format!(
                " kept {aborts} of {attempts} from sleeping ({proven} proven), which wasted {wasted}."
            );
            vec![name(source), words(rest)]
        }
        FindingKind::Waker { by, wakes, slept, every_ns, after_ns } => {
            let mut text = waker(by);
            text.push(words(if wakes == slept {
                format!(" ended all {slept} sleeps")
            } else {
                format!(" ended {wakes} of {}", count(*slept, "sleep"))
            }));
            if let Waker::Source { proven, .. } = by {
                text.push(words(format!(" ({proven} proven)")));
            }
            if let Some(ns) = every_ns {
                text.push(words(format!(", about every {}", time(*ns))));
            }
            text.push(words(format!("; {} awake followed.", part(*after_ns))));
            text
        }
        FindingKind::NoSleep { attempts, wasted_ns, .. } => vec![words(format!(
            "The kernel reported success for {} that never slept; {} was wasted.",
            count(*attempts, "attempt"),
            part(*wasted_ns),
        ))],
        FindingKind::Storm { storms, attempts, wasted_ns, largest, largest_ns, blamed } => {
            let largest = format!("{largest} in {}", time(*largest_ns));
            let mut text = vec![words(match storms {
                1 => format!("A storm of attempts, {largest}; none slept"),
                n => format!(
                    "{n} storms of attempts, {attempts} in {}, the largest {largest}; none slept",
                    part(*wasted_ns),
                ),
            })];
            if let Some((source, times)) = blamed {
                text.push(words(", and "));
                text.push(name(source));
                text.push(words(format!(" kept {times} of them from sleeping")));
            }
            text.push(words("."));
            text
        }
        FindingKind::Failed { attempts, errno: most, wasted_ns } => {
            let with = most.map(|(value, times)| format!(" ({times} with {})", errno(value)));
            vec![words(format!(
                "{} failed{}: a driver or the platform refused, and no wakeup source is to blame; {} \
                 was wasted.",
                count(*attempts, "attempt"),
                with.unwrap_or_default(),
                part(*wasted_ns),
            ))]
        }
        FindingKind::NotTrying { not_trying_ns, hint } => {
            let mut text = vec![words(format!(
                "Nothing tried to suspend for {} awake. ",
                part(*not_trying_ns)
            ))];
            text.extend(not_trying(hint));
            text
        }
        FindingKind::BlockedUnknown { unknown_ns, longest } => {
            let mut text = vec![words(format!(
                "Activations or waits were not recorded, so {} awake cannot be split into blocked time \
                 and time when nothing tried to suspend.",
                part(*unknown_ns),
            ))];
            if let Some(held) = longest {
                text.push(words(" "));
                text.push(name(&held.source));
                text.push(words(format!(" was held the longest, for {}.", part(held.held_ns))));
            }
            text
        }
        FindingKind::Charger { charger_ns, spans, more } => {
            let at = |ns| if ns == 0 { "0 s".to_owned() } else { time(ns) };
            let spans = spans.iter().map(|&(start, end)| format!("{} to {}", at(start), at(end)));
            let spans = spans.collect::<Vec<_>>().join(", ");
            let more = if *more { ", …" } else { "" };
            vec![words(format!(
                "On a charger or over USB for {}, at {spans}{more}: a phone on a cable seldom suspends \
                 fully. Use adb over Wi-Fi, or detach the capture and pull the cable.",
                part(*charger_ns),
            ))]
        }
        FindingKind::Lost { events, chunks, records, contradictions, doubtful_ns } => {
            let missing = [(*events, "event"), (*chunks, "chunk"), (*records, "record")];
            let missing = missing.into_iter().filter(|(n, _)| *n > 0);
            let missing = missing.map(|(n, noun)| count(n, noun)).collect::<Vec<_>>().join(", ");
            let lost = if missing.is_empty() {
                "Some activations were lost without being counted".to_owned()
            } else {
                let doubtful = part(*doubtful_ns);
                format!("{missing} lost, so the active sources are uncertain for {doubtful}")
            };
            vec![words(match contradictions {
                0 => format!("{lost}."),
                1 => format!("{lost}: 1 snapshot or counter contradicts the recorded ones."),
                n => format!("{lost}: {n} snapshots or counters contradict the recorded ones."),
            })]
        }
        FindingKind::LateSnapshots { late, attempts, edges } => vec![words(format!(
            "The snapshot for {late} of {} came after the freeze; {}.",
            count(*attempts, "attempt"),
            match edges {
                true => "the activations show which sources were active",
                false => "which sources were active is a guess",
            },
        ))],
    }
}

fn waker(by: &Waker) -> Text {
    match by {
        Waker::Source { source, .. } => vec![name(source)],
        Waker::Interrupt { irq, name } if name.bytes.is_empty() => {
            vec![words(format!("interrupt {irq}"))]
        }
        Waker::Interrupt { irq, name: irq_name } => {
            vec![words(format!("interrupt {irq}, ")), name(irq_name)]
        }
    }
}

fn not_trying(hint: &NotTryingHint) -> Text {
    match hint {
        NotTryingHint::UserSpace => {
            vec![words("On Android the screen or a user-space wakelock keeps it from trying.")]
        }
        NotTryingHint::Held(held) => vec![
            words("Waits that began before the capture are invisible; "),
            name(&held.source),
            words(format!(" was held for {}.", time(held.held_ns))),
        ],
        NotTryingHint::SuspendOff => {
            vec![words("There was no attempt in the whole session: is suspend switched off?")]
        }
    }
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
