//! The three clocks of a trace, read together.

use nix::time::{ClockId, clock_gettime};
use sleepwalk_trace::time::{BootNanos, Clocks, RealNanos};

/// Reads CLOCK_BOOTTIME, CLOCK_MONOTONIC and CLOCK_REALTIME.
///
/// They are read one after the other, so the difference of the first two is a few hundred ns too
/// small, and exactly 0 on a machine that has not been suspended. If the device slept in between, they are read
/// again.
pub fn now() -> Clocks {
    together(nanos)
}

/// The most that three reads take, unless this process was stopped for a while.
const TOGETHER_NS: i64 = 1_000_000;

/// After this many tries the clocks are taken as they are.
const TRIES: usize = 8;

fn together(mut read: impl FnMut(ClockId) -> i64) -> Clocks {
    let mut boot = read(ClockId::CLOCK_BOOTTIME);
    let (mut mono, mut real) = (0, 0);
    for _ in 0..TRIES {
        mono = read(ClockId::CLOCK_MONOTONIC);
        real = read(ClockId::CLOCK_REALTIME);
        let again = read(ClockId::CLOCK_BOOTTIME);
        if again - boot <= TOGETHER_NS {
            break;
        }
        boot = again;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_between_two_reads_is_noticed() {
        // The device sleeps for an hour after the first read.
        const HOUR: i64 = 3_600_000_000_000;
        let mut reads = 0;
        let clocks = together(|clock| {
            reads += 1;
            let slept = if reads > 1 { HOUR } else { 0 };
            match clock {
                ClockId::CLOCK_MONOTONIC => 1_000 + reads,
                ClockId::CLOCK_REALTIME => 50_000 + slept + reads,
                _ => 1_000 + slept + reads,
            }
        });
        assert!(clocks.boot.0 > HOUR as u64, "{clocks:?}");
        assert!((HOUR as u64 - 10..=HOUR as u64).contains(&clocks.suspended_ns), "{clocks:?}");
        assert!(clocks.real_at(clocks.boot).0 > 50_000 + HOUR);
        assert!(now().suspended_ns < u64::MAX);
    }
}
