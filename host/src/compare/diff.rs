//! Changes between two sides of one or more traces each.
//!
//! Sessions differ in length, so nothing is compared directly: times and counts are taken per hour
//! awake and per attempt, lines of the ledger as shares of the session. Where a side has several
//! traces its median counts, and its range says how much that is worth.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::{Trace, device, distinct, doubts, kernel, listed, snapshots};
use crate::report::{HookKind, Line, Name, Outcome, Session, Source, Sum};
use crate::text::escape;

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
    /// Reasons why the sides, or some of their numbers, cannot be compared.
    pub warnings: Vec<String>,
    /// Lines of the ledger, the greatest change first.
    pub ledger: Vec<LineChange>,
    /// Attempts, the greatest change first.
    pub attempts: Vec<AttemptChange>,
    /// Sources by name, the greatest change first.
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
#[expect(missing_docs, reason = "the fields are those of report::Sum, per unit in the name")]
pub struct SourceChange {
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

/// Nanoseconds in an hour.
const HOUR: f64 = 3_600e9;

/// `before` against `after`.
pub fn diff(before: &[Trace], after: &[Trace]) -> Diff {
    let sides = Sides { before: index(before), after: index(after) };
    let parts = [Part::Awake].into_iter().chain(Line::ALL.map(Part::Line));
    let mut ledger: Vec<_> = parts.map(|part| sides.part(part)).collect();
    ledger.sort_by_key(|line| Reverse(size(&line.percent)));
    let groups = [Group::All].into_iter().chain(Outcome::ALL.map(Group::Outcome));
    let mut attempts: Vec<_> = groups.map(|group| sides.attempts(group)).collect();
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

fn side(traces: &[Trace]) -> Side {
    let all = || traces.iter();
    Side {
        traces: all().map(|t| t.file.clone()).collect(),
        duration_ns: all().fold(0, |n, t| n.saturating_add(t.report.session.duration_ns)),
        awake_ns: all().try_fold(0u64, |n, t| Some(n.saturating_add(t.awake_ns()?))),
        attempts: all().map(|t| t.report.attempts.len() as u64).sum(),
        devices: distinct(traces, device).into_iter().collect(),
        kernels: distinct(traces, kernel).into_iter().collect(),
    }
}

/// Sorts by how great a change is: unknown ones last.
fn size(measure: &Measure) -> u64 {
    // Floats that are not negative sort by their bits.
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
    sources: BTreeMap<&'a [u8], &'a Source>,
}

fn index(traces: &[Trace]) -> Vec<Indexed<'_>> {
    let indexed = traces.iter().map(|trace| {
        let sources = trace.by_name.iter().map(|source| (&source.name.bytes[..], source));
        Indexed { trace, sources: sources.collect() }
    });
    indexed.collect()
}

/// The divisors of rates; 0, and so no rate, where attempts were not watched.
impl Indexed<'_> {
    fn awake_hours(&self) -> f64 {
        self.trace.awake_ns().unwrap_or(0) as f64 / HOUR
    }

    fn attempts(&self) -> f64 {
        let watched = self.trace.report.session.watched(&HookKind::Phase);
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

    fn part(&self, part: Part) -> LineChange {
        let share = |t: &Trace| {
            // No line is known where attempts were not watched.
            let awake_ns = t.awake_ns()?;
            let whole = t.report.session.duration_ns;
            let ns = match part {
                Part::Awake => awake_ns,
                Part::Line(line) => t.report.ledger.line(line)?,
            };
            ratio(ns, whole as f64 / 100.0)
        };
        LineChange { line: part, percent: self.measure(|i| share(i.trace)) }
    }

    fn attempts(&self, group: Group) -> AttemptChange {
        let of = |i: &Indexed<'_>| match group {
            Group::All => i.trace.report.attempts.len() as u64,
            Group::Outcome(outcome) => i.trace.report.count(outcome),
        };
        AttemptChange {
            outcome: group,
            per_awake_hour: self.measure(|i| ratio(of(i), i.awake_hours())),
            percent: self.measure(|i| ratio(of(i), i.attempts() / 100.0)),
        }
    }

    /// Without costs where they are of different kinds.
    fn sources(&self, mixed: bool) -> Vec<SourceChange> {
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

    fn source(&self, name: &Name, mixed: bool) -> SourceChange {
        let has =
            |side: &[Indexed<'_>]| side.iter().any(|i| i.sources.contains_key(&name.bytes[..]));
        let presence = match (has(&self.before), has(&self.after)) {
            (false, _) => Presence::New,
            (_, false) => Presence::Vanished,
            _ => Presence::Both,
        };
        // A source missing from a trace counts as 0 there.
        let of = |i: &Indexed<'_>, value: fn(&Sum) -> u64| {
            i.sources.get(&name.bytes[..]).map_or(0, |source| value(&source.sum))
        };
        let hour = |value| self.measure(|i| ratio(of(i, value), i.awake_hours()));
        let attempt = |value| self.measure(|i| ratio(of(i, value), i.attempts()));
        let blocked = |base: fn(&Indexed<'_>) -> f64| {
            self.measure(|i| {
                let known = i.trace.report.ledger.knows_blocked();
                let share = known.then(|| of(i, |s| s.blocked_share_ns.unwrap_or(0)));
                ratio(share?, base(i))
            })
        };
        let cost = |measure: Measure| if mixed { Measure::default() } else { measure };
        SourceChange {
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
