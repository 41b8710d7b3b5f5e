//! The awake-time ledger: every nanosecond of the session in exactly one line, and who is charged.

use std::collections::BTreeMap;

use sleepwalk_trace::time::BootNanos;

use super::attempts::{Attempt, Outcome};
use crate::model::Model;

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
    /// Awake outside attempts: user space wanted to suspend and was blocked, or did not try. Without
    /// edges and waits these can't be told apart.
    pub untold_ns: u64,
    /// The part of the lines above that could have been charged to somebody and was not.
    pub unattributed_ns: u64,
}

impl Ledger {
    /// Adds up attempts that [`super::attempts::settle`] has cut to the session.
    pub fn new(model: &Model, attempts: &[Attempt]) -> Self {
        let mut ledger = Self::default();
        let mut after_wakes_ns = 0;
        for (index, attempt) in attempts.iter().enumerate() {
            let whole_ns = attempt.duration_ns();
            if attempt.outcome != Outcome::Slept {
                ledger.aborted_ns += whole_ns;
                if attempt.causes.is_empty() {
                    ledger.unattributed_ns += whole_ns;
                }
                continue;
            }
            let suspending_ns = attempt.first_entry.map_or(0, |first| first.since(attempt.start));
            let resuming_ns = whole_ns - suspending_ns - attempt.stayed_ns;
            ledger.suspending_ns += suspending_ns;
            ledger.asleep_ns += attempt.stayed_ns;
            ledger.resuming_ns += resuming_ns;
            match attempt.wake {
                Some(_) => after_wakes_ns += after_ns(attempts, index, model.end),
                None => ledger.unattributed_ns += resuming_ns,
            }
        }
        let told = ledger.asleep_ns + ledger.suspending_ns + ledger.resuming_ns + ledger.aborted_ns;
        ledger.untold_ns = model.duration_ns() - told;
        ledger.unattributed_ns += ledger.untold_ns - after_wakes_ns;
        ledger
    }

    /// The sum of the lines.
    pub fn total_ns(&self) -> u64 {
        self.asleep_ns + self.suspending_ns + self.resuming_ns + self.aborted_ns + self.untold_ns
    }
}

/// What one source, or all sources of one name, cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Attempts that it kept from sleeping, alone or with others.
    pub aborts: u64,
    /// Its share of the time that those took.
    pub abort_ns: u64,
    /// Sleeps that it ended.
    pub wakes: u64,
    /// Awake time that followed those until the next attempt.
    pub after_wake_ns: u64,
}

impl Charge {
    /// What is known of its cost.
    pub fn cost_ns(&self) -> u64 {
        self.abort_ns.saturating_add(self.after_wake_ns)
    }
}

/// What each of `instances` cost, in their order.
pub fn charge(
    attempts: &[Attempt],
    instances: impl Iterator<Item = u32>,
    end: BootNanos,
) -> Vec<Charge> {
    let instances: Vec<u32> = instances.collect();
    let charges = charge_by(attempts, end, |instance| instance);
    instances.iter().map(|i| charges.get(i).copied().unwrap_or_default()).collect()
}

/// What each group of sources cost: an attempt that two sources of one group ended counts once.
/// Where several groups share an attempt its time is split equally, to the nanosecond.
pub fn charge_by<K: Ord>(
    attempts: &[Attempt],
    end: BootNanos,
    group: impl Fn(u32) -> K,
) -> BTreeMap<K, Charge> {
    let mut charges = BTreeMap::<K, Charge>::new();
    for (index, attempt) in attempts.iter().enumerate() {
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
            charge.after_wake_ns += after_ns(attempts, index, end);
        }
    }
    charges
}

/// From the end of an attempt to the next one's begin.
fn after_ns(attempts: &[Attempt], index: usize, end: BootNanos) -> u64 {
    let next = attempts.get(index + 1).map_or(end, |next| next.start);
    next.since(attempts[index].end)
}
