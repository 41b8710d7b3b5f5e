//! Snapshots as differences: [`DeltaEncoder`] for the agent, [`DeltaDecoder`] for readers.
//!
//! Most sources do nothing between two snapshots, and an unchanged source takes no bytes.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::record::{STATE_ACTIVE, STATE_TORN, Snapshot, SourceDelta};
use crate::time::{BootNanos, MonoNanos};

/// How many counters a source has.
pub const COUNTERS: usize = 10;

/// A source's counters as `struct wakeup_source` has them, in the order of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Inactive → active.
    pub active_count: u64,
    /// Every report of an event.
    pub event_count: u64,
    /// Reports while wakeup-count checking was armed.
    pub wakeup_count: u64,
    /// Timers that ended an activation.
    pub expire_count: u64,
    /// Active → inactive.
    pub relax_count: u64,
    /// Time active in ns, without the current activation.
    pub total_ns: u64,
    /// The longest activation in ns, without the current one.
    pub max_ns: u64,
    /// The last change between active and inactive, CLOCK_MONOTONIC ns.
    pub last_ns: u64,
    /// Autosleep only: the start of the time in which it prevents sleep, CLOCK_MONOTONIC ns.
    pub start_prevent_ns: u64,
    /// Autosleep only: how long it prevented sleep, ns.
    pub prevent_ns: u64,
}

impl Counters {
    /// In the order of the file.
    pub fn to_array(self) -> [u64; COUNTERS] {
        [
            self.active_count,
            self.event_count,
            self.wakeup_count,
            self.expire_count,
            self.relax_count,
            self.total_ns,
            self.max_ns,
            self.last_ns,
            self.start_prevent_ns,
            self.prevent_ns,
        ]
    }

    /// From the order of the file.
    pub fn from_array(values: [u64; COUNTERS]) -> Self {
        let [
            active_count,
            event_count,
            wakeup_count,
            expire_count,
            relax_count,
            total_ns,
            max_ns,
            last_ns,
            start_prevent_ns,
            prevent_ns,
        ] = values;
        Self {
            active_count,
            event_count,
            wakeup_count,
            expire_count,
            relax_count,
            total_ns,
            max_ns,
            last_ns,
            start_prevent_ns,
            prevent_ns,
        }
    }
}

/// One source at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceState {
    /// `STATE_*` bits.
    pub state: u8,
    /// Its counters.
    pub counters: Counters,
}

impl SourceState {
    /// Whether it held the device awake.
    pub fn active(&self) -> bool {
        self.state & STATE_ACTIVE != 0
    }

    /// Whether its times are not reliable.
    pub fn torn(&self) -> bool {
        self.state & STATE_TORN != 0
    }

    /// Time active up to `now`, in ns: the kernel adds to `total_time` on deactivation only
    /// (`wakeup_source_deactivate`, `drivers/base/power/wakeup.c`, 7.3).
    pub fn held_ns(&self, now: MonoNanos) -> u64 {
        let current = if self.active() { now.0.saturating_sub(self.counters.last_ns) } else { 0 };
        self.counters.total_ns.saturating_add(current)
    }
}

/// Computes the file's differences from absolute states.
#[derive(Debug, Default)]
pub struct DeltaEncoder {
    last: BTreeMap<u32, SourceState>,
}

impl DeltaEncoder {
    /// Fills in `full`, `changed` and `gone` of `snapshot` for the sources `now`, by instance.
    ///
    /// A broken or overfull walk did not see every source, so the missing ones are not gone.
    pub fn encode(
        &mut self,
        snapshot: &mut Snapshot,
        now: &BTreeMap<u32, SourceState>,
        full: bool,
    ) {
        snapshot.full = full;
        snapshot.changed.clear();
        snapshot.gone.clear();
        if snapshot.whole() {
            snapshot.gone.extend(self.last.keys().filter(|i| !now.contains_key(i)));
            self.last.retain(|i, _| now.contains_key(i));
        }
        if full {
            self.last.clear();
        }
        self.add(snapshot, now);
    }

    /// The same for a whole snapshot of the sources before, of which only `changed` may differ.
    pub fn encode_changes(
        &mut self,
        snapshot: &mut Snapshot,
        changed: &BTreeMap<u32, SourceState>,
    ) {
        snapshot.full = false;
        snapshot.changed.clear();
        snapshot.gone.clear();
        self.add(snapshot, changed);
    }

    fn add(&mut self, snapshot: &mut Snapshot, now: &BTreeMap<u32, SourceState>) {
        for (&instance, state) in now {
            let old = self.last.insert(instance, *state);
            if old != Some(*state) {
                snapshot.changed.push(delta(instance, &old.unwrap_or_default(), state));
            }
        }
    }

    /// Forgets the sources that no snapshot will have again.
    pub fn retain(&mut self, in_use: impl Fn(u32) -> bool) {
        self.last.retain(|instance, _| in_use(*instance));
    }

    /// How many sources it remembers.
    pub fn sources(&self) -> usize {
        self.last.len()
    }
}

fn delta(instance: u32, old: &SourceState, new: &SourceState) -> SourceDelta {
    let mut mask = 0;
    let mut deltas = Vec::new();
    let pairs = old.counters.to_array().into_iter().zip(new.counters.to_array());
    for (bit, (old, new)) in pairs.enumerate() {
        if old != new {
            mask |= 1 << bit;
            deltas.push(new.wrapping_sub(old));
        }
    }
    SourceDelta { instance, state: new.state, mask, deltas }
}

/// A snapshot that has no absolute values.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DeltaError {
    /// The snapshots before it are missing or damaged, and it is not a full one.
    #[error("the snapshot at {0} ns builds on one that is missing")]
    NoBase(u64),
    /// The mask and the number of differences contradict each other.
    #[error("the snapshot at {at} ns gives {deltas} differences for the mask {mask:#x}")]
    BadMask {
        /// The snapshot's stamp.
        at: u64,
        /// The mask of the source.
        mask: u16,
        /// How many differences the source has.
        deltas: usize,
    },
}

/// Computes absolute states from the file's differences.
#[derive(Debug, Default)]
pub struct DeltaDecoder {
    sources: BTreeMap<u32, SourceState>,
    based: bool,
}

impl DeltaDecoder {
    /// Applies one snapshot and returns all sources after it, by instance.
    pub fn apply(
        &mut self,
        at: BootNanos,
        snapshot: &Snapshot,
    ) -> Result<&BTreeMap<u32, SourceState>, DeltaError> {
        if snapshot.full {
            self.sources.clear();
            self.based = true;
        } else if !self.based {
            return Err(DeltaError::NoBase(at.0));
        }
        for gone in &snapshot.gone {
            self.sources.remove(gone);
        }
        for delta in &snapshot.changed {
            let source = self.sources.entry(delta.instance).or_default();
            let Some(counters) = add(source.counters.to_array(), delta) else {
                self.forget();
                let (mask, deltas) = (delta.mask, delta.deltas.len());
                return Err(DeltaError::BadMask { at: at.0, mask, deltas });
            };
            *source = SourceState { state: delta.state, counters: Counters::from_array(counters) };
        }
        Ok(&self.sources)
    }

    /// All sources after the last applied snapshot, by instance.
    pub fn sources(&self) -> &BTreeMap<u32, SourceState> {
        &self.sources
    }

    /// Forgets the sources that no snapshot will have again.
    pub fn retain(&mut self, in_use: impl Fn(u32) -> bool) {
        self.sources.retain(|instance, _| in_use(*instance));
    }

    /// Records were lost: no state is known until the next full snapshot.
    pub fn forget(&mut self) {
        self.sources.clear();
        self.based = false;
    }
}

fn add(mut counters: [u64; COUNTERS], delta: &SourceDelta) -> Option<[u64; COUNTERS]> {
    let fits = delta.mask >> COUNTERS == 0;
    if !fits || delta.mask.count_ones() as usize != delta.deltas.len() {
        return None;
    }
    let bits = (0..COUNTERS).filter(|bit| delta.mask >> bit & 1 == 1);
    for (bit, delta) in bits.zip(&delta.deltas) {
        counters[bit] = counters[bit].wrapping_add(*delta);
    }
    Some(counters)
}
