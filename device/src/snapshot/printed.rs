//! Turns the numbers that the kernel prints of a source, in debugfs and in sysfs, back into those
//! of the struct.
//!
//! Printed times are whole ms, and those of an active source include the current activation
//! (`print_wakeup_source_stats`, `drivers/base/power/wakeup.c`; `total_time_ms_show` and its
//! neighbours, `wakeup_stats.c`, 7.3). Some errors remain:
//!
//! - `max_ns` is the current activation if that is the longest so far.
//! - `total_ns` may be 1 ms too large while a source is active: floor(a + b) − floor(b).
//! - A source that has been active for less than a ms reads as inactive.
//! - `relax_count` is not printed. It is computed as `active_count` minus the current activation.
//!
//! The kernel computes with signed times, and some kernels print a current activation below 0.

use sleepwalk_trace::record::STATE_ACTIVE;
use sleepwalk_trace::snapshot::{Counters, SourceState};

const NS_PER_MS: u64 = 1_000_000;

/// The numbers of one source, in the order of debugfs' columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// Inactive → active.
    pub active_count: u64,
    /// Every report of an event.
    pub event_count: u64,
    /// Reports while wakeup-count checking was armed.
    pub wakeup_count: u64,
    /// Timers that ended an activation.
    pub expire_count: u64,
    /// Time since the current activation; 0 for an inactive source.
    pub active_ms: i64,
    /// Time active, with the current activation.
    pub total_ms: i64,
    /// The longest activation, or the current one if that is longer.
    pub max_ms: i64,
    /// The last change between active and inactive, CLOCK_MONOTONIC.
    pub last_ms: i64,
    /// Autosleep only: how long it prevented sleep.
    pub prevent_ms: i64,
}

impl Printed {
    /// From the order of debugfs' columns.
    pub fn from_columns(columns: [i64; 9]) -> Self {
        let [
            active_count,
            event_count,
            wakeup_count,
            expire_count,
            active_ms,
            total_ms,
            max_ms,
            last_ms,
            prevent_ms,
        ] = columns;
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        Self {
            active_count: count(active_count),
            event_count: count(event_count),
            wakeup_count: count(wakeup_count),
            expire_count: count(expire_count),
            active_ms,
            total_ms,
            max_ms,
            last_ms,
            prevent_ms,
        }
    }

    /// The state as in the struct, as far as the printed numbers show it.
    pub fn state(&self) -> SourceState {
        let active = self.active_ms != 0;
        let ns = |ms: i64| u64::try_from(ms).unwrap_or(0).saturating_mul(NS_PER_MS);
        let counters = Counters {
            active_count: self.active_count,
            event_count: self.event_count,
            wakeup_count: self.wakeup_count,
            expire_count: self.expire_count,
            relax_count: self.active_count.saturating_sub(u64::from(active)),
            total_ns: ns(self.total_ms.saturating_sub(self.active_ms)),
            max_ns: ns(self.max_ms),
            last_ns: ns(self.last_ms),
            start_prevent_ns: 0,
            prevent_ns: ns(self.prevent_ms),
        };
        SourceState { state: if active { STATE_ACTIVE } else { 0 }, counters }
    }
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::time::MonoNanos;

    use super::*;

    #[test]
    fn the_current_activation_is_subtracted() {
        let printed = Printed::from_columns([7, 9, 2, 1, 30, 130, 50, 1000, 0]);
        let state = printed.state();
        assert!(state.active());
        assert_eq!((state.counters.active_count, state.counters.relax_count), (7, 6));
        assert_eq!(state.counters.total_ns, 100 * NS_PER_MS);
        assert_eq!(state.held_ns(MonoNanos(1030 * NS_PER_MS)), 130 * NS_PER_MS);
        let idle = Printed { active_ms: 0, ..printed }.state();
        assert!(!idle.active());
        assert_eq!((idle.counters.relax_count, idle.counters.total_ns), (7, 130 * NS_PER_MS));
        let absurd = Printed::from_columns([0, 0, 0, 0, 5, 1, i64::MAX, 0, 0]).state();
        assert_eq!((absurd.counters.total_ns, absurd.counters.max_ns), (0, u64::MAX));
        let back = Printed { active_ms: -4, ..printed }.state();
        assert_eq!((back.active(), back.counters.total_ns), (true, 134 * NS_PER_MS));
    }
}
