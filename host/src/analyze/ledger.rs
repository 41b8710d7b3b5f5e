//! The awake-time ledger: every nanosecond of the session in exactly one line, and who is charged.

use std::collections::BTreeMap;

use super::attempts::{Attempt, Outcome};
use crate::session::decode::Model;

/// Where the session's time went. The lines sum to its duration exactly; `unattributed_ns` is the
/// part of them that is charged to nobody, and is not added again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Within `machine_suspend` of attempts that slept.
    pub asleep_ns: u64,
    /// From such an attempt's begin to its first `machine_suspend`.
    pub suspending_ns: u64,
    /// From there to its return, but for the sleep.
    pub resuming_ns: u64,
    /// Attempts that did not sleep.
    pub aborted_ns: u64,
    /// Outside attempts, while user space waited to suspend; `None` where waits and edges were not
    /// recorded.
    pub blocked_ns: Option<u64>,
    /// The rest: awake, and nobody asked to suspend; `None` likewise.
    pub not_trying_ns: Option<u64>,
    /// What can't be told apart of the two: all of it without waits and edges; else what is missing
    /// in the trace, and what followed an attempt whose return is.
    pub untold_ns: u64,
    /// The part of the lines above that could have been charged to somebody and was not.
    pub unattributed_ns: u64,
}

/// What was found outside attempts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outside {
    /// Waits and edges were recorded.
    pub told: bool,
    /// Blocked.
    pub blocked_ns: u64,
    /// Blocked by nobody who is known.
    pub nobody_ns: u64,
    /// Of which nothing is known.
    pub missing_ns: u64,
}

impl Ledger {
    /// Adds up attempts, which lie in the session and do not overlap, and the rest.
    pub fn new(model: &Model, attempts: &[Attempt], outside: &Outside) -> Self {
        let mut ledger = Self::default();
        let mut after_wakes_ns = 0;
        for attempt in attempts {
            let whole_ns = attempt.duration_ns();
            if attempt.outcome != Outcome::Slept {
                ledger.aborted_ns += whole_ns;
                if attempt.causes.is_empty() {
                    ledger.unattributed_ns += whole_ns;
                }
                continue;
            }
            ledger.suspending_ns += attempt.suspending_ns();
            ledger.asleep_ns += attempt.stayed_ns;
            ledger.resuming_ns += attempt.resuming_ns();
            if attempt.wake.is_none() && attempt.irq.is_none() {
                ledger.unattributed_ns += attempt.resuming_ns();
            }
            if attempt.wake.is_some() {
                after_wakes_ns += attempt.after_ns;
            }
        }
        let told = ledger.asleep_ns + ledger.suspending_ns + ledger.resuming_ns + ledger.aborted_ns;
        let rest_ns = model.duration_ns() - told;
        if outside.told {
            ledger.blocked_ns = Some(outside.blocked_ns);
            ledger.untold_ns = outside.missing_ns;
            ledger.not_trying_ns = Some(rest_ns - outside.blocked_ns - outside.missing_ns);
            ledger.unattributed_ns += outside.nobody_ns + outside.missing_ns;
        } else {
            ledger.untold_ns = rest_ns;
            ledger.unattributed_ns += rest_ns - after_wakes_ns;
        }
        ledger
    }

    /// The sum of the lines.
    pub fn total_ns(&self) -> u64 {
        let outside = self.blocked_ns.unwrap_or(0) + self.not_trying_ns.unwrap_or(0);
        let attempts = self.asleep_ns + self.suspending_ns + self.resuming_ns + self.aborted_ns;
        attempts + outside + self.untold_ns
    }
}

/// What one source, or all sources of one name, cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Its split of blocked time.
    pub blocked_share_ns: u64,
    /// Blocked time in which no other was active: what mending it alone would gain.
    pub blocked_sole_ns: u64,
    /// Attempts that it kept from sleeping, alone or with others.
    pub aborts: u64,
    /// Its share of the time that those took.
    pub abort_ns: u64,
    /// Sleeps that it ended.
    pub wakes: u64,
    /// Awake time that followed those until the next attempt or wait.
    pub after_wake_ns: u64,
}

impl Charge {
    /// What is known of its cost.
    pub fn cost_ns(&self) -> u64 {
        self.blocked_share_ns.saturating_add(self.abort_ns).saturating_add(self.after_wake_ns)
    }
}

/// What attempts cost each group of sources: an attempt that two sources of one group ended counts
/// once. Where several share an attempt its time is split equally, to the nanosecond.
pub fn charge_by<K: Ord>(attempts: &[Attempt], group: impl Fn(u32) -> K) -> BTreeMap<K, Charge> {
    let mut charges = BTreeMap::<K, Charge>::new();
    for attempt in attempts {
        let sharers = attempt.causes.len() as u64;
        let mut shares = BTreeMap::<K, u64>::new();
        for (nth, cause) in attempt.causes.iter().enumerate() {
            let whole_ns = attempt.duration_ns();
            // What does not divide goes to the first of them.
            let odd = u64::from((nth as u64) < whole_ns % sharers);
            *shares.entry(group(cause.instance)).or_default() += whole_ns / sharers + odd;
        }
        for (key, share_ns) in shares {
            let charge = charges.entry(key).or_default();
            charge.aborts += 1;
            charge.abort_ns += share_ns;
        }
        if let Some(wake) = attempt.wake {
            let charge = charges.entry(group(wake.instance)).or_default();
            charge.wakes += 1;
            charge.after_wake_ns += attempt.after_ns;
        }
    }
    charges
}
