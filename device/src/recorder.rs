//! The loop: events and ticks in, records out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use sleepwalk_trace::abi::{
    EVENT_PHASE_BEGIN, EVENT_PHASE_END, EVENT_SUSPEND_RETURN, SuspendEvent,
};
use sleepwalk_trace::record::{
    End, Lost, Overhead, Phase, Reason, Record, Session, Snapshot, SuspendReturn,
};
use sleepwalk_trace::snapshot::{Differ, SourceState};
use sleepwalk_trace::time::BootNanos;
use sleepwalk_trace::write::ChunkWriter;

use crate::clock;
use crate::instances::Instances;
use crate::probe::hooks::Hooks;
use crate::source::SnapshotSource;
use crate::store::Store;
use crate::wakeups::{Wakeups, Woken};

/// Every so many snapshots one is full, so that damage before it costs no more than those.
const FULL_EVERY: u64 = 64;

/// The phase that opens an attempt (`enter_state`, `kernel/power/suspend.c`, 7.3).
const ATTEMPT: &[u8] = b"suspend_enter";

/// The phase at whose end user space stands still (`suspend_prepare`, same file).
const FROZEN: &[u8] = b"freeze_processes";

/// How long an attempt under way keeps a capture from ending.
const GRACE: Duration = Duration::from_secs(2);
const GRACE_STEP_MS: u16 = 100;

/// A capture under way.
#[derive(Debug)]
pub struct Recorder<S> {
    source: S,
    store: Store,
    writer: ChunkWriter,
    instances: Instances,
    differ: Differ,
    overhead: Overhead,
    /// An attempt has begun and not returned.
    in_attempt: bool,
}

impl<S: SnapshotSource> Recorder<S> {
    /// Writes what opens a trace, and the first snapshot.
    pub fn start(source: S, store: Store, session: Session) -> Result<Self> {
        let mut recorder = Self {
            source,
            store,
            writer: ChunkWriter::default(),
            instances: Instances::default(),
            differ: Differ::default(),
            overhead: Overhead::default(),
            in_attempt: false,
        };
        recorder.writer.push(clock::now().boot, &Record::Session(session));
        let started = recorder.snapshot(Reason::Start).and_then(|()| {
            let overhead = recorder.overhead();
            recorder.writer.push(clock::now().boot, &Record::Overhead(overhead));
            recorder.commit()
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

    /// What the capture has cost so far.
    pub fn overhead(&self) -> Overhead {
        Overhead { cpu_ns: clock::cpu_ns(), bytes_written: self.store.length(), ..self.overhead }
    }

    fn record(&mut self, hooks: &mut Hooks, wakeups: &mut Wakeups) -> Result<&'static str> {
        let mut ending: Option<(&'static str, Instant)> = None;
        loop {
            let woken = wakeups.wait(ending.map(|_| GRACE_STEP_MS))?;
            // Events first: when an attempt has begun, every millisecond before the freeze counts.
            self.drain(hooks)?;
            if woken.tick {
                self.snapshot(Reason::Tick)?;
            }
            self.commit()?;
            let asked = match woken {
                Woken { signal: true, .. } => Some("signal"),
                Woken { deadline: true, .. } => Some("duration"),
                _ => None,
            };
            ending = ending.or(asked.map(|reason| (reason, Instant::now())));
            // A time that is up while the device sleeps is noticed at the thaw, before the attempt
            // has returned: that is waited for.
            if let Some((reason, since)) = ending
                && !(self.in_attempt && since.elapsed() < GRACE)
            {
                return Ok(reason);
            }
        }
    }

    fn drain(&mut self, hooks: &mut Hooks) -> Result<()> {
        let events: Vec<_> = std::iter::from_fn(|| hooks.next_event()).collect();
        for (n, event) in events.iter().enumerate() {
            match self.event(event) {
                Some(Reason::AttemptEnd) => self.snapshot(Reason::AttemptEnd)?,
                Some(reason) if !events[n..].iter().any(too_late) => self.snapshot(reason)?,
                _ => {}
            }
        }
        let events = hooks.newly_dropped()?;
        if events > 0 {
            self.writer.push(clock::now().boot, &Record::Lost(Lost { events }));
        }
        Ok(())
    }

    /// Records one event; returns the reason for a snapshot, if it is one.
    fn event(&mut self, event: &SuspendEvent) -> Option<Reason> {
        let at = BootNanos(event.time_ns);
        let begin = event.kind == EVENT_PHASE_BEGIN;
        match event.kind {
            EVENT_PHASE_BEGIN | EVENT_PHASE_END => {
                let action = action(event);
                let writer = &mut self.writer;
                let action_id = self.instances.text(action, &mut |r| writer.push(at, &r));
                let phase = Phase { action: action_id, value: event.value, begin };
                self.writer.push(at, &Record::Phase(phase));
                let opens = begin && action == ATTEMPT;
                self.in_attempt |= opens;
                opens.then_some(Reason::AttemptBegin)
            }
            EVENT_SUSPEND_RETURN => {
                self.writer.push(at, &Record::Return(SuspendReturn { errno: Some(event.value) }));
                self.in_attempt = false;
                Some(Reason::AttemptEnd)
            }
            other => {
                log::warn!("the probe sent an event of the unknown kind {other}");
                None
            }
        }
    }

    fn snapshot(&mut self, reason: Reason) -> Result<()> {
        let number = self.overhead.snapshots;
        let mut states: BTreeMap<u32, SourceState> = BTreeMap::new();
        let (instances, writer) = (&mut self.instances, &mut self.writer);
        let now = clock::now().boot;
        let taken = self.source.take(&mut |sample| {
            instances.add(sample, number, &mut states, &mut |r| writer.push(now, &r));
        })?;
        let whole = !taken.broken && taken.seen == taken.stored;
        if whole {
            self.instances.retire(number);
        }
        let took_ns = taken.end.since(taken.begin);
        let mut snapshot = Snapshot {
            reason,
            mono: taken.mono,
            took_ns,
            seen: taken.seen,
            stored: taken.stored,
            broken: taken.broken,
            late: false,
            full: false,
            changed: Vec::new(),
            gone: Vec::new(),
        };
        self.differ.diff(&mut snapshot, &states, number.is_multiple_of(FULL_EVERY));
        self.writer.push(taken.begin, &Record::Snapshot(snapshot));
        self.overhead.snapshots += 1;
        self.overhead.snapshots_ns += took_ns;
        self.overhead.snapshot_max_ns = self.overhead.snapshot_max_ns.max(took_ns);
        Ok(())
    }

    /// Makes what is pending part of the file.
    fn commit(&mut self) -> Result<()> {
        match self.writer.seal(clock::now()) {
            Some(chunk) => self.store.append(&chunk),
            None => Ok(()),
        }
    }

    fn end(&mut self, reason: &str) -> Result<()> {
        self.snapshot(Reason::End)?;
        self.writer.push(clock::now().boot, &Record::Overhead(self.overhead()));
        let end = End { reason: reason.to_owned() };
        self.writer.push(clock::now().boot, &Record::End(end));
        self.commit()
    }

    /// Keeps what there is, after an error, and says in the trace why it ends.
    fn abandon(mut self, error: anyhow::Error) -> anyhow::Error {
        let end = End { reason: format!("error: {error:#}") };
        self.writer.push(clock::now().boot, &Record::End(end));
        // Where the error is that nothing more can be written, this fails like what came before.
        if let Err(second) = self.commit() {
            log::debug!("what was pending could not be written either: {second:#}");
        }
        match self.store.finish() {
            Ok(()) => error,
            Err(second) => {
                error.context(format!("and the trace could not be finished ({second:#})"))
            }
        }
    }
}

fn action(event: &SuspendEvent) -> &[u8] {
    let length = event.action.iter().position(|b| *b == 0);
    &event.action[..length.unwrap_or(event.action.len())]
}

/// Whether a snapshot after this event no longer shows an attempt's begin: user space was frozen, so
/// this process has slept through the attempt, or the attempt is over.
fn too_late(event: &SuspendEvent) -> bool {
    match event.kind {
        EVENT_PHASE_END => action(event) == FROZEN,
        kind => kind == EVENT_SUSPEND_RETURN,
    }
}
