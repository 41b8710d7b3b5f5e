//! Waits for `/sys/power/wakeup_count`: user space wants to suspend, and an active source forbids it.

use std::collections::BTreeSet;

use sleepwalk_trace::time::BootNanos;

use super::active::Active;
use super::shares;
use crate::report::{Blocker, Name, Wait};

/// Sources listed for one wait: the rest held it up for less.
pub const BLOCKERS: usize = 8;

/// Threads that are remembered; there is one that suspends, and perhaps a few that look.
const THREADS: usize = 4_096;

#[derive(Debug)]
struct Open {
    thread: u32,
    start: BootNanos,
    /// The sources' shares in the stretch at its start; empty for the first wait of it.
    base: Vec<(u32, u128)>,
}

/// The waits in progress and those that are over.
#[derive(Debug)]
pub struct Waits {
    open: Vec<Open>,
    over: Vec<Wait>,
    /// Threads that had an event since the start of the session or the end of the last gap.
    known: BTreeSet<u32>,
    /// Since when a thread without an event may have been waiting; `None` where that is unknown.
    since: Option<BootNanos>,
}

impl Waits {
    /// At the session's start. `ends`: an end without a start means a wait from before.
    pub fn new(start: BootNanos, ends: bool) -> Self {
        let since = ends.then_some(start);
        Self { open: Vec::new(), over: Vec::new(), known: BTreeSet::new(), since }
    }

    /// Whether any thread waits.
    pub fn any(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether a later event may show that a thread was waiting.
    pub fn maybe(&self) -> bool {
        self.since.is_some()
    }

    /// A thread begins to wait.
    pub fn begin(&mut self, thread: u32, at: BootNanos, active: &mut Active) {
        self.close(thread, at, None, active);
        self.hear_of(thread);
        let base = if self.any() {
            active.shares_in_stretch().collect()
        } else {
            active.open_stretch();
            Vec::new()
        };
        self.open.push(Open { thread, start: at, base });
    }

    /// A thread's read returned. If only this return shows that the session was blocked, returns the
    /// start of that time.
    pub fn end(
        &mut self,
        thread: u32,
        at: BootNanos,
        idle: bool,
        active: &mut Active,
    ) -> Option<BootNanos> {
        if self.close(thread, at, Some(idle), active) {
            return None;
        }
        let start = self.since.filter(|_| !self.known.contains(&thread));
        self.hear_of(thread);
        let start = start?;
        let blockers = blockers(active.maybe_shares().into_iter());
        active.confirm();
        let idle = Some(idle);
        self.over.push(Wait { start_ns: start, end_ns: at, before: true, thread, idle, blockers });
        Some(start)
    }

    fn hear_of(&mut self, thread: u32) {
        self.known.insert(thread);
        if self.known.len() > THREADS {
            self.since = None;
        }
    }

    fn close(
        &mut self,
        thread: u32,
        at: BootNanos,
        idle: Option<bool>,
        active: &mut Active,
    ) -> bool {
        let Some(place) = self.open.iter().position(|open| open.thread == thread) else {
            return false;
        };
        let Open { thread, start, mut base } = self.open.remove(place);
        base.sort_unstable_by_key(|(instance, _)| *instance);
        let shares = active.shares_in_stretch().map(|(instance, share)| {
            let before = base.binary_search_by_key(&instance, |(i, _)| *i);
            let before = before.map_or(0, |place| base[place].1);
            (instance, share.saturating_sub(before))
        });
        let blockers = blockers(shares);
        self.over.push(Wait { start_ns: start, end_ns: at, before: false, thread, idle, blockers });
        true
    }

    /// Events were lost: an end without a start may belong to a wait whose start was among them.
    pub fn lost(&mut self, active: &mut Active) {
        if self.since.take().is_some() {
            active.forget_maybe();
        }
    }

    /// Records are missing: no thread is known to wait.
    pub fn gap(&mut self, at: BootNanos, active: &mut Active) {
        while let Some(open) = self.open.first() {
            let thread = open.thread;
            self.close(thread, at, None, active);
        }
        self.lost(active);
        self.known.clear();
    }

    /// The missing part ends here. `ends` as in [`Waits::new`].
    pub fn resume(&mut self, at: BootNanos, ends: bool) {
        self.since = ends.then_some(at);
    }

    /// The trace is over.
    pub fn finish(mut self, at: BootNanos, active: &mut Active) -> Vec<Wait> {
        self.gap(at, active);
        self.over.sort_by_key(|wait| (wait.start_ns, wait.end_ns, wait.thread));
        self.over
    }
}

/// Out of shares in 2⁻³² ns.
fn blockers(parts: impl Iterator<Item = (u32, u128)>) -> Vec<Blocker> {
    let whole = parts.map(|(instance, share)| (instance, shares::whole_ns(share)));
    let mut whole: Vec<_> = whole.filter(|(_, ns)| *ns > 0).collect();
    whole.sort_unstable_by_key(|(instance, ns)| (u64::MAX - ns, *instance));
    whole.truncate(BLOCKERS);
    let blocker = |(instance, share_ns)| Blocker { name: Name::default(), instance, share_ns };
    whole.into_iter().map(blocker).collect()
}
