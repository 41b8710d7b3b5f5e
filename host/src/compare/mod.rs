//! Reports → what several of them come to: [`merge`]d into one, one side held against another
//! ([`diff`]), or each held against a [`policy`] ([`check`]). Pure, like what comes before it.

pub mod check;
pub mod diff;
pub mod merge;
pub mod policy;

use std::collections::BTreeSet;

use crate::report::{HookKind, Report, Session, Source};
use crate::text::escape;
use crate::units::{count, time};

/// One trace, reported on.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The file, as it was named.
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
}

/// The values of all traces, each once.
fn distinct(traces: &[&Trace], of: impl Fn(&Trace) -> String) -> BTreeSet<String> {
    traces.iter().map(|trace| of(trace)).collect()
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

/// What puts a trace's numbers in doubt beside others, in words.
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
        doubts.push("attempts to suspend were not watched".to_owned());
    }
    if let Some(ns @ 1..) = trace.report.power.charger_ns {
        doubts.push(format!("{} of it on a charger", time(ns)));
    }
    doubts
}

/// What is missing of a session, in words; empty where it is whole. Lost events are not among it.
fn flaws(session: &Session) -> Vec<String> {
    let s = session;
    let counts = [
        (s.damaged_bytes, "byte", "unreadable"),
        (s.missing_chunks, "chunk", "missing"),
        (s.bad_records, "record", "undecoded"),
        (s.dropped_chunks, "chunk", "dropped to keep it small"),
        (s.truncated_snapshots, "snapshot", "without some sources"),
        (s.orphaned_snapshots, "snapshot", "unusable"),
    ];
    let mut flaws = Vec::new();
    if s.end_reason.is_none() {
        flaws.push("it did not end in order".to_owned());
    }
    let counted = counts.iter().filter(|(n, ..)| *n > 0);
    flaws.extend(counted.map(|(n, noun, how)| format!("{} {how}", count(*n, noun))));
    flaws
}
