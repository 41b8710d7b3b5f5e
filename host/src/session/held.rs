//! The one tracker of holds: which sources are active, and when each was held.
//!
//! It has two answers. [`Held::changes`] shows which sources are active at each instant, as far as edges
//! and snapshots show it by then. [`Held::holds`] has from when to when each source was held, once that is
//! final: at the next snapshot. By one rule, for reports and exports alike:
//!
//! - Edges place holds to the nanosecond while nothing is missing.
//! - The counters decide from a loss or a gap to the next snapshot, for a source whose edges contradict
//!   its snapshots, for names that several sources share, and in a trace without edges. They have how
//!   long a source was held and when it last changed; see [`stretch`](super::stretch).
//! - A gap ends a hold, and so does sleep: nothing is held while CLOCK_MONOTONIC does not run.

use std::collections::BTreeMap;

use sleepwalk_trace::record::Reason;
use sleepwalk_trace::time::BootNanos;

use super::decode::{Event, Model, View};
use super::hooks::{has, hook_form};
use super::slept::Slept;
use super::slots::Slots;
use super::stretch::{Hold, Holder, Stretch};

/// Edges decide about a change that came so near to the start of a snapshot's walk.
const NEAR_NS: u64 = 1_000_000;

/// The most activations in progress of one source.
const DEPTH: u32 = 1 << 20;

/// One source.
#[derive(Debug, Default)]
pub struct Source {
    /// Its instance.
    pub instance: u32,
    /// Its place among [`Held::groups`].
    pub group: u32,
    /// Activations in progress: more than one only if it represents several sources.
    pub count: u32,
    /// An edge of it is missing.
    pub doubtful: bool,
    /// Activations by edges.
    pub activations: u64,
    /// First edge.
    pub first: Option<BootNanos>,
    /// Last edge.
    pub last: BootNanos,
    /// It was active when the trace ended.
    pub active_at_end: bool,
    /// Activations that its counters have and no edge showed.
    missing: u64,
    /// When it was held.
    pub holder: Holder,
}

/// The sources of one name.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// The string's number.
    pub name: u32,
    /// An edge may be of any of them.
    pub shared: bool,
    /// They yield: blame and time go to the others that are active with them. So does an `eventpoll`,
    /// which is active for a moment when an event of another source is handed over
    /// (`ep_send_events` in `fs/eventpoll.c`); and a name from its first shared edge on.
    pub yields: bool,
    /// Activations by edges, once the trace is over; `None` where edges are missing.
    pub activations: Option<u64>,
    /// Activations by counters.
    pub counted: u64,
}

/// The name of the source that each epoll instance has of its own (`ep_create_wakeup_source`).
const EVENTPOLL: &[u8] = b"eventpoll";

/// A source became active or inactive, or another of its name did.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Its place among [`Held::sources`].
    pub slot: u32,
    /// Activations in progress from now on.
    pub after: u32,
    /// How this is known.
    pub by: ChangeCause,
}

/// How a change is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeCause {
    /// An edge activated the source.
    Activation,
    /// An edge deactivated it, or nothing is known any more.
    Deactivation,
    /// A snapshot shows it, and edges had not.
    Shown,
    /// A snapshot shows it, and nothing had been known before.
    News,
}

/// Follows all sources.
#[derive(Debug, Default)]
pub struct Held {
    /// Every source so far.
    pub sources: Vec<Source>,
    /// Every name so far.
    pub groups: Vec<Group>,
    /// Edges and snapshots that contradicted what was known.
    pub contradictions: u64,
    /// The places of `sources`.
    slots: Slots,
    by_name: BTreeMap<u32, u32>,
    /// The sources that share a name.
    pooled: Vec<u32>,
    /// A snapshot and the edges since show which sources are active.
    known: bool,
    /// Edges are missing from the trace.
    doubt: bool,
    /// Edges so far.
    edges: u64,
    /// Counters have shown activations that no edge did.
    unseen: bool,
    slept: Slept,
    stretch: Stretch,
    changes: Vec<Change>,
}

impl Held {
    /// Something happened.
    pub fn event(&mut self, model: &Model, at: BootNanos, event: &Event) {
        self.changes.clear();
        if matches!(event, Event::Gap) && !self.stretch.started() {
            return;
        }
        self.stretch.start(model.start);
        match event {
            Event::Edge { source, active, shared, .. } => {
                self.edge(model, at, (*source, *active, *shared));
            }
            Event::Snapshot(view) => self.snapshot(model, at, view),
            Event::Phase { action, value, begin } => {
                let asleep = self.slept.since();
                self.slept.phase(at, model.text(*action), *value, *begin);
                self.sleep(at, asleep);
            }
            Event::Return { .. } => {
                let asleep = self.slept.since();
                self.slept.end();
                self.sleep(at, asleep);
            }
            Event::Lost { .. } | Event::PrologueEnd => {
                self.known = false;
                self.doubt = true;
                let counted = counted(&self.groups, self.by_edges(model));
                self.stretch.lost(&mut self.sources, counted);
            }
            Event::Gap => {
                self.known = false;
                self.doubt = true;
                let counted = counted(&self.groups, self.by_edges(model));
                self.stretch.gap(at, &mut self.sources, counted);
                for slot in 0..self.sources.len() {
                    self.set(slot, 0, at, ChangeCause::Deactivation);
                }
            }
            _ => {}
        }
        if self.stretch.is_full() {
            let counted = counted(&self.groups, self.by_edges(model));
            self.stretch.commit(at, &mut self.sources, counted);
        }
    }

    /// The sources that became active or inactive by the last event.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The holds that became final by the last event, in order.
    pub fn holds(&mut self) -> &mut Vec<Hold> {
        &mut self.stretch.holds
    }

    /// Whether a snapshot and the edges since show which sources are active.
    pub fn known(&self) -> bool {
        self.known
    }

    /// Whether edges are recorded, so that what they do not show did not happen. A hook that has not fired
    /// although counters rose is dead.
    pub fn edges(&self, model: &Model) -> bool {
        self.edges > 0 || has_edges(model) && !self.unseen
    }

    fn by_edges(&self, model: &Model) -> bool {
        has_edges(model) && self.edges > 0
    }

    /// Whether an edge of this source may be of another one of its name.
    pub fn shared(&self, slot: u32) -> bool {
        self.groups[self.sources[slot as usize].group as usize].shared
    }

    /// Whether it takes neither blame nor time from others that are active with it.
    pub fn yields(&self, slot: u32) -> bool {
        self.groups[self.sources[slot as usize].group as usize].yields
    }

    /// As [`Self::yields`], by the source's instance.
    pub fn instance_yields(&self, instance: u32) -> bool {
        self.place(instance).is_some_and(|slot| self.yields(slot as u32))
    }

    /// The trace is over: what is held ends with it.
    pub fn finish(&mut self, model: &Model, end: BootNanos) {
        self.changes.clear();
        let asleep = self.slept.since();
        self.slept.end();
        self.sleep(end, asleep);
        for source in &mut self.sources {
            source.active_at_end = source.count > 0;
        }
        let counted = counted(&self.groups, self.by_edges(model));
        self.stretch.finish(end, &mut self.sources, counted);
        let (doubt, by_edges) = (self.doubt, self.by_edges(model));
        for group in &mut self.groups {
            group.activations = by_edges.then_some(0);
        }
        for source in &mut self.sources {
            source.doubtful |= doubt;
            let all = &mut self.groups[source.group as usize].activations;
            *all = all.filter(|_| !source.doubtful);
            *all = all.map(|sum| sum.saturating_add(source.activations));
        }
        for slot in &self.pooled {
            // Edges are right about all of them together only.
            self.sources[*slot as usize].doubtful = true;
        }
    }

    fn sleep(&mut self, at: BootNanos, before: Option<BootNanos>) {
        let now = self.slept.since();
        if before == now {
            return;
        }
        if before.is_some() {
            self.stretch.wake(at, &mut self.sources);
        }
        if now.is_some() {
            self.stretch.sleep(at, &mut self.sources);
        }
    }

    /// The place of a source in [`Self::sources`].
    pub fn place(&self, instance: u32) -> Option<usize> {
        self.slots.get(instance)
    }

    /// The place of a source, which may be new.
    fn slot(&mut self, model: &Model, instance: u32) -> usize {
        if let Some(slot) = self.place(instance) {
            return slot;
        }
        let slot = self.slots.add(instance);
        let name = model.sources.get(&instance).map_or(u32::MAX, |source| source.name);
        let next = self.groups.len() as u32;
        let group = *self.by_name.entry(name).or_insert(next);
        if group == next {
            let yields = model.text(name) == EVENTPOLL;
            let (activations, counted) = (None, 0);
            self.groups.push(Group { name, shared: false, yields, activations, counted });
        }
        self.sources.push(Source { instance, group, ..Source::default() });
        if self.groups[group as usize].shared {
            self.pooled.push(slot as u32);
        }
        slot
    }

    /// Sets how many activations of a source are in progress.
    fn set(&mut self, slot: usize, count: u32, at: BootNanos, by: ChangeCause) {
        let source = &mut self.sources[slot];
        let before = std::mem::replace(&mut source.count, count);
        if (before > 0) != (count > 0) {
            self.stretch.turn(at, slot as u32, source, by == ChangeCause::News);
        }
        if before != count || by == ChangeCause::Activation {
            let slot = slot as u32;
            self.changes.push(Change { slot, after: count, by });
        }
    }

    fn edge(
        &mut self,
        model: &Model,
        at: BootNanos,
        (instance, active, shared): (u32, bool, bool),
    ) {
        self.edges += 1;
        self.stretch.last_edge = at;
        let mut slot = self.slot(model, instance);
        let source = &mut self.sources[slot];
        source.first = source.first.or(Some(at));
        source.last = at;
        source.activations += u64::from(active);
        let (count, group) = (source.count, source.group);
        if shared && !self.groups[group as usize].shared {
            let group_now = &mut self.groups[group as usize];
            (group_now.shared, group_now.yields) = (true, true);
            let slots = (0u32..).zip(&self.sources);
            self.pooled.extend(slots.filter(|(_, s)| s.group == group).map(|(slot, _)| slot));
        }
        let count = match (active, shared) {
            (true, false) if count > 0 => {
                self.contradiction(slot);
                count
            }
            (true, _) => count.saturating_add(1).min(DEPTH),
            (false, _) if count > 0 => count - 1,
            (false, true) => {
                // It was one of the others, which a snapshot has shown to be active.
                let other = self.pooled.iter().map(|other| *other as usize).find(|other| {
                    self.sources[*other].group == group && self.sources[*other].count > 0
                });
                match other {
                    Some(other) => {
                        slot = other;
                        self.sources[slot].count - 1
                    }
                    None => {
                        self.contradiction(slot);
                        0
                    }
                }
            }
            (false, false) => {
                self.contradiction(slot);
                0
            }
        };
        let by = if active { ChangeCause::Activation } else { ChangeCause::Deactivation };
        self.set(slot, count, at, by);
    }

    fn contradiction(&mut self, slot: usize) {
        // Nothing contradicts what is not known: the end of what began before.
        self.contradictions += u64::from(self.known);
        self.sources[slot].doubtful = true;
        self.sources[slot].holder.doubt(self.known);
    }

    /// A snapshot shows whether a source is active, and is right.
    fn show(&mut self, slot: usize, active: bool, at: BootNanos, news: bool) {
        let source = &self.sources[slot];
        if source.count == u32::from(active) {
            return;
        }
        if !news && !self.groups[source.group as usize].shared {
            self.contradiction(slot);
        }
        let by = if news { ChangeCause::News } else { ChangeCause::Shown };
        self.set(slot, active.into(), at, by);
    }

    fn snapshot(&mut self, model: &Model, at: BootNanos, view: &View) {
        let last = view.reason == Reason::End;
        let news = !self.known || last;
        let near_counts = self.known && self.edges(model);
        for index in 0..view.states.len() {
            let (instance, state) = view.states[index];
            let slot = self.slot(model, instance);
            self.sources[slot].holder.list(index);
            if state.torn() {
                continue;
            }
            let last_ns = state.counters.last_ns;
            if near_counts && last_ns.saturating_add(NEAR_NS) > view.now.0 {
                continue;
            }
            self.unseen(model, slot, state.counters.active_count, last);
            // It changed during the walk, and had the opposite state at its start.
            let active = state.active() != (last_ns > view.now.0);
            let since = if news && active {
                // It was activated before the records begin, or unseen.
                let age_ns = view.now.0.saturating_sub(last_ns);
                self.stretch.awake_from(BootNanos(at.0.saturating_sub(age_ns)))
            } else {
                at
            };
            self.show(slot, active, since, news);
        }
        for slot in self.gone(model, view) {
            self.sources[slot].holder.remove();
            self.show(slot, false, at, true);
        }
        for index in 0..self.pooled.len() {
            let slot = self.pooled[index] as usize;
            let active = self.sources[slot].holder.active_in(view);
            self.show(slot, active, at, true);
        }
        let counted = counted(&self.groups, self.by_edges(model));
        self.stretch.snapshot(at, view, &mut self.sources, counted);
        self.known = true;
    }

    /// The sources that the snapshot shows to be gone.
    fn gone(&mut self, model: &Model, view: &View) -> Vec<usize> {
        let mut gone: Vec<usize> =
            view.gone.iter().map(|instance| self.slot(model, *instance)).collect();
        if view.full && view.whole {
            let slots = 0..self.sources.len();
            gone.extend(slots.filter(|slot| {
                let source = &self.sources[*slot];
                !source.holder.is_listed() && (source.count > 0 || source.holder.present())
            }));
        }
        gone
    }

    /// Doubts the edges of a source whose counters have more activations.
    fn unseen(&mut self, model: &Model, slot: usize, active_count: u64, last: bool) {
        // Edges right before the last snapshot are not in the trace.
        if last || !has_exact_counters(model) {
            return;
        }
        let source = &mut self.sources[slot];
        let counted = source.holder.counted(active_count);
        let missing = counted.saturating_sub(source.activations);
        if missing > source.missing {
            source.missing = missing;
            self.unseen = true;
            source.holder.doubt(true);
        }
    }
}

/// Whether a source's holds are always its counters'.
fn counted(groups: &[Group], by_edges: bool) -> impl Fn(&Source) -> bool + '_ {
    move |source| !by_edges || groups[source.group as usize].shared
}

/// Whether the trace has edges.
pub fn has_edges(model: &Model) -> bool {
    has(model, "edge")
}

/// Whether counters belong to the source that they are given for: those of debugfs and sysfs may be
/// of another source of the name.
pub fn has_exact_counters(model: &Model) -> bool {
    let session = model.session.as_ref();
    session.is_some_and(|session| ["kfunc", "kallsyms"].contains(&session.source.as_str()))
}

/// Whether writes of `wakeup_count` were recorded.
pub fn has_count_writes(model: &Model) -> bool {
    has(model, "save")
}

/// Whether waits were recorded, so that time without one shows that nothing waited.
pub fn has_waits(model: &Model) -> bool {
    has(model, "wait")
}

/// Whether an end without a start belongs to a wait from before the session. A kretprobe cannot
/// distinguish a blocking read from others. No form of the hook sees the end of a wait from before it was
/// attached (`docs/decisions/0034`), so such an end follows a loss, a gap or a ring's dropped regions.
pub fn has_earlier_waits(model: &Model) -> bool {
    hook_form(model, "wait").is_some_and(|how| how != "kretprobe")
}
