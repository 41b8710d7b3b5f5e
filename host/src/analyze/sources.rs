//! The counters of each source over the session.

use std::collections::{BTreeMap, BTreeSet};

use sleepwalk_trace::record::Reason;
use sleepwalk_trace::snapshot::{Counters, SourceState};
use sleepwalk_trace::time::{BootNanos, MonoNanos};

use crate::report::{Source, Sum};
use crate::session::decode::View;

/// A change of a source between two snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The source.
    pub instance: u32,
    /// It was activated or reported an event.
    pub rose: bool,
    /// When it last changed between active and inactive, as the kernel has it.
    pub last: MonoNanos,
}

/// The part of a snapshot that is kept to find causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The walk's begin.
    pub at: BootNanos,
    /// The same by CLOCK_MONOTONIC.
    pub now: MonoNanos,
    /// Why it was taken.
    pub reason: Reason,
    /// It has every source.
    pub whole: bool,
    /// The sources active.
    pub active: BTreeSet<u32>,
    /// The sources that changed since the snapshot before.
    pub changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    counters: Counters,
    /// The largest held time seen of these counters.
    held_ns: u64,
    torn: bool,
}

/// Follows the sources snapshot by snapshot.
#[derive(Debug, Default)]
pub struct Tracker {
    /// By instance.
    sources: BTreeMap<u32, Source>,
    last: BTreeMap<u32, Last>,
    active: BTreeSet<u32>,
    seen: Option<(BootNanos, MonoNanos)>,
    /// The last snapshot had every source, so what is new after it was born after it.
    whole: bool,
    torn_states: u64,
}

impl Tracker {
    /// Takes in one snapshot.
    pub fn snapshot(&mut self, view: &View) -> Mark {
        let mut changes = Vec::new();
        for (instance, state) in &view.states {
            changes.extend(self.source(view, *instance, state));
        }
        if view.whole {
            self.remove_the_dead(view);
        }
        self.seen = Some((view.at, view.now));
        self.whole = view.whole;
        Mark {
            at: view.at,
            now: view.now,
            reason: view.reason,
            whole: view.whole,
            active: self.active.clone(),
            changes,
        }
    }

    fn source(&mut self, view: &View, instance: u32, state: &SourceState) -> Option<Change> {
        let counters = state.counters;
        let held_ns = state.held_ns(view.now);
        let source = self.sources.entry(instance).or_insert_with(|| Source {
            first_ns: view.at,
            born: self.whole,
            sum: Sum { instances: 1, ..Sum::default() },
            ..Source::default()
        });
        let last = self.last.get(&instance).copied();
        let was_active = match last {
            Some(_) => source.active_at_end,
            None => state.active() && !source.born,
        };
        // Counts from before a source was first seen are its own only if it was born since.
        let base = last.unwrap_or(Last {
            counters: if source.born { Counters::default() } else { counters },
            held_ns: if source.born { 0 } else { held_ns },
            torn: false,
        });
        source.died = false;
        source.last_ns = view.at;
        source.active_at_end = state.active();
        self.torn_states += u64::from(state.torn());

        // The kernel's counters only grow: one that fell belongs to another source, and its past is
        // not known.
        let reset = counters.active_count < base.counters.active_count;
        let since = if reset { counters } else { base.counters };
        let grown = |new: u64, old: u64| new.saturating_sub(old);
        let activations = grown(counters.active_count, since.active_count);
        let events = grown(counters.event_count, since.event_count);
        let wakeups = grown(counters.wakeup_count, since.wakeup_count);
        add(&mut source.sum.activations, activations);
        add(&mut source.sum.events, events);
        add(&mut source.sum.expiries, grown(counters.expire_count, since.expire_count));

        let mut known_held_ns = base.held_ns;
        if reset {
            known_held_ns = held_ns;
        } else if !state.torn() {
            add(&mut source.sum.held_ns, grown(held_ns, base.held_ns));
            known_held_ns = held_ns.max(base.held_ns);
        }
        let last = Last { counters, held_ns: known_held_ns, torn: state.torn() };
        self.last.insert(instance, last);
        if state.active() {
            self.active.insert(instance);
        } else {
            self.active.remove(&instance);
        }
        let rose = activations > 0 || events > 0 || wakeups > 0;
        let last = MonoNanos(counters.last_ns);
        let changed = rose || was_active != state.active();
        changed.then_some(Change { instance, rose, last })
    }

    /// The activations so far, by instance.
    pub fn activations(&self) -> BTreeMap<u32, u64> {
        self.sources.iter().map(|(&instance, source)| (instance, source.sum.activations)).collect()
    }

    fn remove_the_dead(&mut self, view: &View) {
        let gone: Vec<u32> = if view.full {
            // By instance, as `view.states` is too.
            let there = |i: &u32| view.states.binary_search_by_key(i, |(i, _)| *i).is_ok();
            let present = self.sources.iter().filter(|(_, source)| !source.died);
            present.map(|(&i, _)| i).filter(|i| !there(i)).collect()
        } else {
            view.gone.clone()
        };
        for instance in gone {
            self.active.remove(&instance);
            if let Some(source) = self.sources.get_mut(&instance) {
                // Seen in the snapshot before this one: it was there, unchanged.
                if let Some((at, _)) = self.seen {
                    source.last_ns = source.last_ns.max(at);
                }
                source.died = true;
                source.active_at_end = false;
            }
        }
    }

    /// Records are missing here: a source that is new after it may be an old one.
    pub fn gap(&mut self) {
        self.whole = false;
    }

    /// Source states whose fields contradicted each other.
    pub fn torn_states(&self) -> u64 {
        self.torn_states
    }

    /// The trace is over. Unchanged sources were not in the last snapshots' differences: they were
    /// there all the same, and those active went on holding.
    pub fn finish(mut self) -> BTreeMap<u32, Source> {
        if let Some((at, now)) = self.seen {
            for (instance, source) in self.sources.iter_mut().filter(|(_, source)| !source.died) {
                source.last_ns = source.last_ns.max(at);
                let last =
                    self.last.get(instance).filter(|last| source.active_at_end && !last.torn);
                if let Some(last) = last {
                    let state = SourceState {
                        state: sleepwalk_trace::record::STATE_ACTIVE,
                        counters: last.counters,
                    };
                    add(&mut source.sum.held_ns, state.held_ns(now).saturating_sub(last.held_ns));
                }
            }
        }
        self.sources
    }
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}
