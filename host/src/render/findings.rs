//! The findings in words. Names stay pieces, which each skin escapes in its own way.

use super::labels::spaced;
use super::page::{Piece, Text};
use super::terminal::plain;
use crate::report::{Finding, FindingKind, Losses, Name, Storms, Waker};
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
            let of = format!("{} of {} blocked", part(*share_ns), time(*blocked_ns));
            let alone = alone(*alone_ns, *share_ns);
            named(source, format!(" blocked suspend the longest: {of}, {alone}."))
        }
        FindingKind::BlockingGroup { sources, gain_ns, alone_ns, left_out_ns } => {
            group(sources, &part(*gain_ns), *alone_ns, *left_out_ns)
        }
        FindingKind::Aborter { source, aborts, proven, attempts, abort_ns } => {
            let (attempts, wasted) = (count(*attempts, "attempt"), part(*abort_ns));
            let proven = format!("({proven} proven)");
            named(
                source,
                format!(
                    " kept {aborts} of {attempts} from sleeping {proven}, which wasted {wasted}."
                ),
            )
        }
        FindingKind::Waker { by, wakes, slept, every_ns, after_ns } => {
            let mut text = waker(by, *wakes, *slept);
            text.extend(every_ns.map(|ns| words(format!(", about every {}", time(ns)))));
            text.push(words(format!("; {} awake followed.", part(*after_ns))));
            text
        }
        FindingKind::NoSleep { attempts, wasted_ns, .. } => {
            let (attempts, wasted) = (count(*attempts, "attempt"), part(*wasted_ns));
            line(format!(
                "The kernel reported success for {attempts} that never slept; {wasted} was wasted."
            ))
        }
        FindingKind::Storm(found) => storms(found, &part(found.wasted_ns)),
        FindingKind::DeviceFailed { wasted_ns, .. }
        | FindingKind::FreezeTimeout { wasted_ns, .. }
        | FindingKind::Failed { wasted_ns, .. } => failed(&finding.kind, &part(*wasted_ns)),
        FindingKind::NotTrying { not_trying_ns, tried } => {
            let hint = if *tried {
                "On Android, the usual reason is the screen."
            } else {
                "There was no attempt in the whole session: is suspend switched off?"
            };
            line(format!(
                "For {} the device was awake and nothing tried to suspend it. {hint}",
                part(*not_trying_ns)
            ))
        }
        FindingKind::BlockedUnknown { unrecorded, unknown_ns, longest } => {
            let held = longest.as_ref().map(|held| (&held.source, part(held.held_ns)));
            blocked_unknown(*unrecorded, &part(*unknown_ns), held)
        }
        FindingKind::Charger { charger_ns, spans, more } => {
            let (on, at) = (part(*charger_ns), spans_at(spans, *more));
            line(format!(
                "On a charger or over USB for {on}, from {at}: a phone on a cable seldom suspends \
                 fully. Use adb over Wi-Fi, or detach the capture and pull the cable."
            ))
        }
        FindingKind::Lost(losses) => line(lost(losses, &part(losses.doubtful_ns))),
        FindingKind::LateSnapshots { late, attempts, edges } => {
            let known = match edges {
                true => "the activations show which sources were active",
                false => "which sources were active is a guess",
            };
            let attempts = count(*attempts, "attempt");
            line(format!("The snapshot for {late} of {attempts} came after the freeze; {known}."))
        }
    }
}

/// Attempts that failed, which `wasted` so much.
fn failed(kind: &FindingKind, wasted: &str) -> Text {
    match kind {
        FindingKind::DeviceFailed { device, step, failed, attempts, errno: value, .. } => {
            let step = step.map(|step| format!(" at the step {}", spaced(step)));
            let value = value.map(|value| format!(" with {}", errno(value))).unwrap_or_default();
            let attempts = count(*attempts, "attempt");
            let mut text = line("The device ");
            text.push(Piece::Name(device.bytes.to_vec()));
            text.push(words(format!(
                " failed {failed} of {attempts}{}{value}: no wakeup source is to blame; {wasted} was \
                 wasted. Look at its driver's suspend callback.",
                step.unwrap_or_default()
            )));
            text
        }
        FindingKind::FreezeTimeout { failed, attempts, .. } => {
            let attempts = count(*attempts, "attempt");
            line(format!(
                "Tasks did not freeze in {failed} of {attempts}, which wasted {wasted}: no wakeup source \
                 is to blame. The kernel log names the tasks (Freezing of tasks failed)."
            ))
        }
        FindingKind::Failed { attempts, errno: most, .. } => {
            let with = most.map(|(value, times)| format!(" ({times} with {})", errno(value)));
            let (attempts, with) = (count(*attempts, "attempt"), with.unwrap_or_default());
            line(format!(
                "{attempts} failed{with}: a driver or the platform refused, and no wakeup source is to \
                 blame; {wasted} was wasted."
            ))
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

fn storms(found: &Storms, wasted: &str) -> Text {
    let Storms { storms, attempts, largest, .. } = found;
    let largest = format!("{largest} in {}", time(found.largest_ns));
    let mut text = line(match storms {
        1 => format!("A storm of attempts, {largest}; none slept"),
        n => format!(
            "{n} storms of attempts, {attempts} in {wasted}, the largest {largest}; none slept"
        ),
    });
    if let Some((source, times)) = &found.blamed {
        text.extend([words(", and "), name(source)]);
        text.push(words(format!(" kept {times} of them from sleeping")));
    }
    text.push(words("."));
    text
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

/// How much of a blocker's share fixing it would save.
fn alone(alone_ns: u64, share_ns: u64) -> String {
    match alone_ns {
        0 => "but never alone, so fixing it alone would save nothing".to_owned(),
        ns if time(ns) == time(share_ns) => {
            "and it was the only active source throughout, so fixing \
            it would save all of that"
                .to_owned()
        }
        ns => format!("{} of it as the only active source, which fixing it would save", time(ns)),
    }
}

fn waker(by: &Waker, wakes: u64, slept: u64) -> Text {
    let mut rest = match wakes {
        n if n == slept => format!(" ended all {slept} sleeps"),
        n => format!(" ended {n} of {}", count(slept, "sleep")),
    };
    match by {
        Waker::Source { source, proven } => {
            rest += &format!(" ({proven} proven)");
            named(source, rest)
        }
        Waker::Interrupt { irq, name } if name.bytes.is_empty() => {
            line(format!("Interrupt {irq}{rest}"))
        }
        Waker::Interrupt { irq, name } => {
            let mut text = line(format!("Interrupt {irq} ("));
            text.extend(named(name, format!("){rest}")));
            text
        }
    }
}

fn blocked_unknown(unrecorded: bool, unknown: &str, longest: Option<(&Name, String)>) -> Text {
    let why = if unrecorded {
        "Activations or waits were not recorded"
    } else {
        "A thread may have been waiting since before the records begin"
    };
    let mut text = line(format!(
        "{why}, so {unknown} awake cannot be split into blocked time and time when nothing tried to \
         suspend."
    ));
    if let Some((source, held)) = longest {
        text.extend([words(" "), name(source)]);
        text.push(words(format!(" was held the longest, for {held}.")));
    }
    text
}

fn group(sources: &[Name], gain: &str, alone_ns: u64, left_out_ns: u64) -> Text {
    let mut text = list(sources);
    text.push(words(format!(" blocked suspend together: fixing all of them would save {gain}")));
    text.push(match alone_ns {
        0 => words(", fixing one of them nothing."),
        ns => words(format!(
            ". That includes the {} that fixing them one by one would save.",
            time(ns)
        )),
    });
    text.extend((left_out_ns > 0).then(|| {
        words(format!(
            " {} with more sources active at a time is not considered.",
            time(left_out_ns)
        ))
    }));
    text
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

/// Words alone.
fn line(text: impl Into<String>) -> Text {
    vec![words(text)]
}

/// A name, and the words after it.
fn named(source: &Name, rest: String) -> Text {
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
