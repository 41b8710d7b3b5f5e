//! Changes between two sides of one or more traces each, and whether noise explains them.
//!
//! Sessions differ in length, so nothing is compared directly: times and counts are taken per hour,
//! lines of the ledger as shares of the session. Where a side has several traces its median counts,
//! and its range shows how far they spread. `noise` has the tests, decision 35 the
//! reasons.

mod judge;
mod sides;

use serde::Serialize;

use super::noise::{Test, ranks_can_decide};
use super::{Trace, device, distinct, doubts, kernel, listed, snapshots};
use crate::report::{FailedStep, Line, Name, Outcome, Session, SourceKind};
use crate::text::escape;
use crate::units::count;
use sides::Sides;

/// Names the keys and their meaning.
pub const SCHEMA: &str = "sleepwalk.diff/2";

/// One side against the other.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The traces before the change.
    pub before: Side,
    /// The traces after it.
    pub after: Side,
    /// The divisor of rates.
    pub per: Per,
    /// Reasons why the sides, or some of their numbers, cannot be compared.
    pub warnings: Vec<String>,
    /// Measures that are significantly worse.
    pub regressions: Vec<Regression>,
    /// Lines of the ledger: the significant changes first, those within noise last, and among equals
    /// the greatest first.
    pub ledger: Vec<LineChange>,
    /// Attempts, in the same order.
    pub attempts: Vec<AttemptChange>,
    /// Sources by name, in the same order.
    pub sources: Vec<SourceChange>,
}

/// The traces of one side.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Files, as named on the command line.
    pub traces: Vec<String>,
    /// The sum of their sessions.
    pub duration_ns: u64,
    /// The part of it that was not asleep; null where a trace does not know.
    pub awake_ns: Option<u64>,
    /// The part of it in which user space wanted sleep; null where a trace does not know.
    pub sleep_opportunity_ns: Option<u64>,
    /// Attempts in all of them.
    pub attempts: u64,
    /// Model and serial number, escaped.
    pub devices: Vec<String>,
    /// `uname -r`, escaped.
    pub kernels: Vec<String>,
}

/// One measure over the traces of a side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The median; of an even number, the mean of the middle two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Traces that know it.
    pub traces: u64,
}

/// A measure before and after; null where no trace of a side knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Measure {
    /// Before.
    pub before: Option<Spread>,
    /// After.
    pub after: Option<Spread>,
    /// Between the medians.
    pub change: Option<f64>,
    /// In per cent of the median before.
    pub change_percent: Option<f64>,
    /// The chance of a difference at least this great without a change; null where it is unknown.
    pub p: Option<f64>,
    /// The same, adjusted for the number of measures that are compared.
    pub p_adjusted: Option<f64>,
    /// Whether it changed.
    pub verdict: Verdict,
    /// The test behind the verdict.
    #[serde(skip)]
    pub(crate) test: Option<Test>,
    /// The sum over all traces: the weight of the test.
    #[serde(skip)]
    pub(crate) stake: f64,
    /// Time of unknown reason may explain the difference.
    #[serde(skip)]
    pub(crate) in_doubt: bool,
    /// There are more chances for these events, and fewer events a chance.
    #[serde(skip)]
    pub(crate) fewer_by_chance: bool,
}

/// Whether a measure changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Noise does not explain the difference.
    Significant,
    /// The traces are too few to decide, or one side lacks the data.
    #[default]
    Unknown,
    /// Noise explains the difference, or there is none.
    WithinNoise,
}

/// The divisor of rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// An hour of the session.
    Session,
    /// An hour in which user space wanted sleep: asleep, going to sleep, waking up, in an attempt that
    /// did not sleep, or blocked.
    SleepOpportunity,
    /// An hour of the session without the time asleep.
    Awake,
    /// A suspend attempt.
    Attempt,
}

/// A measure that is significantly worse.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Regression {
    /// The line of the ledger; null in other tables.
    pub line: Option<Part>,
    /// The outcome of attempts; null in other tables.
    pub outcome: Option<Group>,
    /// The source; null in other tables.
    pub source: Option<Name>,
    /// Its measure.
    pub measure: Measured,
    /// The median before.
    pub before: f64,
    /// The median after.
    pub after: f64,
}

/// A measure by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are fields of the structures below")]
pub enum Measured {
    Percent,
    Rate,
    CostNs,
    BlockedShareNs,
    HeldNs,
    Aborts,
    Wakes,
}

/// A part of the session's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// All but [`Line::Asleep`].
    Awake,
    /// A line of the ledger.
    #[serde(untagged)]
    Line(Line),
}

/// A line of the ledger.
#[derive(Clone, Debug, Serialize)]
pub struct LineChange {
    /// Which.
    pub line: Part,
    /// Per cent of the session.
    pub percent: Measure,
}

/// Attempts that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Every attempt.
    All,
    /// Those of one outcome.
    #[serde(untagged)]
    Outcome(Outcome),
}

/// Attempts of one outcome.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptChange {
    /// Which.
    pub outcome: Group,
    /// Attempts per [`Diff::per`].
    pub rate: Measure,
}

/// Whether both sides have a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Both.
    Both,
    /// No trace before has it.
    New,
    /// No trace after has it.
    Vanished,
}

/// All sources of one name; or interrupts, or a device.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of report::Sum, by Diff::per")]
pub struct SourceChange {
    #[serde(flatten)]
    pub name: Name,
    pub kind: SourceKind,
    /// The steps at which a device failed attempts, on either side; empty for others.
    pub failed_steps: Vec<FailedStep>,
    /// Whether both sides have it.
    pub presence: Presence,
    /// Significant if any of its measures is; else the verdict on its cost, or on the time held where
    /// costs cannot be compared.
    pub verdict: Verdict,
    pub cost_ns: Measure,
    pub blocked_share_ns: Measure,
    pub held_ns: Measure,
    pub aborts: Measure,
    pub wakes: Measure,
}

/// `before` against `after`, with rates by `per`.
pub fn diff(before: &[Trace], after: &[Trace], per: Per) -> Diff {
    let sides = Sides::new(before, after, per);
    let parts = [Part::Awake].into_iter().chain(Line::ALL.map(Part::Line));
    let groups = [Group::All].into_iter().chain(Outcome::ALL.map(Group::Outcome));
    let mut diff = Diff {
        schema: SCHEMA,
        before: side(before),
        after: side(after),
        per,
        warnings: warnings(before, after),
        regressions: Vec::new(),
        ledger: parts.map(|part| sides.part(part)).collect(),
        attempts: groups.map(|group| sides.attempts(group)).collect(),
        sources: sides.sources(mixed(before.iter().chain(after))),
    };
    judge::judge(&mut diff);
    diff
}

fn side(traces: &[Trace]) -> Side {
    let all = || traces.iter();
    let known = |of: fn(&Trace) -> Option<u64>| {
        all().try_fold(0u64, |n, trace| Some(n.saturating_add(of(trace)?)))
    };
    Side {
        traces: all().map(|t| t.file.clone()).collect(),
        duration_ns: all().fold(0, |n, t| n.saturating_add(t.report.session.duration_ns)),
        awake_ns: known(Trace::awake_ns),
        sleep_opportunity_ns: known(Trace::sleep_opportunity_ns),
        attempts: all().map(|t| t.report.attempts.len() as u64).sum(),
        devices: distinct(traces, device).into_iter().collect(),
        kernels: distinct(traces, kernel).into_iter().collect(),
    }
}

/// Whether some traces know blocked time and others do not.
fn mixed<'a>(traces: impl Iterator<Item = &'a Trace>) -> bool {
    let mut known = traces.map(|trace| trace.report.ledger.knows_blocked());
    let first = known.next();
    known.any(|knows| Some(knows) != first)
}

/// A fact that traces must have in common.
type Fact = fn(&Session) -> String;

fn warnings(before: &[Trace], after: &[Trace]) -> Vec<String> {
    let mut warnings = Vec::new();
    let facts: [(&str, Fact); 4] = [
        ("the devices", device),
        ("the kernels", kernel),
        ("the sources of snapshots", snapshots),
        ("the agents", |session| escape(session.agent.as_bytes())),
    ];
    for (what, of) in facts {
        let (b, a) = (distinct(before, of), distinct(after, of));
        if b != a || b.len() > 1 {
            warnings.push(format!("{what} differ: {} before, {} after", listed(&b), listed(&a)));
        }
    }
    if mixed(before.iter().chain(after)) {
        warnings.push(
            "blocked time is unknown in some traces, without activations or waits: costs are not \
             compared"
                .to_owned(),
        );
    }
    for (side, traces) in [("before", before), ("after", after)] {
        for trace in traces {
            let session = &trace.report.session;
            let doubts = doubts(trace);
            if !doubts.is_empty() {
                warnings.push(format!("{side}: {}: {}", trace.file, doubts.join(", ")));
            }
            if session.duration_ns == 0 {
                warnings.push(format!("{side}: {} has no length", trace.file));
            }
        }
    }
    if !ranks_can_decide(before.len(), after.len()) {
        warnings.push(format!(
            "{} before and {} after are too few to separate a change in times from noise: take at \
             least 4 traces a side",
            count(before.len() as u64, "trace"),
            after.len(),
        ));
    }
    for trace in after.iter().filter(|t| before.iter().any(|b| same(b, t))) {
        warnings.push(format!("{} is on both sides", trace.file));
    }
    warnings
}

/// The same capture, whatever the files are called.
fn same(a: &Trace, b: &Trace) -> bool {
    let (a, b) = (&a.report.session, &b.report.session);
    (&a.boot_id, a.start_ns, a.end_ns, a.records) == (&b.boot_id, b.start_ns, b.end_ns, b.records)
}
