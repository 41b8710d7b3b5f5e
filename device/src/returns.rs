//! How attempts ended, by the kernel's count alone: for kernels on which nothing shows the return of
//! `pm_suspend`.
//!
//! `pm_suspend` counts just before it returns (`kernel/power/suspend.c`, 7.3): `success`, or `fail` and
//! with it the errno. No event tells of that moment. An attempt that thawed user space ends soon after
//! the thaw; one that was given up in the file-system sync ends nothing that it began. So the count is
//! looked at again and again while an attempt is open, less and less often, and at the latest when the
//! next one begins. A call that is refused before its first event is not seen.

use std::collections::VecDeque;

use sleepwalk_trace::record::SuspendReturn;
use sleepwalk_trace::time::BootNanos;

use crate::context::suspend_stats::Stats;
use crate::journal::begins_attempt;
use crate::probe::events::{ProbeEvent, What};

/// The first wait of an open attempt, in ms; each further one is twice as long.
const FIRST_MS: u16 = 10;

/// No wait is longer. The freezer gives up after 20 s (`freeze_timeout_msecs`, `kernel/power/process.c`):
/// what lasts longer than all these waits together sleeps, or will be told at the next event.
const LONGEST_MS: u16 = 16_384;

/// The phase without which nothing slept, and which only a successful attempt reaches.
const MACHINE: &[u8] = b"machine_suspend";

/// An attempt that has begun and is not known to be over.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    reached_machine: bool,
}

/// Counts that no attempt was given yet.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    successes: u64,
    failures: u64,
    /// Of the last of the failures.
    errno: i32,
    /// Before they were read.
    read_at: BootNanos,
}

/// Attempts by count.
#[derive(Debug)]
pub struct Returns {
    success: u64,
    fail: u64,
    open: VecDeque<Open>,
    left: Left,
    wait_ms: u16,
}

impl Returns {
    /// From `stats` on.
    pub fn new(stats: &Stats) -> Self {
        Self {
            success: stats.counter("success"),
            fail: stats.counter("fail"),
            open: VecDeque::new(),
            left: Left::default(),
            wait_ms: FIRST_MS,
        }
    }

    /// An attempt is open, so that the counts are worth a look.
    pub fn any_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether counts are left over from an earlier look, for an attempt that is open.
    pub fn has_left(&self) -> bool {
        self.left.successes + self.left.failures > 0
    }

    /// How long to wait at most before the counts are looked at, in ms.
    pub fn wait(&self) -> Option<u16> {
        (self.any_open() && self.wait_ms <= LONGEST_MS).then_some(self.wait_ms)
    }

    /// Takes note of an event, after [`Returns::look`] where it begins an attempt.
    pub fn note(&mut self, event: &ProbeEvent) {
        if begins_attempt(event) {
            // What was counted before it began belongs to an attempt that was not seen.
            if self.open.is_empty() && self.left.read_at < event.at {
                self.left = Left::default();
            }
            self.open.push_back(Open::default());
            self.wait_ms = FIRST_MS;
        } else if let What::Phase { action, begin, .. } = &event.what {
            if action.bytes() == MACHINE
                && let Some(open) = self.open.back_mut()
            {
                open.reached_machine = true;
            }
            // It moves: its end may be near.
            if !begin {
                self.wait_ms = FIRST_MS;
            }
        }
    }

    /// Takes note of what the counts said at `read_at`.
    pub fn look(&mut self, stats: &Stats, read_at: BootNanos) {
        let (success, fail) = (stats.counter("success"), stats.counter("fail"));
        self.left.successes += success.saturating_sub(self.success);
        let failures = fail.saturating_sub(self.fail);
        if failures > 0 {
            self.left.failures += failures;
            self.left.errno = stats.last_errno;
        }
        self.left.read_at = read_at;
        (self.success, self.fail) = (success, fail);
        self.wait_ms = self.wait_ms.saturating_mul(2);
    }

    /// The return of the oldest open attempt, if it was counted.
    ///
    /// Where several were counted between two looks, some of them as failed, only an attempt that
    /// reached the machine is taken to be a success; and only the last has its errno.
    pub fn settle(&mut self) -> Option<SuspendReturn> {
        let left = &mut self.left;
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

    fn errnos(returns: &mut Returns) -> Vec<Option<i32>> {
        std::iter::from_fn(|| returns.settle()).map(|returned| returned.errno).collect()
    }

    #[test]
    fn an_attempt_is_over_when_it_is_counted() {
        let mut returns = Returns::new(&stats(7, 3, -16));
        assert_eq!(returns.wait(), None);
        returns.note(&phase(1, "suspend_enter", true));
        returns.look(&stats(7, 3, -16), BootNanos(2));
        assert!(errnos(&mut returns).is_empty() && returns.wait() > Some(FIRST_MS));
        returns.look(&stats(7, 4, -16), BootNanos(3));
        assert_eq!(errnos(&mut returns), [Some(-16)]);
        assert_eq!(returns.wait(), None);
        returns.note(&phase(4, "suspend_enter", true));
        returns.look(&stats(8, 4, -16), BootNanos(5));
        assert_eq!(errnos(&mut returns), [Some(0)]);
    }

    #[test]
    fn of_several_failures_only_the_last_has_an_errno() {
        let mut returns = Returns::new(&stats(0, 0, 0));
        for at in 1..4 {
            returns.note(&phase(at, "suspend_enter", true));
        }
        returns.look(&stats(0, 3, -1), BootNanos(9));
        assert_eq!(errnos(&mut returns), [None, None, Some(-1)]);
    }

    #[test]
    fn what_reached_the_machine_succeeded() {
        let mut returns = Returns::new(&stats(0, 0, 0));
        returns.note(&phase(1, "suspend_enter", true));
        returns.note(&phase(2, "suspend_enter", true));
        returns.note(&phase(3, "machine_suspend", true));
        returns.look(&stats(1, 1, -16), BootNanos(9));
        assert_eq!(errnos(&mut returns), [Some(-16), Some(0)]);
    }

    #[test]
    fn counts_of_attempts_that_were_not_seen_are_nobodys() {
        let mut returns = Returns::new(&stats(0, 0, 0));
        returns.look(&stats(0, 2, -16), BootNanos(5));
        returns.note(&phase(6, "suspend_enter", true));
        assert!(errnos(&mut returns).is_empty());
        // But one that was counted before its own begin was looked at keeps its count.
        returns.look(&stats(1, 2, -16), BootNanos(9));
        assert_eq!(errnos(&mut returns), [Some(0)]);
        returns.look(&stats(1, 3, -5), BootNanos(20));
        returns.note(&phase(15, "suspend_enter", true));
        assert_eq!(errnos(&mut returns), [Some(-5)]);
    }

    #[test]
    fn waits_grow_and_end() {
        let mut returns = Returns::new(&stats(0, 0, 0));
        returns.note(&phase(1, "suspend_enter", true));
        let mut waited = 0;
        while let Some(ms) = returns.wait() {
            waited += u64::from(ms);
            returns.look(&stats(0, 0, 0), BootNanos(2));
        }
        assert!((20_000..40_000).contains(&waited), "{waited} ms");
    }
}
