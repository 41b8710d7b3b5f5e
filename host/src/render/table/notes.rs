//! Reasons to doubt the numbers, in words.

use super::{Page, YELLOW};
use crate::render::terminal::WIDTH;
use crate::report::{HookKind, Report, Session, Warning};
use crate::text::{escape, fit, one_line};
use crate::units::{count, damage, time};

/// The warnings, and what the capture itself cost.
pub(super) fn notes(out: &mut Page, report: &Report) {
    let warnings = warnings(&report.session);
    if !warnings.is_empty() {
        out.heading("Warnings");
        for warning in warnings {
            out.item(YELLOW, "!", &warning);
        }
    }
    if let Some(cost) = &report.overhead {
        let walks = &cost.snapshots;
        let mean = walks.total_ns.checked_div(walks.count).unwrap_or(0);
        out.text.push('\n');
        let begun = time(cost.agent_start_cpu_ns);
        // A capture that broke off may have recorded its cost at the start alone.
        let cpu = match cost.agent_cpu_ns.saturating_sub(cost.agent_start_cpu_ns) {
            0 => String::new(),
            ns => format!(", {} to record", time(ns)),
        };
        let (mean, max) = (time(mean), time(walks.max_ns));
        let line = format!("CPU {begun} to start{cpu}; a snapshot {mean}, the slowest {max}.");
        out.wrapped(&line);
    }
}

/// Each warning as a line.
pub(in crate::render) fn warnings(session: &Session) -> Vec<String> {
    session.warnings().iter().map(words).collect()
}

fn words(warning: &Warning) -> String {
    match warning {
        Warning::NoEnd => {
            "the capture did not end cleanly: the last events may be missing".to_owned()
        }
        Warning::Full => "the capture ended because the trace reached --max-size".to_owned(),
        // Both ends matter: the place and the cause.
        Warning::Error(why) => format!("the capture ended early: {}", fit(&one_line(why), 50)),
        Warning::DroppedChunks(n) => {
            format!("{} dropped to keep the trace small", count(*n, "older chunk"))
        }
        Warning::Damaged { bytes, chunks, records, ended } => {
            let copied = if *ended { "" } else { ", or was copied too early" };
            format!("the trace is damaged{copied}: {}", damage(*bytes, *chunks, *records))
        }
        Warning::UnknownRecords(n) => format!("{} of a newer version skipped", count(*n, "record")),
        Warning::TruncatedSnapshots(n) => format!("{} without some sources", count(*n, "snapshot")),
        Warning::OrphanedSnapshots(n) => {
            format!("{} unusable, because the one before is lost", count(*n, "snapshot"))
        }
        Warning::TornStates(n) => {
            format!("{} of sources ignored: the fields contradict each other", count(*n, "reading"))
        }
        Warning::Inexact(source) => inexact(source).to_owned(),
        Warning::Unwatched { what, why } => {
            let why = escape(why.as_bytes());
            let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
            fit(&format!("{}{why}", unwatched(what)), WIDTH - 4)
        }
    }
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

fn unwatched(what: &HookKind) -> &'static str {
    match what {
        HookKind::Phase => "suspend attempts could not be traced on this kernel",
        HookKind::Return => "the return values of attempts were not recorded",
        HookKind::Edge => "single activations were not recorded",
        HookKind::Wait => "reads of wakeup_count were not recorded",
        HookKind::CountWrite => "writes of wakeup_count were not recorded",
        HookKind::Wake => "interrupts that wake were not recorded",
        HookKind::Other(_) => "something that a newer version watches was not recorded",
    }
}
