//! Waits for the end of a recording, and disturbs it as little as possible.
//!
//! Each poll over adb wakes a phone, or keeps it awake, and so changes what is measured. The intervals
//! between polls therefore grow, and a device that does not answer is assumed to be asleep.

use std::time::Duration;

use anyhow::{Result, bail};

use super::progress::Progress;
use crate::cmd::console::say;
use crate::device::capture::Capture;
use crate::device::state::State;
use crate::fix::Fixable;
use crate::interrupt;

/// The time to the first poll, which finds a capture that failed early. The time to each further poll
/// is twice as long.
const FIRST: Duration = Duration::from_secs(30);
/// The longest interval between polls.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// The interval between polls once the capture should be over.
const OVERDUE: Duration = Duration::from_secs(2);
/// How long to wait for an answer after the capture should be over.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the capture is over, and returns the agent's exit code.
pub(super) fn wait(
    capture: &mut Capture<'_>,
    duration: Duration,
    serial: &str,
) -> Result<Option<i32>> {
    let progress = Progress::start(duration, serial);
    let mut silent = false;
    let mut interval = FIRST;
    loop {
        let left = duration.saturating_sub(progress.elapsed());
        progress.pass(pause(&mut interval, left));
        if interrupt::count() > 0 {
            drop(progress);
            return stop(capture);
        }
        let answer = capture.state();
        if let Ok(State::Ended(code)) = answer {
            return Ok(code);
        }
        if let (Err(why), false) = (&answer, silent) {
            silent = true;
            progress.say(&format!("waiting for the device: {why}"));
        }
        if progress.elapsed() < duration + PATIENCE {
            continue;
        }
        drop(progress);
        return match answer {
            Ok(_) => {
                say("warning: the agent did not stop on its own; stopping it");
                stop(capture)
            }
            Err(why) => {
                capture.leave();
                Err(anyhow::Error::new(why).context(Fixable::new(
                    format!("the capture should be over, but device {serial} does not answer"),
                    format!(
                        "copy {} with `sleepwalk pull` when the device answers again",
                        capture.remote().trace()
                    ),
                )))
            }
        };
    }
}

/// The time to the next poll, if `left` of the capture is left.
fn pause(interval: &mut Duration, left: Duration) -> Duration {
    if left.is_zero() {
        return OVERDUE;
    }
    let pause = (*interval).min(left + OVERDUE / 4);
    *interval = (*interval * 2).min(LONGEST);
    pause
}

/// Stops the capture early, and keeps its trace.
fn stop(capture: &mut Capture<'_>) -> Result<Option<i32>> {
    say("stopping; press Ctrl-C again to discard the trace");
    let stopped = capture.stop();
    if interrupt::count() > 1 {
        bail!("interrupted: the trace was discarded");
    }
    match stopped.inspect_err(|_| capture.leave_trace())? {
        State::Ended(code) => Ok(code),
        // The agent did not end, but everything it has written is readable.
        State::Starting | State::Capturing => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_has_few_polls() {
        let (mut interval, mut left) = (FIRST, Duration::from_secs(8 * 3600));
        let mut pauses = Vec::new();
        while !left.is_zero() {
            let pause = pause(&mut interval, left);
            pauses.push(pause.as_secs());
            left = left.saturating_sub(pause);
        }
        assert_eq!(pauses[..8], [30, 60, 120, 240, 480, 960, 1800, 1800]);
        assert!(pauses.len() < 24, "{pauses:?}");
        assert_eq!(pause(&mut interval, left), OVERDUE);
        assert_eq!(pause(&mut { FIRST }, Duration::from_secs(10)), Duration::from_millis(10_500));
    }
}
