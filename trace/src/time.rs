//! Instants that name their clock and their unit in the type.

use bincode::{Decode, Encode};

/// CLOCK_BOOTTIME in nanoseconds: goes on in suspend. Every stamp of a trace is of this clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct BootNanos(pub u64);

/// CLOCK_MONOTONIC in nanoseconds: stands still in suspend. The times inside a
/// `struct wakeup_source` are of this clock (`ktime_get`, `drivers/base/power/wakeup.c`, 7.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct MonoNanos(pub u64);

/// CLOCK_REALTIME in nanoseconds since 1970; may be set, and step.
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
    /// The CLOCK_MONOTONIC reading at `at`, if no suspend lies between `at` and this reading.
    pub fn mono_at(&self, at: BootNanos) -> MonoNanos {
        MonoNanos(at.0.saturating_sub(self.suspended_ns))
    }

    /// The CLOCK_REALTIME reading at `at`, if the clock was not set in between.
    pub fn real_at(&self, at: BootNanos) -> RealNanos {
        let since = at.0.wrapping_sub(self.boot.0) as i64;
        RealNanos(self.real.0.saturating_add(since))
    }
}

impl BootNanos {
    /// Nanoseconds from `earlier` to `self`; 0 where `earlier` is the later one.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A moment of CLOCK_REALTIME in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    year: i64,
    month: u32,
    day: u32,
    second_of_day: u32,
}

impl Utc {
    /// From seconds since 1970.
    pub fn from_unix(seconds: i64) -> Self {
        // Howard Hinnant's civil_from_days: years begin in March, so that the leap day is the last.
        let days = seconds.div_euclid(86_400) + 719_468;
        let era = days.div_euclid(146_097);
        let doe = days.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let month = (5 * doy + 2) / 153;
        let day = doy - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Self {
            year: yoe + era * 400 + i64::from(month <= 2),
            month: month as u32,
            day: day as u32,
            second_of_day: seconds.rem_euclid(86_400) as u32,
        }
    }

    /// `2026-03-01 10:00:11 UTC`.
    pub fn readable(&self) -> String {
        let (h, m, s) = self.clock();
        let Self { year, month, day, .. } = self;
        format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02} UTC")
    }

    /// `20260301-100011`, for file names.
    pub fn compact(&self) -> String {
        let (h, m, s) = self.clock();
        let Self { year, month, day, .. } = self;
        format!("{year:04}{month:02}{day:02}-{h:02}{m:02}{s:02}")
    }

    fn clock(&self) -> (u32, u32, u32) {
        let s = self.second_of_day;
        (s / 3_600, s / 60 % 60, s % 60)
    }
}
