//! The awake-time ledger: every nanosecond of the session is in exactly one line, and charged.

use std::collections::BTreeMap;

use super::active::Blocked;
use crate::report::{Attempt, Culprit, Ledger, Sum};
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
        if wake.charged().is_some() {
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

/// The cost of attempts for each group of culprits; none for those without a group. An attempt that two
/// sources of one group ended counts once. Sources that share an attempt split its time equally, to the
/// nanosecond.
pub fn costs_by<K: Ord>(
    attempts: &[Attempt],
    group: impl Fn(Culprit) -> Option<K>,
) -> BTreeMap<K, Sum> {
    let mut costs = BTreeMap::<K, Sum>::new();
    for attempt in attempts {
        let sharers = attempt.causes.len() as u64;
        let mut shares = BTreeMap::<K, u64>::new();
        for (nth, cause) in attempt.causes.iter().enumerate() {
            let whole_ns = attempt.duration_ns();
            // The remainder goes to the first of them.
            let odd = u64::from((nth as u64) < whole_ns % sharers);
            if let Some(key) = group(Culprit::Source(cause.instance)) {
                *shares.entry(key).or_default() += whole_ns / sharers + odd;
            }
        }
        for (key, share_ns) in shares {
            let cost = costs.entry(key).or_default();
            cost.aborts += 1;
            cost.abort_ns += share_ns;
        }
        if let Some(key) = attempt.woken_by().and_then(&group) {
            let cost = costs.entry(key).or_default();
            cost.wakes += 1;
            cost.after_wake_ns += attempt.after_wake_ns;
        }
    }
    costs
}
