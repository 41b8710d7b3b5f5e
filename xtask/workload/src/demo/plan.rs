//! The demo's steps, their order, and how many of them fit.

use std::time::Duration;

/// Something the demo does; all but [`Step::BornAndDies`] end in a suspend attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An attempt that sleeps until the alarm.
    Sleep,
    /// An attempt that a source aborts before user space is frozen.
    Abort(&'static str),
    /// An attempt that a kernel timer aborts while devices suspend.
    AbortLate,
    /// A source is active for long, and the loop waits for it. Then an attempt sleeps.
    Blocked(&'static str),
    /// Two sources are active, one for the second half of the other's time. Then an attempt sleeps.
    Overlap(&'static str, &'static str),
    /// A source comes, is active for a while, and goes; user space does not try to suspend meanwhile.
    BornAndDies(&'static str),
}

/// How long [`Step::Blocked`] holds its source.
pub const BLOCKED: Duration = Duration::from_secs(5);
/// How long each of [`Step::Overlap`]'s sources is held; the second begins [`OVERLAP_AFTER`].
pub const OVERLAP: Duration = Duration::from_millis(1400);
/// When the second one begins.
pub const OVERLAP_AFTER: Duration = Duration::from_millis(700);
/// How long [`Step::BornAndDies`] holds its source.
pub const SHORT_LIFE: Duration = Duration::from_millis(900);

/// Alarm of an attempt that is to sleep, in the RTC's seconds: it comes up to one second early,
/// because the clock does not begin a second when it is set.
pub const ALARM_S: u64 = 3;
/// Alarm of an attempt that is to be aborted: what a missed abort costs.
pub const MISSED_ALARM_S: u64 = 2;

/// The round. The steps that show most come first, so that short demos have them.
const ROUND: [Step; 8] = [
    Step::Sleep,
    Step::Abort("modem_rx"),
    Step::Blocked("audio_dsp"),
    Step::AbortLate,
    Step::Overlap("wlan_rx", "sensor_hub"),
    Step::BornAndDies("gnss_fix"),
    Step::Abort("wlan_rx"),
    Step::Sleep,
];

impl Step {
    /// Its length when nothing has to be tried again, with the pause after it.
    pub fn cost(self) -> Duration {
        let sleep = Duration::from_secs(ALARM_S);
        let overhead = Duration::from_millis(700);
        overhead
            + match self {
                Step::Sleep => sleep,
                Step::Abort(_) => Duration::from_millis(200),
                Step::AbortLate => Duration::from_millis(400),
                Step::Blocked(_) => BLOCKED + sleep,
                Step::Overlap(..) => OVERLAP_AFTER + OVERLAP + sleep,
                Step::BornAndDies(_) => SHORT_LIFE,
            }
    }

    /// As it is printed.
    pub fn words(self) -> String {
        match self {
            Step::Sleep => "sleep".to_owned(),
            Step::Abort(name) => format!("abort by {name}"),
            Step::AbortLate => format!("abort by {}", crate::timer::NAME),
            Step::Blocked(name) => format!("blocked by {name}, then sleep"),
            Step::Overlap(one, other) => format!("blocked by {one} and {other}, then sleep"),
            Step::BornAndDies(name) => format!("{name} is born, active, and dies"),
        }
    }
}

/// Where the demo is in its rounds.
#[derive(Default)]
pub struct Plan {
    next: usize,
}

impl Plan {
    /// The next step that fits into the time left; the round begins again after its last step.
    pub fn next(&mut self, left: Duration) -> Option<Step> {
        let candidates = (self.next..self.next + ROUND.len()).map(|i| i % ROUND.len());
        let found = candidates.into_iter().find(|&i| ROUND[i].cost() <= left)?;
        self.next = found + 1;
        Some(ROUND[found])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(length: Duration) -> Vec<Step> {
        let mut plan = Plan::default();
        let mut left = length;
        std::iter::from_fn(|| {
            let step = plan.next(left)?;
            left -= step.cost();
            Some(step)
        })
        .collect()
    }

    #[test]
    fn half_a_minute_has_a_whole_round() {
        let steps = planned(Duration::from_secs(30));
        assert_eq!(steps[..ROUND.len()], ROUND);
    }

    #[test]
    fn the_shortest_sleeps_and_is_aborted() {
        let steps = planned(crate::demo::SHORTEST);
        assert_eq!(steps[..2], [Step::Sleep, Step::Abort("modem_rx")]);
    }

    #[test]
    fn a_long_one_repeats_and_fills_its_time() {
        let length = Duration::from_secs(600);
        let steps = planned(length);
        assert!(steps.iter().filter(|step| **step == Step::AbortLate).count() > 15);
        let used: Duration = steps.iter().map(|step| step.cost()).sum();
        assert!(used <= length && length - used < Duration::from_secs(1));
    }
}
