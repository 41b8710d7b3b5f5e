//! The data of the page's script, small: columns, differences, and every name once.
//!
//! Times are whole µs from the session's start: a start counts from the item before it, and with it
//! goes how long the item took. Both ends are rounded alike, so spans that touch still do.
//! `script/data.js` reads this.

use std::collections::HashMap;

use serde::Serialize;

use sleepwalk_trace::time::BootNanos;

use crate::analyze::attempts::STEP_NAMES;
use crate::render::labels::{failure, interrupt, outcome, returned, source, spaced};
use crate::render::page::{name, quote};
use crate::render::terminal::plain;
use crate::report::{Attempt, Culprit, Evidence, Name, Outcome, Report, Source, SourceKind, Span};

/// Blockers of a wait that are named one by one.
const BLOCKERS: usize = 4;

/// Spans that a page holds: more would make it slow to open.
const SPANS: usize = 150_000;

/// A drawing has fewer columns.
const COLUMNS: u64 = 16_384;

/// The whole of it.
#[derive(Serialize)]
pub(super) struct Data {
    /// CLOCK_REALTIME at the start, µs.
    start_real: i64,
    /// The session, µs.
    took: u64,
    /// Words of the outcomes, in the order in which they are shown.
    outcomes: Vec<&'static str>,
    /// Names of steps, in the order of an attempt.
    steps: &'static [&'static str],
    /// Names, safe to show: first those of the sources in their order, then others that are blamed.
    labels: Vec<String>,
    /// Words that come again and again.
    words: Vec<String>,
    attempts: Attempts,
    /// The ends of sleeps, each combination once.
    wakes: Vec<Wake>,
    waits: Vec<Wait>,
    /// By source, then gap and length in turn.
    spans: Vec<Vec<u64>>,
    /// How long each source was held, µs: less than its spans where several holds are one.
    held: Vec<u64>,
    /// Spans no farther apart than this are one, µs; 0 where they are as the report has them.
    grain: u64,
    /// Gap and length of the time on a charger, in turn.
    charger: Vec<u64>,
}

/// A column each. Strings are indices of `words`.
#[derive(Default, Serialize)]
struct Attempts {
    gap: Vec<i64>,
    took: Vec<u64>,
    outcome: Vec<usize>,
    mode: Vec<usize>,
    stage: Vec<usize>,
    returned: Vec<usize>,
    /// The failure beside wakeups; an empty word where nothing is known.
    failure: Vec<usize>,
    /// Android's `last_resume_reason`; an empty word where there is none.
    reason: Vec<usize>,
    slept: Vec<u64>,
    entries: Vec<u64>,
    /// Label, and 1 where it is proven, plus 2 where it settled the attempt before others.
    causes: Vec<Vec<usize>>,
    /// Index of wakes, or -1.
    wake: Vec<i64>,
    /// Word, gap and length (-1: it did not end), in turn.
    steps: Vec<Vec<i64>>,
}

/// Label or -1, the interrupt as far as it is known, word of the evidence, label that bears the cost
/// or -1.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
struct Wake(i64, String, usize, i64);

/// Gap, length, 1 idle, 0 not, -1 not returned; label and share of its blockers in turn; how many
/// more there are.
#[derive(Serialize)]
struct Wait(i64, u64, i8, Vec<u64>, usize);

/// The report's part that is drawn.
pub(super) fn compact(report: &Report) -> Data {
    let clock = Clock { start: report.session.start_ns };
    let mut names = Names::new(&report.sources);
    let mut words = Interned::default();
    let mut wakes = Interned::default();
    let mut attempts = Attempts::default();
    let mut before = 0;
    for attempt in &report.attempts {
        attempts.add(attempt, clock, &mut before, &mut names, &mut words, &mut wakes);
    }
    before = 0;
    let waits = report.waits.iter().map(|wait| {
        let (at, took) = clock.span(wait.start_ns, wait.end_ns);
        let gap = at - before;
        before = at;
        let named = wait.blockers.iter().take(BLOCKERS);
        let named =
            named.flat_map(|b| [names.label(&b.name, b.instance) as u64, b.share_ns / 1_000]);
        let idle = wait.idle.map_or(-1, i8::from);
        Wait(gap, took, idle, named.collect(), wait.blockers.len().saturating_sub(BLOCKERS))
    });
    let waits = waits.collect();
    let took = clock.at(report.session.end_ns) as u64;
    let held: Vec<_> = report.sources.iter().map(|s| s.spans.as_slice()).collect();
    let (grain, spans) = clock.spans(&held, took);
    Data {
        start_real: report.session.start_realtime_ns.0.div_euclid(1_000),
        took,
        outcomes: Outcome::ALL.map(outcome).to_vec(),
        steps: &STEP_NAMES,
        attempts,
        waits,
        spans,
        held: report.sources.iter().map(|source| source.sum.held_ns / 1_000).collect(),
        grain,
        charger: clock.flat(&report.power.charger, 0),
        labels: names.labels,
        words: words.items,
        wakes: wakes.items,
    }
}

impl Attempts {
    fn add(
        &mut self,
        attempt: &Attempt,
        clock: Clock,
        before: &mut i64,
        names: &mut Names,
        words: &mut Interned<String>,
        wakes: &mut Interned<Wake>,
    ) {
        let (at, took) = clock.span(attempt.start_ns, attempt.end_ns);
        self.gap.push(at - *before);
        *before = at;
        self.took.push(took);
        self.outcome.push(attempt.outcome as usize);
        self.mode.push(words.index(attempt.mode.to_string()));
        self.stage.push(words.index(spaced(attempt.stage)));
        self.returned.push(words.index(returned(attempt.errno)));
        let failure = failure(attempt).map(|text| plain(&text));
        self.failure.push(words.index(failure.unwrap_or_default()));
        let reason = attempt.resume_reason.as_ref().map(|reason| plain(&quote(reason.as_str())));
        self.reason.push(words.index(reason.unwrap_or_default()));
        self.slept.push(attempt.slept_ns / 1_000);
        self.entries.push(attempt.s2idle_entries);
        let cause = |c: &crate::report::Cause| {
            let first = c.first && attempt.causes.len() > 1;
            let flags = usize::from(c.evidence == Evidence::Proven) + if first { 2 } else { 0 };
            [names.label(&c.name, c.instance), flags]
        };
        let mut causes: Vec<usize> = attempt.causes.iter().flat_map(cause).collect();
        if let Some(Culprit::Interrupt(irq)) = attempt.ended_by()
            && let Ok(row) = usize::try_from(names.interrupt(irq, attempt.irq_name.as_deref()))
        {
            causes.extend([row, 1]);
        }
        self.causes.push(causes);
        self.wake.push(attempt.wake.as_ref().map_or(-1, |wake| {
            let source = wake.source.as_ref();
            let source = source.map_or(-1, |s| names.label(&s.name, s.instance) as i64);
            let irq = interrupt(wake.irq, wake.irq_name.as_deref());
            let irq = irq.map(|irq| plain(&irq)).unwrap_or_default();
            let evidence = words.index(wake.evidence.to_string());
            let charged = match wake.charged() {
                Some(Culprit::Source(_)) => source,
                Some(Culprit::Interrupt(irq)) => names.interrupt(irq, wake.irq_name.as_deref()),
                Some(Culprit::Device(_)) | None => -1,
            };
            wakes.index(Wake(source, irq, evidence, charged)) as i64
        }));
        let mut last = at;
        let steps = attempt.steps.iter().flat_map(|step| {
            let begin = clock.at(step.start_ns);
            let gap = begin - last;
            last = begin;
            let took = step.end_ns.map_or(-1, |end| (clock.at(end) - begin).max(0));
            [words.index(step.step.to_owned()) as i64, gap, took]
        });
        self.steps.push(steps.collect());
    }
}

/// Stamps → µs from the start.
#[derive(Clone, Copy)]
struct Clock {
    start: BootNanos,
}

impl Clock {
    fn at(self, at: BootNanos) -> i64 {
        // 2^64 ns in µs fit.
        (at.since(self.start) / 1_000) as i64
    }

    fn span(self, start_ns: BootNanos, end_ns: BootNanos) -> (i64, u64) {
        let (start, end) = (self.at(start_ns), self.at(end_ns));
        (start, end.saturating_sub(start).max(0) as u64)
    }

    /// Gap and length in turn; spans no farther apart than `grain` µs are one.
    fn flat(self, spans: &[Span], grain: u64) -> Vec<u64> {
        let mut flat = Flat { grain, ..Flat::default() };
        for span in spans {
            let (at, took) = self.span(span.start_ns, span.end_ns);
            flat.push(at as u64, took);
        }
        flat.turns
    }

    /// The spans of all sources, and the grain that keeps them few enough.
    fn spans(self, sources: &[&[Span]], took: u64) -> (u64, Vec<Vec<u64>>) {
        let mut grain = 0;
        loop {
            let spans: Vec<_> = sources.iter().map(|s| self.flat(s, grain)).collect();
            // Both ends of a span are a number.
            let few = spans.iter().map(Vec::len).sum::<usize>() <= 2 * SPANS;
            if few || grain >= took {
                return (grain, spans);
            }
            grain = (2 * grain).max(took / COLUMNS).max(1);
        }
    }
}

/// Sorted spans as gap and length in turn; those that touch are one.
#[derive(Default)]
struct Flat {
    turns: Vec<u64>,
    end: u64,
    grain: u64,
}

impl Flat {
    fn push(&mut self, at: u64, took: u64) {
        let end = at.saturating_add(took).max(self.end);
        let at = at.max(self.end);
        match self.turns.last_mut() {
            Some(last) if at - self.end <= self.grain => *last += end - self.end,
            _ => self.turns.extend([at - self.end, end - at]),
        }
        self.end = end;
    }
}

/// Names as they are shown, and which row each has in the ranking.
struct Names {
    labels: Vec<String>,
    by_instance: HashMap<u32, usize>,
    by_name: HashMap<Name, usize>,
    by_irq: HashMap<u32, usize>,
    by_handlers: HashMap<Name, usize>,
}

impl Names {
    fn new(sources: &[Source]) -> Self {
        let mut names = Self {
            labels: sources.iter().map(|s| plain(&source(s))).collect(),
            by_instance: HashMap::new(),
            by_name: HashMap::new(),
            by_irq: HashMap::new(),
            by_handlers: HashMap::new(),
        };
        for (row, source) in sources.iter().enumerate() {
            match (source.kind, source.irq, source.instance) {
                (SourceKind::Interrupt, Some(irq), _) => names.by_irq.insert(irq, row),
                (SourceKind::Interrupt, None, _) => {
                    names.by_handlers.insert(source.name.clone(), row)
                }
                (SourceKind::Device, ..) => None,
                (SourceKind::Source, _, Some(i)) => names.by_instance.insert(i, row),
                (SourceKind::Source, _, None) => names.by_name.insert(source.name.clone(), row),
            };
        }
        names
    }

    /// The row of an interrupt, or -1.
    fn interrupt(&self, irq: u32, handlers: Option<&str>) -> i64 {
        let handlers = || self.by_handlers.get(&Name::new(handlers?.as_bytes()));
        self.by_irq.get(&irq).or_else(handlers).map_or(-1, |row| *row as i64)
    }

    /// The row of a source, or a label of its own where it has none.
    fn label(&mut self, unranked: &Name, instance: u32) -> usize {
        if let Some(&row) = self.by_instance.get(&instance) {
            return row;
        }
        let labels = &mut self.labels;
        *self.by_name.entry(unranked.clone()).or_insert_with(|| {
            labels.push(plain(&name(unranked)));
            labels.len() - 1
        })
    }
}

/// Each item once.
struct Interned<T> {
    items: Vec<T>,
    known: HashMap<T, usize>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { items: Vec::new(), known: HashMap::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Interned<T> {
    fn index(&mut self, item: T) -> usize {
        *self.known.entry(item).or_insert_with_key(|item| {
            self.items.push(item.clone());
            self.items.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_gap_and_length() {
        let mut flat = Flat::default();
        for (at, took) in [(5, 5), (10, 2), (20, 1), (19, 4)] {
            flat.push(at, took);
        }
        // The last overlaps the one before it: together they end where it ends.
        assert_eq!(flat.turns, [5, 7, 8, 3]);
        let mut flat = Flat { grain: 8, ..Flat::default() };
        for (at, took) in [(5, 5), (10, 2), (20, 1), (30, 4)] {
            flat.push(at, took);
        }
        assert_eq!(flat.turns, [5, 16, 9, 4]);
    }

    #[test]
    fn spans_get_coarser_until_they_fit_a_page() {
        let n = SPANS as u64 * 2;
        let span = |i: u64| Span {
            start_ns: BootNanos(i * 1_000_000),
            end_ns: BootNanos(i * 1_000_000 + 400_000),
        };
        let held: Vec<_> = (0..n).map(span).collect();
        let clock = Clock { start: BootNanos(0) };
        let (grain, spans) = clock.spans(&[&held], n * 1_000);
        assert!(grain > 0 && spans[0].len() <= 2 * SPANS, "{grain} {}", spans[0].len());
        // None is left out: together they reach from the first to the last.
        assert_eq!(spans[0].iter().sum::<u64>(), (n - 1) * 1_000 + 400);
        let few = clock.spans(&[&held[..3]], n * 1_000);
        assert_eq!(few, (0, vec![vec![0, 400, 600, 400, 600, 400]]));
    }

    #[test]
    fn a_name_without_a_row_gets_its_own_label() {
        let mut names = Names::new(&[]);
        let (a, b) = (Name::new(b"a"), Name::new(b"b\n"));
        assert_eq!([names.label(&a, 1), names.label(&b, 2), names.label(&a, 1)], [0, 1, 0]);
        assert_eq!(names.labels, ["a", "b\\n"]);
    }
}
