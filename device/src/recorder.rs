//! The loop: events and ticks in, records out.

use std::collections::BTreeMap;

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
use crate::wakeups::Wakeups;

/// Every so many snapshots one is full, so that damage before it costs no more than those.
const FULL_EVERY: u64 = 64;

/// The phase that opens an attempt (`enter_state`, `kernel/power/suspend.c`, 7.3).
const ATTEMPT: &[u8] = b"suspend_enter";

/// A capture under way.
#[derive(Debug)]
pub struct Recorder<S> {
    source: S,
    store: Store,
    writer: ChunkWriter,
    instances: Instances,
    differ: Differ,
    overhead: Overhead,
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
        };
        recorder.writer.push(clock::now().boot, &Record::Session(session));
        let started = recorder.snapshot(Reason::Start).and_then(|()| {
            let overhead = recorder.overhead();
            recorder.writer.push(clock::now().boot, &Record::Overhead(overhead));
            recorder.commit()
        });
        match started {
            Ok(()) => Ok(recorder),
            Err(error) => Err(recorder.abandon(error)),
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
        loop {
            let woken = wakeups.wait()?;
            // Events first: when an attempt has begun, every millisecond before the freeze counts.
            self.drain(hooks)?;
            if woken.tick {
                self.snapshot(Reason::Tick)?;
            }
            self.commit()?;
            if woken.signal {
                return Ok("signal");
            }
            if woken.deadline {
                return Ok("duration");
            }
        }
    }

    fn drain(&mut self, hooks: &mut Hooks) -> Result<()> {
        let events: Vec<_> = std::iter::from_fn(|| hooks.next_event()).collect();
        for (n, event) in events.iter().enumerate() {
            match self.event(event) {
                Some(Reason::AttemptEnd) => self.snapshot(Reason::AttemptEnd)?,
                // Where the attempt has gone on already, it is over: the freeze came before this
                // process ran, and a snapshot now would show what is after it.
                Some(reason) if !events[n..].iter().any(returned) => self.snapshot(reason)?,
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
                let length = event.action.iter().position(|b| *b == 0);
                let action = &event.action[..length.unwrap_or(event.action.len())];
                let writer = &mut self.writer;
                let action_id = self.instances.text(action, &mut |r| writer.push(at, &r));
                let phase = Phase { action: action_id, value: event.value, begin };
                self.writer.push(at, &Record::Phase(phase));
                (begin && action == ATTEMPT).then_some(Reason::AttemptBegin)
            }
            EVENT_SUSPEND_RETURN => {
                self.writer.push(at, &Record::Return(SuspendReturn { errno: event.value }));
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
            took_ns,
            seen: taken.seen,
            stored: taken.stored,
            broken: taken.broken,
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

    /// Keeps what there is, after an error.
    fn abandon(self, error: anyhow::Error) -> anyhow::Error {
        match self.store.finish() {
            Ok(()) => error,
            Err(second) => {
                error.context(format!("and the trace could not be finished ({second:#})"))
            }
        }
    }
}

fn returned(event: &SuspendEvent) -> bool {
    event.kind == EVENT_SUSPEND_RETURN
}
