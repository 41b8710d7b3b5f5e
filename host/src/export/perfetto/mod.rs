//! A trace for ui.perfetto.dev and trace processor: Perfetto's protocol buffers.
//!
//! All stamps are CLOCK_BOOTTIME, Perfetto's trace clock on Android. Our own findings are track events:
//! attempts with their steps, wakeup sources as held, waits, wakes, counters. Beside them the
//! kernel's events stand as ftrace has them, so that Perfetto's own `android.suspend`, its
//! suspend track and its `Wakelock(…)` tracks work.

mod attempts;
mod packets;
pub mod proto;
mod tracks;

use std::collections::BTreeMap;
use std::io::{self, Write};

use sleepwalk_trace::record::PowerSupply;
use sleepwalk_trace::time::{BootNanos, MonoNanos};

use self::attempts::Attempts;
use self::packets::{Packets, Value, note, stamp};
use self::proto::{
    Clock, ClockSnapshot, Ftrace, SystemInfo, TracePacket, Utsname, WakeupSource, clock,
};
use self::tracks::{Names, Quantity, Track};
use super::ExportError;
use super::held::{Replay, Turn};
use crate::analyze::Analysis;
use crate::report::{self, By};
use crate::session::decode::{Event, Model, View};
use crate::text::one_line;

/// Writes the trace in `bytes`, which comes to `analysis`.
pub fn write(bytes: &[u8], analysis: &Analysis, out: impl Write) -> Result<(), ExportError> {
    let report = report::build(analysis, By::Instance, Some(0));
    let mut export = Export::new(&analysis.model, Attempts::new(&report.attempts), out);
    export.open()?;
    super::stream(bytes, |at, event| export.event(at, event))?;
    export.close()?;
    Ok(())
}

struct Export<'a, W> {
    model: &'a Model,
    names: Names<'a>,
    packets: Packets<W>,
    attempts: Attempts<'a>,
    replay: Replay<'a>,
    held: i64,
    /// Last stamp of the counter of sources held.
    counted: BootNanos,
    /// Whether a thread waits.
    waits: BTreeMap<u32, bool>,
    /// Stamps do not run backwards here.
    now: BootNanos,
    /// The last reading of the clocks that was written.
    clocks: (BootNanos, MonoNanos),
}

impl<'a, W: Write> Export<'a, W> {
    fn new(model: &'a Model, attempts: Attempts<'a>, out: W) -> Self {
        Self {
            model,
            names: Names::new(model),
            packets: Packets::new(out),
            attempts,
            replay: Replay::new(model),
            held: 0,
            counted: model.start,
            waits: BTreeMap::new(),
            now: model.start,
            clocks: (BootNanos(0), MonoNanos(0)),
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let model = self.model;
        let real = u64::try_from(model.start_real().0).ok();
        self.clocks(model.start, model.clocks.mono_at(model.start), real)?;
        if let Some(session) = &model.session {
            let utsname = Utsname {
                sysname: Some("Linux".to_owned()),
                release: Some(one_line(&session.kernel)),
                machine: Some(one_line(&session.machine)),
            };
            let fingerprint = Some(&session.fingerprint).filter(|print| !print.is_empty());
            self.packets.packet(TracePacket {
                system_info: Some(SystemInfo {
                    utsname: Some(utsname),
                    android_build_fingerprint: fingerprint.map(|print| one_line(print)),
                }),
                ..TracePacket::default()
            })?;
        }
        self.track(Track::Attempts)?;
        let held = self.track(Track::Held)?;
        self.packets.counter(held, model.start, 0)
    }

    fn event(&mut self, at: BootNanos, event: Event) -> io::Result<()> {
        let at = at.max(self.now);
        self.now = at;
        self.attempts.until(at, &self.names, &mut self.packets)?;
        match event {
            Event::Snapshot(view) => self.snapshot(at, &view),
            Event::Phase { action, value, begin } => {
                let phase = (self.model.text(action), value, begin);
                self.attempts.phase(at, phase, &self.names, &mut self.packets)
            }
            Event::Edge { source, active, shared } => self.edge(at, source, active, shared),
            Event::WaitBegin { thread } => self.wait_begin(at, thread),
            Event::WaitEnd { thread, idle } => self.wait_end(at, thread, idle),
            Event::CountWrite { thread, saved } => {
                let track = self.thread(thread)?;
                let name = if saved { "count saved" } else { "count refused" };
                self.packets.instant(track, at, name, Vec::new())
            }
            Event::Wake { irq } => {
                let track = self.track(Track::Wakes)?;
                self.packets.instant(track, at, &self.names.irq(irq), Vec::new())
            }
            Event::PowerSupply(supply) => self.supply(at, &supply),
            Event::Lost { events } => {
                let track = self.track(Track::Missing)?;
                let notes = vec![note("events", Value::Unsigned(events))];
                self.packets.instant(track, at, "events lost", notes)
            }
            Event::Gap | Event::PrologueEnd => {
                let track = self.track(Track::Missing)?;
                self.packets.instant(track, at, "records missing", Vec::new())
            }
            Event::Return { .. } => Ok(()),
        }
    }

    fn close(mut self) -> io::Result<()> {
        let end = self.model.end;
        self.attempts.finish(&self.names, &mut self.packets)?;
        for (thread, _) in self.waits.iter().filter(|(_, waits)| **waits) {
            let unfinished = vec![note("unfinished", Value::Bool(true))];
            self.packets.end(Track::Thread(*thread).uuid(), end, unfinished)?;
        }
        self.replay.finish(end);
        for turned in self.replay.turns() {
            let unfinished = vec![note("unfinished", Value::Bool(true))];
            self.packets.end(Track::Source(turned.instance).uuid(), turned.at, unfinished)?;
        }
        self.packets.finish()
    }

    fn snapshot(&mut self, at: BootNanos, view: &View) -> io::Result<()> {
        let (boot, mono) = self.clocks;
        // Readings that run backwards would make Perfetto distrust all of them.
        if at > boot && view.now > mono {
            self.clocks(at, view.now, None)?;
        }
        self.replay.snapshot(at, view);
        self.turns(false)
    }

    fn edge(&mut self, at: BootNanos, source: u32, active: bool, shared: bool) -> io::Result<()> {
        let event = WakeupSource { name: Some(self.names.plain(source).into_owned()) };
        let event = match active {
            true => Ftrace::WakeupSourceActivate(event),
            false => Ftrace::WakeupSourceDeactivate(event),
        };
        self.packets.ftrace(at, event)?;
        self.replay.edge(at, source, active, shared);
        self.turns(shared)
    }

    /// `shared`: it may have been any source with the name's pointer.
    fn turns(&mut self, shared: bool) -> io::Result<()> {
        for turned in self.replay.turns() {
            let (track, at) = (self.track(Track::Source(turned.instance))?, turned.at);
            match turned.turn {
                Turn::Appeared => self.packets.instant(track, at, "appeared", Vec::new())?,
                Turn::Removed => self.packets.instant(track, at, "removed", Vec::new())?,
                Turn::Began { before } => {
                    let notes = [("since_before", before), ("shared", shared)];
                    let notes = notes.into_iter().filter(|(_, holds)| *holds);
                    let notes = notes.map(|(name, holds)| note(name, Value::Bool(holds)));
                    let name = self.names.unique(turned.instance);
                    self.packets.begin(track, at, &name, notes.collect())?;
                    self.count(at, 1)?;
                }
                Turn::Ended => {
                    self.packets.end(track, at, Vec::new())?;
                    self.count(at, -1)?;
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, at: BootNanos, more: i64) -> io::Result<()> {
        self.held += more;
        self.counted = self.counted.max(at);
        self.packets.counter(Track::Held.uuid(), self.counted, self.held)
    }

    fn wait_begin(&mut self, at: BootNanos, thread: u32) -> io::Result<()> {
        let track = self.thread(thread)?;
        if self.waits.insert(thread, true) == Some(true) {
            // Its end was lost.
            let unfinished = vec![note("unfinished", Value::Bool(true))];
            self.packets.end(track, at, unfinished)?;
        }
        self.packets.begin(track, at, "waits", Vec::new())
    }

    fn wait_end(&mut self, at: BootNanos, thread: u32, idle: bool) -> io::Result<()> {
        let track = self.thread(thread)?;
        match self.waits.insert(thread, false) {
            Some(true) => {}
            // It began before the trace did, unless the hook can't tell what blocks from what does not.
            None if self.tells_waits() => {
                let before = vec![note("since_before", Value::Bool(true))];
                self.packets.begin(track, self.model.start, "waits", before)?;
            }
            _ => return Ok(()),
        }
        self.packets.end(track, at, vec![note("idle", Value::Bool(idle))])
    }

    fn tells_waits(&self) -> bool {
        let session = self.model.session.iter();
        let hook = session.flat_map(|s| &s.hooks).find(|hook| hook.what == "wait");
        hook.is_none_or(|hook| hook.how != "kretprobe")
    }

    fn supply(&mut self, at: BootNanos, supply: &PowerSupply) -> io::Result<()> {
        let quantities = [
            (Quantity::Capacity, supply.capacity),
            (Quantity::Charge, supply.charge_uah),
            (Quantity::Current, supply.current_ua),
        ];
        for (quantity, value) in quantities {
            if let Some(value) = value {
                let track = self.track(Track::Supply(supply.name, quantity))?;
                self.packets.counter(track, at, value)?;
            }
        }
        Ok(())
    }

    fn thread(&mut self, thread: u32) -> io::Result<u64> {
        self.track(Track::Thread(thread))
    }

    /// A track's number, after it and what it is part of were described.
    fn track(&mut self, track: Track) -> io::Result<u64> {
        if let Some(parent) = track.parent() {
            self.track(parent)?;
        }
        let names = &self.names;
        self.packets.track(track.uuid(), || names.describe(track))?;
        Ok(track.uuid())
    }

    fn clocks(&mut self, boot: BootNanos, mono: MonoNanos, real: Option<u64>) -> io::Result<()> {
        self.clocks = (boot, mono);
        let reading =
            |clock_id, timestamp| Clock { clock_id: Some(clock_id), timestamp: Some(timestamp) };
        let both = [
            reading(clock::BOOTTIME, stamp(boot)),
            reading(clock::MONOTONIC, mono.0.min(i64::MAX as u64)),
        ];
        let real = real.map(|real| reading(clock::REALTIME, real));
        self.packets.packet(TracePacket {
            timestamp: Some(stamp(boot)),
            clock_snapshot: Some(ClockSnapshot {
                clocks: both.into_iter().chain(real).collect(),
                primary_trace_clock: Some(clock::BOOTTIME as i32),
            }),
            ..TracePacket::default()
        })
    }
}
