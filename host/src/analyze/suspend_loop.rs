//! The loop in which user space suspends, thread by thread: what it does between waits and attempts.
//!
//! A suspending thread reads `wakeup_count`, which waits for the sources; it waits for user space to be
//! ready as well; it writes the count; it suspends; and after an attempt it lets some time go by
//! (`SystemSuspend::initAutosuspendLocked`, `system/hardware/interfaces/suspend`, Android 12 to 16).
//! The steps show which of these a thread was at, once the next step is recorded.

use std::collections::{BTreeMap, BTreeSet};

use sleepwalk_trace::time::BootNanos;

use crate::report::{Cause, Span};

/// Threads that are remembered; there is one that suspends, and perhaps a few that look.
const THREADS: usize = 4_096;

/// The longest back-off of Android's `SystemSuspend`: after it a thread without a next step has left the
/// loop.
const LONGEST_BACKOFF_NS: u64 = 60_000_000_000;

/// A refused write of `wakeup_count`: an event had come since the count was read.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// When.
    pub at: BootNanos,
    /// The sources that were active since the read, by their numbers.
    pub causes: Vec<Cause>,
    /// The back-off that followed.
    pub after_abort_ns: u64,
}

/// The reason why a thread backs off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BackedOff {
    /// An attempt, by its index.
    Attempt(usize),
    /// A refused write, by its place in [`SuspendLoop::refusals`].
    Refusal(usize),
}

/// The last step of a thread.
#[derive(Clone, Copy, Debug)]
enum Last {
    /// Its read returned because no source was active.
    Ready,
    /// An attempt returned, or a write was refused.
    BackedOff(BackedOff),
}

/// The loops of all threads.
#[derive(Debug, Default)]
pub struct SuspendLoop {
    threads: BTreeMap<u32, (BootNanos, Last)>,
    /// The thread whose attempt is next: the last that was ready or wrote the count.
    suspender: Option<u32>,
    /// Threads that have written the count.
    writers: BTreeSet<u32>,
    /// Refused writes.
    pub refusals: Vec<Refusal>,
    /// The kernel was ready, user space was not.
    pub user_space: Vec<Span>,
    /// From an attempt or a refused write to the next wait.
    pub backoff: Vec<(Span, BackedOff)>,
    /// One of the two, or neither.
    pub unknown: Vec<Span>,
}

impl SuspendLoop {
    fn set(&mut self, thread: u32, at: BootNanos, last: Last) {
        if self.threads.len() < THREADS || self.threads.contains_key(&thread) {
            self.threads.insert(thread, (at, last));
        }
    }

    /// A thread begins to wait.
    pub fn wait(&mut self, thread: u32, at: BootNanos) {
        // Ready before: it looked, and did not suspend.
        if let Some((start_ns, Last::BackedOff(by))) = self.threads.remove(&thread) {
            self.backoff.push((Span { start_ns, end_ns: at }, by));
        }
    }

    /// A wait is over. `idle`: no source was active, else it was interrupted.
    pub fn waited(&mut self, thread: u32, at: BootNanos, idle: bool) {
        self.threads.remove(&thread);
        if idle {
            self.set(thread, at, Last::Ready);
            self.suspender = Some(thread);
        }
    }

    /// A thread writes the count.
    pub fn write(&mut self, thread: u32, at: BootNanos, refused: Option<Vec<Cause>>) {
        if let Some((start_ns, Last::Ready)) = self.threads.remove(&thread) {
            self.user_space.push(Span { start_ns, end_ns: at });
        }
        if self.writers.len() < THREADS {
            self.writers.insert(thread);
        }
        self.suspender = Some(thread);
        if let Some(causes) = refused {
            let by = BackedOff::Refusal(self.refusals.len());
            self.refusals.push(Refusal { at, causes, after_abort_ns: 0 });
            self.set(thread, at, Last::BackedOff(by));
        }
    }

    /// An attempt begins. `writes`: writes of the count are recorded.
    pub fn attempt(&mut self, at: BootNanos, writes: bool) {
        let ready = self.suspender.and_then(|thread| self.threads.get(&thread));
        if let Some(&(start_ns, Last::Ready)) = ready {
            // It suspends without a write, or another thread does.
            let span = Span { start_ns, end_ns: at };
            if writes { &mut self.unknown } else { &mut self.user_space }.push(span);
        }
    }

    /// An attempt returned.
    pub fn returned(&mut self, index: usize, at: BootNanos) {
        let Some(thread) = self.suspender else { return };
        if let Some(&(start_ns, Last::BackedOff(by))) = self.threads.get(&thread) {
            // It tried again without a wait, or someone in a shell did while it backed off.
            self.backoff.push((Span { start_ns, end_ns: at }, by));
        }
        self.set(thread, at, Last::BackedOff(BackedOff::Attempt(index)));
    }

    /// Records are missing: the next steps of all threads may be among them.
    pub fn gap(&mut self, at: BootNanos) {
        let threads = std::mem::take(&mut self.threads);
        self.unknown
            .extend(threads.into_values().map(|(start_ns, _)| Span { start_ns, end_ns: at }));
        self.suspender = None;
    }

    /// The trace is over. A thread that has suspended before and is ready waits for user space; one that
    /// backed off still does, unless that would be too long.
    pub fn finish(&mut self, at: BootNanos) {
        for (thread, (start_ns, last)) in std::mem::take(&mut self.threads) {
            let span = Span { start_ns, end_ns: at };
            match last {
                Last::Ready if self.writers.contains(&thread) => self.user_space.push(span),
                Last::BackedOff(by) if at.since(start_ns) <= LONGEST_BACKOFF_NS => {
                    self.backoff.push((span, by));
                }
                Last::Ready | Last::BackedOff(_) => {}
            }
        }
    }
}
