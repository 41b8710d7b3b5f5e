//! Whether the kernel looks at the wakeup sources in an attempt.
//!
//! `pm_wakeup_pending` compares the events with the count only where `events_check_enabled` is set. An
//! accepted write of `wakeup_count` sets it; a refused one clears it (`pm_save_wakeup_count`), and so
//! does a pending wakeup (`pm_wakeup_pending`; both in `drivers/base/power/wakeup.c`) and the end of each
//! attempt that froze user space (`Finish` in `enter_state`, `kernel/power/suspend.c`; all 5.10 to 7.3).
//! So it outlives an attempt that failed before that for another reason.

use sleepwalk_trace::time::BootNanos;

use crate::report::{Attempt, Outcome, Stage};

/// User space suspends right after it has written the count. An attempt that begins later than this after
/// the first record was not armed by a write before it.
const WRITE_NS: u64 = 1_000_000_000;

/// Follows `events_check_enabled`; `None` where it is not known.
#[derive(Debug, Default)]
pub struct Armed {
    /// At this instant.
    pub now: Option<bool>,
    /// When the current attempt began.
    pub attempt: Option<bool>,
    since: BootNanos,
}

impl Armed {
    /// Nothing is known of the time before `at`.
    pub fn forget(&mut self, at: BootNanos) {
        self.now = None;
        self.since = at;
    }

    /// The count was written.
    pub fn write(&mut self, saved: bool) {
        self.now = Some(saved);
    }

    /// An attempt begins. `writes`: writes of the count are recorded.
    pub fn begin(&mut self, at: BootNanos, writes: bool) {
        if writes && self.now.is_none() && at.since(self.since) >= WRITE_NS {
            self.now = Some(false);
        }
        self.attempt = self.now.filter(|_| writes);
    }

    /// That attempt ended like this.
    pub fn end(&mut self, attempt: &Attempt) {
        self.now = match attempt.outcome {
            // It did not come to `Finish`.
            Outcome::Failed if attempt.stage <= Stage::Freeze => self.now,
            Outcome::Aborted if attempt.stage <= Stage::Freeze && attempt.causes.is_empty() => {
                self.now.filter(|armed| !armed)
            }
            Outcome::Unfinished => None,
            _ => Some(false),
        };
    }
}
