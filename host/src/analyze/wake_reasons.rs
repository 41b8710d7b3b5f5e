//! The kernel's files about each attempt, which the agent reads after it.

use sleepwalk_trace::record::WakeReason;

use super::attempts::AttemptBuilder;
use crate::report::{Attempt, Stage};

/// Follows the readings.
#[derive(Debug, Default)]
pub struct WakeReasons {
    /// An attempt has returned, and the files have not been read since.
    returned: bool,
    /// Attempts in which an interrupt woke the system.
    pub irq_wakes: u64,
}

impl WakeReasons {
    /// `pm_suspend` returned; `attempt`: the attempt is in the trace.
    pub fn returned(&mut self, attempt: bool) {
        self.returned = attempt;
    }

    /// The files were read.
    pub fn read(
        &mut self,
        reason: &WakeReason,
        builder: &mut AttemptBuilder,
        attempts: &mut [Attempt],
    ) {
        if let Some(ms) = reason.freeze_timeout_ms {
            builder.limit_freeze(u64::from(ms) * 1_000_000);
        }
        let last = attempts.last_mut().filter(|_| std::mem::take(&mut self.returned));
        let Some(attempt) = last else { return };
        if !reason.reason.is_empty() {
            attempt.resume_reason = Some(String::from_utf8_lossy(&reason.reason).into_owned());
        }
        // The kernel clears the interrupt when it begins to freeze tasks.
        if attempt.stage < Stage::Freeze {
            return;
        }
        self.irq_wakes += u64::from(reason.irq.is_some());
        if let Some(wake) = &mut attempt.wake {
            wake.irq = wake.irq.or(reason.irq);
        }
    }
}
