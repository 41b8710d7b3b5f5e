//! Sessions of one device as one, and devices beside each other.
//!
//! Stamps are CLOCK_BOOTTIME, which starts at 0 with every boot, so sessions are never put on one
//! clock: lengths and counts are summed, and the time between sessions does not count. Sources are
//! summed by name, because an instance is known in one trace only.

use std::collections::BTreeMap;

use serde::Serialize;
use sleepwalk_trace::time::BootNanos;
use thiserror::Error;

use super::{Trace, device, distinct, doubts, kernel, listed, snapshots};
use crate::report::{self, Ledger, Name, Outcome, Report, SourceKind, Sum, rank};
use crate::units::{count, time};

/// Names the keys and their meaning.
pub const SCHEMA: &str = "sleepwalk.reports/2";

/// Several traces, by device.
#[derive(Clone, Debug, Serialize)]
pub struct Reports {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The devices, sorted by name. `render::json` writes them with their sessions.
    #[serde(skip)]
    pub devices: Vec<Device>,
}

/// One device.
#[derive(Clone, Debug, Serialize)]
pub struct Device {
    /// Its model; empty where it is unknown.
    pub device: String,
    /// Its serial number; empty where it is unknown.
    pub serial: String,
    /// Its sessions as one.
    pub totals: Totals,
    /// Reasons to doubt the sums.
    pub warnings: Vec<String>,
    /// Its sessions, sorted by time. `render::json` writes them with their reports.
    #[serde(skip)]
    pub sessions: Vec<DeviceSession>,
}

/// The sums over a device's sessions.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// How many.
    pub sessions: u64,
    /// Boots that they fall in.
    pub boots: u64,
    /// The sum of their lengths.
    pub duration_ns: u64,
    /// The sum of their ledgers; a line is null where no session knows it.
    pub ledger: Ledger,
    /// How many attempts had each outcome.
    pub attempts: BTreeMap<Outcome, u64>,
    /// Sources by name, the most costly first.
    pub sources: Vec<MergedSource>,
    /// Names that `--top` left out of `sources`.
    pub sources_left_out: u64,
}

/// All sources or interrupts of one name, over all sessions.
#[derive(Clone, Debug, Serialize)]
pub struct MergedSource {
    /// The name.
    #[serde(flatten)]
    pub name: Name,
    /// Their kind: wakeup sources, or interrupts.
    pub kind: SourceKind,
    /// Sessions that have it.
    pub sessions: u64,
    /// Their activity and cost.
    #[serde(flatten)]
    pub sum: Sum,
}

/// One session of a device.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceSession {
    /// The file, as named on the command line.
    pub trace: String,
    /// Which boot of the device, from 0 in time order.
    pub boot: u64,
    /// Its own report. `render::json` writes it with its findings in words.
    #[serde(skip)]
    pub report: Report,
}

/// Traces that cannot be summed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MergeError {
    /// They hold the same time twice, which would count twice.
    #[error("{0} and {1} overlap: both hold the same {2} of one boot; leave one of them out")]
    Overlap(String, String, String),
    /// Sums over several devices mean nothing.
    #[error(
        "these are traces of {0} devices ({1}), and sums over them mean nothing: name the traces of \
         one device, or compare devices with --by device"
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

/// Identifies a device: by its serial number, else by model and build. The model is first because
/// devices are sorted by it.
fn identity(session: &report::Session) -> (String, String, String) {
    let build = if session.serial.is_empty() { session.fingerprint.clone() } else { String::new() };
    (session.device.clone(), session.serial.clone(), build)
}

fn one(mut traces: Vec<Trace>, top: Option<usize>) -> Result<Device, MergeError> {
    sort(&mut traces);
    for (index, a) in traces.iter().enumerate() {
        for b in &traces[index + 1..] {
            if let Some(ns) = overlap(&a.report.session, &b.report.session) {
                return Err(MergeError::Overlap(a.file.clone(), b.file.clone(), time(ns)));
            }
        }
    }
    let warnings = warnings(&traces);
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
            .map(|(t, boot)| DeviceSession { trace: t.file, boot, report: t.report })
            .collect(),
    })
}

/// Sorts by boot, and within a boot by CLOCK_BOOTTIME: a device may learn the date late. A boot has the
/// date by the last reading of CLOCK_REALTIME in it.
fn sort(traces: &mut [Trace]) {
    let started =
        |s: &report::Session| i128::from(s.start_realtime_ns.0) - i128::from(s.start_ns.0);
    let mut boots = BTreeMap::<String, (Option<BootNanos>, i128)>::new();
    for session in traces.iter().map(|trace| &trace.report.session) {
        let read = (session.clock.map(|clock| clock.at_ns), started(session));
        let boot = boots.entry(session.boot_id.clone()).or_insert(read);
        *boot = read.max(*boot);
    }
    traces.sort_by_cached_key(|trace| {
        let session = &trace.report.session;
        let boot = boots.get(&session.boot_id).filter(|_| !session.boot_id.is_empty());
        let date = boot.map_or_else(|| started(session), |(_, date)| *date);
        (date, session.boot_id.clone(), session.start_ns)
    });
}

/// The time that two sessions of one device have in common: by BOOTTIME within a boot, or by
/// CLOCK_REALTIME where a trace has lost its boot's id.
fn overlap(a: &report::Session, b: &report::Session) -> Option<u64> {
    let known = !a.boot_id.is_empty() && !b.boot_id.is_empty();
    if known && a.boot_id != b.boot_id {
        return None;
    }
    let span = |s: &report::Session| match known {
        true => (i128::from(s.start_ns.0), i128::from(s.end_ns.0)),
        false => {
            let start = i128::from(s.start_realtime_ns.0);
            (start, start + i128::from(s.duration_ns))
        }
    };
    let (a, b) = (span(a), span(b));
    let common = a.1.min(b.1) - a.0.max(b.0);
    // The same instant twice is the same trace twice.
    (common > 0 || a == b).then(|| u64::try_from(common).unwrap_or(0))
}

fn totals(traces: &[Trace], boots: u64, top: Option<usize>) -> Totals {
    let mut totals = Totals { sessions: traces.len() as u64, boots, ..Totals::default() };
    let mut names = BTreeMap::<(SourceKind, &[u8]), MergedSource>::new();
    for Trace { report, by_name, .. } in traces {
        totals.duration_ns = totals.duration_ns.saturating_add(report.session.duration_ns);
        totals.ledger.add(&report.ledger);
        for outcome in Outcome::ALL {
            *totals.attempts.entry(outcome).or_default() += report.count(outcome);
        }
        for source in by_name {
            let key = (source.kind, &source.name.bytes[..]);
            let merged = names.entry(key).or_insert_with(|| MergedSource {
                name: source.name.clone(),
                kind: source.kind,
                sessions: 0,
                sum: Sum::default(),
            });
            merged.sessions += 1;
            merged.sum.add(&source.sum);
        }
    }
    totals.sources = names.into_values().collect();
    totals.sources_left_out =
        rank(&mut totals.sources, top, |s| (&s.sum, (s.kind, s.name.clone())));
    totals
}

fn warnings(traces: &[Trace]) -> Vec<String> {
    let mut warnings = Vec::new();
    let kernels = distinct(traces, kernel);
    if kernels.len() > 1 {
        warnings.push(format!("the kernel changed between sessions: {}", listed(&kernels)));
    }
    let sources = distinct(traces, snapshots);
    if sources.len() > 1 {
        warnings.push(format!("snapshots come from different places: {}", listed(&sources)));
    }
    let knowing = traces.iter().filter(|t| t.report.ledger.knows_blocked()).count();
    if knowing > 0 && knowing < traces.len() {
        warnings.push(format!(
            "blocked time is known for only {knowing} of {}",
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
