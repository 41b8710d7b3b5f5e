//! The three clocks of a trace, read together.

use nix::time::{ClockId, clock_gettime};
use sleepwalk_trace::time::{BootNanos, Clocks, RealNanos};

/// Reads CLOCK_BOOTTIME, CLOCK_MONOTONIC and CLOCK_REALTIME.
///
/// They are read one after the other, so the difference of the first two is a few hundred ns too
/// small, and exactly 0 on a machine that has not been suspended.
pub fn now() -> Clocks {
    let boot = nanos(ClockId::CLOCK_BOOTTIME);
    let mono = nanos(ClockId::CLOCK_MONOTONIC);
    let real = nanos(ClockId::CLOCK_REALTIME);
    Clocks {
        boot: BootNanos(boot as u64),
        suspended_ns: boot.saturating_sub(mono).max(0) as u64,
        real: RealNanos(real),
    }
}

/// CPU time of this process so far, user and system, in ns.
pub fn cpu_ns() -> u64 {
    nanos(ClockId::CLOCK_PROCESS_CPUTIME_ID) as u64
}

/// Every kernel that this agent can run on has these clocks, so reading them cannot fail.
fn nanos(clock: ClockId) -> i64 {
    let read = clock_gettime(clock);
    debug_assert!(read.is_ok(), "clock {clock}: {read:?}");
    read.map_or(0, |t| t.tv_sec() * 1_000_000_000 + t.tv_nsec())
}
