//! Sessions of one device as one, and devices beside each other.
//!
//! Stamps are CLOCK_BOOTTIME, which begins anew with every boot, so sessions are never put on one
//! clock: lengths and counts are summed, and the time between sessions is nobody's. Sources are
//! summed by name, for instances mean something within one trace only.

use std::collections::BTreeMap;

use serde::Serialize;
use thiserror::Error;

use super::{Trace, device, distinct, doubts, kernel, listed, outcome, snapshots};
use crate::report::{Ledger, Name, Report, Session as Told, Source};
use crate::units::{count, time};

/// Names the keys and their meaning.
pub const SCHEMA: &str = "sleepwalk.reports/1";

/// Several traces, by device.
#[derive(Clone, Debug, Serialize)]
pub struct Reports {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The devices, in the order of their names.
    pub devices: Vec<Device>,
}

/// One device.
#[derive(Clone, Debug, Serialize)]
pub struct Device {
    /// Its model; empty where it does not say.
    pub device: String,
    /// Its serial number; empty where it does not say.
    pub serial: String,
    /// Its sessions as one.
    pub totals: Totals,
    /// What puts the sums in doubt.
    pub warnings: Vec<String>,
    /// Its sessions, in order of time.
    pub sessions: Vec<Session>,
}

/// The sums over a device's sessions.
#[derive(Clone, Debug, Serialize)]
pub struct Totals {
    /// How many.
    pub sessions: u64,
    /// Boots that they fall in.
    pub boots: u64,
    /// The sum of their lengths.
    pub duration_ns: u64,
    /// The sum of their ledgers; a line is null where no session tells it.
    pub ledger: Ledger,
    /// How attempts came out.
    pub attempts: Outcomes,
    /// Sources by name, the most costly first.
    pub sources: Vec<Sum>,
    /// Names that `--top` left out of `sources`.
    pub sources_left_out: u64,
}

/// Attempts by outcome.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Outcomes {
    /// They slept.
    pub slept: u64,
    /// The kernel says success, and nothing slept.
    pub no_sleep: u64,
    /// A wakeup was pending.
    pub aborted: u64,
    /// Another error.
    pub failed: u64,
    /// The end is not in the trace.
    pub unknown: u64,
}

impl Outcomes {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.slept + self.no_sleep + self.aborted + self.failed + self.unknown
    }
}

/// All sources of one name, over all sessions. Fields are those of [`Source`].
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "Source has them")]
pub struct Sum {
    #[serde(flatten)]
    pub name: Name,
    /// Sessions that have it.
    pub sessions: u64,
    pub instances: u64,
    pub held_ns: u64,
    pub blocked_share_ns: Option<u64>,
    pub blocked_sole_ns: Option<u64>,
    pub aborts: u64,
    pub abort_ns: u64,
    pub wakes: u64,
    pub after_wake_ns: u64,
    pub cost_ns: u64,
    pub activations: u64,
    pub events: u64,
    pub expiries: u64,
}

/// One session of a device.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// The file, as it was named.
    pub trace: String,
    /// Which boot of the device, from 0 in order of time.
    pub boot: u64,
    /// Its own report.
    pub report: Report,
}

/// Traces that can't be summed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MergeError {
    /// They hold the same time twice: counted once it would have to be cut, counted twice it is
    /// wrong.
    #[error("{0} and {1} overlap: both hold the same {2} of one boot; leave one of them out")]
    Overlap(String, String, String),
    /// Sums over several devices mean nothing.
    #[error(
        "these are traces of {0} devices ({1}), and sums over them mean nothing: name those of \
         one device, or say --by device to compare them"
    )]
    Devices(usize, String),
}

/// All traces, by device.
pub fn by_device(traces: Vec<Trace>, top: Option<usize>) -> Result<Reports, MergeError> {
    let mut devices = BTreeMap::<_, Vec<Trace>>::new();
    for trace in traces {
        devices.entry(identity(&trace.report.session)).or_default().push(trace);
    }
    let devices = devices.into_values().map(|traces| one(traces, top));
    Ok(Reports { schema: SCHEMA, devices: devices.collect::<Result<_, _>>()? })
}

/// The traces of one device.
pub fn merge(traces: Vec<Trace>, top: Option<usize>) -> Result<Reports, MergeError> {
    let reports = by_device(traces, top)?;
    if reports.devices.len() > 1 {
        let names = reports.devices.iter().map(|d| device(&d.sessions[0].report.session));
        let names = names.collect::<Vec<_>>().join(", ");
        return Err(MergeError::Devices(reports.devices.len(), names));
    }
    Ok(reports)
}

/// What tells devices apart: the serial number, else model and build. The model goes first for the
/// order.
fn identity(session: &Told) -> (String, String, String) {
    let build = if session.serial.is_empty() { session.fingerprint.clone() } else { String::new() };
    (session.device.clone(), session.serial.clone(), build)
}

fn one(mut traces: Vec<Trace>, top: Option<usize>) -> Result<Device, MergeError> {
    traces.sort_by_key(|t| (t.report.session.start_realtime_ns, t.report.session.start_ns));
    for (index, a) in traces.iter().enumerate() {
        for b in &traces[index + 1..] {
            if let Some(ns) = overlap(&a.report.session, &b.report.session) {
                return Err(MergeError::Overlap(a.file.clone(), b.file.clone(), time(ns)));
            }
        }
    }
    let warnings = warnings(&traces.iter().collect::<Vec<_>>());
    let mut boots = Vec::<String>::new();
    let mut boot = |id: &str| match boots.iter().position(|known| known == id && !id.is_empty()) {
        Some(at) => at as u64,
        None => {
            boots.push(id.to_owned());
            boots.len() as u64 - 1
        }
    };
    let numbers: Vec<_> = traces.iter().map(|t| boot(&t.report.session.boot_id)).collect();
    let first = &traces[0].report.session;
    Ok(Device {
        device: first.device.clone(),
        serial: first.serial.clone(),
        totals: totals(&traces, boots.len() as u64, top),
        warnings,
        sessions: traces
            .into_iter()
            .zip(numbers)
            .map(|(t, boot)| Session { trace: t.file, boot, report: t.report })
            .collect(),
    })
}

/// How much time two sessions of one device have in common. Within a boot BOOTTIME tells; where a
/// trace has lost its boot's id, only CLOCK_REALTIME does.
fn overlap(a: &Told, b: &Told) -> Option<u64> {
    let known = !a.boot_id.is_empty() && !b.boot_id.is_empty();
    if known && a.boot_id != b.boot_id {
        return None;
    }
    let span = |s: &Told| match known {
        true => (i128::from(s.start_ns), i128::from(s.end_ns)),
        false => {
            let start = i128::from(s.start_realtime_ns);
            (start, start + i128::from(s.duration_ns))
        }
    };
    let (a, b) = (span(a), span(b));
    let common = a.1.min(b.1) - a.0.max(b.0);
    // The same instant twice is the same trace twice.
    (common > 0 || a == b).then(|| u64::try_from(common).unwrap_or(0))
}

fn totals(traces: &[Trace], boots: u64, top: Option<usize>) -> Totals {
    let reports = || traces.iter().map(|trace| &trace.report);
    let sum = |of: fn(&Ledger) -> u64| reports().fold(0u64, |n, r| n.saturating_add(of(&r.ledger)));
    let told = |of: fn(&Ledger) -> Option<u64>| reports().map(|r| of(&r.ledger)).fold(None, add);
    let outcomes = |key: &str| reports().map(|r| outcome(r, key)).sum();
    let mut names = BTreeMap::<&[u8], Sum>::new();
    for source in traces.iter().flat_map(|trace| &trace.by_name) {
        let sum = names.entry(&source.name.bytes).or_insert_with(|| Sum::new(&source.name));
        sum.add(source);
    }
    let mut sources: Vec<_> = names.into_values().collect();
    sources.sort_by_key(|s| std::cmp::Reverse((s.weight_ns(), s.held_ns)));
    let kept = top.unwrap_or(usize::MAX).min(sources.len());
    let sources_left_out = (sources.len() - kept) as u64;
    sources.truncate(kept);
    Totals {
        sessions: traces.len() as u64,
        boots,
        duration_ns: reports().fold(0, |n: u64, r| n.saturating_add(r.session.duration_ns)),
        ledger: Ledger {
            asleep_ns: sum(|l| l.asleep_ns),
            suspending_ns: sum(|l| l.suspending_ns),
            resuming_ns: sum(|l| l.resuming_ns),
            aborted_ns: sum(|l| l.aborted_ns),
            blocked_ns: told(|l| l.blocked_ns),
            not_trying_ns: told(|l| l.not_trying_ns),
            untold_ns: told(|l| l.untold_ns),
            unattributed_ns: sum(|l| l.unattributed_ns),
        },
        attempts: Outcomes {
            slept: outcomes("slept"),
            no_sleep: outcomes("no_sleep"),
            aborted: outcomes("aborted"),
            failed: outcomes("failed"),
            unknown: outcomes("unknown"),
        },
        sources,
        sources_left_out,
    }
}

/// `None` is not told, and adds nothing.
fn add(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    }
}

impl Sum {
    fn new(name: &Name) -> Self {
        Self {
            name: name.clone(),
            sessions: 0,
            instances: 0,
            held_ns: 0,
            blocked_share_ns: None,
            blocked_sole_ns: None,
            aborts: 0,
            abort_ns: 0,
            wakes: 0,
            after_wake_ns: 0,
            cost_ns: 0,
            activations: 0,
            events: 0,
            expiries: 0,
        }
    }

    /// What it is ranked by, as in the report of one trace: where blocked time is not told, all that
    /// it held counts, or the time after its wakes where that is more.
    fn weight_ns(&self) -> u64 {
        match self.blocked_share_ns {
            Some(_) => self.cost_ns,
            None => self.abort_ns.saturating_add(self.held_ns.max(self.after_wake_ns)),
        }
    }

    fn add(&mut self, s: &Source) {
        self.sessions += 1;
        self.blocked_share_ns = add(self.blocked_share_ns, s.blocked_share_ns);
        self.blocked_sole_ns = add(self.blocked_sole_ns, s.blocked_sole_ns);
        for (sum, more) in [
            (&mut self.instances, s.instances),
            (&mut self.held_ns, s.held_ns),
            (&mut self.aborts, s.aborts),
            (&mut self.abort_ns, s.abort_ns),
            (&mut self.wakes, s.wakes),
            (&mut self.after_wake_ns, s.after_wake_ns),
            (&mut self.cost_ns, s.cost_ns),
            (&mut self.activations, s.activations),
            (&mut self.events, s.events),
            (&mut self.expiries, s.expiries),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

fn warnings(traces: &[&Trace]) -> Vec<String> {
    let mut warnings = Vec::new();
    let kernels = distinct(traces, |t| kernel(&t.report.session));
    if kernels.len() > 1 {
        warnings.push(format!("the kernel changed between sessions: {}", listed(&kernels)));
    }
    let sources = distinct(traces, |t| snapshots(&t.report.session));
    if sources.len() > 1 {
        warnings.push(format!("snapshots come from different places: {}", listed(&sources)));
    }
    let telling = traces.iter().filter(|t| t.tells_blocked()).count();
    if telling > 0 && telling < traces.len() {
        warnings.push(format!(
            "only {telling} of {} tell blocked time from time in which nobody asked to suspend",
            count(traces.len() as u64, "session"),
        ));
    }
    for trace in traces {
        let doubts = doubts(trace);
        if !doubts.is_empty() {
            warnings.push(format!("{}: {}", trace.file, doubts.join(", ")));
        }
    }
    warnings
}
