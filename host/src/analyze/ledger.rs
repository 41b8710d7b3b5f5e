//! The awake-time ledger: every nanosecond of the session is in exactly one line, and charged.

use std::collections::BTreeMap;

use super::active::Blocked;
use crate::report::{Attempt, Ledger};
use crate::session::decode::Model;

/// Adds up attempts, which lie in the session and do not overlap, and the rest.
///
/// `blocked`: the blocked time, if waits and edges were recorded. `missing_ns`: time outside attempts
/// whose records are missing.
pub fn ledger(
    model: &Model,
    attempts: &[Attempt],
    blocked: Option<&Blocked>,
    missing_ns: u64,
) -> Ledger {
    let mut ledger = Ledger::default();
    let mut after_wakes_ns = 0;
    for attempt in attempts {
        let Some(wake) = &attempt.wake else {
            ledger.aborted_ns += attempt.duration_ns();
            if attempt.causes.is_empty() {
                ledger.unattributed_ns += attempt.duration_ns();
            }
            continue;
        };
        ledger.suspending_ns += attempt.suspending_ns;
        ledger.asleep_ns += attempt.slept_ns;
        ledger.resuming_ns += attempt.resuming_ns();
        if wake.source.is_none() && wake.irq.is_none() {
            ledger.unattributed_ns += attempt.resuming_ns();
        }
        if wake.source.is_some() {
            after_wakes_ns += attempt.after_wake_ns;
        }
    }
    let rest_ns = model.duration_ns() - ledger.total_ns();
    if let Some(&Blocked { blocked_ns, nobody_ns, .. }) = blocked {
        ledger.blocked_ns = Some(blocked_ns);
        ledger.not_trying_ns = Some(rest_ns - blocked_ns - missing_ns);
        ledger.unknown_ns = (missing_ns > 0).then_some(missing_ns);
        ledger.unattributed_ns += nobody_ns + missing_ns;
    } else {
        ledger.unknown_ns = Some(rest_ns);
        ledger.unattributed_ns += rest_ns - after_wakes_ns;
    }
    ledger
}

/// The cost of one source, or of all sources of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Its share of blocked time.
    pub blocked_share_ns: u64,
    /// Blocked time in which no other source was active: what fixing it alone would gain.
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
    /// Its cost, as far as it is known.
    pub fn cost_ns(&self) -> u64 {
        self.blocked_share_ns.saturating_add(self.abort_ns).saturating_add(self.after_wake_ns)
    }
}

/// The cost of attempts for each group of sources. An attempt that two sources of one group ended
/// counts once. Sources that share an attempt split its time equally, to the nanosecond.
pub fn charge_by<K: Ord>(attempts: &[Attempt], group: impl Fn(u32) -> K) -> BTreeMap<K, Charge> {
    let mut charges = BTreeMap::<K, Charge>::new();
    for attempt in attempts {
        let sharers = attempt.causes.len() as u64;
        let mut shares = BTreeMap::<K, u64>::new();
        for (nth, cause) in attempt.causes.iter().enumerate() {
            let whole_ns = attempt.duration_ns();
            // The remainder goes to the first of them.
            let odd = u64::from((nth as u64) < whole_ns % sharers);
            *shares.entry(group(cause.instance)).or_default() += whole_ns / sharers + odd;
        }
        for (key, share_ns) in shares {
            let charge = charges.entry(key).or_default();
            charge.aborts += 1;
            charge.abort_ns += share_ns;
        }
        if let Some(wake) = attempt.waker() {
            let charge = charges.entry(group(wake.instance)).or_default();
            charge.wakes += 1;
            charge.after_wake_ns += attempt.after_wake_ns;
        }
    }
    charges
}
