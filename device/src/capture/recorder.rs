//! The loop of a capture: events and ticks in, records out.

mod end;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;
use sleepwalk_trace::abi::{Event, RING_BYTES};
use sleepwalk_trace::record::{Lost, Note, Overhead, Reason, Record, Session};
use sleepwalk_trace::time::BootNanos;

use super::journal::{Journal, NextStep, begins_attempt, freeze_is_over};
use super::snapshotter::{BYTES_PER_SOURCE, Snapshotter};
use super::suspend_stats_returns::SuspendStatsReturns;
use super::user_space::UserSpace;
use super::wakeups::{Wakeups, Woken};
use crate::activators::Activators;
use crate::clock;
use crate::context::power_supply::When;
use crate::context::services::Services;
use crate::context::suspend_stats::Stats;
use crate::context::{BY_STATS, Surroundings, epoll_waiters, waiters};
use crate::probe::events::{EventKind, ProbeEvent};
use crate::probe::hooks::Hooks;
use crate::snapshot::SnapshotSource;
use crate::store::{Full, Store};

/// A running attempt delays the end of a capture by at most this long.
const GRACE: Duration = Duration::from_secs(2);
const GRACE_STEP_MS: u16 = 100;

/// The most events that the probe's ring holds: each has a header of the ring's own. A read of all that are there
/// stops after so many, because the probe may be faster.
const RING_EVENTS: usize = RING_BYTES as usize / (size_of::<Event>() + 8);

/// The most bytes of a source that a snapshot is the first to have: its definition, and its state in each of three.
const NEW_SOURCE: usize = 64 + 3 * BYTES_PER_SOURCE;

/// After this many events without a pause, everything else gets a turn.
const BATCH: usize = 1 << 16;

/// A running capture.
#[derive(Debug)]
pub struct Recorder<S> {
    snapshotter: Snapshotter<S>,
    store: Store,
    journal: Journal,
    /// Events that were read ahead.
    ahead: VecDeque<ProbeEvent>,
    /// An attempt has begun and not returned.
    in_attempt: bool,
    surroundings: Surroundings,
    /// `None` if the kernel counts none.
    returns: Option<SuspendStatsReturns>,
    /// An attempt has returned since the last sync.
    returned: bool,
    /// `None` where Android's services are not asked.
    user_space: Option<UserSpace>,
}

impl<S: SnapshotSource> Recorder<S> {
    /// Writes the start of the trace, up to the first snapshot.
    pub fn start(
        source: S,
        store: Store,
        session: Session,
        notes: Vec<Note>,
        surroundings: Surroundings,
        ring: bool,
    ) -> Result<Self> {
        let by_stats = session.hooks.iter().any(|hook| hook.how == BY_STATS);
        let mut recorder = Self {
            snapshotter: Snapshotter::new(source),
            store,
            journal: Journal::new(ring),
            ahead: VecDeque::new(),
            in_attempt: false,
            surroundings,
            returns: None,
            returned: false,
            user_space: None,
        };
        recorder.journal.push_now(&Record::Session(session));
        notes.into_iter().for_each(|note| recorder.journal.push_now(&Record::Note(note)));
        recorder.power_supplies(When::CaptureEdge);
        let stats = recorder.suspend_stats();
        recorder.wake_reason();
        recorder.returns = stats.map(|s| SuspendStatsReturns::new(&s, by_stats));
        let started = recorder.snapshot(Reason::Start).and_then(|()| {
            recorder.source_devices();
            let overhead = recorder.overhead();
            recorder.journal.push_now(&Record::Overhead(overhead));
            recorder.commit()?;
            recorder.store.sync_all()
        });
        match started {
            Ok(()) => Ok(recorder),
            Err(error) => {
                // The file has nothing worth keeping.
                recorder.store.remove();
                Err(error)
            }
        }
    }

    /// Records until the deadline or a signal, and finishes the trace. If an error ends the
    /// capture, the trace keeps everything recorded until then.
    pub fn run(mut self, hooks: &mut Hooks, wakeups: &mut Wakeups) -> Result<()> {
        let recorded = self.record(hooks, wakeups);
        let ended = recorded.and_then(|reason| {
            self.last_answers(hooks)?;
            self.end(reason, hooks.runs())
        });
        match ended {
            Ok(()) => self.store.finish(),
            Err(error) => Err(self.finish_after(error)),
        }
    }

    /// From now on Android's services are asked, and their answers take up to `room` bytes.
    pub fn ask_services(&mut self, services: Services, room: usize) {
        self.user_space = Some(UserSpace::start(Some(services), room));
    }

    /// From now on, activations have their activators.
    pub fn record_activators(&mut self, activators: Activators) {
        self.journal.record_activators(activators);
    }

    /// Records the threads whose wait began before the hooks were attached. It needs capabilities that
    /// nothing after it needs.
    pub fn record_waiters(&mut self, hooks: &mut Hooks) {
        let (at, mut waiters) = waiters::find();
        self.read_ahead(hooks);
        waiters::without_recorded(&mut waiters, self.ahead.iter());
        self.journal.push(at, &Record::Waiters(waiters));
    }

    /// Records the processes that wait for files with EPOLLWAKEUP. It needs capabilities that nothing after it needs.
    pub fn record_epoll_waiters(&mut self) {
        let at = clock::now().boot;
        let (waiters, all) = epoll_waiters::find();
        waiters.iter().for_each(|waiter| self.journal.epoll_waiter(at, waiter));
        if !all {
            let text = "there was no time to look at every process for EPOLLWAKEUP".to_owned();
            self.journal.push_now(&Record::Note(Note { about: "sources".to_owned(), text }));
        }
    }

    /// Whether every operation of a capture succeeds. It records nothing.
    pub fn works(&mut self, hooks: &mut Hooks) -> Result<()> {
        self.snapshotter.try_once()?;
        hooks.wake_on_next_event()
    }

    /// How many values can be read besides the probe's events.
    pub fn readable(&mut self) -> usize {
        self.surroundings.readable()
    }

    /// The costs of the capture so far.
    pub fn overhead(&self) -> Overhead {
        Overhead {
            cpu_ns: clock::cpu_ns(),
            bytes_written: self.store.written(),
            ..self.snapshotter.overhead()
        }
    }

    fn record(&mut self, hooks: &mut Hooks, wakeups: &mut Wakeups) -> Result<&'static str> {
        let mut ending: Option<(&'static str, Instant)> = None;
        let mut more = false;
        loop {
            let look = self.returns.as_ref().and_then(SuspendStatsReturns::wait);
            let grace = ending.map(|_| GRACE_STEP_MS);
            let ask =
                self.user_space.as_ref().filter(|_| !self.in_attempt).and_then(UserSpace::due);
            let soonest = grace.into_iter().chain(look).chain(ask).min();
            let most = if more { Some(0) } else { soonest };
            let woken = wakeups.wait(most)?;
            more = self.take_turn(woken, hooks, wakeups)?;
            match self.store.full() {
                Some(Full::Size) => return Ok("full"),
                Some(Full::Disk(error)) => return Err(error),
                None => {}
            }
            let reason = match woken {
                Woken { signal: true, .. } => Some("signal"),
                Woken { deadline: true, .. } => Some("duration"),
                _ => None,
            };
            ending = ending.or(reason.map(|reason| (reason, Instant::now())));
            // A deadline that passes while the device sleeps is noticed at the thaw, before the
            // attempt has returned: wait for that. A storm of events may never end, so that wait is
            // limited too.
            if let Some((reason, since)) = ending
                && (!(self.in_attempt || more) || since.elapsed() >= GRACE)
            {
                if more {
                    self.count_rest_as_lost(hooks);
                }
                return Ok(reason);
            }
        }
    }

    /// Does everything that is due, and returns whether more events are waiting.
    fn take_turn(
        &mut self,
        woken: Woken,
        hooks: &mut Hooks,
        wakeups: &mut Wakeups,
    ) -> Result<bool> {
        // Events come first: when an attempt has begun, every millisecond before the freeze counts.
        let mut events = self.drain(hooks)?;
        if events == 0 && woken.flush {
            // From here on the next event wakes the agent. One may have come just before.
            if let Err(error) = hooks.wake_on_next_event() {
                log::warn!("{error:#}");
                wakeups.flush_soon()?;
            }
            events = self.drain(hooks)?;
        }
        let more = events >= BATCH;
        let polls = self.returns.as_ref().is_some_and(SuspendStatsReturns::polls);
        if (polls || woken.tick) && self.returns_counted() {
            // Events from before the return are recorded before it.
            self.drain(hooks)?;
            self.record_returns(None)?;
        }
        if woken.tick {
            self.tick()?;
        }
        if let Some(user_space) = self.user_space.as_mut().filter(|_| !self.in_attempt) {
            let records = user_space.turn();
            self.answers(records)?;
        }
        self.commit()?;
        // A power cut loses what is not on the disk: the last attempt, or what is newer than the
        // last flush. There is no sync at the start of an attempt, where every millisecond counts;
        // the kernel syncs before it freezes, unless it is configured not to.
        if woken.flush || woken.tick || self.returned {
            self.returned = false;
            self.store.sync()?;
        }
        // A wake-up without a new event counts too: the event may have been seen before, or wait
        // behind one that another CPU has not finished, and the probe assumes that the agent is
        // awake.
        if events > 0 || woken.events || self.store.dirty() {
            wakeups.flush_soon()?;
        }
        Ok(more)
    }

    fn tick(&mut self) -> Result<()> {
        self.snapshot(Reason::Tick)?;
        if !self.in_attempt {
            self.power_supplies(When::Between);
            self.source_devices();
        }
        Ok(())
    }

    /// Records the events that the probe has sent, and returns their number.
    fn drain(&mut self, hooks: &mut Hooks) -> Result<usize> {
        let mut count = 0;
        while count < BATCH
            && let Some(event) = self.ahead.pop_front().or_else(|| hooks.next_event())
        {
            count += 1;
            self.event(&event, hooks)?;
            if self.journal.snapshot_due() {
                self.snapshot_apart(Reason::Tick)?;
            }
            if self.journal.pending() >= self.store.chunk() {
                self.commit()?;
            }
            if self.store.is_full() {
                return Ok(count);
            }
        }
        let events = hooks.newly_dropped()?;
        if events > 0 {
            self.journal.push_now(&Record::Lost(Lost { events }));
            // The edges no longer show which sources are active.
            self.snapshot_apart(Reason::Lost)?;
        }
        Ok(count)
    }

    fn event(&mut self, event: &ProbeEvent, hooks: &mut Hooks) -> Result<()> {
        // The attempt before has returned by now, whether that was seen or not.
        if begins_attempt(event) && self.returns_counted() {
            self.record_returns(Some(event.at))?;
        }
        if matches!(event.kind, EventKind::Return { .. }) && self.was_counted() {
            return Ok(());
        }
        if let Some(returns) = &mut self.returns {
            returns.observe(event);
        }
        if let Some(user_space) = &mut self.user_space {
            user_space.observe(event);
        }
        match self.journal.event(event) {
            NextStep::Nothing => Ok(()),
            NextStep::AttemptBegan => self.attempt_began(hooks),
            NextStep::AttemptEnded => {
                self.read_ahead(hooks);
                self.attempt_ended(self.attempt_is_ahead())
            }
            NextStep::NameMissing(edge) => {
                self.snapshot_apart(Reason::Lost)?;
                self.journal.edge_without_name(event.at, edge);
                Ok(())
            }
        }
    }

    fn attempt_began(&mut self, hooks: &mut Hooks) -> Result<()> {
        self.in_attempt = true;
        self.read_ahead(hooks);
        // If the attempt is over already, only the snapshot of its end is possible.
        if self.attempt_is_ahead() {
            return Ok(());
        }
        // Power supplies wait for the end: a slow gauge cannot be frozen, and the freezer would wait for it.
        let Self { snapshotter, journal, ahead, .. } = self;
        snapshotter.record(Reason::AttemptBegin, journal, |end| {
            ahead.extend(at_most_the_ring(|| hooks.next_event()));
            was_frozen_by(&*ahead, end)
        })
    }

    fn read_ahead(&mut self, hooks: &mut Hooks) {
        self.ahead.extend(at_most_the_ring(|| hooks.next_event()));
    }

    /// Whether an event that was read ahead begins or ends an attempt.
    fn attempt_is_ahead(&self) -> bool {
        let ends = |e: &ProbeEvent| matches!(e.kind, EventKind::Return { .. });
        self.ahead.iter().any(|e| ends(e) || begins_attempt(e))
    }

    /// Whatever the probe has sent by now was read ahead, and shows whether `another` attempt has begun or
    /// returned since then.
    fn attempt_ended(&mut self, another: bool) -> Result<()> {
        self.in_attempt = false;
        self.returned = true;
        // In a backlog, each snapshot would show the same: the last one is enough.
        if !another && !self.snapshotter.pauses(clock::now().boot) {
            self.snapshot(Reason::AttemptEnd)?;
        }
        let stats = self.suspend_stats();
        if let (Some(returns), Some(stats)) = (&mut self.returns, stats) {
            returns.set_counts(&stats);
        }
        self.wake_reason();
        // As at the start of an attempt: the next freeze may be near.
        if !another {
            self.power_supplies(When::Between);
            self.source_devices();
        }
        Ok(())
    }

    /// Whether a return that a hook saw was recorded already, because `suspend_stats` had counted it.
    fn was_counted(&mut self) -> bool {
        if !self.returns.as_ref().is_some_and(SuspendStatsReturns::has_filled) {
            return false;
        }
        let read_at = clock::now().boot;
        let stats = self.suspend_stats();
        let (Some(returns), Some(stats)) = (&mut self.returns, stats) else { return false };
        returns.update(&stats, read_at);
        returns.is_repeated()
    }

    /// Whether `suspend_stats` counted the return of an attempt that is open: no hook sees returns, or the
    /// kernel did not run the hook (`trace_call_bpf`, `kernel/trace/bpf_trace.c`, 5.10 to 7.3, runs no program of
    /// a kprobe while another one runs on its processor).
    fn returns_counted(&mut self) -> bool {
        let open = |returns: &&SuspendStatsReturns| returns.has_open_attempt();
        let Some(returns) = self.returns.as_ref().filter(open) else { return false };
        if returns.has_unassigned() {
            return true;
        }
        let read_at = clock::now().boot;
        let stats = self.suspend_stats();
        let (Some(returns), Some(stats)) = (&mut self.returns, stats) else { return false };
        returns.update(&stats, read_at);
        returns.has_unassigned()
    }

    /// Records the returns that were counted. They came before `limit`, if that is given: then another attempt
    /// begins.
    fn record_returns(&mut self, limit: Option<BootNanos>) -> Result<()> {
        while let Some(returned) = self.returns.as_mut().and_then(SuspendStatsReturns::next_return)
        {
            let now = clock::now().boot;
            self.journal.push(limit.unwrap_or(now).min(now), &Record::Return(returned));
            let more = self.returns.as_ref().is_some_and(SuspendStatsReturns::has_next_return);
            self.attempt_ended(limit.is_some() || more || self.attempt_is_ahead())?;
        }
        Ok(())
    }

    /// Writes the pending records and takes a snapshot, which may have any number of new sources: a chunk with
    /// both could take the room that is kept for the end. A trace that is full gets no more than the last.
    fn snapshot_apart(&mut self, reason: Reason) -> Result<()> {
        self.commit()?;
        if self.store.is_full() { Ok(()) } else { self.snapshot(reason) }
    }

    fn snapshot(&mut self, reason: Reason) -> Result<()> {
        self.snapshotter.record(reason, &mut self.journal, |_| false)
    }

    fn power_supplies(&mut self, when: When) {
        for supply in self.surroundings.power_supplies(when) {
            self.journal.power_supply(&supply);
        }
    }

    /// Looks up the devices of the sources that are new. It reads sysfs, which must not delay a freeze.
    fn source_devices(&mut self) {
        for (instance, id, name) in self.journal.take_new_sources() {
            if let Some(device) = self.surroundings.source_device(id, &name) {
                self.journal.source_device(clock::now().boot, instance, &device);
            }
        }
    }

    /// Records what services answered; a long answer takes several chunks.
    fn answers(&mut self, records: Vec<(BootNanos, Record)>) -> Result<()> {
        for (at, record) in records {
            self.journal.push(at, &record);
            if self.journal.pending() >= self.store.chunk() {
                self.commit()?;
            }
            if self.store.is_full() {
                break;
            }
        }
        Ok(())
    }

    fn wake_reason(&mut self) {
        if let Some(reason) = self.surroundings.wake_reason() {
            self.journal.wake_reason(clock::now().boot, reason);
        }
    }

    fn suspend_stats(&mut self) -> Option<Stats> {
        let (stats, changes) = self.surroundings.suspend_stats()?;
        if let Some(changes) = changes {
            self.journal.suspend_stats(&changes);
        }
        Some(stats)
    }

    /// Writes the pending records to the file.
    fn commit(&mut self) -> Result<()> {
        // Room for what one turn of the loop may add, and then for the end.
        let snapshots = 3 * self.snapshotter.room();
        // The next snapshot defines the sources that are known from edges alone once more, with their addresses.
        let new = self.journal.only_in_edges() * NEW_SOURCE;
        let keep = self.store.chunk() + snapshots + new;
        if self.journal.commit(&mut self.store, keep as u64)? {
            // The snapshot in a region's prologue may be old, and the edges since then are dropped
            // with the region before.
            self.snapshot(Reason::Tick)?;
        }
        Ok(())
    }
}

/// The events that the ring has now, as far as its size goes.
fn at_most_the_ring<T>(next: impl FnMut() -> Option<T>) -> impl Iterator<Item = T> {
    std::iter::from_fn(next).take(RING_EVENTS)
}

/// Whether user space was frozen before `end`: at least a part of a snapshot that ends there does not show the
/// start of the attempt.
fn was_frozen_by<'a>(events: impl IntoIterator<Item = &'a ProbeEvent>, end: BootNanos) -> bool {
    events.into_iter().any(|event| freeze_is_over(event) && event.at <= end)
}
