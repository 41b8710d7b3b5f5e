//! Who ended each attempt, out of the snapshots around it.
//!
//! Without edges the evidence is what was active when the attempt began, and which counters rose
//! between the snapshot before what happened and the one after. Many snapshots and attempts may
//! pass before either is complete, so both wait here, the snapshots as short [`Mark`]s.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sleepwalk_trace::record::Reason;
use sleepwalk_trace::time::MonoNanos;

use super::attempts::{Attempt, Cause, Evidence, Outcome};
use super::sources::Mark;

/// Marks kept: those before an attempt, at its begin, after its end, and room for ticks within.
const MARKS: usize = 32;

/// Joins attempts to snapshots.
#[derive(Debug, Default)]
pub struct Finder {
    marks: VecDeque<Mark>,
    attempts: Vec<Attempt>,
    /// How many of `attempts` have their causes; the others wait for a snapshot after their end.
    resolved: usize,
    late: u64,
}

impl Finder {
    /// A snapshot was taken.
    pub fn snapshot(&mut self, mark: Mark) {
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back(mark);
        self.resolve(false);
    }

    /// An attempt ended, if there is one.
    pub fn ended(&mut self, attempt: Option<Attempt>) {
        self.attempts.extend(attempt);
    }

    /// Records are missing here: what changed across it may have changed at any time.
    pub fn gap(&mut self) {
        self.resolve(true);
        self.marks.clear();
    }

    /// The trace is over: every attempt, and how many begins were walked too late.
    pub fn finish(mut self) -> (Vec<Attempt>, u64) {
        self.resolve(true);
        (self.attempts, self.late)
    }

    /// Finds the causes of all attempts that a snapshot followed; of all, if no more will come.
    fn resolve(&mut self, all: bool) {
        for attempt in &mut self.attempts[self.resolved..] {
            let after = self.marks.iter().position(|mark| mark.at >= attempt.end);
            if after.is_none() && !all {
                return;
            }
            let window = Window::around(&self.marks, attempt, after);
            self.late += u64::from(window.late);
            if attempt.blames_sources() {
                attempt.causes = window.causes();
            } else if attempt.outcome == Outcome::Slept {
                attempt.wake = window.wake();
            }
            self.resolved += 1;
        }
    }
}

/// The snapshots around one attempt.
struct Window<'a> {
    /// The last snapshot before user space froze.
    before: Option<&'a Mark>,
    /// It was taken within the attempt, so it shows who was active then.
    begin: bool,
    /// Those after `before`, up to the first after the attempt.
    rest: Vec<&'a Mark>,
    /// The first after the attempt.
    after: Option<&'a Mark>,
    /// The snapshot of the begin was walked after the freeze had begun.
    late: bool,
}

impl<'a> Window<'a> {
    fn around(marks: &'a VecDeque<Mark>, attempt: &Attempt, after: Option<usize>) -> Self {
        let frozen = attempt.frozen.unwrap_or(attempt.end);
        let until = after.map_or(marks.len(), |after| after + 1);
        let before = marks.range(..until).rposition(|mark| mark.at < frozen);
        let rest = marks.range(before.map_or(0, |before| before + 1)..until).collect::<Vec<_>>();
        let late = rest.iter().any(|mark| {
            mark.reason == Reason::AttemptBegin && mark.at >= frozen && mark.at <= attempt.end
        });
        let before = before.and_then(|before| marks.get(before));
        Self {
            before,
            begin: before.is_some_and(|before| before.at >= attempt.start),
            rest,
            after: after.and_then(|after| marks.get(after)),
            late,
        }
    }

    /// The sources that rose between `before` and `after`, with their last change.
    fn risen(&self) -> BTreeMap<u32, MonoNanos> {
        if self.before.is_none() {
            // The differences of the first mark may reach back to long before the attempt.
            return BTreeMap::new();
        }
        let changes = self.rest.iter().flat_map(|mark| &mark.changes);
        changes.filter(|change| change.rose).map(|change| (change.instance, change.last)).collect()
    }

    fn causes(&self) -> Vec<Cause> {
        let mut suspects: BTreeSet<u32> = self.risen().into_keys().collect();
        let active = self.before.map(|before| &before.active);
        suspects.extend(active.into_iter().flatten());
        // Only then was nobody else active that could be to blame as well.
        let sole = suspects.len() == 1 && active == Some(&suspects);
        let proven = sole && self.begin && self.before.is_some_and(|before| before.whole);
        let evidence = if proven { Evidence::Proven } else { Evidence::Likely };
        suspects.into_iter().map(|instance| Cause { instance, evidence }).collect()
    }

    /// The first source activated in the sleep or after it, as far as snapshots tell: only the last
    /// change of each is known.
    fn wake(&self) -> Option<Cause> {
        let (before, _) = (self.before?, self.after?);
        let risen = self.risen();
        let woke = risen
            .iter()
            .filter(|(instance, last)| **last >= before.now && !before.active.contains(instance));
        let (&instance, _) = woke.min_by_key(|&(_, last)| *last)?;
        Some(Cause { instance, evidence: Evidence::Likely })
    }
}
