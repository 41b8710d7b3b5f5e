//! Waits for `/sys/power/wakeup_count`: user space wants to suspend, and an active source forbids it.
//!
//! The record of a wait may lack its start or its end. From the start of the session, a loss or a gap on,
//! a thread may be waiting of which nothing is recorded yet, until an instant at which nobody can wait:
//!
//! - No source was active for `LATENCY_NS`: the kernel ends every wait when the last source becomes
//!   inactive (`pm_get_wakeup_count`, `drivers/base/power/wakeup.c`, 5.10 to 7.3).
//! - The freezer ran: it interrupts every wait (`fake_signal_wake_up`, `kernel/freezer.c`).
//! - The thread that suspends was seen to do something else.
//!
//! If such a wait's end turns up, the time was blocked; else it is unknown.

use std::collections::BTreeMap;

use sleepwalk_trace::time::BootNanos;

use super::active::Active;
use super::shares;
use crate::report::{Blocker, Name, Span, Wait};

/// Sources listed for one wait: the rest held it up for less.
pub const BLOCKERS: usize = 8;

/// Threads that are remembered; there is one that suspends, and perhaps a few that look.
const THREADS: usize = 4_096;

/// A wait ends at most this long after the last source became inactive. The thread looks again once it
/// runs, so it goes on waiting if a source is active again by then.
const LATENCY_NS: u64 = 100_000_000;

#[derive(Debug)]
struct Open {
    thread: u32,
    start: BootNanos,
    /// The sources' shares in the stretch at its start; empty for the first wait of it.
    base: Vec<(u32, u128)>,
    /// The hooks saw its start, so they see its end as well.
    seen: bool,
}

/// The waits in progress and those that are over.
#[derive(Debug)]
pub struct Waits {
    open: Vec<Open>,
    over: Vec<Wait>,
    /// The threads that had an event since the start of the session or the end of the last gap, and
    /// when they had the first.
    heard: BTreeMap<u32, BootNanos>,
    /// Since when a thread without an event may have been waiting; `None` where no thread can be.
    since: Option<BootNanos>,
    /// An end without a start belongs to a wait.
    ends: bool,
    /// Since when no source is active.
    idle_since: Option<BootNanos>,
    /// Time since then that counts only if a wait turns out to have gone on: one whose start is not
    /// recorded, or one that may have been in progress.
    lag_ns: u64,
    lag_maybe: bool,
    /// Times in which a thread may have been waiting.
    unknown: Vec<Span>,
}

impl Waits {
    /// At the session's start. `ends`: an end without a start belongs to a wait.
    pub fn new(start: BootNanos, ends: bool) -> Self {
        Self {
            open: Vec::new(),
            over: Vec::new(),
            heard: BTreeMap::new(),
            since: Some(start),
            ends,
            idle_since: None,
            lag_ns: 0,
            lag_maybe: true,
            unknown: Vec::new(),
        }
    }

    /// Whether any thread is known to wait.
    pub fn any(&self) -> bool {
        !self.open.is_empty()
    }

    fn any_seen(&self) -> bool {
        self.open.iter().any(|open| open.seen)
    }

    /// Time outside attempts passes, up to `at`.
    pub fn advance(&mut self, at: BootNanos, ns: u64, active: &mut Active) {
        if self.any_seen() {
            active.advance(ns, false);
        } else if !self.any() && self.since.is_none() {
            return;
        } else if self.idle_since.is_some() {
            self.lag_ns += ns;
            self.lag_maybe = !self.any();
        } else {
            active.advance(ns, !self.any());
        }
        if let Some(since) = self.idle_since
            && at.since(since) >= LATENCY_NS
        {
            self.settle(since, active);
        }
    }

    /// Whether it is certain by now that no source is active.
    pub fn idle(&mut self, at: BootNanos, idle: bool, active: &mut Active) {
        if idle {
            self.idle_since = self.idle_since.or(Some(at));
        } else if self.idle_since.take().is_some() {
            self.go_on(active);
        }
    }

    /// The waits went on although no source was active for a moment.
    fn go_on(&mut self, active: &mut Active) {
        let lag_ns = std::mem::take(&mut self.lag_ns);
        if !self.lag_maybe || self.since.is_some() {
            active.advance_idle(lag_ns, self.lag_maybe);
        }
    }

    /// Nobody can be waiting at `at` whose end would not be recorded.
    pub fn settle(&mut self, at: BootNanos, active: &mut Active) {
        self.lag_ns = 0;
        while let Some(open) = self.open.iter().find(|open| !open.seen) {
            let thread = open.thread;
            self.close(thread, at, Some(true), active);
        }
        if let Some(start_ns) = self.since.take() {
            self.doubt(start_ns, at, active);
        }
    }

    fn doubt(&mut self, start_ns: BootNanos, end_ns: BootNanos, active: &mut Active) {
        active.forget_maybe();
        if start_ns < end_ns {
            self.unknown.push(Span { start_ns, end_ns });
        }
    }

    /// These threads wait, as the agent found out on its own. `all`: no other does.
    pub fn found(&mut self, threads: &[u32], all: bool, at: BootNanos, active: &mut Active) {
        let since = self.since.unwrap_or(at);
        if all && threads.is_empty() {
            self.since = None;
            active.forget_maybe();
        }
        for thread in threads.iter().take(THREADS) {
            if !self.heard.contains_key(thread) && self.open.iter().all(|o| o.thread != *thread) {
                if self.since.take().is_some() {
                    self.go_on(active);
                    active.confirm();
                }
                self.open(*thread, since, false, active);
            }
        }
        if !all {
            self.since = Some(at);
        }
    }

    fn open(&mut self, thread: u32, start: BootNanos, seen: bool, active: &mut Active) {
        let base = if self.any() {
            active.shares_in_stretch().collect()
        } else {
            active.open_stretch();
            Vec::new()
        };
        self.open.push(Open { thread, start, base, seen });
    }

    /// A thread begins to wait.
    pub fn begin(&mut self, thread: u32, at: BootNanos, active: &mut Active) {
        self.acts(thread, at, active);
        self.open(thread, at, true, active);
    }

    /// A thread does something else than waiting.
    fn acts(&mut self, thread: u32, at: BootNanos, active: &mut Active) {
        let end = self.idle_since.unwrap_or(at);
        let open = self.open.iter().find(|open| open.thread == thread);
        let (end, idle) = match open {
            Some(open) if !open.seen && end >= open.start => (end, self.idle_since.map(|_| true)),
            _ => (at, None),
        };
        self.close(thread, end, idle, active);
        self.lag_maybe |= self.open.iter().all(|open| open.seen);
        self.hear_of(thread, at);
    }

    /// A thread writes the count. It is the one that suspends, so before its first event it did not wait.
    pub fn writes(&mut self, thread: u32, at: BootNanos, active: &mut Active) {
        self.acts(thread, at, active);
        let first = self.heard.get(&thread).copied().unwrap_or(at);
        if let Some(since) = self.since.take() {
            self.lag_ns = 0;
            self.doubt(since, first.max(since), active);
        }
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
        let unseen = self.open.iter().any(|open| open.thread == thread && !open.seen);
        if unseen {
            self.go_on(active);
        }
        if self.close(thread, at, Some(idle), active) {
            return None;
        }
        let start = self.since.filter(|_| self.ends && !self.heard.contains_key(&thread));
        self.hear_of(thread, at);
        let start = start?;
        self.go_on(active);
        let blockers = blockers(active.maybe_shares().into_iter());
        active.confirm();
        self.since = Some(at);
        let idle = Some(idle);
        self.over.push(Wait { start_ns: start, end_ns: at, before: true, thread, idle, blockers });
        Some(start)
    }

    fn hear_of(&mut self, thread: u32, at: BootNanos) {
        if self.heard.len() < THREADS {
            self.heard.entry(thread).or_insert(at);
        } else {
            self.ends = false;
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
        let Open { thread, start, mut base, seen } = self.open.remove(place);
        base.sort_unstable_by_key(|(instance, _)| *instance);
        let shares = active.shares_in_stretch().map(|(instance, share)| {
            let before = base.binary_search_by_key(&instance, |(i, _)| *i);
            let before = before.map_or(0, |place| base[place].1);
            (instance, share.saturating_sub(before))
        });
        let blockers = blockers(shares);
        let (start_ns, end_ns) = (start, at.max(start));
        self.over.push(Wait { start_ns, end_ns, before: !seen, thread, idle, blockers });
        true
    }

    /// Records are missing from here on, up to [`Waits::resume`]: no thread is known to wait.
    pub fn gap(&mut self, at: BootNanos, active: &mut Active) {
        self.go_on(active);
        while let Some(open) = self.open.first() {
            let thread = open.thread;
            self.close(thread, at, None, active);
        }
        if let Some(since) = self.since.take() {
            self.doubt(since, at, active);
        }
    }

    /// The missing part ends here.
    pub fn resume(&mut self, at: BootNanos) {
        self.since = Some(at);
        self.idle_since = None;
        self.heard.clear();
    }

    /// The trace is over: every wait, and the times in which a thread may have been waiting.
    pub fn finish(mut self, at: BootNanos, active: &mut Active) -> (Vec<Wait>, Vec<Span>) {
        self.gap(at, active);
        self.over.sort_by_key(|wait| (wait.start_ns, wait.end_ns, wait.thread));
        (self.over, self.unknown)
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
