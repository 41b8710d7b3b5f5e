//! Reasons to doubt the numbers, in words.

use crate::render::labels::spaced;
use crate::render::page::{Piece, Text, words};
use crate::report::{Counted, HookKind, Session, Warning};
use crate::text::fit;
use crate::units::{count, damage, time};

/// Columns of an error: both of its ends matter, the place and the cause.
const ERROR: usize = 100;

/// Each warning of a session.
pub fn warnings(session: &Session) -> Vec<Text> {
    session.warnings().iter().map(warning).collect()
}

fn warning(warning: &Warning) -> Text {
    match warning {
        Warning::NoEnd => words("the capture did not end cleanly: the last events may be missing"),
        Warning::Full => words("the capture ended because the trace reached --max-size"),
        Warning::Error(why) => {
            let text = "the capture ended early: ".to_owned();
            vec![Piece::Words(text), Piece::Quote(fit(why, ERROR))]
        }
        Warning::DroppedChunks(n) => {
            words(format!("{} dropped to keep the trace small", count(*n, "older chunk")))
        }
        Warning::Damaged { bytes, chunks, records, ended } => {
            let copied = if *ended { "" } else { ", or was copied too early" };
            let damage = damage(*bytes, *chunks, *records);
            words(format!("the trace is damaged{copied}: {damage}"))
        }
        Warning::UnknownRecords(n) => {
            words(format!("{} of a newer version skipped", count(*n, "record")))
        }
        Warning::TruncatedSnapshots(n) => {
            words(format!("{} without some sources", count(*n, "snapshot")))
        }
        Warning::OrphanedSnapshots(n) => {
            words(format!("{} unusable, because the one before is lost", count(*n, "snapshot")))
        }
        Warning::TornStates(n) => words(format!(
            "{} of sources ignored: the fields contradict each other",
            count(*n, "reading")
        )),
        Warning::ClockConflict(ns) => words(format!(
            "the clocks show {} of sleep that no suspend phase shows: the hook of the phases missed it",
            time(*ns)
        )),
        Warning::Inexact(source) => words(inexact(source)),
        Warning::Unwatched { what, why } => because(unwatched(what), why),
        Warning::DeadHook(what) => words(format!(
            "{}: the hook was attached and never fired, although other records prove that it must have",
            unwatched(what)
        )),
        Warning::MissedRuns { what, missed } => words(format!(
            "the hook {} missed {}, which the trace lacks: a BPF program was running on the same CPU",
            spaced(what),
            count(*missed, "event")
        )),
        Warning::Counts(counts) => words(disagreement(counts)),
    }
}

/// `text (why)`, or the text alone without a reason.
pub(super) fn because(text: &str, why: &str) -> Text {
    if why.is_empty() {
        return words(text);
    }
    let why = Piece::Quote(why.to_owned());
    vec![Piece::Words(format!("{text} (")), why, Piece::Words(")".to_owned())]
}

fn inexact(source: &str) -> &'static str {
    match source {
        "kallsyms" => "snapshots were read without the kernel's lock: sources may be missing",
        "debugfs" => {
            "snapshots come from debugfs: millisecond resolution, and sources of one name may be \
             mixed up"
        }
        _ => {
            "snapshots come from sysfs: millisecond resolution, and sources are read at different \
             moments"
        }
    }
}

fn disagreement(counts: &Counted) -> String {
    let Counted { kernel_success, kernel_fail, returned_success, returned_fail } = counts;
    let [kernel, ours] = [(kernel_success, kernel_fail), (returned_success, returned_fail)]
        .map(|(success, fail)| success.saturating_add(*fail));
    let apart = match kernel.abs_diff(ours) {
        0 => "as many, with other results".to_owned(),
        n if kernel > ours => format!("{n} fewer"),
        n => format!("{n} more"),
    };
    format!(
        "the kernel counted {} ({kernel_success} successful, {kernel_fail} failed), and the trace has {} \
         ({returned_success}, {returned_fail}), {apart}: the return values of attempts are in doubt",
        count(kernel, "attempt"),
        count(ours, "return"),
    )
}

fn unwatched(what: &HookKind) -> &'static str {
    match what {
        HookKind::Phase => "suspend attempts could not be traced on this kernel",
        HookKind::Return => "the return values of attempts were not recorded",
        HookKind::Edge => "individual activations were not recorded",
        HookKind::Wait => "reads of wakeup_count were not recorded",
        HookKind::CountWrite => "writes of wakeup_count were not recorded",
        HookKind::Wake => "the interrupts that woke the device were not recorded",
        HookKind::Other(_) => "events that only a newer version knows were not recorded",
    }
}
