//! Who ended each attempt, out of the snapshots around it, where edges have not told.
//!
//! Without edges the evidence is what was active when the attempt began, and what changed between
//! the snapshots before and after it and says by its own time that it did so meanwhile. Many
//! snapshots and attempts may pass before either is complete, so both wait here, the snapshots as
//! short [`Mark`]s.

use std::collections::{BTreeSet, VecDeque};

use sleepwalk_trace::record::Reason;
use sleepwalk_trace::time::{BootNanos, MonoNanos};

use super::attempts::{Attempt, Cause, Evidence, Outcome};
use super::sources::{Change, Mark};

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

    /// An attempt ended.
    pub fn ended(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
    }

    /// How long the device was awake after the last attempt, if that slept.
    pub fn awake(&mut self, ns: u64) {
        let last = self.attempts.last_mut();
        if let Some(last) = last.filter(|attempt| attempt.outcome == Outcome::Slept) {
            last.after_ns = ns;
        }
    }

    /// Records are missing here: what changed across it may have changed at any time.
    pub fn gap(&mut self) {
        self.resolve(true);
        self.marks.clear();
    }

    /// It turns out that user space waited since then, so that no awake time follows a wake.
    pub fn waited(&mut self, since: BootNanos) {
        for attempt in self.attempts.iter_mut().rev().take_while(|a| a.end >= since) {
            attempt.after_ns = 0;
        }
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
            if attempt.by_edges {
                // Whom counters would blame beside those came too late, or too early.
            } else if attempt.blames_sources() && attempt.causes.is_empty() {
                attempt.causes = window.causes();
            } else if attempt.outcome == Outcome::Slept && attempt.wake.is_none() {
                attempt.wake = window.wake();
            }
            self.resolved += 1;
        }
    }
}

/// The snapshots around one attempt.
struct Window<'a> {
    /// The last snapshot before user space froze, if it was taken within the attempt: it shows who
    /// was active when that began.
    begin: Option<&'a Mark>,
    /// Those from the attempt's start up to the first after it. What they tell reaches back to
    /// before the attempt, to the snapshot before them.
    marks: Vec<&'a Mark>,
    /// When the attempt began, as the sources' own times count.
    start: Option<MonoNanos>,
    /// When the machine was first reached, likewise.
    entry: Option<MonoNanos>,
    /// The snapshot of the begin was walked after the freeze had begun.
    late: bool,
}

impl<'a> Window<'a> {
    fn around(marks: &'a VecDeque<Mark>, attempt: &Attempt, after: Option<usize>) -> Self {
        let frozen = attempt.frozen.unwrap_or(attempt.end);
        let until = after.map_or(marks.len(), |after| after + 1);
        let prior = marks.range(..until).rposition(|mark| mark.at < attempt.start);
        let earlier = prior.and_then(|prior| marks.get(prior));
        let marks = marks.range(prior.map_or(0, |prior| prior + 1)..until).collect::<Vec<_>>();
        let awake = |mark: &&&Mark| mark.at >= attempt.start && mark.at < frozen;
        let begin = marks.iter().rfind(awake).copied();
        let late = marks.iter().any(|mark| {
            mark.reason == Reason::AttemptBegin && mark.at >= frozen && mark.at <= attempt.end
        });
        // Between the begin's snapshot and the attempt's start nothing can have slept.
        let near = begin.or(earlier);
        Self {
            begin,
            marks,
            start: near.map(|mark| mono_at(mark, attempt.start)),
            entry: near.zip(attempt.first_entry).map(|(mark, entry)| mono_at(mark, entry)),
            late,
        }
    }

    /// What changed not before `since`.
    fn changed(&self, since: Option<MonoNanos>) -> impl Iterator<Item = &'a Change> {
        let changes = self.marks.iter().flat_map(|mark| &mark.changes);
        changes.filter(move |change| since.is_some_and(|since| change.last >= since))
    }

    /// Who changed since the attempt began, and who was active from before it on: a source's end
    /// counts as an event too (`wakeup_source_deactivate`).
    fn causes(&self) -> Vec<Cause> {
        let mut suspects: BTreeSet<u32> =
            self.changed(self.start).map(|change| change.instance).collect();
        // Active in the first snapshot that there is, and unchanged since the attempt began.
        suspects.extend(self.marks.first().iter().flat_map(|mark| &mark.active));
        suspects.extend(self.begin.iter().flat_map(|mark| &mark.active));
        // Only then was nobody else active that could be to blame as well.
        let proven = suspects.len() == 1
            && self.begin.is_some_and(|begin| begin.whole && begin.active == suspects);
        let evidence = if proven { Evidence::Proven } else { Evidence::Likely };
        suspects.into_iter().map(|instance| Cause { instance, evidence }).collect()
    }

    /// The first source activated in the sleep or after it, as far as snapshots tell: only the last
    /// change of each is known. There is no end to look up to but the next snapshot: a device may
    /// report only when it resumes, as real time clocks do in `dpm_resume_early`.
    fn wake(&self) -> Option<Cause> {
        let held = |instance: &u32| self.begin.is_some_and(|b| b.active.contains(instance));
        let changed = self.changed(self.entry);
        let woke = changed.filter(|change| change.rose && !held(&change.instance));
        let first = woke.min_by_key(|change| (change.last, change.instance))?;
        Some(Cause { instance: first.instance, evidence: Evidence::Likely })
    }
}

/// CLOCK_MONOTONIC at `at`, if nothing slept between it and the snapshot.
fn mono_at(mark: &Mark, at: BootNanos) -> MonoNanos {
    let after = MonoNanos(mark.now.0.saturating_add(at.since(mark.at)));
    MonoNanos(after.0.saturating_sub(mark.at.since(at)))
}
