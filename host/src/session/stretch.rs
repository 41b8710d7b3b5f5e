//! A stretch: the time between two snapshots, for which holds become final at the second.
//!
//! A source's holds in a stretch come from its edges, or, where those cannot be believed, from its
//! counters; see `place.rs`.

use sleepwalk_trace::snapshot::SourceState;
use sleepwalk_trace::time::BootNanos;

use super::decode::View;
use super::held::Source;
use super::place::{Place, Region};

/// Edges that wait for the next snapshot. If none comes in time, they are believed.
const ROOM: usize = 1 << 16;

/// A source's hold began or ended, or the source itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// When.
    pub at: BootNanos,
    /// The source's place among [`Held::sources`](super::held::Held::sources).
    pub slot: u32,
    /// The source.
    pub instance: u32,
    /// Which of them.
    pub kind: HoldKind,
    /// By edges; else the stamp is the best that counters have.
    pub exact: bool,
}

/// A change of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldKind {
    /// It was registered since the snapshot before.
    Appeared,
    /// It is held.
    Began {
        /// Since before it was first seen.
        before: bool,
    },
    /// It is held no more.
    Ended {
        /// It was still active; its next state is unknown.
        unfinished: bool,
    },
    /// It was removed since the snapshot before.
    Removed,
}

/// The usual end.
pub(super) const ENDED: HoldKind = HoldKind::Ended { unfinished: false };

/// When one source was held.
#[derive(Debug, Default)]
pub struct Holder {
    /// Time held, in all holds that are final.
    pub held_ns: u64,
    /// It was held for longer: it was gone before anything showed for how long.
    pub at_least: bool,
    /// The part of it since the counters of `base`.
    pub(super) placed_ns: u64,
    /// It is held, as far as that is final, and the part up to here is in `held_ns`.
    pub(super) open: Option<BootNanos>,
    /// It was active at the start of the stretch.
    pub(super) active: bool,
    /// Its edges contradict what is known.
    doubted: bool,
    by_counters: bool,
    /// Its place in the current snapshot.
    pub(super) listed: Option<usize>,
    pub(super) removed: bool,
    /// It exists, by the last snapshot.
    present: bool,
    pub(super) base: Option<Base>,
    /// Activations counted from its first snapshot up to `base`.
    counted: u64,
}

/// A source's counters at a snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    pub(super) held_ns: u64,
    pub(super) active_count: u64,
    pub(super) active: bool,
}

impl Holder {
    /// Its edges cannot be believed in this stretch, where there is anything to contradict.
    pub fn doubt(&mut self, known: bool) {
        self.doubted |= known;
    }

    /// It is in the current snapshot.
    pub fn list(&mut self, index: usize) {
        self.listed = Some(index);
    }

    /// The current snapshot shows that it is gone.
    pub fn remove(&mut self) {
        self.removed = true;
    }

    /// Whether it is in the current snapshot.
    pub fn is_listed(&self) -> bool {
        self.listed.is_some()
    }

    /// Whether the last snapshot had it.
    pub fn present(&self) -> bool {
        self.present
    }

    /// Whether it is active in the current snapshot.
    pub fn active_in(&self, view: &View) -> bool {
        let state = self.listed.map(|index| view.states[index].1.active());
        !self.removed && state.unwrap_or(self.base.is_some_and(|base| base.active))
    }

    /// Activations since its first snapshot, where its counter is this now.
    pub fn counted(&self, active_count: u64) -> u64 {
        let base = self.base.map_or(active_count, |base| base.active_count);
        self.counted.saturating_add(active_count.saturating_sub(base))
    }

    pub(super) fn begin(&mut self, at: BootNanos) -> bool {
        let begins = self.open.is_none();
        self.open = self.open.or(Some(at));
        begins
    }

    pub(super) fn end(&mut self, at: BootNanos) -> bool {
        let Some(since) = self.open.take() else { return false };
        self.held_ns += at.since(since);
        self.placed_ns += at.since(since);
        true
    }

    /// The counters at the end of a stretch are the base of the next.
    fn rebase(&mut self, at: BootNanos, state: &SourceState, view: &View, born: bool) {
        let held_ns = state.held_ns(view.now);
        let active_count = state.counters.active_count;
        let first = if born { 0 } else { active_count };
        let before = self.base.map_or(first, |base| base.active_count);
        self.counted = self.counted.saturating_add(active_count.saturating_sub(before));
        let reset = active_count < before;
        let known = self.base.filter(|_| !reset).map_or(0, |base| base.held_ns);
        let active = state.active();
        self.base = Some(Base { held_ns: held_ns.max(known), active_count, active });
        if self.open.is_some() {
            self.end(at);
            self.open = Some(at);
        }
        self.placed_ns = 0;
    }
}

/// The current stretch.
#[derive(Debug, Default)]
pub struct Stretch {
    /// The events of holds that are final, in order.
    pub holds: Vec<Hold>,
    /// The last edge.
    pub last_edge: BootNanos,
    /// Its start; everything before is final.
    begin: Option<BootNanos>,
    /// By edges, until the stretch is over.
    pending: Vec<Hold>,
    /// They may not be in order.
    unsorted: bool,
    /// Edges are missing in it.
    lost: bool,
    /// The sleeps in it.
    sleeps: Vec<(BootNanos, BootNanos)>,
    asleep: Option<BootNanos>,
    /// The snapshot before had every source, so that a new one was born since.
    whole: bool,
}

impl Stretch {
    /// The first begins here.
    pub fn start(&mut self, at: BootNanos) {
        self.begin = self.begin.or(Some(at));
    }

    /// The same instant, or the first after it in this stretch that the device was awake at.
    pub fn awake_from(&mut self, at: BootNanos) -> BootNanos {
        self.unsorted = true;
        let begin = self.begin.unwrap_or(at);
        self.sleeps.last().map_or(begin, |(_, end)| begin.max(*end)).max(at)
    }

    /// Whether the first began.
    pub fn started(&self) -> bool {
        self.begin.is_some()
    }

    /// A source became active or inactive.
    pub fn turn(&mut self, at: BootNanos, slot: u32, source: &Source, news: bool) {
        if self.lost || self.asleep.is_some() {
            return;
        }
        let before = news && source.holder.base.is_none() && !self.whole;
        let kind = if source.count > 0 { HoldKind::Began { before } } else { ENDED };
        self.pending.push(Hold { at, slot, instance: source.instance, kind, exact: true });
    }

    /// Whether too many edges wait.
    pub fn is_full(&self) -> bool {
        self.pending.len() >= ROOM
    }

    /// The machine sleeps: nothing is held.
    pub fn sleep(&mut self, at: BootNanos, sources: &mut [Source]) {
        self.all_active(at, sources, ENDED);
        self.asleep = Some(at);
    }

    /// It does no more.
    pub fn wake(&mut self, at: BootNanos, sources: &mut [Source]) {
        if let Some(since) = self.asleep.take() {
            self.sleeps.push((since, at));
        }
        self.all_active(at, sources, HoldKind::Began { before: false });
    }

    fn all_active(&mut self, at: BootNanos, sources: &[Source], kind: HoldKind) {
        if self.lost {
            return;
        }
        let active = (0..).zip(sources).filter(|(_, source)| source.count > 0);
        self.pending.extend(active.map(|(slot, source)| Hold {
            at,
            slot,
            instance: source.instance,
            kind,
            exact: true,
        }));
    }

    /// Edges after the last one are missing.
    pub fn lost(&mut self, sources: &mut [Source], counted: impl Fn(&Source) -> bool) {
        if !self.lost {
            let pending = self.pending.last().map_or(BootNanos(0), |hold| hold.at);
            self.commit(self.last_edge.max(pending), sources, counted);
            self.lost = true;
        }
    }

    /// Records are missing here: it ends every hold.
    pub fn gap(
        &mut self,
        at: BootNanos,
        sources: &mut [Source],
        counted: impl Fn(&Source) -> bool,
    ) {
        let at = if self.lost { self.begin.unwrap_or(at) } else { at };
        if !self.lost {
            self.commit(at, sources, counted);
        }
        self.lost = true;
        self.whole = false;
        for (slot, source) in (0..).zip(sources) {
            if source.holder.end(at) {
                self.holds.push(Hold {
                    at,
                    slot,
                    instance: source.instance,
                    kind: ENDED,
                    exact: true,
                });
            }
        }
    }

    /// Everything up to here is final, by the edges that are believed.
    pub fn commit(
        &mut self,
        at: BootNanos,
        sources: &mut [Source],
        counted: impl Fn(&Source) -> bool,
    ) {
        let at = at.max(self.begin.unwrap_or(at));
        for source in sources.iter_mut() {
            source.holder.by_counters = source.holder.doubted || counted(source);
        }
        self.believe(sources);
        self.next(at);
        for source in sources {
            source.holder.active = source.count > 0;
        }
    }

    fn next(&mut self, at: BootNanos) {
        self.begin = Some(at);
        self.sleeps.retain(|(_, end)| *end > at);
        self.lost = false;
    }

    /// Takes the pending edges of all sources that do not go by counters.
    fn believe(&mut self, sources: &mut [Source]) {
        for hold in self.pending.drain(..) {
            let holder = &mut sources[hold.slot as usize].holder;
            let new = match hold.kind {
                _ if holder.by_counters => false,
                HoldKind::Began { .. } => holder.begin(hold.at),
                _ => holder.end(hold.at),
            };
            if new {
                self.holds.push(hold);
            }
        }
    }

    /// A snapshot ends the stretch. `counted`: a source's holds are the counters' in any case.
    pub fn snapshot(
        &mut self,
        at: BootNanos,
        view: &View,
        sources: &mut [Source],
        counted: impl Fn(&Source) -> bool,
    ) {
        let start = self.holds.len();
        let region = Region::new(self.begin.unwrap_or(at), at, &self.sleeps, self.asleep);
        for source in sources.iter_mut() {
            source.holder.by_counters = self.lost || source.holder.doubted || counted(source);
        }
        self.believe(sources);
        let believed = self.holds.len();
        for (slot, source) in (0..).zip(sources.iter_mut()) {
            if source.holder.by_counters {
                let born = self.whole;
                let mut place = Place { slot, source, view, born, holds: &mut self.holds };
                place.by_counters(&region);
            }
        }
        for (slot, source) in (0..).zip(sources.iter_mut()) {
            let (holder, instance) = (&mut source.holder, source.instance);
            let appeared = holder.listed.is_some() && !holder.present && self.whole;
            for (is, kind) in [(appeared, HoldKind::Appeared), (holder.removed, HoldKind::Removed)]
            {
                if is {
                    self.holds.push(Hold { at, slot, instance, kind, exact: true });
                }
            }
            if let Some(index) = holder.listed.take() {
                holder.present = true;
                let state = &view.states[index].1;
                if !state.torn() {
                    holder.rebase(at, state, view, self.whole);
                }
            }
            if std::mem::take(&mut holder.removed) {
                holder.present = false;
                holder.base = holder.base.map(|base| Base { active: false, ..base });
            }
            holder.doubted = false;
            holder.active = source.count > 0;
        }
        if std::mem::take(&mut self.unsorted) || self.holds.len() > believed {
            self.holds[start..].sort_by_key(|hold| hold.at);
        }
        self.whole = view.whole;
        self.next(at);
    }

    /// The trace is over. Counters that no later snapshot has end with the last one.
    pub fn finish(
        &mut self,
        end: BootNanos,
        sources: &mut [Source],
        counted: impl Fn(&Source) -> bool,
    ) {
        let start = self.holds.len();
        let begin = self.begin.unwrap_or(end);
        for source in sources.iter_mut() {
            source.holder.by_counters = self.lost || source.holder.doubted || counted(source);
        }
        self.believe(sources);
        for (slot, source) in (0..).zip(sources) {
            let at = if source.holder.by_counters { begin } else { end };
            if source.holder.end(at) {
                let kind = HoldKind::Ended { unfinished: source.count > 0 };
                let (instance, exact) = (source.instance, !source.holder.by_counters);
                self.holds.push(Hold { at, slot, instance, kind, exact });
            }
        }
        self.holds[start..].sort_by_key(|hold| hold.at);
    }
}
