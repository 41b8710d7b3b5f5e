//! One pass over a session, event by event, in the order of their stamps.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sleepwalk_trace::record::{PowerSupply, Reason};
use sleepwalk_trace::time::BootNanos;

use super::Analysis;
use super::active::{self, Active, Blocking};
use super::attempts::{AttemptBuilder, Facts, step_name};
use super::causes::Causes;
use super::ledger;
use super::power;
use super::sources;
use super::spans::Spans;
use super::waits::Waits;
use crate::report::{Attempt, Cause, Evidence, Source, Sum};
use crate::session::decode::{Event, Model, View};
use crate::session::held::{
    self, Held, has_earlier_waits, has_edges, has_exact_counters, has_waits,
};
use crate::session::stretch::HoldKind;

/// Follows the session.
#[derive(Debug, Default)]
pub struct Fold {
    attempts: AttemptBuilder,
    sources: sources::Tracker,
    causes: Causes,
    active: Active,
    waits: Option<Waits>,
    held: Held,
    /// When each source was held, by its place in `held`; `None` unless it is drawn.
    spans: Option<Vec<Spans>>,
    /// Up to where everything is accounted for.
    now: BootNanos,
    /// Something is missing up to the next event.
    gap: bool,
    missing_ns: u64,
    /// Since when the device is awake after the last attempt.
    awake_since: Option<BootNanos>,
    /// The count was saved: from then on an event aborts the attempt that is to come.
    armed: bool,
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
        Self { active: Active::new(), spans: drawn.then(Vec::new), ..Self::default() }
    }

    fn gap(&mut self) {
        self.sources.gap();
        self.causes.gap();
        if let Some(waits) = &mut self.waits {
            waits.gap(self.now, &mut self.active);
        }
        self.awake(self.now);
        self.gap = true;
        self.armed = false;
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
            Waits::new(model.start, has_earlier_waits(model))
        });
        let ns = at.since(self.now);
        if self.gap {
            self.gap = false;
            waits.resume(at, has_earlier_waits(model));
            self.missing_ns += if self.attempts.open() { 0 } else { ns };
        } else if self.attempts.open() {
            // Attempts are accounted for as a whole.
        } else if self.attempts.resuming() {
            self.missing_ns += ns;
        } else if waits.any() {
            self.active.advance(ns, false);
        } else if waits.maybe() {
            self.active.advance(ns, true);
        }
        self.now = self.now.max(at);
    }

    /// Something happened; events come in order.
    pub fn event(&mut self, model: &Model, at: BootNanos, event: Event) {
        if !matches!(event, Event::Gap) {
            self.advance(model, at);
        } else if self.waits.is_none() {
            // Nothing happened before it.
            return;
        } else {
            let broken_off = self.attempts.gap();
            self.ended(model, broken_off);
        }
        let at = self.now;
        self.held.event(model, at, &event);
        self.active.follow(&self.held);
        self.draw();
        match event {
            Event::Edge { source, active: true, shared } => self.attempts.activated(source, shared),
            Event::Edge { .. } => {}
            Event::Phase { action, value, begin } => {
                self.phase(model, at, step_name(model.text(action)), value, begin);
            }
            Event::Return { errno } => {
                // Without a begin it was refused at once, which is an attempt all the same.
                self.awake(at);
                let ended = self.attempts.returned(at, errno);
                self.ended(model, ended);
            }
            Event::WaitBegin { thread } => {
                self.awake(at);
                if let Some(waits) = &mut self.waits {
                    waits.begin(thread, at, &mut self.active);
                }
            }
            Event::WaitEnd { thread, idle } => {
                let waits = self.waits.as_mut();
                let since = waits.and_then(|w| w.end(thread, at, idle, &mut self.active));
                if let Some(since) = since {
                    self.awake_since = None;
                    self.causes.waited(since);
                }
            }
            Event::CountWrite { saved, .. } if !self.attempts.open() => {
                self.armed = saved;
                if saved {
                    self.active.open_window();
                } else {
                    self.active.close_window();
                }
            }
            Event::CountWrite { .. } => {}
            Event::Wake { irq } => self.attempts.woken(irq),
            Event::PowerSupply(supply) => self.readings.push((at, *supply)),
            Event::Gap => self.gap(),
            Event::Snapshot(mut view) => {
                view.at = at;
                self.snapshot(at, &view);
            }
            Event::Lost { .. } | Event::PrologueEnd => {
                self.doubt();
                if let Some(waits) = &mut self.waits {
                    waits.lost(&mut self.active);
                }
            }
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
            self.awake(at);
            if self.armed {
                self.active.add_active();
            } else {
                self.active.open_window();
            }
            self.armed = false;
        }
        if self.attempts.resuming() {
            self.awake(at);
        }
        if self.attempts.open() && !self.attempts.suspending() {
            self.active.close_window();
        }
    }

    /// An attempt ended, if there is one.
    fn ended(&mut self, model: &Model, ended: Option<(Attempt, Facts)>) {
        let Some((mut attempt, mut facts)) = ended else { return };
        // Its return was lost, and what happened since its last phase as well.
        self.missing_ns += self.now.since(attempt.end_ns);
        facts.by_edges = self.held.known() && self.held.edges(model);
        if facts.blames_sources {
            attempt.causes = self.suspects(model);
        }
        if !self.held.known()
            && let Some(wake) = &mut attempt.wake
            && wake.source.is_some()
        {
            wake.evidence = Evidence::Likely;
        }
        self.active.close_window();
        self.armed = false;
        let waiting = self.waits.as_ref().is_some_and(Waits::any);
        let free = attempt.wake.is_some() && !waiting;
        // Where its return was lost, what followed its last phase is not known to be awake time.
        self.awake_since = free.then_some(self.now);
        self.causes.ended(attempt, facts);
    }

    /// The sources that edges show to have kept the current attempt from sleeping.
    fn suspects(&self, model: &Model) -> Vec<Cause> {
        let suspects = self.active.suspects(&self.held);
        let alone = suspects.len() == 1;
        let cause = |suspect: &active::Suspect| {
            let sure = (suspect.activated || alone) && !suspect.shared && self.held.known();
            let evidence = if sure { Evidence::Proven } else { Evidence::Likely };
            Cause::new(suspect.instance, evidence)
        };
        // Without edges only a snapshot in the attempt shows the active sources; see [`Causes`].
        let suspects_by_edges = suspects.iter().filter(|_| self.held.edges(model));
        let mut causes: Vec<Cause> = suspects_by_edges.map(cause).collect();
        // An `eventpoll` is active for a moment when an event of another source is handed over: all of
        // them share a name, and would rank above every culprit.
        if causes.iter().any(|cause| cause.evidence == Evidence::Proven) {
            let shared = |i: u32| suspects.iter().any(|s| s.instance == i && s.shared);
            causes.retain(|cause| !shared(cause.instance));
        }
        causes.sort_by_key(|cause| cause.instance);
        causes
    }

    /// The holds that became final.
    fn draw(&mut self) {
        if let Some(spans) = &mut self.spans {
            for hold in self.held.holds().iter() {
                let slot = hold.slot as usize;
                spans.resize_with(spans.len().max(slot + 1), Spans::default);
                match hold.kind {
                    HoldKind::Began { .. } => spans[slot].begin(hold.at),
                    HoldKind::Ended { .. } => spans[slot].end(hold.at),
                    HoldKind::Appeared | HoldKind::Removed => {}
                }
            }
        }
        self.held.holds().clear();
    }

    fn snapshot(&mut self, at: BootNanos, view: &View) {
        if view.reason == Reason::End && self.before_end.is_none() {
            self.before_end = Some(self.sources.activations());
        }
        let mark = self.sources.snapshot(view);
        self.causes.snapshot(mark);
        if let Some(since) = self.doubt_since.take() {
            self.doubtful_ns = self.doubtful_ns.saturating_add(at.since(since));
        }
        self.last_snapshot = Some(at);
    }

    /// The trace is over.
    pub fn finish(mut self, model: Model) -> Analysis {
        self.advance(&model, model.end);
        let unfinished = self.attempts.finish();
        self.ended(&model, unfinished);
        self.awake(self.now);
        if let Some(since) = self.doubt_since {
            self.doubtful_ns = self.doubtful_ns.saturating_add(self.now.since(since));
        }
        let waits = self.waits.take();
        let mut waits = waits.map_or(Vec::new(), |waits| waits.finish(self.now, &mut self.active));
        let torn_states = self.sources.torn_states();
        let (attempts, late_snapshots) = self.causes.finish();
        let cost = self.active.finish(&self.held);
        self.held.finish(&model, self.now);
        let held = &mut self.held;
        let recorded = has_edges(&model) && has_waits(&model);
        if !recorded {
            // Between two snapshots it is unknown which sources blocked a wait.
            waits.iter_mut().for_each(|wait| wait.blockers.clear());
        }
        let ledger = ledger::ledger(&model, &attempts, recorded.then_some(&cost), self.missing_ns);
        let mut sources = self.sources.finish();
        let unseen = unseen(&sources, &mut held.sources, &model, self.before_end.as_ref());
        join(&mut sources, &held.sources, &model, self.last_snapshot);
        let costs = ledger::costs_by(&attempts, |instance| instance);
        let mut spans = self.spans.unwrap_or_default();
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
            let spans = slot.and_then(|slot| spans.get_mut(slot)).map(std::mem::take);
            source.spans = spans.unwrap_or_default().finish(model.duration_ns());
        }
        Analysis {
            power: power::power(self.readings, &model, &attempts),
            attempts,
            waits,
            ledger,
            sources,
            sole_by_name: cost.sole_by_name,
            late_snapshots,
            torn_states,
            contradictions: match model.edges {
                0 => unseen,
                _ => held.contradictions.saturating_add(unseen),
            },
            doubtful_ns: self.doubtful_ns,
            model,
        }
    }
}

/// Adds what edges have to what counters have. Edges show sources that no snapshot has met; counters
/// have activations that edges missed.
fn join(
    counted: &mut BTreeMap<u32, Source>,
    sources: &[held::Source],
    model: &Model,
    last_snapshot: Option<BootNanos>,
) {
    for source in sources {
        let (held_ns, activations) = (source.holder.held_ns, source.activations);
        match (counted.entry(source.instance), source.first) {
            (Entry::Occupied(counted), first) => {
                let counted = counted.into_mut();
                counted.sum.held_ns = held_ns;
                counted.sum.held_at_least = source.holder.at_least;
                let Some(first) = first else { continue };
                counted.first_ns = counted.first_ns.min(first);
                counted.last_ns = counted.last_ns.max(source.last);
                if !source.doubtful && has_edges(model) && model.edges > 0 {
                    counted.sum.activations = activations;
                    counted.sum.events = counted.sum.events.max(activations);
                }
            }
            (Entry::Vacant(unseen), Some(first_ns)) => {
                // Each activation is an event; other events are unknown.
                let events = activations;
                unseen.insert(Source {
                    first_ns,
                    last_ns: source.last,
                    born: true,
                    died: last_snapshot.is_some_and(|at| at > source.last),
                    active_at_end: source.active_at_end,
                    sum: Sum { instances: 1, held_ns, activations, events, ..Sum::default() },
                    ..Source::default()
                });
            }
            (Entry::Vacant(_), None) => {}
        }
    }
}

/// How many activations the counters have that no edge showed and nothing counted as lost. The edges
/// of a source with any are not believed.
fn unseen(
    counted: &BTreeMap<u32, Source>,
    sources: &mut [held::Source],
    model: &Model,
    before_end: Option<&BTreeMap<u32, u64>>,
) -> u64 {
    if !has_edges(model) || !has_exact_counters(model) {
        return 0;
    }
    let mut unseen = 0u64;
    for source in sources.iter_mut() {
        let instance = &source.instance;
        let Some(all) = counted.get(instance) else { continue };
        let counted = before_end
            .map_or(all.sum.activations, |before| before.get(instance).copied().unwrap_or(0));
        let missing = counted.saturating_sub(source.activations);
        if !source.doubtful && missing > 0 {
            source.doubtful = true;
            unseen = unseen.saturating_add(missing);
        }
    }
    unseen
}
