//! Who is held from when to when, out of edges and snapshots.
//!
//! Edges tell it exactly. Snapshots add who was held when the trace began, mend what was lost, and are
//! all there is in a trace without edges: then what began and ended between two of them is not
//! seen.

use std::collections::{BTreeMap, BTreeSet};

use sleepwalk_trace::snapshot::SourceState;
use sleepwalk_trace::time::{BootNanos, MonoNanos};

use crate::session::decode::{Model, View};

/// What became of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It was registered since the snapshot before.
    Appeared,
    /// It is held; `before`: since before the trace.
    Began { before: bool },
    /// It is held no more.
    Ended,
    /// It was removed since the snapshot before.
    Removed,
}

/// One turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    /// The source.
    pub instance: u32,
    /// When: never before an earlier turn of the same source.
    pub at: BootNanos,
    /// What.
    pub turn: Turn,
}

#[derive(Debug, Default)]
struct Source {
    /// It is on the kernel's list, by the last whole snapshot.
    listed: bool,
    /// It was active in it.
    active: bool,
    active_count: u64,
    /// Activations under way; more than one only of a name that several share.
    depth: u64,
    /// Its last turn.
    turned: BootNanos,
}

/// Replays a trace.
#[derive(Debug)]
pub struct Replay<'a> {
    model: &'a Model,
    edges: bool,
    sources: BTreeMap<u32, Source>,
    /// The listed sources by the pointer of their name; only of those that share one.
    sharing: BTreeMap<u64, BTreeSet<u32>>,
    /// The last whole snapshot.
    last: Option<BootNanos>,
    turns: Vec<Turned>,
}

impl<'a> Replay<'a> {
    /// Of the trace with this model.
    pub fn new(model: &'a Model) -> Self {
        Self {
            model,
            edges: model.edges > 0,
            sources: BTreeMap::new(),
            sharing: BTreeMap::new(),
            last: None,
            turns: Vec::new(),
        }
    }

    /// The turns since this was last asked, in order.
    pub fn turns(&mut self) -> Vec<Turned> {
        self.turns.sort_by_key(|turned| turned.at);
        std::mem::take(&mut self.turns)
    }

    /// An edge.
    pub fn edge(&mut self, at: BootNanos, instance: u32, active: bool, shared: bool) {
        let depth = self.sources.entry(instance).or_default().depth;
        let depth = match (active, shared) {
            (true, true) => depth.saturating_add(1),
            (true, false) => depth.max(1),
            (false, true) => depth.saturating_sub(1),
            (false, false) => 0,
        };
        self.set(instance, at, depth);
    }

    /// A snapshot. One that did not see every source says nothing of those that it lacks, and is left
    /// alone.
    pub fn snapshot(&mut self, at: BootNanos, changes: &View) {
        if !changes.whole {
            return;
        }
        let mut gone = changes.gone.clone();
        if changes.full {
            let now = changes.states.iter().map(|(instance, _)| *instance).collect::<BTreeSet<_>>();
            let lost = self.sources.iter().filter(|(i, s)| s.listed && !now.contains(i));
            gone.extend(lost.map(|(instance, _)| *instance));
        }
        for instance in gone {
            self.remove(at, instance);
        }
        for (instance, state) in &changes.states {
            self.list(at, *instance, state.active());
        }
        for (instance, state) in &changes.states {
            self.state(at, changes.now, *instance, state);
        }
        self.last = Some(at);
    }

    /// The trace is over: what is still held ends with it.
    pub fn finish(&mut self, at: BootNanos) {
        let held = self.sources.iter().filter(|(_, source)| source.depth > 0);
        for instance in held.map(|(instance, _)| *instance).collect::<Vec<_>>() {
            self.set(instance, at, 0);
        }
    }

    fn remove(&mut self, at: BootNanos, instance: u32) {
        let Some(source) = self.sources.get_mut(&instance).filter(|source| source.listed) else {
            return;
        };
        source.listed = false;
        source.active = false;
        if let Some(sharing) = self.sharing.get_mut(&self.pointer(instance)) {
            sharing.remove(&instance);
        }
        self.set(instance, at, 0);
        self.turn(instance, at, Turn::Removed);
    }

    fn list(&mut self, at: BootNanos, instance: u32, active: bool) {
        let pointer = self.pointer(instance);
        let source = self.sources.entry(instance).or_default();
        source.active = active;
        if std::mem::replace(&mut source.listed, true) {
            return;
        }
        if pointer != 0 {
            self.sharing.entry(pointer).or_default().insert(instance);
        }
        if self.last.is_some() {
            self.turn(instance, at, Turn::Appeared);
        }
    }

    fn state(&mut self, at: BootNanos, now: MonoNanos, instance: u32, state: &SourceState) {
        let source = self.sources.entry(instance).or_default();
        let counted = std::mem::replace(&mut source.active_count, state.counters.active_count);
        let again = state.counters.active_count != counted;
        let held = source.depth > 0;
        // CLOCK_MONOTONIC to CLOCK_BOOTTIME, as if nothing had slept since.
        let ago = now.0.saturating_sub(state.counters.last_ns);
        let changed = BootNanos(at.0.saturating_sub(ago));
        let sharing = self.sharing.get(&self.pointer(instance)).filter(|s| s.len() > 1);
        if let Some(sharing) = sharing {
            // As the agent does it: edges name the lowest.
            let active = |i: &&u32| self.sources.get(i).is_some_and(|source| source.active);
            let depth = sharing.iter().filter(active).count() as u64;
            let lowest = sharing.first().copied().unwrap_or(instance);
            if instance != lowest {
                self.set(instance, at, 0);
            }
            self.set(lowest, changed, depth);
            return;
        }
        // It changed after the walk's begin: the edge that says so is still to come.
        if self.edges && (state.torn() || ago == 0) {
            return;
        }
        if held && again && !self.edges {
            // Held at the snapshot before, and again since: the first reached that snapshot, and how
            // far beyond it is not known.
            self.set(instance, self.last.unwrap_or(at), 0);
        }
        self.set(instance, changed, u64::from(state.active()));
    }

    fn set(&mut self, instance: u32, at: BootNanos, depth: u64) {
        let source = self.sources.entry(instance).or_default();
        let before = std::mem::replace(&mut source.depth, depth);
        match (before > 0, depth > 0) {
            (false, true) => {
                let start = self.model.start;
                self.turn(instance, at, Turn::Began { before: at <= start });
            }
            (true, false) => self.turn(instance, at, Turn::Ended),
            _ => {}
        }
    }

    fn turn(&mut self, instance: u32, at: BootNanos, turn: Turn) {
        let source = self.sources.entry(instance).or_default();
        source.turned = source.turned.max(at).clamp(self.model.start, self.model.end);
        self.turns.push(Turned { instance, at: source.turned, turn });
    }

    fn pointer(&self, instance: u32) -> u64 {
        self.model.sources.get(&instance).map_or(0, |source| source.name_pointer)
    }
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::record::{Reason, STATE_ACTIVE, SourceDef};
    use sleepwalk_trace::snapshot::Counters;

    use super::*;

    /// Three sources, of which the first two share a name's pointer.
    fn model(edges: u64) -> Model {
        let source = |(instance, name_pointer)| SourceDef {
            instance,
            name: 0,
            name_cut: false,
            id: None,
            address: 0,
            name_pointer,
        };
        let sources = [(1, 64), (2, 64), (3, 128)].map(|s| (s.0, source(s)));
        let (start, end) = (BootNanos(1_000), BootNanos(9_000));
        Model { sources: sources.into(), edges, start, end, ..Model::default() }
    }

    /// At this stamp, on a clock 500 behind: (instance, active, activations, last change by its
    /// stamp).
    fn snapshot(replay: &mut Replay<'_>, at: u64, full: bool, states: &[(u32, bool, u64, u64)]) {
        let state = |&(instance, active, active_count, last)| {
            let last_ns = last - 500;
            let counters = Counters { active_count, last_ns, ..Counters::default() };
            (instance, SourceState { state: if active { STATE_ACTIVE } else { 0 }, counters })
        };
        replay.snapshot(
            BootNanos(at),
            &View {
                at: BootNanos(at),
                reason: Reason::Tick,
                now: MonoNanos(at - 500),
                took_ns: 1,
                whole: true,
                full,
                states: states.iter().map(state).collect(),
                gone: Vec::new(),
            },
        );
    }

    fn turned(replay: &mut Replay<'_>) -> Vec<(u32, u64, Turn)> {
        replay.turns().into_iter().map(|t| (t.instance, t.at.0, t.turn)).collect()
    }

    #[test]
    fn of_a_shared_name_the_lowest_is_held_while_any_is() {
        let model = model(4);
        let mut replay = Replay::new(&model);
        snapshot(
            &mut replay,
            1_500,
            true,
            &[(1, false, 0, 600), (2, true, 1, 700), (3, false, 0, 600)],
        );
        assert_eq!(turned(&mut replay), [(1, 1_000, Turn::Began { before: true })]);
        replay.edge(BootNanos(2_000), 1, true, true);
        replay.edge(BootNanos(2_100), 1, false, true);
        assert_eq!(turned(&mut replay), []);
        replay.edge(BootNanos(2_200), 1, false, true);
        assert_eq!(turned(&mut replay), [(1, 2_200, Turn::Ended)]);
    }

    #[test]
    fn edges_tell_to_the_nanosecond_and_snapshots_only_what_they_did_not() {
        let model = model(3);
        let mut replay = Replay::new(&model);
        snapshot(&mut replay, 1_500, true, &[(3, false, 0, 600)]);
        replay.edge(BootNanos(2_000), 3, true, false);
        snapshot(&mut replay, 2_500, false, &[(3, true, 1, 1_999)]);
        replay.edge(BootNanos(3_000), 3, false, false);
        // Activated within the walk: the edge is still to come.
        snapshot(&mut replay, 3_500, false, &[(3, true, 2, 3_501)]);
        replay.edge(BootNanos(3_501), 3, true, false);
        // The edge that ended it was lost.
        snapshot(&mut replay, 5_000, false, &[(3, false, 2, 4_000)]);
        let began = |at| (3, at, Turn::Began { before: false });
        let ended = |at| (3, at, Turn::Ended);
        assert_eq!(turned(&mut replay), [began(2_000), ended(3_000), began(3_501), ended(4_000)]);
    }

    #[test]
    fn without_edges_only_what_snapshots_prove_is_held() {
        let model = model(0);
        let mut replay = Replay::new(&model);
        snapshot(&mut replay, 1_500, true, &[(3, true, 1, 1_200)]);
        // It was let go and held again, nobody knows how often.
        snapshot(&mut replay, 2_500, false, &[(3, true, 4, 2_400)]);
        snapshot(&mut replay, 3_500, false, &[(3, false, 4, 3_000)]);
        // Again within two snapshots.
        snapshot(&mut replay, 4_500, false, &[(3, false, 5, 4_000)]);
        // A full one without it: it is gone.
        snapshot(&mut replay, 5_500, false, &[(3, true, 6, 5_000)]);
        snapshot(&mut replay, 6_500, true, &[]);
        let began = |at| (3, at, Turn::Began { before: false });
        let ended = |at| (3, at, Turn::Ended);
        assert_eq!(
            turned(&mut replay),
            [
                began(1_200),
                ended(1_500),
                began(2_400),
                ended(3_000),
                began(5_000),
                ended(6_500),
                (3, 6_500, Turn::Removed),
            ]
        );
    }
}
