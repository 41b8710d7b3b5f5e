//! Several reports: [`merge`]d into one, one side against another ([`diff`]), or each against a
//! [`policy`] ([`check`]); `noise` decides what chance alone explains. Pure.

pub mod check;
pub mod diff;
pub mod merge;
mod noise;
pub mod policy;

use std::collections::BTreeSet;

use crate::report::{HookKind, Report, Session, Source, Warning};
use crate::text::escape;
use crate::units::{count, damage, time};

/// One trace, reported on.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The file, as named on the command line.
    pub file: String,
    /// Its report.
    pub report: Report,
    /// All its sources by name; see [`by_name`](crate::report::by_name).
    pub by_name: Vec<Source>,
}

impl Trace {
    /// Time not asleep; `None` where attempts were not watched, and with them sleep.
    fn awake_ns(&self) -> Option<u64> {
        let awake = self.report.session.duration_ns.saturating_sub(self.report.ledger.asleep_ns);
        self.report.session.watched(&HookKind::Phase).then_some(awake)
    }

    /// Time in which user space wanted sleep: asleep, in attempts, and blocked. `None` where attempts
    /// or blocked time were not watched.
    fn sleep_opportunity_ns(&self) -> Option<u64> {
        let ledger = &self.report.ledger;
        self.report.session.watched(&HookKind::Phase).then_some(())?;
        let parts = [ledger.asleep_ns, ledger.suspending_ns, ledger.resuming_ns, ledger.aborted_ns];
        Some(parts.into_iter().fold(ledger.blocked_ns?, u64::saturating_add))
    }
}

/// The values of a fact over all sessions, each once.
fn distinct(traces: &[Trace], fact: impl Fn(&Session) -> String) -> BTreeSet<String> {
    traces.iter().map(|trace| fact(&trace.report.session)).collect()
}

/// Several in one line.
fn listed(values: &BTreeSet<String>) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// A device's name for people: model and serial, escaped.
fn device(session: &Session) -> String {
    let model = if session.device.is_empty() { "unnamed device" } else { &session.device };
    let serial = if session.serial.is_empty() { "" } else { " " };
    escape(format!("{model}{serial}{}", session.serial).as_bytes())
}

/// `uname -r`, escaped.
fn kernel(session: &Session) -> String {
    escape(or_unknown(&session.kernel).as_bytes())
}

/// Where snapshots come from, escaped.
fn snapshots(session: &Session) -> String {
    escape(or_unknown(&session.source).as_bytes())
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

/// Reasons to doubt a trace's numbers beside others, in words.
fn doubts(trace: &Trace) -> Vec<String> {
    let session = &trace.report.session;
    let mut doubts = flaws(session);
    if session.lost_events > 0 {
        doubts.push(format!("{} lost", count(session.lost_events, "event")));
    }
    if session.boot_id.is_empty() {
        doubts.push("its boot is unknown".to_owned());
    }
    if !session.watched(&HookKind::Phase) {
        doubts.push("suspend attempts were not recorded".to_owned());
    }
    if let Some(ns @ 1..) = trace.report.power.charger_ns {
        doubts.push(format!("{} of it on a charger", time(ns)));
    }
    doubts
}

/// The missing parts of a session, in words; empty where it is whole. Lost events are not among them.
fn flaws(session: &Session) -> Vec<String> {
    let missing = session.warnings().into_iter().filter(Warning::incomplete);
    let words = missing.map(|warning| match warning {
        Warning::DroppedChunks(n) => format!("{} dropped to keep it small", count(n, "chunk")),
        Warning::TruncatedSnapshots(n) => format!("{} without some sources", count(n, "snapshot")),
        Warning::OrphanedSnapshots(n) => format!("{} unusable", count(n, "snapshot")),
        Warning::Damaged { bytes, chunks, records, .. } => damage(bytes, chunks, records),
        _ => "it did not end cleanly".to_owned(),
    });
    words.collect()
}
