//! What got better or worse between two sides of one or more traces each.
//!
//! Sessions differ in length, so nothing is compared as it is: times and counts are taken per hour
//! awake and per attempt, lines of the ledger as shares of the session. Where a side has several
//! traces its median counts, and its range says how much that is worth.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::{Trace, device, distinct, doubts, kernel, listed, outcome, snapshots};
use crate::report::{Ledger, Name, Source as Reported};

/// Names the keys and their meaning.
pub const SCHEMA: &str = "sleepwalk.diff/1";

/// One side against the other.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The traces before the change.
    pub before: Side,
    /// The traces after it.
    pub after: Side,
    /// What can't be compared, and why.
    pub warnings: Vec<String>,
    /// Lines of the ledger, the greatest change first.
    pub ledger: Vec<Line>,
    /// Attempts, the greatest change first.
    pub attempts: Vec<Outcome>,
    /// Sources by name, the greatest change first.
    pub sources: Vec<Source>,
}

/// The traces of one side.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Files, as they were named.
    pub traces: Vec<String>,
    /// The sum of their sessions.
    pub duration_ns: u64,
    /// The part of it that was not slept; null where a trace does not tell.
    pub awake_ns: Option<u64>,
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
    /// Traces that tell it.
    pub traces: u64,
}

/// A measure before and after; what no trace of a side tells is null.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measure {
    /// Before.
    pub before: Option<Spread>,
    /// After.
    pub after: Option<Spread>,
    /// Between the medians.
    pub change: Option<f64>,
    /// In per cent of the median before.
    pub change_percent: Option<f64>,
}

/// A line of the ledger.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The ledger's key without its unit; `awake` is all but `asleep`.
    pub line: &'static str,
    /// Per cent of the session.
    pub percent: Measure,
}

/// Attempts of one outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Which; `all` is all of them.
    pub outcome: &'static str,
    /// Attempts per hour awake.
    pub per_awake_hour: Measure,
    /// Per cent of all attempts.
    pub percent: Measure,
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

/// All sources of one name.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of report::Source, per what the name says")]
pub struct Source {
    #[serde(flatten)]
    pub name: Name,
    /// Whether both sides have it.
    pub presence: Presence,
    pub cost_ns_per_awake_hour: Measure,
    pub cost_ns_per_attempt: Measure,
    pub blocked_share_ns_per_awake_hour: Measure,
    pub blocked_share_ns_per_attempt: Measure,
    pub held_ns_per_awake_hour: Measure,
    pub held_ns_per_attempt: Measure,
    pub aborts_per_awake_hour: Measure,
    pub aborts_per_attempt: Measure,
    pub wakes_per_awake_hour: Measure,
    pub wakes_per_attempt: Measure,
}

/// Outcomes that attempts have, and all of them.
const OUTCOMES: [&str; 6] = ["all", "slept", "no_sleep", "aborted", "failed", "unknown"];

/// Nanoseconds in an hour.
const HOUR: f64 = 3_600e9;

/// `before` against `after`.
pub fn diff(before: &[Trace], after: &[Trace]) -> Diff {
    let sides = Sides { before: index(before), after: index(after) };
    let mut ledger: Vec<_> = LINES
        .iter()
        .map(|&(line, of)| {
            let share = |t: &Trace| {
                // Without a look at attempts no line is what it says.
                t.awake_ns()?;
                let whole = t.report.session.duration_ns;
                ratio(of(&t.report.ledger, whole)?, whole as f64 / 100.0)
            };
            Line { line, percent: sides.measure(|i| share(i.trace)) }
        })
        .collect();
    ledger.sort_by_key(|line| Reverse(size(&line.percent)));
    let mut attempts: Vec<_> = OUTCOMES.iter().map(|&key| sides.outcome(key)).collect();
    attempts.sort_by_key(|o| Reverse(size(&o.per_awake_hour)));
    Diff {
        schema: SCHEMA,
        before: side(before),
        after: side(after),
        warnings: warnings(before, after),
        ledger,
        attempts,
        sources: sides.sources(mixed(before.iter().chain(after))),
    }
}

type OfLedger = fn(&Ledger, u64) -> Option<u64>;

const LINES: [(&str, OfLedger); 9] = [
    ("awake", |l, whole| Some(whole.saturating_sub(l.asleep_ns))),
    ("asleep", |l, _| Some(l.asleep_ns)),
    ("suspending", |l, _| Some(l.suspending_ns)),
    ("resuming", |l, _| Some(l.resuming_ns)),
    ("aborted", |l, _| Some(l.aborted_ns)),
    ("blocked", |l, _| l.blocked_ns),
    ("not_trying", |l, _| l.not_trying_ns),
    ("untold", |l, _| l.untold_ns),
    ("unattributed", |l, _| Some(l.unattributed_ns)),
];

fn side(traces: &[Trace]) -> Side {
    let all = || traces.iter();
    let refs: Vec<_> = all().collect();
    Side {
        traces: all().map(|t| t.file.clone()).collect(),
        duration_ns: all().fold(0, |n, t| n.saturating_add(t.report.session.duration_ns)),
        awake_ns: all().try_fold(0u64, |n, t| Some(n.saturating_add(t.awake_ns()?))),
        attempts: all().map(|t| t.report.attempts.len() as u64).sum(),
        devices: distinct(&refs, |t| device(&t.report.session)).into_iter().collect(),
        kernels: distinct(&refs, |t| kernel(&t.report.session)).into_iter().collect(),
    }
}

/// A total order of how great a change is: what can't be told comes last.
fn size(measure: &Measure) -> u64 {
    // Floats that are not negative are in the order of their bits.
    measure.change.map_or(0, |change| change.abs().to_bits())
}

fn ratio(part: u64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part as f64 / whole)
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[half - 1], values[half]),
            _ => values[half],
        };
        Some(Self { median, min, max, traces: values.len() as u64 })
    }
}

/// A trace with its sources by name.
struct Indexed<'a> {
    trace: &'a Trace,
    sources: BTreeMap<&'a [u8], &'a Reported>,
}

fn index(traces: &[Trace]) -> Vec<Indexed<'_>> {
    let of = |trace| Indexed { trace, sources: by_name(trace) };
    traces.iter().map(of).collect()
}

fn by_name(trace: &Trace) -> BTreeMap<&[u8], &Reported> {
    trace.by_name.iter().map(|source| (&source.name.bytes[..], source)).collect()
}

/// What rates are taken by; 0, and so no rate, where attempts were not watched.
impl Indexed<'_> {
    fn awake_hours(&self) -> f64 {
        self.trace.awake_ns().unwrap_or(0) as f64 / HOUR
    }

    fn attempts(&self) -> f64 {
        let watched = self.trace.watched("phase");
        if watched { self.trace.report.attempts.len() as f64 } else { 0.0 }
    }
}

/// Both sides.
struct Sides<'a> {
    before: Vec<Indexed<'a>>,
    after: Vec<Indexed<'a>>,
}

impl Sides<'_> {
    fn measure(&self, of: impl Fn(&Indexed<'_>) -> Option<f64>) -> Measure {
        let spread = |side: &[Indexed<'_>]| Spread::of(side.iter().filter_map(&of).collect());
        let (before, after) = (spread(&self.before), spread(&self.after));
        let both = before.zip(after).map(|(b, a)| (b.median, a.median - b.median));
        Measure {
            before,
            after,
            change: both.map(|(_, change)| change),
            change_percent: both.filter(|(b, _)| *b != 0.0).map(|(b, c)| c / b * 100.0),
        }
    }

    fn outcome(&self, key: &'static str) -> Outcome {
        let of = |i: &Indexed<'_>| match key {
            "all" => i.trace.report.attempts.len() as u64,
            _ => outcome(&i.trace.report, key),
        };
        Outcome {
            outcome: key,
            per_awake_hour: self.measure(|i| ratio(of(i), i.awake_hours())),
            percent: self.measure(|i| ratio(of(i), i.attempts() / 100.0)),
        }
    }

    /// Without costs where they are of different kinds.
    fn sources(&self, mixed: bool) -> Vec<Source> {
        let mut names = BTreeMap::new();
        for source in self.before.iter().chain(&self.after).flat_map(|i| i.sources.values()) {
            names.insert(&source.name.bytes[..], &source.name);
        }
        let mut sources: Vec<_> =
            names.into_values().map(|name| self.source(name, mixed)).collect();
        sources.sort_by_key(|s| {
            Reverse((size(&s.cost_ns_per_awake_hour), size(&s.held_ns_per_awake_hour)))
        });
        sources
    }

    fn source(&self, name: &Name, mixed: bool) -> Source {
        let has =
            |side: &[Indexed<'_>]| side.iter().any(|i| i.sources.contains_key(&name.bytes[..]));
        let presence = match (has(&self.before), has(&self.after)) {
            (false, _) => Presence::New,
            (_, false) => Presence::Vanished,
            _ => Presence::Both,
        };
        // A source that a trace does not have was nothing in it.
        let of = |i: &Indexed<'_>, value: fn(&Reported) -> u64| {
            i.sources.get(&name.bytes[..]).map_or(0, |source| value(source))
        };
        let hour = |value| self.measure(|i| ratio(of(i, value), i.awake_hours()));
        let attempt = |value| self.measure(|i| ratio(of(i, value), i.attempts()));
        let blocked = |base: fn(&Indexed<'_>) -> f64| {
            self.measure(|i| {
                let told = i.trace.tells_blocked();
                let share = told.then(|| of(i, |s| s.blocked_share_ns.unwrap_or(0)));
                ratio(share?, base(i))
            })
        };
        let cost = |measure: Measure| if mixed { Measure::UNTOLD } else { measure };
        Source {
            name: name.clone(),
            presence,
            cost_ns_per_awake_hour: cost(hour(|s| s.cost_ns)),
            cost_ns_per_attempt: cost(attempt(|s| s.cost_ns)),
            blocked_share_ns_per_awake_hour: blocked(|i| i.awake_hours()),
            blocked_share_ns_per_attempt: blocked(|i| i.attempts()),
            held_ns_per_awake_hour: hour(|s| s.held_ns),
            held_ns_per_attempt: attempt(|s| s.held_ns),
            aborts_per_awake_hour: hour(|s| s.aborts),
            aborts_per_attempt: attempt(|s| s.aborts),
            wakes_per_awake_hour: hour(|s| s.wakes),
            wakes_per_attempt: attempt(|s| s.wakes),
        }
    }
}

impl Measure {
    const UNTOLD: Self = Self { before: None, after: None, change: None, change_percent: None };
}

/// Whether some traces tell blocked time and others don't.
fn mixed<'a>(mut traces: impl Iterator<Item = &'a Trace>) -> bool {
    let first = traces.next().map(Trace::tells_blocked);
    traces.any(|trace| Some(trace.tells_blocked()) != first)
}

/// What traces must have in common.
type Fact = fn(&Trace) -> String;

fn warnings(before: &[Trace], after: &[Trace]) -> Vec<String> {
    let mut warnings = Vec::new();
    let (b, a) = (before.iter().collect::<Vec<_>>(), after.iter().collect::<Vec<_>>());
    let facts: [(&str, Fact); 4] = [
        ("the devices", |t| device(&t.report.session)),
        ("the kernels", |t| kernel(&t.report.session)),
        ("the sources of snapshots", |t| snapshots(&t.report.session)),
        ("the agents", |t| crate::text::escape(t.report.session.agent.as_bytes())),
    ];
    for (what, of) in facts {
        let (b, a) = (distinct(&b, of), distinct(&a, of));
        if b != a || b.len() > 1 {
            warnings.push(format!("{what} differ: {} before, {} after", listed(&b), listed(&a)));
        }
    }
    if mixed(before.iter().chain(after)) {
        warnings.push(
            "some traces tell blocked time and some do not, having no edges or waits: costs are of              different kinds and are not compared"
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
    for trace in after.iter().filter(|t| before.iter().any(|b| same(b, t))) {
        warnings.push(format!("{} stands on both sides", trace.file));
    }
    warnings
}

/// The same capture, whatever the files are called.
fn same(a: &Trace, b: &Trace) -> bool {
    let (a, b) = (&a.report.session, &b.report.session);
    (&a.boot_id, a.start_ns, a.end_ns, a.records) == (&b.boot_id, b.start_ns, b.end_ns, b.records)
}
