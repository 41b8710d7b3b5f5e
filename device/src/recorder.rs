//! The loop: events and ticks in, records out.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::Result;
use sleepwalk_trace::abi::{Event, RING_BYTES};
use sleepwalk_trace::record::{End, Lost, Overhead, Reason, Record, Session, Snapshot};
use sleepwalk_trace::snapshot::{DeltaEncoder, SourceState};
use sleepwalk_trace::time::BootNanos;

use crate::clock;
use crate::context::supplies::When;
use crate::context::{BY_STATS, Surroundings};
use crate::journal::{Journal, Turn, begins_attempt, frozen};
use crate::probe::events::{ProbeEvent, What};
use crate::probe::hooks::Hooks;
use crate::returns::Returns;
use crate::source::{SnapshotSource, Taken};
use crate::store::{Full, Store};
use crate::wakeups::{Wakeups, Woken};

/// Every so many snapshots one is full, so that damage before it costs no more than those.
const FULL_EVERY: u64 = 64;

/// So often a snapshot is tried before it is recorded as one that could not be taken.
const TRIES: u32 = 3;

/// How long an attempt under way keeps a capture from ending.
const GRACE: Duration = Duration::from_secs(2);
const GRACE_STEP_MS: u16 = 100;

/// A snapshot has at most so many bytes beside its sources, and so many for each: ten counters of nine
/// bytes, and what says which.
const SNAPSHOT: usize = 1024;
const SNAPSHOT_SOURCE: usize = 112;

/// What the last chunk may say of an error, in bytes.
const LAST_WORDS: usize = 512;

/// What an event takes in the probe's ring at least, in bytes, with the ring's own header.
const EVENT_LEAST: usize = size_of::<Event>() + 8;

/// After so many events in one go, what else is due has its turn.
const BATCH: usize = 1 << 16;

/// A capture under way.
#[derive(Debug)]
pub struct Recorder<S> {
    source: S,
    store: Store,
    journal: Journal,
    differ: DeltaEncoder,
    overhead: Overhead,
    /// Events that were read ahead.
    ahead: VecDeque<ProbeEvent>,
    /// An attempt has begun and not returned.
    in_attempt: bool,
    around: Surroundings,
    /// Where no hook shows returns.
    returns: Option<Returns>,
    /// An attempt has returned, and is not yet on the disk.
    returned: bool,
    /// How long a snapshot may get, by the sources of the last one.
    snapshot_room: usize,
    /// Number of the snapshot from which on one has to be full.
    full_at: u64,
}

impl<S: SnapshotSource> Recorder<S> {
    /// Writes what opens a trace, and the first snapshot.
    pub fn start(
        source: S,
        store: Store,
        session: Session,
        around: Surroundings,
        ring: bool,
    ) -> Result<Self> {
        let by_stats = session.hooks.iter().any(|hook| hook.how == BY_STATS);
        let mut recorder = Self {
            source,
            store,
            journal: Journal::new(ring),
            differ: DeltaEncoder::default(),
            overhead: Overhead::default(),
            ahead: VecDeque::new(),
            in_attempt: false,
            around,
            returns: None,
            returned: false,
            snapshot_room: SNAPSHOT,
            full_at: 0,
        };
        recorder.journal.push_now(&Record::Session(session));
        recorder.around.supplies(When::Edge, &mut recorder.journal);
        let stats = recorder.around.stats(&mut recorder.journal);
        recorder.returns = stats.filter(|_| by_stats).map(|stats| Returns::new(&stats));
        let started = recorder.snapshot(Reason::Start, None).and_then(|()| {
            let overhead = recorder.overhead();
            recorder.journal.push_now(&Record::Overhead(overhead));
            recorder.commit()?;
            recorder.store.sync_all()
        });
        match started {
            Ok(()) => Ok(recorder),
            Err(error) => {
                // Nothing was captured, so nothing is left.
                recorder.store.remove();
                Err(error)
            }
        }
    }

    /// Records until the deadline or a signal, and finishes the trace. What was recorded stays,
    /// whatever goes wrong.
    pub fn run(mut self, hooks: &mut Hooks, wakeups: &mut Wakeups) -> Result<()> {
        let recorded = self.record(hooks, wakeups);
        match recorded.and_then(|reason| self.end(reason)) {
            Ok(()) => self.store.finish(),
            Err(error) => Err(self.abandon(error)),
        }
    }

    /// Whether all that a capture does goes well. Nothing of it is recorded.
    pub fn works(&mut self, hooks: &mut Hooks) -> Result<()> {
        self.source.take(&mut |_| {})?;
        hooks.doze()
    }

    /// How many values beside the probe's can be read.
    pub fn readable(&mut self) -> usize {
        self.around.readable()
    }

    /// What the capture has cost so far.
    pub fn overhead(&self) -> Overhead {
        Overhead { cpu_ns: clock::cpu_ns(), bytes_written: self.store.written(), ..self.overhead }
    }

    fn record(&mut self, hooks: &mut Hooks, wakeups: &mut Wakeups) -> Result<&'static str> {
        let mut ending: Option<(&'static str, Instant)> = None;
        let mut more = false;
        loop {
            let look = self.returns.as_ref().and_then(Returns::wait);
            let grace = ending.map(|_| GRACE_STEP_MS);
            let most = if more { Some(0) } else { grace.into_iter().chain(look).min() };
            let woken = wakeups.wait(most)?;
            // Events first: when an attempt has begun, every millisecond before the freeze counts.
            let mut events = self.drain(hooks)?;
            if events == 0 && woken.flush {
                // Quiet: from here on the next event wakes. One may just have come.
                if let Err(error) = hooks.doze() {
                    log::warn!("{error:#}");
                    wakeups.flush_soon()?;
                }
                events = self.drain(hooks)?;
            }
            more = events >= BATCH;
            if self.counted() {
                // What came before the return is recorded before it.
                self.drain(hooks)?;
                self.settle(None)?;
            }
            if woken.tick {
                self.snapshot(Reason::Tick, None)?;
                self.around.supplies(When::Between, &mut self.journal);
            }
            self.commit()?;
            // A power cut loses what is not on the disk: no attempt but the last, and nothing that is
            // older than a flush. Never at an attempt's begin, where every millisecond counts; the
            // kernel itself syncs before it freezes, unless it was told not to.
            if woken.flush || woken.tick || self.returned {
                self.returned = false;
                self.store.sync()?;
            }
            // Also where it was woken in vain, for an event that it had seen before, or behind one that
            // another CPU has not finished: the probe takes it to be awake.
            if events > 0 || woken.events || self.store.dirty() {
                wakeups.flush_soon()?;
            }
            match self.store.full() {
                Some(Full::Size) => return Ok("full"),
                Some(Full::Disk(error)) => return Err(error),
                None => {}
            }
            let asked = match woken {
                Woken { signal: true, .. } => Some("signal"),
                Woken { deadline: true, .. } => Some("duration"),
                _ => None,
            };
            ending = ending.or(asked.map(|reason| (reason, Instant::now())));
            // A time that is up while the device sleeps is noticed at the thaw, before the attempt
            // has returned: that is waited for. So are the events of a storm, which may never end.
            if let Some((reason, since)) = ending
                && (!(self.in_attempt || more) || since.elapsed() >= GRACE)
            {
                if more {
                    self.give_up_rest(hooks);
                }
                return Ok(reason);
            }
        }
    }

    /// Records what the probe has sent, and says how many events that was.
    fn drain(&mut self, hooks: &mut Hooks) -> Result<usize> {
        let mut count = 0;
        while count < BATCH
            && let Some(event) = self.ahead.pop_front().or_else(|| hooks.next_event())
        {
            count += 1;
            self.event(&event, hooks)?;
            if self.journal.instances.crowded() {
                self.snapshot(Reason::Tick, None)?;
            }
            if self.journal.pending() >= self.store.chunk() {
                self.commit()?;
                if self.store.is_full() {
                    return Ok(count);
                }
            }
        }
        let events = hooks.newly_dropped()?;
        if events > 0 {
            self.journal.push_now(&Record::Lost(Lost { events }));
            // Which sources are active is told by the edges no more.
            self.snapshot(Reason::Lost, None)?;
        }
        Ok(count)
    }

    /// Counts what there is no time to record any more.
    fn give_up_rest(&mut self, hooks: &mut Hooks) {
        let ring =
            std::iter::from_fn(|| hooks.next_event()).take(RING_BYTES as usize / EVENT_LEAST);
        let events = self.ahead.drain(..).count() + ring.count();
        if events > 0 {
            self.journal.push_now(&Record::Lost(Lost { events: events as u64 }));
        }
    }

    fn event(&mut self, event: &ProbeEvent, hooks: &mut Hooks) -> Result<()> {
        // The one before has returned by now, whether that was seen or not.
        if begins_attempt(event) && self.counted() {
            self.settle(Some(event.at))?;
        }
        if let Some(returns) = &mut self.returns {
            returns.note(event);
        }
        match self.journal.event(event, false) {
            None => Ok(()),
            Some(Turn::Begin) => {
                self.in_attempt = true;
                self.ahead.extend(std::iter::from_fn(|| hooks.next_event()));
                // Where it is over already, the snapshot of its end is all that there can be.
                let ends = |e: &ProbeEvent| matches!(e.what, What::Return { .. });
                if !self.ahead.iter().any(|e| ends(e) || begins_attempt(e)) {
                    self.snapshot(Reason::AttemptBegin, Some(hooks))?;
                    // After the snapshot: a slow gauge may be overtaken by the freeze.
                    self.around.supplies(When::Between, &mut self.journal);
                }
                Ok(())
            }
            Some(Turn::End) => self.attempt_over(),
            Some(Turn::Unnamed) => {
                self.snapshot(Reason::Lost, None)?;
                self.journal.event(event, true);
                Ok(())
            }
        }
    }

    fn attempt_over(&mut self) -> Result<()> {
        self.in_attempt = false;
        self.returned = true;
        self.snapshot(Reason::AttemptEnd, None)?;
        self.around.stats(&mut self.journal);
        self.around.supplies(When::Between, &mut self.journal);
        Ok(())
    }

    /// Where no hook shows returns: looks whether open attempts were counted.
    fn counted(&mut self) -> bool {
        let Some(returns) = self.returns.as_mut().filter(|returns| returns.any_open()) else {
            return false;
        };
        let read_at = clock::now().boot;
        if !returns.has_left()
            && let Some(stats) = self.around.stats(&mut self.journal)
        {
            returns.look(&stats, read_at);
        }
        returns.has_left()
    }

    /// Records the returns of attempts that were counted, which was before `limit`, if that is given.
    fn settle(&mut self, limit: Option<BootNanos>) -> Result<()> {
        while let Some(returned) = self.returns.as_mut().and_then(Returns::settle) {
            let now = clock::now().boot;
            self.journal.push(limit.unwrap_or(now).min(now), &Record::Return(returned));
            self.attempt_over()?;
        }
        Ok(())
    }

    /// Takes a snapshot. At an attempt's begin, `hooks` tell whether user space was frozen before.
    fn snapshot(&mut self, reason: Reason, hooks: Option<&mut Hooks>) -> Result<()> {
        let number = self.overhead.snapshots;
        let (taken, states) = self.walk(number)?;
        self.journal.instances.looked();
        let whole = !taken.broken && taken.seen == taken.stored;
        if whole {
            self.journal.instances.retire(number, taken.begin);
        }
        if !taken.broken {
            self.snapshot_room = SNAPSHOT + SNAPSHOT_SOURCE * states.len();
        }
        if let Some(hooks) = hooks {
            self.ahead.extend(std::iter::from_fn(|| hooks.next_event()));
        }
        let begins = reason == Reason::AttemptBegin;
        let late = begins && self.ahead.iter().any(|e| frozen(e) && e.at <= taken.begin);
        let took_ns = taken.end.since(taken.begin);
        let mut snapshot = Snapshot {
            reason,
            mono: taken.mono,
            took_ns,
            seen: taken.seen,
            stored: taken.stored,
            broken: taken.broken,
            late,
            full: false,
            changed: Vec::new(),
            gone: Vec::new(),
        };
        // In a full one, what was not seen would count as not there.
        let full = number >= self.full_at && (number == 0 || !taken.broken);
        if full {
            self.full_at = number + FULL_EVERY;
        }
        self.differ.encode(&mut snapshot, &states, full);
        self.journal.push(taken.begin, &Record::Snapshot(snapshot));
        self.overhead.snapshots += 1;
        self.overhead.snapshots_ns += took_ns;
        self.overhead.snapshot_max_ns = self.overhead.snapshot_max_ns.max(took_ns);
        Ok(())
    }

    /// The sources, as snapshot `number` finds them.
    ///
    /// The kernel may be short of memory for a moment, which must not end a capture of days: only the
    /// first snapshot has to succeed. A later one that can't be taken is one that broke off at once.
    fn walk(&mut self, number: u64) -> Result<(Taken, BTreeMap<u32, SourceState>)> {
        let mut states = BTreeMap::new();
        let mut left = TRIES;
        let taken = loop {
            let now = clock::now();
            let mut defined = Vec::new();
            let instances = &mut self.journal.instances;
            let taken = self.source.take(&mut |sample| {
                instances.add(sample, number, &mut states, &mut |record| defined.push(record));
            });
            for record in &defined {
                self.journal.push(now.boot, record);
            }
            left -= 1;
            match taken {
                Ok(taken) => break taken,
                Err(error) if left == 0 && number == 0 => return Err(error),
                Err(error) if left == 0 => {
                    log::warn!("a snapshot is missing: {error:#}");
                    states.clear();
                    break Taken::nothing(now);
                }
                Err(error) => log::debug!("a snapshot is tried again: {error:#}"),
            }
            states.clear();
        };
        Ok((taken, states))
    }

    /// Makes what is pending part of the file.
    fn commit(&mut self) -> Result<()> {
        // What one turn of the loop may add, and then the end.
        let keep = self.store.chunk() + 2 * self.snapshot_room;
        if self.journal.commit(&mut self.store, keep as u64)? {
            // The snapshot that a region begins with may be old, and the edges since then are dropped
            // with the region before.
            self.snapshot(Reason::Tick, None)?;
        }
        Ok(())
    }

    fn end(&mut self, reason: &str) -> Result<()> {
        self.snapshot(Reason::End, None)?;
        self.around.supplies(When::Edge, &mut self.journal);
        self.around.stats(&mut self.journal);
        self.journal.push_now(&Record::Overhead(self.overhead()));
        self.journal.push_now(&Record::End(End { reason: reason.to_owned() }));
        self.journal.commit(&mut self.store, 0).map(drop)
    }

    /// Keeps what there is, after an error, and says in the trace why it ends.
    fn abandon(mut self, error: anyhow::Error) -> anyhow::Error {
        let mut reason = format!("error: {error:#}");
        reason.truncate(reason.floor_char_boundary(LAST_WORDS));
        let end = Record::End(End { reason });
        if let Err(second) = self.journal.close(&mut self.store, &end) {
            log::debug!("the end could not be written either: {second:#}");
        }
        match self.store.finish() {
            Ok(()) => error,
            Err(second) => {
                error.context(format!("and the trace could not be finished ({second:#})"))
            }
        }
    }
}
