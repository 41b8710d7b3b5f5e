//! The returns of attempts from the kernel's counts in `suspend_stats`, for kernels on which no
//! hook sees `pm_suspend` return, and for returns that the hook missed.
//!
//! `pm_suspend` counts just before it returns (`kernel/power/suspend.c`, 7.3): `success`, or `fail`
//! with the errno. No event marks that moment. An attempt that thawed user space ends soon after
//! the thaw; one that was aborted during the file-system sync has no further event at all. So the
//! agent polls the counts while an attempt is open, less and less often, and at the latest when the
//! next attempt begins. A call that is refused before its first event is not seen.

use std::collections::VecDeque;

use sleepwalk_trace::record::SuspendReturn;
use sleepwalk_trace::time::BootNanos;

use super::journal::begins_attempt;
use crate::context::suspend_stats::Stats;
use crate::probe::events::{EventKind, ProbeEvent};

/// The first wait of an open attempt, in ms. Each further wait is twice as long.
const FIRST_MS: u16 = 10;

/// The longest wait. The freezer gives up after 20 s (`freeze_timeout_msecs`,
/// `kernel/power/process.c`). An attempt that lasts longer than all waits together sleeps, or the
/// next event shows its end.
const LONGEST_MS: u16 = 16_384;

/// Nothing sleeps without this phase, and only a successful attempt reaches it.
const MACHINE: &[u8] = b"machine_suspend";

/// An attempt that has begun and is not known to be over.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    reached_machine: bool,
}

/// Counted returns that belong to no attempt yet.
#[derive(Clone, Copy, Debug, Default)]
struct Unassigned {
    successes: u64,
    failures: u64,
    /// Errno of the last failure.
    errno: i32,
    /// Just before the counts were read.
    read_at: BootNanos,
}

/// Assigns counted returns to attempts.
#[derive(Debug)]
pub struct SuspendStatsReturns {
    success: u64,
    fail: u64,
    open: VecDeque<Open>,
    unassigned: Unassigned,
    wait_ms: u16,
    /// No hook sees returns.
    polls: bool,
    /// A hook sees returns, and missed this one, or is about to report it.
    filled: bool,
}

impl SuspendStatsReturns {
    /// Counts from `stats` on. No hook sees returns if it `polls`.
    pub fn new(stats: &Stats, polls: bool) -> Self {
        Self {
            success: stats.counter("success"),
            fail: stats.counter("fail"),
            open: VecDeque::new(),
            unassigned: Unassigned::default(),
            wait_ms: FIRST_MS,
            polls,
            filled: false,
        }
    }

    /// Whether no hook sees returns.
    pub fn polls(&self) -> bool {
        self.polls
    }

    /// Whether a return that a hook should have seen came from the counts.
    pub fn has_filled(&self) -> bool {
        self.filled
    }

    /// A hook saw a return after one that came from the counts, and [`SuspendStatsReturns::update`] was called:
    /// whether it is that one. `pm_suspend` counts before it returns, so another one is counted by now.
    pub fn is_repeated(&mut self) -> bool {
        self.filled = false;
        !self.has_unassigned()
    }

    /// The counts are `stats`, and a hook has seen all that they contain or is about to report it.
    pub fn set_counts(&mut self, stats: &Stats) {
        if !self.polls && !self.filled {
            (self.success, self.fail) = (stats.counter("success"), stats.counter("fail"));
            self.unassigned = Unassigned::default();
        }
    }

    /// Whether an attempt is open.
    pub fn has_open_attempt(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether counted returns wait for [`SuspendStatsReturns::next_return`].
    pub fn has_unassigned(&self) -> bool {
        self.unassigned.successes + self.unassigned.failures > 0
    }

    /// Whether [`SuspendStatsReturns::next_return`] has one.
    pub fn has_next_return(&self) -> bool {
        self.has_open_attempt() && self.has_unassigned()
    }

    /// How many ms to wait at most before the counts are read.
    pub fn wait(&self) -> Option<u16> {
        (self.polls && self.has_open_attempt() && self.wait_ms <= LONGEST_MS)
            .then_some(self.wait_ms)
    }

    /// Follows an event. If it begins an attempt, call [`SuspendStatsReturns::update`] first.
    pub fn observe(&mut self, event: &ProbeEvent) {
        if begins_attempt(event) {
            // SuspendStatsReturns that were counted before it began belong to an attempt that was
            // not seen.
            if self.open.is_empty() && self.unassigned.read_at < event.at {
                self.unassigned = Unassigned::default();
            }
            self.open.push_back(Open::default());
            self.wait_ms = FIRST_MS;
        } else if let EventKind::Return { .. } = &event.kind {
            self.open.pop_front();
        } else if let EventKind::Phase { action, begin, .. } = &event.kind {
            if action.bytes() == MACHINE
                && let Some(open) = self.open.back_mut()
            {
                open.reached_machine = true;
            }
            // The attempt makes progress: its end may be near.
            if !begin {
                self.wait_ms = FIRST_MS;
            }
        }
    }

    /// Adds the counts that were read at `read_at`.
    pub fn update(&mut self, stats: &Stats, read_at: BootNanos) {
        let (success, fail) = (stats.counter("success"), stats.counter("fail"));
        self.unassigned.successes += success.saturating_sub(self.success);
        let failures = fail.saturating_sub(self.fail);
        if failures > 0 {
            self.unassigned.failures += failures;
            self.unassigned.errno = stats.last_errno;
        }
        self.unassigned.read_at = read_at;
        (self.success, self.fail) = (success, fail);
        self.wait_ms = self.wait_ms.saturating_mul(2);
    }

    /// The return of the oldest open attempt, if it was counted.
    ///
    /// If several returns were counted between two readings, some of them as failures, an attempt
    /// counts as successful only if it reached the machine, and only the last failure has its
    /// errno.
    pub fn next_return(&mut self) -> Option<SuspendReturn> {
        let left = &mut self.unassigned;
        let open = self.open.front().filter(|_| left.successes + left.failures > 0)?;
        let success = left.failures == 0 || left.successes > 0 && open.reached_machine;
        let errno = if success {
            left.successes -= 1;
            Some(0)
        } else {
            left.failures -= 1;
            Some(left.errno).filter(|errno| left.failures == 0 && *errno < 0)
        };
        self.open.pop_front();
        self.filled = !self.polls;
        Some(SuspendReturn { errno })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(success: u64, fail: u64, last_errno: i32) -> Stats {
        let counters = [("success".to_owned(), success), ("fail".to_owned(), fail)];
        Stats { counters: counters.into(), last_errno, ..Stats::default() }
    }

    fn phase(at: u64, action: &str, begin: bool) -> ProbeEvent {
        let mut bytes = at.to_ne_bytes().to_vec();
        let kind = if begin {
            sleepwalk_trace::abi::EVENT_PHASE_BEGIN
        } else {
            sleepwalk_trace::abi::EVENT_PHASE_END
        };
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(1u32.to_ne_bytes());
        let mut room = [0; sleepwalk_trace::abi::ACTION_ROOM];
        room[..action.len()].copy_from_slice(action.as_bytes());
        bytes.extend(room);
        ProbeEvent::parse(&bytes).unwrap()
    }

    fn errnos(returns: &mut SuspendStatsReturns) -> Vec<Option<i32>> {
        std::iter::from_fn(|| returns.next_return()).map(|returned| returned.errno).collect()
    }

    #[test]
    fn an_attempt_is_over_when_it_is_counted() {
        let mut returns = SuspendStatsReturns::new(&stats(7, 3, -16), true);
        assert_eq!(returns.wait(), None);
        returns.observe(&phase(1, "suspend_enter", true));
        returns.update(&stats(7, 3, -16), BootNanos(2));
        assert!(errnos(&mut returns).is_empty() && returns.wait() > Some(FIRST_MS));
        returns.update(&stats(7, 4, -16), BootNanos(3));
        assert_eq!(errnos(&mut returns), [Some(-16)]);
        assert_eq!(returns.wait(), None);
        returns.observe(&phase(4, "suspend_enter", true));
        returns.update(&stats(8, 4, -16), BootNanos(5));
        assert_eq!(errnos(&mut returns), [Some(0)]);
    }

    #[test]
    fn only_the_last_failure_has_an_errno() {
        let mut returns = SuspendStatsReturns::new(&stats(0, 0, 0), true);
        for at in 1..4 {
            returns.observe(&phase(at, "suspend_enter", true));
        }
        returns.update(&stats(0, 3, -1), BootNanos(9));
        assert_eq!(errnos(&mut returns), [None, None, Some(-1)]);
    }

    #[test]
    fn an_attempt_that_reached_the_machine_succeeded() {
        let mut returns = SuspendStatsReturns::new(&stats(0, 0, 0), true);
        returns.observe(&phase(1, "suspend_enter", true));
        returns.observe(&phase(2, "suspend_enter", true));
        returns.observe(&phase(3, "machine_suspend", true));
        returns.update(&stats(1, 1, -16), BootNanos(9));
        assert_eq!(errnos(&mut returns), [Some(-16), Some(0)]);
    }

    #[test]
    fn counts_of_unseen_attempts_are_dropped() {
        let mut returns = SuspendStatsReturns::new(&stats(0, 0, 0), true);
        returns.update(&stats(0, 2, -16), BootNanos(5));
        returns.observe(&phase(6, "suspend_enter", true));
        assert!(errnos(&mut returns).is_empty());
        // An attempt that was counted before the agent saw its start keeps its count.
        returns.update(&stats(1, 2, -16), BootNanos(9));
        assert_eq!(errnos(&mut returns), [Some(0)]);
        returns.update(&stats(1, 3, -5), BootNanos(20));
        returns.observe(&phase(15, "suspend_enter", true));
        assert_eq!(errnos(&mut returns), [Some(-5)]);
    }

    fn returned(at: u64) -> ProbeEvent {
        let mut bytes = at.to_ne_bytes().to_vec();
        bytes.extend(sleepwalk_trace::abi::EVENT_SUSPEND_RETURN.to_ne_bytes());
        bytes.extend(0u32.to_ne_bytes());
        ProbeEvent::parse(&bytes).unwrap()
    }

    #[test]
    fn a_return_that_the_hook_missed_is_filled() {
        let mut returns = SuspendStatsReturns::new(&stats(4, 0, 0), false);
        assert_eq!(returns.wait(), None, "a hook needs no polls");
        returns.observe(&phase(1, "suspend_enter", true));
        returns.observe(&returned(2));
        returns.set_counts(&stats(5, 0, 0));
        assert!(!returns.has_open_attempt());
        // The hook misses the second return, as the next attempt shows.
        returns.observe(&phase(3, "suspend_enter", true));
        assert!(returns.has_open_attempt());
        returns.update(&stats(5, 1, -16), BootNanos(5));
        assert_eq!(errnos(&mut returns), [Some(-16)]);
        returns.set_counts(&stats(5, 1, -16));
        returns.observe(&phase(5, "suspend_enter", true));
        // The hook sees the third, which is counted.
        returns.update(&stats(6, 1, -16), BootNanos(7));
        assert!(returns.has_filled() && !returns.is_repeated());
        returns.observe(&returned(6));
        returns.set_counts(&stats(6, 1, -16));
        assert!(!returns.has_filled() && !returns.has_open_attempt());
    }

    #[test]
    fn a_late_hook_does_not_count_twice() {
        let mut returns = SuspendStatsReturns::new(&stats(0, 0, 0), false);
        returns.observe(&phase(1, "suspend_enter", true));
        returns.update(&stats(1, 0, 0), BootNanos(2));
        assert_eq!(errnos(&mut returns), [Some(0)]);
        returns.set_counts(&stats(1, 0, 0));
        returns.update(&stats(1, 0, 0), BootNanos(3));
        assert!(returns.has_filled() && returns.is_repeated());
    }

    #[test]
    fn waits_grow_and_end() {
        let mut returns = SuspendStatsReturns::new(&stats(0, 0, 0), true);
        returns.observe(&phase(1, "suspend_enter", true));
        let mut waited = 0;
        while let Some(ms) = returns.wait() {
            waited += u64::from(ms);
            returns.update(&stats(0, 0, 0), BootNanos(2));
        }
        assert!((20_000..40_000).contains(&waited), "{waited} ms");
    }
}
