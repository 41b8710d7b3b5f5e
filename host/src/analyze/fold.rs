//! One pass over a session, event by event, in the order of their stamps.

mod user_space;

use std::collections::BTreeMap;

use sleepwalk_trace::record::{PowerSupply, Reason};
use sleepwalk_trace::time::BootNanos;

use super::Analysis;
use super::activators::Activators;
use super::active::{self, Active, Blocking};
use super::armed::Armed;
use super::attempts::{AttemptBuilder, Facts, step_name};
use super::causes::Causes;
use super::clocks;
use super::join::{join, names, unseen};
use super::kernel_counts::{KernelCounts, Wakeup, find_dead_hooks};
use super::ledger;
use super::power;
use super::sources;
use super::suspend_loop::SuspendLoop;
use super::tally::Tally;
use super::waits::Waits;
use super::wake_reasons::WakeReasons;
use super::wakes::Wakes;
use crate::report::{Attempt, Cause, Evidence, Outcome, Span};
use crate::session::decode::{Event, Model, View};
use crate::session::held::{Held, has_count_writes, has_earlier_waits, has_edges, has_waits};
use crate::session::hooks::Proofs;

/// Follows the session.
#[derive(Debug, Default)]
pub struct Fold {
    attempts: AttemptBuilder,
    sources: sources::Tracker,
    causes: Causes,
    counts: KernelCounts,
    active: Active,
    waits: Option<Waits>,
    held: Held,
    wakes: Wakes,
    tally: Tally,
    activators: Activators,
    /// Up to where everything is accounted for.
    now: BootNanos,
    /// Something is missing up to the next event.
    gap: bool,
    missing: Vec<Span>,
    suspend_loop: SuspendLoop,
    clocks: clocks::Readings,
    /// Since when the device is awake after the last attempt.
    awake_since: Option<BootNanos>,
    armed: Armed,
    /// Refused writes of the count since the last attempt.
    save_refused: u64,
    /// A wait has ended because no source was active, and none was activated since.
    idle: bool,
    /// The threads that wait where a ring's records begin, from its prologue.
    in_prologue: Option<(Vec<u32>, bool)>,
    /// A wait ended idle since the last attempt, and for how many attempts that was so.
    waited: bool,
    after_waits: u64,
    wake_reasons: WakeReasons,
    last_snapshot: Option<BootNanos>,
    /// The activations that counters had before the last snapshot of all: edges right before that are not in
    /// the trace.
    before_end: Option<BTreeMap<u32, u64>>,
    doubt_since: Option<BootNanos>,
    doubtful_ns: u64,
    readings: Vec<(BootNanos, PowerSupply)>,
}

impl Fold {
    /// Nothing has happened yet. To be `drawn`, it keeps when each source was held.
    pub fn new(drawn: bool) -> Self {
        Self { active: Active::new(), tally: Tally::new(drawn), ..Self::default() }
    }

    fn gap(&mut self) {
        self.sources.gap();
        self.causes.gap(&self.held);
        if let Some(waits) = &mut self.waits {
            waits.gap(self.now, &mut self.active);
        }
        self.suspend_loop.gap(self.now);
        self.awake(self.now);
        self.gap = true;
        self.idle = false;
        self.armed.forget(self.now);
        self.doubt();
    }

    fn doubt(&mut self) {
        self.doubt_since = self.doubt_since.or(self.last_snapshot).or(Some(self.now));
    }

    /// The device was awake up to here. From here on user space wants it to sleep, or nothing is
    /// known.
    fn awake(&mut self, at: BootNanos) {
        if let Some(since) = self.awake_since.take() {
            self.causes.awake(at.since(since));
        }
    }

    fn advance(&mut self, model: &Model, at: BootNanos) {
        let waits = self.waits.get_or_insert_with(|| {
            self.now = model.start;
            self.armed.forget(model.start);
            Waits::new(model.start, has_earlier_waits(model))
        });
        if self.gap {
            self.gap = false;
            waits.resume(at);
            self.missing(self.now, at);
        } else if self.attempts.open() {
            // Attempts are accounted for as a whole.
        } else if self.attempts.resuming() {
            self.missing(self.now, at);
        } else {
            waits.advance(at, at.since(self.now), &mut self.active);
        }
        self.now = self.now.max(at);
    }

    /// Records are missing here. Parts that touch are one, so that their number does not grow with events.
    fn missing(&mut self, start_ns: BootNanos, end_ns: BootNanos) {
        match self.missing.last_mut() {
            _ if start_ns >= end_ns => {}
            Some(last) if last.end_ns == start_ns => last.end_ns = end_ns,
            _ => self.missing.push(Span { start_ns, end_ns }),
        }
    }

    /// Something happened; events come in order.
    pub fn event(&mut self, model: &Model, at: BootNanos, event: Event) {
        if let Event::Clocks { difference_ns } = event {
            return self.clocks.read(at, difference_ns);
        }
        let missing = matches!(event, Event::Gap | Event::PrologueEnd);
        if missing && self.waits.is_none() {
            // Nothing happened before it.
            return;
        }
        if missing {
            let broken_off = self.attempts.gap();
            self.ended(model, broken_off);
            self.gap();
        }
        if !matches!(event, Event::Gap) {
            self.advance(model, at);
        }
        let at = self.now;
        self.held.event(model, at, &event);
        self.active.follow(&self.held);
        if let Event::Edge { source, active: true, by, .. } = event {
            self.activators.activated(at, source, by);
        }
        self.activators.follow(self.held.holds());
        self.tally.take(&mut self.held);
        self.follow_waits(model, at, &event);
        match event {
            Event::Edge { source, active: true, shared, .. } => {
                self.attempts.activated(source, shared);
                self.attempts.wakeup_event(at, false);
            }
            Event::Edge { .. } => {}
            Event::Phase { action, value, begin } => {
                self.phase(model, at, step_name(model.text(action)), value, begin);
            }
            Event::Return { errno } => {
                // Without a begin it was refused at once, which is an attempt all the same.
                if !self.attempts.open() {
                    self.begins(model, at);
                }
                let ended = self.attempts.returned(at, errno);
                let attempt = ended.is_some().then(|| self.causes.attempts_mut().len());
                self.wake_reasons.returned(ended.is_some());
                let wakeup = self.ended(model, ended);
                let attempts = self.causes.attempts_mut();
                self.counts.returned(at, errno, attempt, wakeup, attempts);
            }
            Event::WaitBegin { .. } | Event::WaitEnd { .. } | Event::CountWrite { .. } => {
                self.user_space(model, at, &event);
            }
            Event::Wake { irq } => {
                self.attempts.woken(irq);
                self.attempts.wakeup_event(at, true);
            }
            Event::WakeReason(reason) => {
                let attempts = self.causes.attempts_mut();
                self.wake_reasons.read(&reason, &mut self.attempts, attempts);
            }
            Event::SuspendStats(stats) => {
                self.counts.read(model, at, &stats, self.causes.attempts_mut());
            }
            Event::PowerSupply(supply) => self.readings.push((at, *supply)),
            Event::Snapshot(mut view) => {
                view.at = at;
                self.snapshot(at, &view);
            }
            Event::Waiters { in_prologue, threads, all } => {
                self.in_prologue = in_prologue.then_some((threads, all));
            }
            Event::Lost { .. } => {
                self.suspend_loop.gap(at);
                self.awake(at);
                self.armed.forget(at);
                self.doubt();
                self.counts.gap(false);
            }
            Event::Gap | Event::PrologueEnd => {
                self.armed.forget(at);
                self.counts.gap(matches!(event, Event::Gap));
                self.wake_reasons.returned(false);
            }
            Event::Clocks { .. } => {}
        }
    }

    fn phase(
        &mut self,
        model: &Model,
        at: BootNanos,
        action: &'static str,
        value: i32,
        begin: bool,
    ) {
        let open = self.attempts.open();
        let ended = self.attempts.phase(at, action, value, begin);
        if ended.is_some() {
            self.ended(model, ended);
        }
        if self.attempts.open() && (!open || action == "suspend_enter" && begin) {
            self.begins(model, at);
        }
        // No thread of user space waits from here on.
        if matches!(action, "freeze_processes" | "machine_suspend")
            && begin
            && let Some(waits) = &mut self.waits
        {
            waits.settle(at, &mut self.active);
        }
        if self.attempts.resuming() {
            self.awake(at);
        }
        if self.attempts.open() && !self.attempts.suspending() {
            self.active.close_window();
        }
    }

    /// An attempt begins.
    fn begins(&mut self, model: &Model, at: BootNanos) {
        self.awake(at);
        self.suspend_loop.attempt(at, has_count_writes(model));
        self.armed.begin(at, has_count_writes(model));
        self.after_waits += u64::from(std::mem::take(&mut self.waited));
        if self.armed.attempt == Some(true) {
            self.active.add_active();
        } else {
            self.active.open_window();
        }
    }

    /// An attempt ended, if there is one. Returns whether a wakeup may have ended it.
    fn ended(&mut self, model: &Model, ended: Option<(Attempt, Facts)>) -> Wakeup {
        let Some((mut attempt, mut facts)) = ended else { return Wakeup::default() };
        // Its return was lost, and what happened since its last phase as well.
        self.missing(attempt.end_ns, self.now);
        facts.by_edges = self.held.known() && self.held.edges(model);
        attempt.save_refused = std::mem::take(&mut self.save_refused);
        attempt.armed = self.armed.attempt;
        if facts.by_edges && facts.froze_too_long {
            // Somebody has lowered the limit.
            facts.blames_sources = false;
            attempt.outcome = Outcome::Failed;
            attempt.freeze_timeout = true;
        }
        facts.blames_sources &= attempt.armed != Some(false);
        let wakeup = self.wakeup(&facts);
        if facts.blames_sources {
            attempt.causes = self.suspects(model);
            if facts.at_freeze_limit || attempt.armed.is_none() {
                attempt.causes.iter_mut().for_each(|cause| cause.evidence = Evidence::Likely);
            }
        }
        self.wakes.ended(std::mem::take(&mut facts.activated), self.held.known());
        self.armed.end(&attempt);
        if self.armed.now != Some(true) {
            self.active.close_window();
        }
        let waiting = self.waits.as_ref().is_some_and(Waits::any);
        // Whether it slept may show only later, by the clocks.
        let free = facts.first_entry.is_some() && !waiting;
        // Where its return was lost, what followed its last phase is not known to be awake time.
        self.awake_since = free.then_some(self.now);
        let returned = attempt.outcome != Outcome::Unfinished;
        let index = self.causes.ended(attempt, facts);
        if returned {
            self.suspend_loop.returned(index, self.now);
        }
        wakeup
    }

    /// Whether a wakeup may have ended the attempt that just ended.
    fn wakeup(&self, facts: &Facts) -> Wakeup {
        let suspects = self.active.suspects(&self.held);
        Wakeup {
            event: !facts.by_edges || facts.interrupted || suspects.iter().any(|s| s.activated),
            active: !suspects.is_empty(),
            armed: self.armed.attempt == Some(true),
        }
    }

    /// The sources that edges show to have kept the current attempt from sleeping.
    fn suspects(&self, model: &Model) -> Vec<Cause> {
        let mut suspects = self.active.suspects(&self.held);
        let alone = suspects.len() == 1;
        if suspects.iter().any(|suspect| !suspect.yields) {
            suspects.retain(|suspect| !suspect.yields);
        }
        let cause = |suspect: &active::Suspect| {
            let sure = (suspect.activated || alone) && !suspect.shared && self.held.known();
            let evidence = if sure { Evidence::Proven } else { Evidence::Likely };
            Cause::new(suspect.instance, evidence)
        };
        // Without edges only a snapshot in the attempt shows the active sources; see [`Causes`].
        let suspects_by_edges = suspects.iter().filter(|_| self.held.edges(model));
        let mut causes: Vec<Cause> = suspects_by_edges.map(cause).collect();
        let alone_at_first = suspects.get(1).is_none_or(|next| next.since > suspects[0].since);
        if let Some(cause) = causes.first_mut() {
            cause.first = self.held.known() && alone_at_first;
        }
        causes
    }

    fn snapshot(&mut self, at: BootNanos, view: &View) {
        if view.reason == Reason::End && self.before_end.is_none() {
            self.before_end = Some(self.sources.activations());
        }
        self.clocks.read(at, at.0.saturating_sub(view.now.0));
        let mark = self.sources.snapshot(view);
        self.causes.snapshot(mark, &self.held);
        if let Some(since) = self.doubt_since.take() {
            self.doubtful_ns = self.doubtful_ns.saturating_add(at.since(since));
        }
        self.last_snapshot = Some(at);
    }

    /// Facts that show which hooks must have fired, without those of attempts.
    fn proofs(&self) -> Proofs {
        let counters = self.before_end.clone().unwrap_or_else(|| self.sources.activations());
        Proofs {
            activations: counters.into_values().fold(0, u64::saturating_add),
            after_waits: self.after_waits,
            irq_wakes: self.wake_reasons.irq_wakes,
            ..Proofs::default()
        }
    }

    /// The trace is over.
    pub fn finish(mut self, mut model: Model) -> Analysis {
        self.advance(&model, model.end);
        let unfinished = self.attempts.finish();
        self.ended(&model, unfinished);
        self.awake(self.now);
        if let Some(since) = self.doubt_since {
            self.doubtful_ns = self.doubtful_ns.saturating_add(self.now.since(since));
        }
        let waits = self.waits.take().map(|waits| waits.finish(self.now, &mut self.active));
        let (mut waits, maybe) = waits.unwrap_or_default();
        let torn_states = self.sources.torn_states();
        let proofs = self.proofs();
        let (mut attempts, late_snapshots) = self.causes.finish(&self.held);
        let counted = self.counts.sums(&model, &attempts);
        find_dead_hooks(&mut model, proofs, counted, &mut attempts);
        self.counts.finish(&model, &mut attempts);
        self.wakes.finish(&model, &mut attempts, |instance| self.held.instance_yields(instance));
        self.suspend_loop.finish(self.now);
        let cost = self.active.finish(&self.held);
        self.held.finish(&model, self.now);
        self.activators.follow(self.held.holds());
        self.tally.take(&mut self.held);
        let held = &mut self.held;
        let recorded = has_edges(&model) && has_waits(&model);
        if !recorded {
            // Between two snapshots it is unknown which sources blocked a wait.
            waits.iter_mut().for_each(|wait| wait.blockers.clear());
        }
        let timeline = ledger::Timeline {
            attempts: &mut attempts,
            recorded,
            writes: has_count_writes(&model),
            waits: &waits,
            missing: &self.missing,
            maybe: &maybe,
            suspend_loop: self.suspend_loop,
            growth: &self.clocks.growth(&model),
            nobody_ns: cost.nobody_ns,
        };
        let total = timeline.total(&model);
        let mut sources = self.sources.finish();
        let unseen = unseen(&sources, held, &model, self.before_end.as_ref());
        join(&mut sources, &held.sources, &model, self.last_snapshot);
        let costs = ledger::costs_by(&attempts, &total.refusals, |culprit| culprit.source());
        for (instance, source) in &mut sources {
            source.sum.add(&costs.get(instance).copied().unwrap_or_default());
            let slot = held.place(*instance);
            if recorded {
                let blocking = slot.and_then(|slot| cost.blocking.get(slot));
                let Blocking { share_ns, sole_ns } = blocking.copied().unwrap_or_default();
                source.sum.blocked_share_ns = Some(share_ns);
                source.sum.blocked_sole_ns = Some(sole_ns);
            }
            source.sum.total();
            if let Some(slot) = slot {
                self.tally.finish(slot, source, model.duration_ns());
            }
        }
        let names = names(held, &cost, &self.tally);
        Analysis {
            power: power::power(self.readings, &model, &attempts),
            attempts,
            waits,
            counted,
            ledger: total.ledger,
            user_space: total.user_space,
            traced: None,
            refusals: total.refusals,
            maybe_blocked_ns: total.maybe_blocked_ns,
            clock_conflict_ns: total.clock_conflict_ns,
            sources,
            activators: self.activators.finish(),
            names,
            overlaps: cost.overlaps,
            late_snapshots,
            torn_states,
            contradictions: if model.edges == 0 { 0 } else { held.contradictions }
                .saturating_add(unseen),
            doubtful_ns: self.doubtful_ns,
            model,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_parts_that_touch_are_one() {
        let mut fold = Fold::new(false);
        for (start, end) in [(1, 2), (2, 2), (2, 5), (7, 7), (8, 9)] {
            fold.missing(BootNanos(start), BootNanos(end));
        }
        let parts: Vec<_> =
            fold.missing.iter().map(|part| (part.start_ns.0, part.end_ns.0)).collect();
        assert_eq!(parts, [(1, 5), (8, 9)]);
    }
}
