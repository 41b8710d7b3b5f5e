//! Sleep as the clocks show it: CLOCK_BOOTTIME counts it, and CLOCK_MONOTONIC does not
//! (`Documentation/core-api/timekeeping.rst`), so the growth of their difference is sleep.
//!
//! It shows sleep where phases do not: without hooks, where records are missing, and on devices whose
//! timer stops in suspend and whose RTC adds the sleep when it resumes, after `syscore_resume`
//! (`rtc_resume`, `drivers/rtc/class.c`, 5.10 to 7.3). It is a lower bound in s2idle, in which
//! CLOCK_MONOTONIC stops only if all CPUs stop their ticks (`tick_freeze`, `kernel/time/tick-common.c`).

use sleepwalk_trace::time::BootNanos;

use super::attempts::STAYED_NS;
use crate::report::Attempt;
use crate::session::decode::Model;

/// The clocks' difference grew between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The last reading before.
    pub start: BootNanos,
    /// The first reading after.
    pub end: BootNanos,
    /// By how much, and so how long the device slept in between.
    pub slept_ns: u64,
}

impl Growth {
    /// The part that no attempt explains.
    pub fn beyond(&self, attempts: &[Attempt]) -> u64 {
        let first = attempts.partition_point(|attempt| attempt.end_ns <= self.start);
        let within = attempts[first..].iter().take_while(|attempt| attempt.start_ns < self.end);
        let slept_ns = within.map(|attempt| attempt.slept_ns).fold(0, u64::saturating_add);
        let beyond = self.slept_ns.saturating_sub(slept_ns);
        // Two clocks cannot be read at one instant.
        if beyond < STAYED_NS { 0 } else { beyond }
    }
}

/// The readings of a trace.
#[derive(Debug, Default)]
pub struct Readings(Vec<(BootNanos, u64)>);

impl Readings {
    /// At `at` the clocks differ by this much.
    pub fn read(&mut self, at: BootNanos, difference_ns: u64) {
        self.0.push((at, difference_ns));
    }

    /// Where the difference grew within the session, in order.
    pub fn growth(mut self, model: &Model) -> Vec<Growth> {
        self.0.retain(|(at, _)| model.start <= *at && *at <= model.end);
        self.0.sort_unstable();
        let growth = self.0.windows(2).map(|pair| {
            let [(start, before_ns), (end, after_ns)] = [pair[0], pair[1]];
            let slept_ns = after_ns.saturating_sub(before_ns).min(end.since(start));
            Growth { start, end, slept_ns }
        });
        growth.filter(|growth| growth.slept_ns >= STAYED_NS).collect()
    }
}
