//! Instants, with the clock and the unit in the type.

use bincode::{Decode, Encode};

/// CLOCK_BOOTTIME in nanoseconds: it runs during suspend. Every stamp of a trace is of this clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct BootNanos(pub u64);

/// CLOCK_MONOTONIC in nanoseconds: it stops during suspend. The times inside a
/// `struct wakeup_source` are of this clock (`ktime_get`, `drivers/base/power/wakeup.c`, 7.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct MonoNanos(pub u64);

/// CLOCK_REALTIME in nanoseconds since 1970; it may be set and may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct RealNanos(pub i64);

/// The three clocks read at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// CLOCK_BOOTTIME.
    pub boot: BootNanos,
    /// CLOCK_BOOTTIME − CLOCK_MONOTONIC in ns: how long the machine has been suspended with its
    /// timekeeping stopped.
    pub suspended_ns: u64,
    /// CLOCK_REALTIME.
    pub real: RealNanos,
}

impl Clocks {
    /// CLOCK_MONOTONIC.
    pub fn mono(&self) -> MonoNanos {
        self.mono_at(self.boot)
    }

    /// The CLOCK_MONOTONIC reading at `at`, if no suspend lies between `at` and this reading.
    pub fn mono_at(&self, at: BootNanos) -> MonoNanos {
        MonoNanos(at.0.saturating_sub(self.suspended_ns))
    }

    /// Nanoseconds from `earlier` to this reading, without sleep.
    pub fn awake_since(&self, earlier: &Self) -> u64 {
        self.mono().0.saturating_sub(earlier.mono().0)
    }

    /// The CLOCK_REALTIME reading at `at`, if the clock was not set in between.
    pub fn real_at(&self, at: BootNanos) -> RealNanos {
        let since = at.0.wrapping_sub(self.boot.0) as i64;
        RealNanos(self.real.0.saturating_add(since))
    }
}

impl BootNanos {
    /// Nanoseconds from `earlier` to `self`; 0 if `earlier` is the later one.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_awake_is_without_sleep() {
        let earlier = Clocks { boot: BootNanos(1_000), suspended_ns: 100, ..Clocks::default() };
        let later = Clocks { boot: BootNanos(9_000), suspended_ns: 7_600, ..Clocks::default() };
        assert_eq!(later.awake_since(&earlier), 500);
        assert_eq!(earlier.awake_since(&later), 0);
    }
}
