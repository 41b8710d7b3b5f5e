//! The awake-time ledger: every nanosecond of the session is in exactly one line, and charged.
//!
//! Attempts, waits and the steps of the suspend loop are spans, which may overlap. One sweep over their
//! boundaries gives each piece of the session to the first that applies: `Class` has the order.

use std::collections::BTreeMap;

use sleepwalk_trace::time::BootNanos;

use super::clocks::Growth;
use super::suspend_loop::{BackedOff, Refusal, SuspendLoop};
use crate::report::{Attempt, Cause, Culprit, Ledger, Outcome, Span, Sum, Wait};
use crate::session::decode::Model;

/// The class of a piece of the session, in the order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Within an attempt, which is accounted for as a whole.
    Attempt,
    /// Records are missing.
    Missing,
    /// A thread waits.
    Blocked,
    /// A thread may be waiting.
    MaybeBlocked,
    /// The kernel is ready, user space is not.
    UserSpace,
    /// User space backs off.
    Backoff,
    /// A step of the suspend loop whose next step is not recorded.
    Unfinished,
}

const CLASSES: usize = 7;

/// The classes whose time is charged to the wake before it; the last is no class.
const CHARGED_TO_WAKES: [usize; 3] = [Class::UserSpace as usize, Class::Backoff as usize, CLASSES];

/// The spans of a session.
#[derive(Debug, Default)]
pub struct Timeline<'a> {
    /// Sorted by start; none overlaps another.
    pub attempts: &'a mut [Attempt],
    /// Whether activations and waits were recorded.
    pub recorded: bool,
    /// Whether writes of the count were recorded.
    pub writes: bool,
    /// Every wait.
    pub waits: &'a [Wait],
    /// Records are missing here.
    pub missing: &'a [Span],
    /// A thread may have been waiting here.
    pub maybe: &'a [Span],
    /// The steps of the suspend loop.
    pub suspend_loop: SuspendLoop,
    /// Growth of CLOCK_BOOTTIME − CLOCK_MONOTONIC.
    pub growth: &'a [Growth],
    /// Blocked time without an active source.
    pub nobody_ns: u64,
}

/// The ledger, and what it was made of.
#[derive(Debug, Default)]
pub struct Total {
    /// The lines.
    pub ledger: Ledger,
    /// The kernel was ready, user space was not; sorted, none overlapping another.
    pub user_space: Vec<Span>,
    /// The refused writes, with the back-off after each.
    pub refusals: Vec<Refusal>,
    /// Time in which a thread may have been waiting.
    pub maybe_blocked_ns: u64,
    /// Sleep by the clocks that no attempt explains.
    pub clock_conflict_ns: u64,
}

/// Time by class, and by what it is charged to.
#[derive(Default)]
struct Sweep {
    /// In the whole session; the last is no class: nothing tried to suspend.
    ns: [u64; CLASSES + 1],
    /// The same within each stretch of [`Timeline::growth`].
    grown: Vec<[u64; CLASSES + 1]>,
    /// Back-off by its reason; what is within the awake time after a wake is that attempt's.
    backoff: BTreeMap<BackedOff, u64>,
    /// The awake time after the wake that ended each attempt, without unknown time.
    after_wake: BTreeMap<usize, u64>,
    /// The same within each stretch of [`Timeline::growth`].
    grown_after_wake: Vec<BTreeMap<usize, u64>>,
}

/// A span of the sweep, at its boundary.
#[derive(Clone, Copy)]
enum Bounded {
    /// A span of a class, and why it is back-off.
    Class(Class, Option<BackedOff>),
    /// The awake time after the attempt of that index.
    AfterWake(usize),
}

impl Timeline<'_> {
    /// Adds up.
    pub fn total(mut self, model: &Model) -> Total {
        let sweep = self.sweep(model);
        let mut total = Total::default();
        let mut asleep_ns = 0;
        let mut ns = sweep.ns;
        for (place, attempt) in self.attempts.iter_mut().enumerate() {
            attempt.after_wake_ns = sweep.after_wake.get(&place).copied().unwrap_or(0);
        }
        let grown = sweep.grown.iter().zip(&sweep.grown_after_wake);
        for (growth, (within, after_wake)) in self.growth.iter().zip(grown) {
            let mut left = growth.beyond(self.attempts);
            let mut awake_ns = CHARGED_TO_WAKES.iter().map(|class| within[*class]).sum::<u64>();
            for class in self.slept_in() {
                let slept = left.min(within[class]);
                ns[class] -= slept;
                left -= slept;
                if CHARGED_TO_WAKES.contains(&class) {
                    awake_ns -= slept;
                }
                asleep_ns += slept;
                if self.recorded && class != Class::Missing as usize {
                    total.clock_conflict_ns += slept;
                }
            }
            total.clock_conflict_ns += left;
            // A stretch in which the clocks show sleep has that much less awake time to charge.
            for (place, ns) in after_wake {
                let charged = awake_ns.min(*ns);
                awake_ns -= charged;
                self.attempts[*place].after_wake_ns -= ns - charged;
            }
        }
        self.charge(&sweep);
        let ledger = &mut total.ledger;
        self.add_attempts(ledger);
        ledger.asleep_ns += asleep_ns;
        let outside = ns[1..].iter().sum();
        if self.recorded {
            let line = |class: Class| ns[class as usize];
            total.maybe_blocked_ns = line(Class::MaybeBlocked);
            ledger.blocked_ns = Some(line(Class::Blocked));
            ledger.user_space_ns = self.writes.then(|| line(Class::UserSpace));
            ledger.backoff_ns = Some(line(Class::Backoff));
            ledger.not_trying_ns = Some(ns[CLASSES]);
            ledger.unknown_ns =
                line(Class::Missing) + line(Class::MaybeBlocked) + line(Class::Unfinished);
            if !self.writes {
                ledger.unknown_ns += line(Class::UserSpace);
            }
            ledger.unattributed_ns += ledger.unknown_ns + self.nobody_ns + self.uncharged(&sweep);
        } else {
            ledger.unknown_ns = outside;
            let charged = self.attempts.iter().filter(|attempt| attempt.woken_by().is_some());
            let charged_ns: u64 = charged.map(|attempt| attempt.after_wake_ns).sum();
            ledger.unattributed_ns += outside.saturating_sub(charged_ns);
        }
        total.user_space = self.suspend_loop.user_space;
        total.user_space.sort_by_key(|span| span.start_ns);
        Span::join(&mut total.user_space, 0);
        total.refusals = self.suspend_loop.refusals;
        total
    }

    /// Where sleep by the clocks can have been, the likeliest first.
    fn slept_in(&self) -> Vec<usize> {
        let classes = [Class::Missing, Class::MaybeBlocked, Class::Unfinished];
        let mut classes = classes.map(|class| class as usize).to_vec();
        classes.push(CLASSES);
        let last = [Class::UserSpace, Class::Backoff, Class::Blocked].map(|class| class as usize);
        classes.extend(last.into_iter().filter(|_| !self.recorded));
        classes
    }

    /// Sorted; at one instant, what begins comes before what ends.
    fn boundaries(&self) -> Vec<(BootNanos, bool, Bounded)> {
        let mut all = Vec::new();
        let mut add = |start: BootNanos, end: BootNanos, what| {
            if start < end {
                all.extend([(start, true, what), (end, false, what)]);
            }
        };
        for (place, attempt) in self.attempts.iter().enumerate() {
            add(attempt.start_ns, attempt.end_ns, Bounded::Class(Class::Attempt, None));
            let awake_until = BootNanos(attempt.end_ns.0.saturating_add(attempt.after_wake_ns));
            add(attempt.end_ns, awake_until, Bounded::AfterWake(place));
        }
        for wait in self.waits {
            add(wait.start_ns, wait.end_ns, Bounded::Class(Class::Blocked, None));
        }
        let SuspendLoop { user_space, unknown, backoff, .. } = &self.suspend_loop;
        let spans = [
            (self.missing, Class::Missing),
            (self.maybe, Class::MaybeBlocked),
            (user_space, Class::UserSpace),
            (unknown, Class::Unfinished),
        ];
        for (spans, class) in spans {
            spans.iter().for_each(|s| add(s.start_ns, s.end_ns, Bounded::Class(class, None)));
        }
        for (span, by) in backoff {
            add(span.start_ns, span.end_ns, Bounded::Class(Class::Backoff, Some(*by)));
        }
        all.sort_by_key(|(at, begins, _)| (*at, !begins));
        all
    }

    fn sweep(&self, model: &Model) -> Sweep {
        let mut sweep = Sweep {
            grown: vec![Default::default(); self.growth.len()],
            grown_after_wake: vec![BTreeMap::new(); self.growth.len()],
            ..Sweep::default()
        };
        let mut open = [0u32; CLASSES];
        let mut owners = BTreeMap::<BackedOff, u32>::new();
        let mut after_wake = None;
        let mut now = model.start;
        let mut stretch = 0;
        let last = (model.end, true, Bounded::Class(Class::Attempt, None));
        for (at, begins, what) in self.boundaries().into_iter().chain([last]) {
            let at = at.clamp(now, model.end);
            if at > now {
                let class = open.iter().position(|open| *open > 0).unwrap_or(CLASSES);
                sweep.ns[class] += at.since(now);
                let after_wake = after_wake.filter(|_| CHARGED_TO_WAKES.contains(&class));
                if let Some(attempt) = after_wake {
                    *sweep.after_wake.entry(attempt).or_default() += at.since(now);
                }
                let owner = owners.keys().next().copied();
                let owner = after_wake.map(BackedOff::Attempt).or(owner);
                if let Some(owner) = owner.filter(|_| class == Class::Backoff as usize) {
                    *sweep.backoff.entry(owner).or_default() += at.since(now);
                }
                stretch = self.within(&mut sweep, stretch, (class, after_wake), (now, at));
                now = at;
            }
            match what {
                Bounded::Class(class, by) => {
                    let open = &mut open[class as usize];
                    *open = if begins { *open + 1 } else { *open - 1 };
                    if let Some(by) = by {
                        let owner = owners.entry(by).or_default();
                        *owner = if begins { *owner + 1 } else { *owner - 1 };
                        owners.retain(|_, open| *open > 0);
                    }
                }
                Bounded::AfterWake(attempt) if begins => after_wake = Some(attempt),
                Bounded::AfterWake(attempt) => {
                    after_wake = after_wake.filter(|open| *open != attempt);
                }
            }
        }
        sweep
    }

    /// Adds a piece to the stretches of growth that it lies in; returns the first that goes on after it.
    fn within(
        &self,
        sweep: &mut Sweep,
        mut first: usize,
        (class, after_wake): (usize, Option<usize>),
        (start, end): (BootNanos, BootNanos),
    ) -> usize {
        while self.growth.get(first).is_some_and(|growth| growth.end <= start) {
            first += 1;
        }
        let grown = sweep.grown.iter_mut().zip(&mut sweep.grown_after_wake);
        for (growth, (within, after)) in self.growth.iter().zip(grown).skip(first) {
            if growth.start >= end {
                break;
            }
            let ns = growth.end.min(end).since(growth.start.max(start));
            within[class] += ns;
            if let Some(attempt) = after_wake {
                *after.entry(attempt).or_default() += ns;
            }
        }
        first
    }

    /// Charges back-off to the attempts and refused writes that it followed, and what a wake cost to the
    /// attempt that it ended.
    fn charge(&mut self, sweep: &Sweep) {
        for (by, ns) in sweep.backoff.iter().filter(|_| self.recorded) {
            match by {
                BackedOff::Attempt(index) => {
                    // After a sleep it is awake time after a wake.
                    let attempt = self.attempts.get_mut(*index);
                    if let Some(attempt) = attempt.filter(|a| a.outcome != Outcome::Slept) {
                        attempt.after_abort_ns = *ns;
                    }
                }
                BackedOff::Refusal(place) => {
                    if let Some(refusal) = self.suspend_loop.refusals.get_mut(*place) {
                        refusal.after_abort_ns = *ns;
                    }
                }
            }
        }
        let mut again_ns = 0;
        for attempt in self.attempts.iter_mut().rev().filter(|attempt| attempt.wake.is_some()) {
            // The way back, and the way down to the next sleep.
            attempt.resume_ns = attempt.resuming_ns() + again_ns;
            again_ns = attempt.suspending_ns;
        }
    }

    /// Back-off that is charged to no source.
    fn uncharged(&self, sweep: &Sweep) -> u64 {
        let uncharged = |by: &BackedOff| match by {
            BackedOff::Attempt(index) => self.attempts.get(*index).is_none_or(|attempt| {
                attempt.is_unexplained() && attempt.wake.as_ref().is_none_or(|w| !w.is_known())
            }),
            BackedOff::Refusal(place) => {
                self.suspend_loop.refusals.get(*place).is_none_or(|one| one.causes.is_empty())
            }
        };
        sweep.backoff.iter().filter(|(by, _)| uncharged(by)).map(|(_, ns)| ns).sum()
    }

    fn add_attempts(&self, ledger: &mut Ledger) {
        for attempt in &*self.attempts {
            let Some(wake) = &attempt.wake else {
                ledger.aborted_ns += attempt.duration_ns();
                if attempt.is_unexplained() {
                    ledger.unattributed_ns += attempt.duration_ns();
                }
                continue;
            };
            ledger.suspending_ns += attempt.suspending_ns;
            ledger.asleep_ns += attempt.slept_ns;
            ledger.resuming_ns += attempt.resuming_ns();
            if !wake.is_known() {
                ledger.unattributed_ns += attempt.resume_ns;
            }
        }
    }
}

/// The cost of attempts and refused writes for each group of culprits; none for those without a group. An
/// attempt that two sources of one group ended counts once. Sources that share an attempt split its time
/// equally, to the nanosecond.
pub fn costs_by<K: Ord>(
    attempts: &[Attempt],
    refusals: &[Refusal],
    group: impl Fn(Culprit<'_>) -> Option<K>,
) -> BTreeMap<K, Sum> {
    let mut costs = BTreeMap::<K, Sum>::new();
    for attempt in attempts {
        let (mut shares, mut after) = (
            split(&attempt.causes, attempt.duration_ns(), &group),
            split(&attempt.causes, attempt.after_abort_ns, &group),
        );
        let by = attempt.ended_by();
        if let Some(key) = by.and_then(&group) {
            shares.insert(key, attempt.duration_ns());
        }
        if let Some(key) = by.and_then(&group) {
            after.insert(key, attempt.after_abort_ns);
        }
        for (key, share_ns) in shares {
            let cost = costs.entry(key).or_default();
            cost.aborts += 1;
            cost.abort_ns += share_ns;
        }
        for (key, share_ns) in after {
            costs.entry(key).or_default().after_abort_ns += share_ns;
        }
        if let Some(key) = attempt.woken_by().and_then(&group) {
            let cost = costs.entry(key).or_default();
            cost.wakes += 1;
            cost.resume_ns += attempt.resume_ns;
            cost.after_wake_ns += attempt.after_wake_ns;
        }
    }
    for refusal in refusals {
        for (key, share_ns) in split(&refusal.causes, refusal.after_abort_ns, &group) {
            costs.entry(key).or_default().after_abort_ns += share_ns;
        }
    }
    costs
}

/// Splits a time equally; the remainder goes to the first.
fn split<K: Ord>(
    causes: &[Cause],
    ns: u64,
    group: impl Fn(Culprit<'_>) -> Option<K>,
) -> BTreeMap<K, u64> {
    let sharers = causes.len() as u64;
    let mut shares = BTreeMap::<K, u64>::new();
    for (nth, cause) in causes.iter().enumerate() {
        let odd = u64::from((nth as u64) < ns % sharers);
        if let Some(key) = group(Culprit::Source(cause.instance)) {
            *shares.entry(key).or_default() += ns / sharers + odd;
        }
    }
    shares
}
