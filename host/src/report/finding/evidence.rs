//! The evidence of findings, where it has a type of its own.

use sleepwalk_trace::time::RealNanos;

use crate::report::{Name, Outcome};

/// Attempts in quick succession, none of which slept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storms {
    /// How many storms.
    pub storms: u64,
    /// Attempts in all of them.
    pub attempts: u64,
    /// From the start of each to its end, in sum.
    pub lasted_ns: u64,
    /// Attempts in the largest.
    pub largest: u64,
    /// The time of the largest.
    pub largest_ns: u64,
    /// The source blamed most often, and for how many attempts.
    pub blamed: Option<(Name, u64)>,
}

/// A moment of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// Since its start.
    pub after_ns: u64,
    /// CLOCK_REALTIME; `None` where the date is unknown.
    pub realtime_ns: Option<RealNanos>,
}

/// Attempts that did not sleep, where no source or device stands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unslept {
    /// How many.
    pub attempts: u64,
    /// All attempts.
    pub all: u64,
    /// How many had each outcome.
    pub outcomes: Vec<(Outcome, u64)>,
    /// Names that are blamed.
    pub sources: u64,
    /// Those blamed most often, and for how many.
    pub most: Vec<(Name, u64)>,
    /// Attempts without a known cause.
    pub unknown: u64,
    /// How long they took, with the back-off after them.
    pub wasted_ns: u64,
}

/// Time that could have been charged to a source, and was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unattributed {
    /// Blocked, with no source known to be active.
    pub blocked_ns: u64,
    /// Attempts that did not sleep, without a known cause.
    pub attempts: u64,
    /// How long those took, with the back-off after them.
    pub attempts_ns: u64,
    /// Wakes by no known source or interrupt.
    pub wakes: u64,
    /// Their cost.
    pub wakes_ns: u64,
}

impl Unattributed {
    /// All of it.
    pub fn total_ns(&self) -> u64 {
        self.blocked_ns.saturating_add(self.attempts_ns).saturating_add(self.wakes_ns)
    }
}

/// Missing records, and their consequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Losses {
    /// Events that the probe dropped.
    pub events: u64,
    /// Chunks of the file that are missing.
    pub chunks: u64,
    /// Records that could not be decoded.
    pub records: u64,
    /// Snapshots and counters that contradict the recorded activations.
    pub contradictions: u64,
    /// Time in which the active sources are in doubt.
    pub doubtful_ns: u64,
}

/// A source or an interrupt that woke the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waker {
    /// A source.
    Source {
        /// Which.
        source: Name,
        /// Wakes for which it is proven.
        proven: u64,
    },
    /// An interrupt without a known source.
    Interrupt {
        /// Its number.
        irq: u32,
        /// Its name; empty where it is unknown.
        name: Name,
    },
}

/// A source and how long it was held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub source: Name,
    /// For how long.
    pub held_ns: u64,
    /// At least so long; see [`Sum::held_at_least`](crate::report::Sum::held_at_least).
    pub at_least: bool,
}
