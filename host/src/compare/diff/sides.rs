//! Measures of both sides.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AttemptChange, Group, LineChange, Measure, Part, Per, Presence, SourceChange, Spread, Verdict,
};
use crate::compare::Trace;
use crate::compare::noise::{self, Events, WINDOWS};
use crate::report::{
    Attempt, Culprit, FailedStep, HookKind, Line, Outcome, Source, SourceKind, Sum,
};

/// Nanoseconds in an hour.
const HOUR: f64 = 3_600e9;

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

fn key(source: &Source) -> Key<'_> {
    (source.kind, &source.name.bytes)
}

/// How many events began in each part of the session.
type Windows = [u32; WINDOWS];

/// The kind and the name of a row in the ranking: a source and an interrupt may have one name.
type Key<'a> = (SourceKind, &'a [u8]);

/// A trace with its sources by name.
struct Indexed<'a> {
    trace: &'a Trace,
    sources: BTreeMap<Key<'a>, &'a Source>,
    /// When each source aborted attempts.
    aborts: BTreeMap<Key<'a>, Windows>,
    /// When each source ended sleeps.
    wakes: BTreeMap<Key<'a>, Windows>,
}

fn index(traces: &[Trace]) -> Vec<Indexed<'_>> {
    traces.iter().map(Indexed::new).collect()
}

impl<'a> Indexed<'a> {
    fn new(trace: &'a Trace) -> Self {
        let sources = trace.by_name.iter().map(|source| (key(source), source));
        let (aborts, wakes) = (BTreeMap::new(), BTreeMap::new());
        let mut indexed = Self { trace, sources: sources.collect(), aborts, wakes };
        for attempt in &trace.report.attempts {
            let at = indexed.window(attempt);
            let causes = attempt.causes.iter().map(|c| (SourceKind::Source, &c.name.bytes[..]));
            let other = match attempt.ended_by() {
                Some(Culprit::Device(name)) => Some((SourceKind::Device, name.as_bytes())),
                Some(Culprit::Interrupt(irq)) => indexed.interrupt(irq, &attempt.irq_name),
                Some(Culprit::Source(_)) | None => None,
            };
            for culprit in causes.chain(other).collect::<BTreeSet<_>>() {
                indexed.aborts.entry(culprit).or_default()[at] += 1;
            }
            let waker = match attempt.wake.as_ref().and_then(|wake| Some((wake, wake.charged()?))) {
                Some((wake, Culprit::Interrupt(irq))) => indexed.interrupt(irq, &wake.irq_name),
                Some((wake, _)) => {
                    wake.source.as_ref().map(|s| (SourceKind::Source, &s.name.bytes[..]))
                }
                None => None,
            };
            if let Some(waker) = waker {
                indexed.wakes.entry(waker).or_default()[at] += 1;
            }
        }
        indexed
    }

    /// The row of an interrupt.
    fn interrupt(&self, irq: u32, handlers: &Option<String>) -> Option<Key<'a>> {
        let rows = || self.trace.by_name.iter().filter(|row| row.kind == SourceKind::Interrupt);
        let named = |row: &&Source| handlers.as_ref().is_some_and(|h| row.name.text() == *h);
        rows().find(|row| row.irq == Some(irq)).or_else(|| rows().find(named)).map(key)
    }

    fn watched(&self) -> bool {
        self.trace.report.session.watched(&HookKind::Phase)
    }

    /// Suspend attempts; 0 where they were not watched.
    fn attempts(&self) -> f64 {
        if self.watched() { self.trace.report.attempts.len() as f64 } else { 0.0 }
    }

    /// Time of unknown reason, which may be blocked time.
    fn unknown_ns(&self) -> u64 {
        let ledger = &self.trace.report.ledger;
        if ledger.knows_blocked() { ledger.unknown_ns } else { 0 }
    }

    fn asleep_hours(&self) -> f64 {
        if self.watched() { self.trace.report.ledger.asleep_ns as f64 / HOUR } else { 0.0 }
    }

    /// The divisor of rates; 0, and so no rate, where it is unknown.
    fn divisor(&self, per: Per) -> f64 {
        let hours = |ns: Option<u64>| ns.unwrap_or(0) as f64 / HOUR;
        match per {
            Per::Session => hours(Some(self.trace.report.session.duration_ns)),
            Per::SleepOpportunity => hours(self.trace.sleep_opportunity_ns()),
            Per::Awake => hours(self.trace.awake_ns()),
            Per::Attempt => self.attempts(),
        }
    }

    /// The part of the session in which an attempt began.
    fn window(&self, attempt: &Attempt) -> usize {
        let session = &self.trace.report.session;
        let at = u128::from(attempt.start_ns.since(session.start_ns)) * WINDOWS as u128;
        let at = at.checked_div(u128::from(session.duration_ns)).unwrap_or(0);
        usize::try_from(at).unwrap_or(WINDOWS).min(WINDOWS - 1)
    }

    /// When the attempts that are `counted` began.
    fn windows(&self, counted: impl Fn(&Attempt) -> bool) -> Windows {
        let mut windows = [0; WINDOWS];
        for attempt in self.trace.report.attempts.iter().filter(|attempt| counted(attempt)) {
            windows[self.window(attempt)] += 1;
        }
        windows
    }
}

/// Both sides, and the divisor of rates.
pub struct Sides<'a> {
    before: Vec<Indexed<'a>>,
    after: Vec<Indexed<'a>>,
    per: Per,
}

/// The chances that events of a kind had to happen: attempts, or hours asleep.
type Chances = fn(&Indexed<'_>) -> f64;

impl<'a> Sides<'a> {
    pub fn new(before: &'a [Trace], after: &'a [Trace], per: Per) -> Self {
        Self { before: index(before), after: index(after), per }
    }

    /// Values of both sides, where a trace has one.
    fn each<T>(&self, of: impl Fn(&Indexed<'_>) -> Option<T>) -> [Vec<T>; 2] {
        [&self.before, &self.after].map(|side| side.iter().filter_map(&of).collect())
    }

    /// A measure with one value a trace, which is `more` if all unknown time belongs to it.
    fn values(
        &self,
        of: impl Fn(&Indexed<'_>) -> Option<f64>,
        more: impl Fn(&Indexed<'_>) -> f64,
    ) -> Measure {
        let [before, after] = self.each(&of);
        let test = noise::values(&before, &after);
        let stake = before.iter().chain(&after).sum();
        let measure = Measure::of(before, after);
        let [b, a] = self.each(|i| Some(of(i)? + more(i))).map(Spread::of);
        let beyond = |least: Option<Spread>, most: Option<Spread>| {
            least.zip(most).is_some_and(|(least, most)| least.median > most.median)
        };
        let certain = beyond(measure.after, b) || beyond(measure.before, a);
        Measure { test, stake, in_doubt: !certain, ..measure }
    }

    /// A rate of events.
    fn rate(
        &self,
        count: impl Fn(&Indexed<'_>) -> u64,
        windows: impl Fn(&Indexed<'_>) -> Windows,
        chances: Chances,
    ) -> Measure {
        let [before, after] = self.each(|i| {
            let exposure = i.divisor(self.per);
            let events = Events { count: count(i), exposure, windows: windows(i) };
            (i.watched() && exposure > 0.0).then_some(events)
        });
        let test = noise::rates(&before, &after);
        let stake = before.iter().chain(&after).map(|events| events.count as f64).sum();
        let each = |side: &[Events]| side.iter().map(|e| e.count as f64 / e.exposure).collect();
        let by_chance = self.each(|i| ratio(count(i), chances(i)));
        let [b, a] = by_chance.map(|side| Spread::of(side).map(|spread| spread.median));
        let fewer_by_chance = b.is_none_or(|b| a.is_none_or(|a| a < b));
        Measure { test, stake, fewer_by_chance, ..Measure::of(each(&before), each(&after)) }
    }

    pub fn part(&self, part: Part) -> LineChange {
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
        let lines = [Line::Blocked, Line::UserSpace, Line::Backoff, Line::NotTrying];
        let open = lines.map(Part::Line).contains(&part);
        let more = |i: &Indexed<'_>| {
            let whole = i.trace.report.session.duration_ns as f64 / 100.0;
            if open { i.unknown_ns() as f64 / whole } else { 0.0 }
        };
        LineChange { line: part, percent: self.values(|i| share(i.trace), more) }
    }

    pub fn attempts(&self, group: Group) -> AttemptChange {
        let counted = |attempt: &Attempt| match group {
            Group::All => true,
            Group::Outcome(outcome) => attempt.outcome == outcome,
        };
        let count = |i: &Indexed<'_>| {
            i.trace.report.attempts.iter().filter(|attempt| counted(attempt)).count() as u64
        };
        let chances: Chances = match group {
            Group::Outcome(Outcome::Slept) => |i| i.asleep_hours(),
            _ => |i| i.attempts(),
        };
        AttemptChange { outcome: group, rate: self.rate(count, |i| i.windows(counted), chances) }
    }

    /// Without costs where they are of different kinds.
    pub fn sources(&self, mixed: bool) -> Vec<SourceChange> {
        let mut names = BTreeMap::new();
        for source in self.before.iter().chain(&self.after).flat_map(|i| i.sources.values()) {
            names.insert(key(source), *source);
        }
        names.into_values().map(|source| self.source(source, mixed)).collect()
    }

    /// The steps at which a device failed attempts, in their order.
    fn failed_steps(&self, (kind, name): Key<'_>) -> Vec<FailedStep> {
        let traces = self.before.iter().chain(&self.after).map(|i| &i.trace.report.attempts);
        let failed = traces.flatten().filter(|attempt| match attempt.ended_by() {
            Some(Culprit::Device(device)) => {
                kind == SourceKind::Device && device.as_bytes() == name
            }
            _ => false,
        });
        let steps: BTreeSet<_> = failed.filter_map(|attempt| attempt.failed_step).collect();
        steps.into_iter().collect()
    }

    /// A row that at least one trace has.
    fn source(&self, any: &Source, mixed: bool) -> SourceChange {
        let key = key(any);
        let has = |side: &[Indexed<'_>]| side.iter().any(|i| i.sources.contains_key(&key));
        let presence = match (has(&self.before), has(&self.after)) {
            (false, _) => Presence::New,
            (_, false) => Presence::Vanished,
            _ => Presence::Both,
        };
        // A source missing from a trace counts as 0 there.
        let of = |i: &Indexed<'_>, value: fn(&Sum) -> u64| {
            i.sources.get(&key).map_or(0, |source| value(&source.sum))
        };
        let time = |known: fn(&Indexed<'_>) -> bool, value: fn(&Sum) -> u64, open: bool| {
            self.values(
                |i| known(i).then(|| ratio(of(i, value), i.divisor(self.per)))?,
                |i| if open { i.unknown_ns() as f64 / i.divisor(self.per) } else { 0.0 },
            )
        };
        let cost = time(|i| i.watched(), |sum| sum.cost_ns, true);
        let when =
            |windows: &BTreeMap<Key<'_>, Windows>| windows.get(&key).copied().unwrap_or_default();
        SourceChange {
            name: any.name.clone(),
            kind: any.kind,
            failed_steps: self.failed_steps(key),
            presence,
            verdict: Verdict::Unknown,
            cost_ns: if mixed { Measure::default() } else { cost },
            blocked_share_ns: time(
                |i| i.trace.report.ledger.knows_blocked(),
                |sum| sum.blocked_share_ns.unwrap_or(0),
                true,
            ),
            held_ns: time(|_| true, |sum| sum.held_ns, false),
            aborts: self.rate(|i| of(i, |sum| sum.aborts), |i| when(&i.aborts), |i| i.attempts()),
            wakes: self.rate(|i| of(i, |sum| sum.wakes), |i| when(&i.wakes), |i| i.asleep_hours()),
        }
    }
}

impl Measure {
    fn of(before: Vec<f64>, after: Vec<f64>) -> Self {
        let (before, after) = (Spread::of(before), Spread::of(after));
        let both = before.zip(after).map(|(b, a)| (b.median, a.median - b.median));
        Self {
            before,
            after,
            change: both.map(|(_, change)| change),
            change_percent: both.filter(|(b, _)| *b != 0.0).map(|(b, c)| c / b * 100.0),
            ..Self::default()
        }
    }
}
