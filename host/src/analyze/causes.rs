//! The sources that ended each attempt, from the snapshots around it, where edges do not name them.
//!
//! Without edges the evidence is the sources active when the attempt started, and the sources that
//! changed during it by their own time. The snapshot after an attempt may come much later, so
//! attempts wait here, and snapshots as short [`Mark`]s.

use std::collections::{BTreeSet, VecDeque};

use sleepwalk_trace::record::Reason;
use sleepwalk_trace::time::{BootNanos, MonoNanos};

use super::attempts::{Facts, STAYED_NS};
use super::sources::{Change, Mark};
use crate::report::{Attempt, Cause, Evidence, Outcome, Wake};
use crate::session::held::Held;

/// Marks kept: before an attempt, at its start, after its end, and room for ticks within.
const MARKS: usize = 32;

/// Joins attempts to snapshots.
#[derive(Debug, Default)]
pub struct Causes {
    marks: VecDeque<Mark>,
    attempts: Vec<Attempt>,
    /// The last attempts' facts; those wait for a snapshot after their end.
    waiting: VecDeque<Facts>,
    late: u64,
}

impl Causes {
    /// A snapshot was taken.
    pub fn snapshot(&mut self, mark: Mark, held: &Held) {
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back(mark);
        self.resolve(false, held);
    }

    /// An attempt ended. Returns its index.
    pub fn ended(&mut self, attempt: Attempt, facts: Facts) -> usize {
        let index = self.attempts.len();
        self.attempts.push(Attempt { index: index as u64, ..attempt });
        self.waiting.push_back(facts);
        index
    }

    /// How long the device was awake after the last attempt; that counts if it slept.
    pub fn awake(&mut self, ns: u64) {
        if let Some(last) = self.attempts.last_mut() {
            last.after_wake_ns = ns;
        }
    }

    /// The attempts so far.
    pub fn attempts_mut(&mut self) -> &mut [Attempt] {
        &mut self.attempts
    }

    /// Records are missing here: a change across the gap may have happened at any time.
    pub fn gap(&mut self, held: &Held) {
        self.resolve(true, held);
        self.marks.clear();
    }

    /// User space turns out to have waited since then: no awake time followed a wake.
    pub fn waited(&mut self, since: BootNanos) {
        for attempt in self.attempts.iter_mut().rev().take_while(|a| a.end_ns >= since) {
            attempt.after_wake_ns = 0;
        }
    }

    /// The trace is over: every attempt, and for how many the snapshot at the start came too late.
    pub fn finish(mut self, held: &Held) -> (Vec<Attempt>, u64) {
        self.resolve(true, held);
        for attempt in &mut self.attempts {
            if attempt.outcome != Outcome::Slept {
                attempt.wake = None;
                attempt.suspending_ns = 0;
                attempt.after_wake_ns = 0;
            }
        }
        (self.attempts, self.late)
    }

    /// Finds the causes of all attempts that a snapshot followed; of all, if no more will come.
    fn resolve(&mut self, all: bool, held: &Held) {
        let first = self.attempts.len() - self.waiting.len();
        for place in first..self.attempts.len() {
            let next = self.attempts.get(place + 1).map(|attempt| attempt.start_ns);
            let (before, rest) = self.attempts.split_at_mut(place);
            let (before, attempt) = (before.last().map(|attempt| attempt.end_ns), &mut rest[0]);
            let after = self.marks.iter().position(|mark| mark.at >= attempt.end_ns);
            if after.is_none() && !all {
                return;
            }
            let Some(mut facts) = self.waiting.pop_front() else { return };
            let window = Window::around(&self.marks, attempt, &facts, after);
            self.late += u64::from(window.late);
            let slept_ns = window.slept_ns(before, next).filter(|_| facts.first_entry.is_some());
            facts.blames_sources &= !slept_ns.is_some_and(|ns| slept_by_clocks(attempt, ns));
            if facts.by_edges {
                // A source that only counters would blame came too late, or too early.
            } else if facts.blames_sources
                && attempt.outcome != Outcome::Failed
                && attempt.causes.is_empty()
            {
                attempt.causes = window.causes(|instance| held.instance_yields(instance));
            } else if let Some(wake) = &mut attempt.wake
                && wake.source.is_none()
            {
                *wake = Wake::new(wake.irq, window.wake());
            }
        }
    }
}

/// The snapshots around one attempt.
struct Window<'a> {
    /// The last snapshot before user space froze, if it was taken within the attempt: it shows the
    /// sources active at the start.
    begin: Option<&'a Mark>,
    /// Those from the attempt's start up to the first after it. Their changes reach back to the
    /// snapshot before them, which was before the attempt.
    marks: Vec<&'a Mark>,
    /// The attempt's start on the clock of the sources' own times.
    start: Option<MonoNanos>,
    /// The first entry into `machine_suspend` on that clock.
    entry: Option<MonoNanos>,
    /// The snapshots nearest to the sleep, before and after it.
    clocks: Option<(&'a Mark, &'a Mark)>,
    /// The snapshot for the start was walked after the freeze had started.
    late: bool,
}

impl<'a> Window<'a> {
    fn around(
        marks: &'a VecDeque<Mark>,
        attempt: &Attempt,
        facts: &Facts,
        after: Option<usize>,
    ) -> Self {
        let frozen = facts.frozen.unwrap_or(attempt.end_ns);
        let until = after.map_or(marks.len(), |after| after + 1);
        let prior = marks.range(..until).rposition(|mark| mark.at < attempt.start_ns);
        let earlier = prior.and_then(|prior| marks.get(prior));
        let marks = marks.range(prior.map_or(0, |prior| prior + 1)..until).collect::<Vec<_>>();
        let awake = |mark: &&&Mark| mark.at >= attempt.start_ns && mark.at < frozen;
        let begin = marks.iter().rfind(awake).copied();
        let late = marks.iter().any(|mark| {
            mark.reason == Reason::AttemptBegin && mark.at >= frozen && mark.at <= attempt.end_ns
        });
        // Nothing slept between that snapshot and the attempt's start.
        let near = begin.or(earlier);
        let clocks = near.zip(after.and(marks.last().copied()));
        Self {
            begin,
            marks,
            start: near.map(|mark| mono_at(mark, attempt.start_ns)),
            entry: near.zip(facts.first_entry).map(|(mark, entry)| mono_at(mark, entry)),
            clocks,
            late,
        }
    }

    /// How long the device slept by the clocks, if the snapshots are after the end of the attempt before
    /// and before the start of the next.
    fn slept_ns(&self, before: Option<BootNanos>, next: Option<BootNanos>) -> Option<u64> {
        let (start, end) = self.clocks?;
        let alone = before.is_none_or(|before| start.at >= before)
            && next.is_none_or(|next| end.at <= next);
        alone.then(|| end.at.since(start.at).saturating_sub(end.now.0.saturating_sub(start.now.0)))
    }

    /// Changes not before `since`.
    fn changed(&self, since: Option<MonoNanos>) -> impl Iterator<Item = &'a Change> {
        let changes = self.marks.iter().flat_map(|mark| &mark.changes);
        changes.filter(move |change| since.is_some_and(|since| change.last >= since))
    }

    /// The sources that changed since the attempt started, and those active from before: a source's
    /// deactivation counts as an event too (`wakeup_source_deactivate`). They are sorted by instance: in
    /// which order they came up is unknown.
    fn causes(&self, yields: impl Fn(u32) -> bool) -> Vec<Cause> {
        let mut suspects: BTreeSet<u32> =
            self.changed(self.start).map(|change| change.instance).collect();
        // Active in the first snapshot in the window, and unchanged since the attempt started.
        suspects.extend(self.marks.first().iter().flat_map(|mark| &mark.active));
        suspects.extend(self.begin.iter().flat_map(|mark| &mark.active));
        // Only then was no other source active that could be to blame as well.
        let proven = suspects.len() == 1
            && self.begin.is_some_and(|begin| begin.whole && begin.active == suspects);
        let evidence = if proven { Evidence::Proven } else { Evidence::Likely };
        if suspects.iter().any(|instance| !yields(*instance)) {
            suspects.retain(|instance| !yields(*instance));
        }
        let first = suspects.len() == 1;
        let cause = |instance| Cause { first, ..Cause::new(instance, evidence) };
        suspects.into_iter().map(cause).collect()
    }

    /// The first source activated in the sleep or after it, by the last change of each, which is all
    /// that snapshots have. It looks up to the next snapshot, because a device may report only when it
    /// resumes, as real-time clocks do in `dpm_resume_early`.
    fn wake(&self) -> Option<Cause> {
        let held = |instance: &u32| self.begin.is_some_and(|b| b.active.contains(instance));
        let changed = self.changed(self.entry);
        let woke = changed.filter(|change| change.rose && !held(&change.instance));
        let first = woke.min_by_key(|change| (change.last, change.instance))?;
        Some(Cause::new(first.instance, Evidence::Likely))
    }
}

/// If the clocks show clearly more sleep than the phases, the clocks are right: on some devices the RTC adds
/// the sleep to CLOCK_BOOTTIME only after `syscore_resume`. Returns whether they do.
fn slept_by_clocks(attempt: &mut Attempt, slept_ns: u64) -> bool {
    if slept_ns < attempt.slept_ns.saturating_add(STAYED_NS) {
        return false;
    }
    attempt.outcome = Outcome::Slept;
    attempt.slept_ns = slept_ns.min(attempt.duration_ns() - attempt.suspending_ns);
    attempt.causes.clear();
    true
}

/// CLOCK_MONOTONIC at `at`, if the device did not sleep between it and the snapshot.
fn mono_at(mark: &Mark, at: BootNanos) -> MonoNanos {
    let after = MonoNanos(mark.now.0.saturating_add(at.since(mark.at)));
    MonoNanos(after.0.saturating_sub(mark.at.since(at)))
}
