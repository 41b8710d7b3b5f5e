//! A wakeup source that becomes active by a kernel timer, so also while user space is frozen.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::wake_set::WakeSet;

/// The name that the kernel gives the file of a timerfd.
pub const NAME: &str = "[timerfd]";

/// A timerfd in a set of its own.
pub struct TimerSource {
    set: WakeSet,
    timer: TimerFd,
}

impl TimerSource {
    /// Registers the source.
    pub fn new() -> Result<TimerSource> {
        // CLOCK_MONOTONIC: an alarm clock would wake the device on its own, and be to blame for that.
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).context("timerfd_create")?;
        let set = WakeSet::new()?;
        set.add(&timer)?;
        Ok(TimerSource { set, timer })
    }

    /// It becomes active after this time.
    pub fn arm(&self, delay: Duration) -> Result<()> {
        let when = Expiration::OneShot(TimeSpec::from_duration(delay));
        self.timer.set(when, TimerSetTimeFlags::empty()).context("timerfd_settime")
    }

    /// Makes it inactive; returns whether it had become active.
    pub fn relax(&self) -> Result<bool> {
        let fired = match self.timer.wait() {
            Ok(()) => true,
            Err(Errno::EAGAIN) => false,
            Err(error) => return Err(error).context("read of the timerfd"),
        };
        self.timer.unset().context("timerfd_settime")?;
        self.set.settle()?;
        Ok(fired)
    }
}
