//! One pass over a session, event by event, in the order of their stamps.

use std::collections::BTreeMap;

use sleepwalk_trace::record::Reason;
use sleepwalk_trace::time::BootNanos;

use super::Analysis;
use super::active::{self, Active, Blocking};
use super::attempts::{AttemptBuilder, Facts};
use super::causes::Causes;
use super::ledger::{self, Charge, Outside};
use super::order::{Order, Taken, What};
use super::slept::Slept;
use super::sources::{self, Tally};
use super::waits::Waits;
use crate::report::{Attempt, Cause, Evidence};
use crate::session::decode::Model;

/// A source's change that a snapshot's walk came so near to is left to the edges.
const NEAR_NS: u64 = 1_000_000;

/// Follows the session.
#[derive(Debug)]
pub struct Fold {
    order: Order,
    attempts: AttemptBuilder,
    sources: sources::Tracker,
    causes: Causes,
    active: Active,
    waits: Option<Waits>,
    slept: Slept,
    /// The trace says that it has edges.
    hooked: bool,
    /// Up to where everything is accounted for.
    now: BootNanos,
    /// Who is active is known, by a snapshot and the edges since.
    known: bool,
    /// Something is missing up to the next event.
    gap: bool,
    missing_ns: u64,
    /// Since when the device is awake after the last attempt.
    awake_since: Option<BootNanos>,
    /// The count was saved: from then on an event aborts the attempt that is to come.
    armed: bool,
    last_snapshot: Option<BootNanos>,
    /// What counters had come to before the last snapshot of all: edges right before that are not in
    /// the trace.
    before_end: Option<BTreeMap<u32, u64>>,
    doubt_since: Option<BootNanos>,
    doubtful_ns: u64,
}

impl Fold {
    /// Nothing has happened yet. To be `drawn`, it keeps when each source was held.
    pub fn new(drawn: bool) -> Self {
        Self {
            order: Order::default(),
            attempts: AttemptBuilder::default(),
            sources: sources::Tracker::default(),
            causes: Causes::default(),
            active: Active::drawn(drawn),
            waits: None,
            slept: Slept::default(),
            hooked: false,
            now: BootNanos(0),
            known: false,
            gap: false,
            missing_ns: 0,
            awake_since: None,
            armed: false,
            last_snapshot: None,
            before_end: None,
            doubt_since: None,
            doubtful_ns: 0,
        }
    }

    /// Something happened.
    pub fn take(&mut self, model: &Model, at: BootNanos, what: What) {
        self.order.push(at, what);
        while let Some((at, what)) = self.order.pop() {
            self.event(model, at, what);
        }
    }

    /// Records are missing here.
    pub fn gap(&mut self, model: &Model) {
        while let Some((at, what)) = self.order.pop_any() {
            self.event(model, at, what);
        }
        let broken_off = self.attempts.gap();
        self.ended(broken_off);
        self.sources.gap();
        self.causes.gap();
        let Some(waits) = &mut self.waits else { return };
        waits.gap(self.now, &mut self.active);
        self.active.forget(self.now, self.slept.awake(self.now));
        self.awake(self.now);
        self.known = false;
        self.gap = true;
        self.armed = false;
        self.doubt();
    }

    fn doubt(&mut self) {
        self.doubt_since = self.doubt_since.or(self.last_snapshot).or(Some(self.now));
    }

    /// The device was awake up to here, and from here on somebody wants it to sleep, or nothing is
    /// known.
    fn awake(&mut self, at: BootNanos) {
        if let Some(since) = self.awake_since.take() {
            self.causes.awake(at.since(since));
        }
    }

    /// Whether edges are recorded, so that what they do not tell did not happen.
    fn edges(&self) -> bool {
        self.hooked || self.active.edges > 0
    }

    fn advance(&mut self, model: &Model, at: BootNanos) {
        let waits = self.waits.get_or_insert_with(|| {
            self.now = model.start;
            self.hooked = model.session.as_ref().is_some_and(|session| session.edges);
            Waits::new(model.start, unmatched_ends(model))
        });
        let ns = at.since(self.now);
        if self.gap {
            self.gap = false;
            waits.resume(at, unmatched_ends(model));
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

    fn event(&mut self, model: &Model, at: BootNanos, what: What) {
        self.advance(model, at);
        let at = self.now;
        let awake = self.slept.awake(at);
        match what {
            What::Edge { source, active, shared } => {
                let before = self.active.contradictions;
                self.active.edge((source, active, shared), at, awake, || name(model, source));
                if !self.known {
                    // What is not known can't be contradicted: the end of what began before.
                    self.active.contradictions = before;
                }
                if active {
                    self.attempts.activated(source, shared);
                }
            }
            What::Phase { action, value, begin } => self.phase(at, action, value, begin),
            What::Return { errno } => {
                self.slept.end(at);
                // Without a begin it was refused at once, which is an attempt all the same.
                self.awake(at);
                let ended = self.attempts.returned(at, errno);
                self.ended(ended);
            }
            What::WaitBegin { thread } => {
                self.awake(at);
                if let Some(waits) = &mut self.waits {
                    waits.begin(thread, at, &mut self.active);
                }
            }
            What::WaitEnd { thread, idle } => {
                let waits = self.waits.as_mut();
                let since = waits.and_then(|w| w.end(thread, at, idle, &mut self.active));
                if let Some(since) = since {
                    self.awake_since = None;
                    self.causes.waited(since);
                }
            }
            What::Save { saved } if !self.attempts.open() => {
                self.armed = saved;
                if saved {
                    self.active.open_window();
                } else {
                    self.active.close_window();
                }
            }
            What::Save { .. } => {}
            What::Wake { irq } => self.attempts.woken(irq),
            What::Snapshot(mut taken) => {
                taken.at = at;
                self.snapshot(model, at, &taken);
            }
            What::Lost => {
                self.doubt();
                self.known = false;
                self.active.doubt();
                if let Some(waits) = &mut self.waits {
                    waits.lost(&mut self.active);
                }
            }
        }
    }

    fn phase(&mut self, at: BootNanos, action: &'static str, value: i32, begin: bool) {
        self.slept.phase(at, action, value, begin);
        let open = self.attempts.open();
        let ended = self.attempts.phase(at, action, value, begin);
        if ended.is_some() {
            self.ended(ended);
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
    fn ended(&mut self, ended: Option<(Attempt, Facts)>) {
        let Some((mut attempt, mut facts)) = ended else { return };
        // Its return was lost, and what happened since its last phase as well.
        self.missing_ns += self.now.since(attempt.end_ns);
        facts.by_edges = self.known && self.edges();
        if facts.blames_sources {
            attempt.causes = self.suspects();
        }
        if !self.known
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

    /// Whom edges show to have kept the attempt under way from sleeping.
    fn suspects(&self) -> Vec<Cause> {
        let suspects = self.active.suspects();
        let alone = suspects.len() == 1;
        let cause = |suspect: &active::Suspect| {
            let sure = (suspect.activated || alone) && !suspect.shared && self.known;
            let evidence = if sure { Evidence::Proven } else { Evidence::Likely };
            Cause::new(suspect.instance, evidence)
        };
        // Without edges only a snapshot in the attempt shows the active sources; see [`Causes`].
        let told = suspects.iter().filter(|_| self.edges());
        let mut causes: Vec<Cause> = told.map(cause).collect();
        // An `eventpoll` is active for a moment when an event of another source is handed over: all of
        // them share a name, and would stand above each culprit.
        if causes.iter().any(|cause| cause.evidence == Evidence::Proven) {
            let shared = |i: u32| suspects.iter().any(|s| s.instance == i && s.shared);
            causes.retain(|cause| !shared(cause.instance));
        }
        causes.sort_by_key(|cause| cause.instance);
        causes
    }

    fn snapshot(&mut self, model: &Model, at: BootNanos, taken: &Taken) {
        let awake = self.slept.awake(at);
        let last = taken.reason == Reason::End;
        if last && self.before_end.is_none() {
            self.before_end = Some(self.sources.activations());
        }
        let news = !self.known || self.doubt_since.is_some() || last;
        for (instance, state) in taken.states.iter().filter(|(_, state)| !state.torn()) {
            let last_ns = state.counters.last_ns;
            let near = last_ns.saturating_add(NEAR_NS) > taken.now.0;
            if near && self.known && self.edges() {
                continue;
            }
            // What changed during the walk was the other way round at its begin.
            let active = state.active() != (last_ns > taken.now.0);
            self.active.show((*instance, active), at, awake, news, || name(model, *instance));
        }
        let mark = self.sources.snapshot(taken);
        let there = |i: &u32| taken.states.binary_search_by_key(i, |(i, _)| *i).is_ok();
        let mut gone = taken.gone.clone();
        if taken.full && taken.whole {
            gone.extend(self.active.now().iter().filter(|i| !there(i)));
        }
        for instance in gone {
            self.active.show((instance, false), at, awake, true, || name(model, instance));
        }
        for instance in self.active.pooled() {
            let active = self.sources.active(instance);
            self.active.show((instance, active), at, awake, true, || name(model, instance));
        }
        self.causes.snapshot(mark);
        if let Some(since) = self.doubt_since.take() {
            self.doubtful_ns = self.doubtful_ns.saturating_add(at.since(since));
        }
        self.known = true;
        self.last_snapshot = Some(at);
    }

    /// The trace is over.
    pub fn finish(mut self, model: Model) -> Analysis {
        while let Some((at, what)) = self.order.pop_any() {
            self.event(&model, at, what);
        }
        self.advance(&model, model.end);
        self.slept.end(self.now);
        let unfinished = self.attempts.finish();
        self.ended(unfinished);
        self.awake(self.now);
        if let Some(since) = self.doubt_since {
            self.doubtful_ns = self.doubtful_ns.saturating_add(self.now.since(since));
        }
        let waits = self.waits.take();
        let mut waits = waits.map_or(Vec::new(), |waits| waits.finish(self.now, &mut self.active));
        let torn_states = self.sources.torn_states();
        let (attempts, late_snapshots) = self.causes.finish();
        let mut edges = self.active.finish(self.now, self.slept.awake(self.now));
        let told = told(&model);
        if !told {
            // Between two snapshots nobody knows who held a wait up.
            waits.iter_mut().for_each(|wait| wait.blockers.clear());
        }
        let outside = Outside {
            recorded: told,
            blocked_ns: edges.blocked_ns,
            nobody_ns: edges.nobody_ns,
            missing_ns: self.missing_ns,
        };
        let ledger = ledger::ledger(&model, &attempts, &outside);
        let mut sources = self.sources.finish();
        let unseen = unseen(&sources, &mut edges, &model, self.before_end.as_ref());
        join(&mut sources, &edges, &model, self.last_snapshot);
        let costs = ledger::charge_by(&attempts, |instance| instance);
        let mut analysis =
            Analysis { attempts, waits, ledger, late_snapshots, ..Analysis::default() };
        for tally in &sources {
            let (source, blocking) = edges.sources.remove(&tally.instance).unwrap_or_default();
            let Blocking { share_ns, sole_ns } = if told { blocking } else { Blocking::default() };
            let cost = costs.get(&tally.instance).copied().unwrap_or_default();
            analysis.charges.push(Charge {
                blocked_share_ns: share_ns,
                blocked_sole_ns: sole_ns,
                ..cost
            });
            analysis.spans.push(source.spans.finish(model.duration_ns()));
        }
        Analysis {
            sources,
            sole_by_name: edges.sole_by_name,
            torn_states,
            contradictions: match model.edges {
                0 => unseen,
                _ => edges.contradictions.saturating_add(unseen),
            },
            doubtful_ns: self.doubtful_ns,
            model,
            ..analysis
        }
    }
}

/// Whether waits and edges were recorded, so that blocked time can be told.
fn told(model: &Model) -> bool {
    match &model.session {
        Some(session) => session.edges && hook(model, "wait").is_some_and(|how| !how.is_empty()),
        None => model.edges > 0,
    }
}

/// Whether an end without a begin means a wait from before the session. A kretprobe can't tell a
/// blocking call from others.
fn unmatched_ends(model: &Model) -> bool {
    hook(model, "wait").is_some_and(|how| !how.is_empty() && how != "kretprobe")
}

fn hook<'a>(model: &'a Model, what: &str) -> Option<&'a str> {
    let hooks = &model.session.as_ref()?.hooks;
    hooks.iter().find(|hook| hook.what == what).map(|hook| hook.how.as_str())
}

/// The number of a source's name.
fn name(model: &Model, instance: u32) -> u32 {
    model.sources.get(&instance).map_or(u32::MAX, |source| source.name)
}

/// Adds what edges say to what counters say. Edges know held times from the first instant to the
/// last, and sources that no snapshot has met; counters know what edges missed.
fn join(
    tallies: &mut Vec<Tally>,
    edges: &active::Outcome,
    model: &Model,
    last_snapshot: Option<BootNanos>,
) {
    for tally in tallies.iter_mut() {
        let Some((source, _)) = edges.sources.get(&tally.instance) else { continue };
        let Some(first) = source.first else { continue };
        tally.first = tally.first.min(first);
        tally.last = tally.last.max(source.last);
        if !source.doubtful && told_by_edges(model) {
            tally.held_ns = source.held_ns;
            tally.activations = source.activations;
            tally.events = tally.events.max(source.activations);
        }
    }
    let known: Vec<u32> = tallies.iter().map(|tally| tally.instance).collect();
    for (&instance, (source, _)) in &edges.sources {
        let Some(first) = source.first else { continue };
        if known.binary_search(&instance).is_err() {
            tallies.push(Tally {
                instance,
                first,
                last: source.last,
                born: true,
                died: last_snapshot.is_some_and(|at| at > source.last),
                active: source.active_at_end,
                held_ns: source.held_ns,
                activations: source.activations,
                // Each activation is an event, and of others nothing is known.
                events: source.activations,
                expiries: 0,
            });
        }
    }
    tallies.sort_by_key(|tally| tally.instance);
}

/// How many activations the counters have that no edge told and nobody counted as lost. Of a source
/// with any, edges are not believed.
fn unseen(
    tallies: &[Tally],
    edges: &mut active::Outcome,
    model: &Model,
    before_end: Option<&BTreeMap<u32, u64>>,
) -> u64 {
    // Those of debugfs and sysfs may be of another source of the name.
    let exact = model.session.as_ref().is_some_and(|session| {
        session.edges && ["kfunc", "kallsyms"].contains(&session.source.as_str())
    });
    let mut unseen = 0u64;
    for tally in tallies.iter().filter(|_| exact) {
        let Some((source, _)) = edges.sources.get_mut(&tally.instance) else { continue };
        let counted = before_end
            .map_or(tally.activations, |before| before.get(&tally.instance).copied().unwrap_or(0));
        let missing = counted.saturating_sub(source.activations);
        if !source.doubtful && missing > 0 {
            source.doubtful = true;
            unseen = unseen.saturating_add(missing);
        }
    }
    unseen
}

fn told_by_edges(model: &Model) -> bool {
    model.edges > 0 && model.session.as_ref().is_none_or(|session| session.edges)
}
