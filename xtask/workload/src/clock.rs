//! The clock of every stamp.

use nix::time::{ClockId, clock_gettime};

/// CLOCK_BOOTTIME in ns, which is the kernel's own stamp where `trace_clock` is `boot`.
pub fn boot_ns() -> u64 {
    let read = clock_gettime(ClockId::CLOCK_BOOTTIME);
    debug_assert!(read.is_ok(), "CLOCK_BOOTTIME: {read:?}");
    // This clock exists on every kernel since 2.6.39 and is never negative.
    read.map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
}
