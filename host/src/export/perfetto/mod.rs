//! A trace for ui.perfetto.dev and trace processor: Perfetto's protocol buffers.
//!
//! All stamps are CLOCK_BOOTTIME, Perfetto's trace clock on Android. Our own findings are track events:
//! attempts with their steps, wakeup sources as held, waits, wakes, counters. Beside them the
//! kernel's events stand as ftrace has them, so that Perfetto's own `android.suspend`, its
//! suspend track and its `Wakelock(…)` tracks work.

mod attempts;
mod holds;
mod packets;
pub mod proto;
mod stacks;
mod tracks;
mod wire;

use std::io::{self, Write};

use sleepwalk_trace::record::PowerSupply;
use sleepwalk_trace::time::{BootNanos, MonoNanos};

use self::attempts::Attempts;
use self::holds::Holds;
use self::packets::{Packets, Value, encoded, note, stamp};
use self::proto::{
    Clock, ClockSnapshot, Ftrace, SystemInfo, TracePacket, Utsname, WakeupSource, clock,
};
use self::stacks::Stacks;
use self::tracks::{Names, Quantity, Track};
use super::pipe::{self, Pipe};
use super::{ExportError, Sink};
use crate::analyze::Analysis;
use crate::analyze::activators::Begun;
use crate::report::{self, By, UserHold, Wait};
use crate::session::decode::{Event, Model};
use crate::session::slots::Slots;
use crate::session::stretch::{Hold, HoldKind};
use crate::text::one_line;

/// Writes the trace in `bytes`, which comes to `analysis`.
pub fn write(bytes: &[u8], analysis: &Analysis, out: impl Write) -> Result<(), ExportError> {
    let report = report::build(analysis, By::Instance, Some(0));
    pipe::through(out, |pipe| {
        let user_space = report.user_space.clone().unwrap_or_default();
        let names = Names::new(&analysis.model, &user_space.wakelocks);
        let attempts = Attempts::new(&report.attempts);
        let mut export = Export::new(&analysis.model, names, attempts, pipe)?;
        export.wakelocks(&user_space.holds)?;
        export.waits(&analysis.waits)?;
        super::stream(bytes, export)
    })
}

struct Export<'a> {
    model: &'a Model,
    names: Names<'a>,
    packets: Packets,
    attempts: Attempts<'a>,
    holds: Holds,
    begun: Begun,
    stacks: Stacks,
    /// The places of `edges`.
    slots: Slots,
    /// The two ftrace events of each source that had an edge, without stamps.
    edges: Vec<[Box<[u8]>; 2]>,
    /// By the place of each source: its track, or 0 before that is described.
    tracks: Vec<u64>,
    /// The last reading of the clocks that was written.
    clocks: (BootNanos, MonoNanos),
}

impl Sink for Export<'_> {
    fn event(&mut self, at: BootNanos, event: &Event, holds: &[Hold]) -> io::Result<()> {
        if let Event::Edge { source, active, by, .. } = *event {
            if let Some(by) = by {
                self.begun.activated(at, source, by);
            }
            self.edge(at, source, active)?;
        } else {
            self.rare(at, event)?;
        }
        self.holds(holds)
    }

    fn finish(mut self, holds: &[Hold]) -> io::Result<()> {
        self.holds(holds)?;
        self.attempts.finish(&self.names, &mut self.packets)?;
        self.packets.finish()
    }
}

impl<'a> Export<'a> {
    fn new(
        model: &'a Model,
        names: Names<'a>,
        attempts: Attempts<'a>,
        pipe: Pipe,
    ) -> io::Result<Self> {
        let mut packets = Packets::new(pipe);
        open(model, &mut packets)?;
        let holds = Holds::new(model.start, &mut packets)?;
        let clocks = (model.start, model.clocks.mono_at(model.start));
        let (slots, edges, tracks) = (Slots::default(), Vec::new(), Vec::new());
        let (begun, stacks) = (Begun::default(), Stacks::default());
        let mut export = Self {
            model,
            names,
            packets,
            attempts,
            holds,
            begun,
            stacks,
            slots,
            edges,
            tracks,
            clocks,
        };
        export.track(Track::Attempts)?;
        let held = export.track(Track::Held)?;
        export.packets.counter(held, model.start, 0)?;
        Ok(export)
    }

    fn rare(&mut self, at: BootNanos, event: &Event) -> io::Result<()> {
        self.attempts.until(at, &self.names, &mut self.packets)?;
        match event {
            Event::Snapshot(view) => {
                let (boot, mono) = self.clocks;
                // Readings that run backwards would make Perfetto distrust all of them.
                if at > boot && view.now > mono {
                    self.clocks = (at, view.now);
                    clocks(&mut self.packets, at, view.now, None)?;
                }
                Ok(())
            }
            Event::Phase { action, value, begin } => {
                let phase = (self.model.text(*action), *value, *begin);
                self.attempts.phase(at, phase, &self.names, &mut self.packets)
            }
            Event::CountWrite { thread, saved } => {
                let track = self.track(Track::Thread(*thread))?;
                let name = if *saved { "count saved" } else { "count refused" };
                self.packets.instant(track, at, name, Vec::new())
            }
            Event::Wake { irq } => {
                let track = self.track(Track::Wakes)?;
                self.packets.instant(track, at, &self.names.irq(*irq), Vec::new())
            }
            Event::PowerSupply(supply) => self.supply(at, supply),
            Event::Lost { events } => {
                let track = self.track(Track::Missing)?;
                let notes = vec![note("events", Value::Unsigned(*events))];
                self.packets.instant(track, at, "events lost", notes)
            }
            Event::Gap | Event::PrologueEnd => {
                let track = self.track(Track::Missing)?;
                let at = at.max(self.model.start);
                self.packets.instant(track, at, "records missing", Vec::new())
            }
            // Holds, waits and attempts are drawn by what the report has of them.
            Event::Edge { .. }
            | Event::Return { .. }
            | Event::SuspendStats(_)
            | Event::WakeReason(_)
            | Event::WaitBegin { .. }
            | Event::WaitEnd { .. }
            | Event::Waiters { .. }
            | Event::Clocks { .. } => Ok(()),
        }
    }

    fn edge(&mut self, at: BootNanos, instance: u32, active: bool) -> io::Result<()> {
        let slot = self.slots.get(instance).unwrap_or_else(|| {
            let source = || WakeupSource { name: Some(self.names.plain(instance)) };
            let edges =
                [Ftrace::WakeupSourceDeactivate(source()), Ftrace::WakeupSourceActivate(source())];
            self.edges.push(edges.map(|event| encoded(event).into()));
            self.slots.add(instance)
        });
        self.packets.ftrace_encoded(at, &self.edges[slot][usize::from(active)])
    }

    fn holds(&mut self, holds: &[Hold]) -> io::Result<()> {
        for hold in holds {
            let slot = hold.slot as usize;
            self.tracks.resize(self.tracks.len().max(slot + 1), 0);
            if self.tracks[slot] == 0 {
                self.tracks[slot] = self.track(Track::Source(hold.instance))?;
            }
            let uuid = self.tracks[slot];
            let (at, packets) = (hold.at, &mut self.packets);
            let counted = if hold.exact { &[][..] } else { &["from_counters"] };
            match hold.kind {
                HoldKind::Appeared => packets.instant(uuid, at, "appeared", Vec::new())?,
                HoldKind::Removed => packets.instant(uuid, at, "removed", Vec::new())?,
                HoldKind::Began { before } => {
                    let notes = if before { &["since_before"] } else { counted };
                    let name = || self.names.unique(hold.instance);
                    let by = self.begun.by(hold);
                    let stack = by.and_then(|by| self.stacks.of(self.model, by));
                    self.holds.begin(at, (hold.slot, uuid), name, notes, stack, packets)?;
                }
                HoldKind::Ended { unfinished } => {
                    let notes = if unfinished { &["unfinished"] } else { counted };
                    self.holds.end(at, uuid, unfinished, notes, packets)?;
                }
            }
        }
        Ok(())
    }

    /// Holds of user space, on the track of each wakelock that was held in all questions about it.
    fn wakelocks(&mut self, holds: &[UserHold]) -> io::Result<()> {
        for hold in holds {
            for place in &hold.held {
                let place = *place as u32;
                let track = self.track(Track::Wakelock(place))?;
                let name = self.names.wakelock(place);
                self.packets.begin(track, hold.start_ns, &name, Vec::new())?;
                self.packets.end(track, hold.end_ns, Vec::new())?;
            }
        }
        Ok(())
    }

    fn waits(&mut self, waits: &[Wait]) -> io::Result<()> {
        for wait in waits {
            let track = self.track(Track::Thread(wait.thread))?;
            let before = wait.before.then(|| note("since_before", Value::Bool(true)));
            self.packets.begin(track, wait.start_ns, "waits", before.into_iter().collect())?;
            let end = match wait.idle {
                Some(idle) => note("idle", Value::Bool(idle)),
                None => note("unfinished", Value::Bool(true)),
            };
            self.packets.end(track, wait.end_ns, vec![end])?;
        }
        Ok(())
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

    /// A track's number, after it and what it is part of were described.
    fn track(&mut self, track: Track) -> io::Result<u64> {
        let uuid = track.uuid();
        if !self.packets.has(uuid) {
            if let Some(parent) = track.parent() {
                self.track(parent)?;
            }
            let descriptor = self.names.describe(track);
            self.packets.track(uuid, descriptor)?;
        }
        Ok(uuid)
    }
}

/// The clocks, and what the trace is of.
fn open(model: &Model, packets: &mut Packets) -> io::Result<()> {
    let real = u64::try_from(model.start_real().0).ok();
    clocks(packets, model.start, model.clocks.mono_at(model.start), real)?;
    let Some(session) = &model.session else { return Ok(()) };
    let utsname = Utsname {
        sysname: Some("Linux".to_owned()),
        release: Some(one_line(&session.kernel)),
        machine: Some(one_line(&session.machine)),
    };
    let fingerprint = Some(&session.fingerprint).filter(|print| !print.is_empty());
    packets.packet(TracePacket {
        system_info: Some(SystemInfo {
            utsname: Some(utsname),
            android_build_fingerprint: fingerprint.map(|print| one_line(print)),
        }),
        ..TracePacket::default()
    })
}

fn clocks(
    packets: &mut Packets,
    boot: BootNanos,
    mono: MonoNanos,
    real: Option<u64>,
) -> io::Result<()> {
    let reading = |clock_id, timestamp| Clock {
        clock_id: Some(clock_id),
        timestamp: Some(timestamp),
        ..Clock::default()
    };
    let both = [
        reading(clock::BOOTTIME, stamp(boot)),
        reading(clock::MONOTONIC, mono.0.min(i64::MAX as u64)),
    ];
    let real = real.map(|real| reading(clock::REALTIME, real));
    packets.packet(TracePacket {
        timestamp: Some(stamp(boot)),
        clock_snapshot: Some(ClockSnapshot {
            clocks: both.into_iter().chain(real).collect(),
            primary_trace_clock: Some(clock::BOOTTIME as i32),
        }),
        ..TracePacket::default()
    })
}
