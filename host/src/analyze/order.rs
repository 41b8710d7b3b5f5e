//! Events in the order in which they happened.
//!
//! The file has them nearly in that order. Events of the probe stand in the order in which they got
//! their place in the ring, a moment before they got their stamp, so that those of two CPUs may be
//! the wrong way round. A snapshot stands where the agent took it, before the events that had piled
//! up by then. So an event is held back until the probe's stamps have gone [`JITTER_NS`] beyond it,
//! and a snapshot until they have gone beyond its walk's begin.

use std::collections::VecDeque;

use sleepwalk_trace::record::Reason;
use sleepwalk_trace::snapshot::SourceState;
use sleepwalk_trace::time::{BootNanos, MonoNanos};

use crate::session::decode::View;

/// The probe's events are at most this far out of order; more is a clock that was tampered with.
pub const JITTER_NS: u64 = 1_000_000;

/// Snapshots held back, where no event of the probe comes to release them.
const SNAPSHOTS: usize = 64;

/// Events held back: as many as within [`JITTER_NS`] can come. A forged trace may have more.
const ROOM: usize = 1 << 16;

/// Something that happened.
#[derive(Debug)]
pub enum What {
    /// A snapshot.
    Snapshot(Box<Taken>),
    /// A suspend phase.
    Phase {
        /// The kernel's name of it; empty where this version does not know it.
        action: &'static str,
        /// The event's `val`.
        value: i32,
        /// Begin, else end.
        begin: bool,
    },
    /// `pm_suspend` returned.
    Return {
        /// What.
        errno: Option<i32>,
    },
    /// A source was activated or deactivated.
    Edge {
        /// Its instance.
        source: u32,
        /// Activated.
        active: bool,
        /// One of several it may be.
        shared: bool,
    },
    /// A thread began to wait.
    WaitBegin {
        /// Its id.
        thread: u32,
    },
    /// It has its answer.
    WaitEnd {
        /// Its id.
        thread: u32,
        /// No source was active.
        idle: bool,
    },
    /// A thread wrote the wakeup count back.
    Save {
        /// Taken.
        saved: bool,
    },
    /// An interrupt woke the system.
    Wake {
        /// Its number.
        irq: u32,
    },
    /// Events were lost.
    Lost,
}

/// A snapshot, as far as it has to be kept until its turn.
#[derive(Debug)]
pub struct Taken {
    /// The walk's begin.
    pub at: BootNanos,
    /// The same by CLOCK_MONOTONIC.
    pub now: MonoNanos,
    /// Why.
    pub reason: Reason,
    /// It has every source.
    pub whole: bool,
    /// What is not in `states` is not there.
    pub full: bool,
    /// The sources that changed, or all.
    pub states: Vec<(u32, SourceState)>,
    /// Those that are no more.
    pub gone: Vec<u32>,
}

impl Taken {
    /// Out of the decoder's hands.
    pub fn new(view: &View<'_>) -> Self {
        let record = view.record;
        let changed = record.changed.iter().map(|delta| delta.instance);
        let states = if record.full {
            view.states.iter().map(|(&instance, &state)| (instance, state)).collect()
        } else {
            changed.filter_map(|i| Some((i, *view.states.get(&i)?))).collect()
        };
        Self {
            at: view.at,
            now: view.now,
            reason: record.reason,
            whole: view.whole(),
            full: record.full,
            states,
            gone: record.gone.clone(),
        }
    }
}

/// Holds events back and puts them in order.
#[derive(Debug, Default)]
pub struct Order {
    held: VecDeque<(BootNanos, What)>,
    snapshots: usize,
    /// Up to here all events of the probe are there.
    sure: BootNanos,
    /// The stamp handed out last. None is smaller after it, whatever the file says.
    last: BootNanos,
}

impl Order {
    /// Takes an event in.
    pub fn push(&mut self, at: BootNanos, what: What) {
        match what {
            What::Snapshot(_) => self.snapshots += 1,
            What::Lost => {}
            _ => self.sure = self.sure.max(BootNanos(at.0.saturating_sub(JITTER_NS))),
        }
        // Nearly always the last.
        let mut place = self.held.len();
        for _ in 0..8 {
            if place > 0 && self.held[place - 1].0 > at {
                place -= 1;
            }
        }
        if place > 0 && self.held[place - 1].0 > at {
            place = self.held.partition_point(|(held, _)| *held <= at);
        }
        if place == self.held.len() {
            self.held.push_back((at, what));
        } else {
            self.held.insert(place, (at, what));
        }
    }

    /// The next event whose turn it is.
    pub fn pop(&mut self) -> Option<(BootNanos, What)> {
        let (at, _) = self.held.front()?;
        let due = *at <= self.sure || self.snapshots > SNAPSHOTS || self.held.len() > ROOM;
        if due { self.pop_any() } else { None }
    }

    /// The next event, where no more will come that could be before it.
    pub fn pop_any(&mut self) -> Option<(BootNanos, What)> {
        let (at, what) = self.held.pop_front()?;
        self.snapshots -= usize::from(matches!(what, What::Snapshot(_)));
        self.last = self.last.max(at);
        Some((self.last, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(source: u32) -> What {
        What::Edge { source, active: true, shared: false }
    }

    fn order(events: &[(u64, u32)]) -> Vec<(u64, u32)> {
        let mut order = Order::default();
        let mut out = Vec::new();
        let source = |(at, what): (BootNanos, What)| match what {
            What::Edge { source, .. } => (at.0, source),
            _ => unreachable!("only edges"),
        };
        for (at, source_id) in events {
            order.push(BootNanos(*at), edge(*source_id));
            out.extend(std::iter::from_fn(|| order.pop()).map(source));
        }
        out.extend(std::iter::from_fn(|| order.pop_any()).map(source));
        out
    }

    #[test]
    fn what_is_a_little_late_is_put_in_its_place_and_equals_keep_their_order() {
        let events = [(10, 0), (12, 1), (11, 2), (12, 3), (5, 4)];
        assert_eq!(order(&events), [(5, 4), (10, 0), (11, 2), (12, 1), (12, 3)]);
    }

    #[test]
    fn what_is_far_too_late_happens_now() {
        let events = [(0, 0), (5 * JITTER_NS, 1), (3, 2), (6 * JITTER_NS, 3)];
        let out = order(&events);
        assert_eq!(out[..2], [(0, 0), (3, 2)]);
        let events = [(9 * JITTER_NS, 0), (99 * JITTER_NS, 1), (3, 2)];
        assert_eq!(order(&events)[1].1, 2);
        assert!(order(&events).is_sorted_by_key(|(at, _)| *at));
    }
}
