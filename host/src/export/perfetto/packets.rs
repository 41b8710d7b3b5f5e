//! Packets, written as they are made.
//!
//! Track events are one packet sequence, ftrace events another. What a sequence keeps in mind (names
//! by number, the clock of its stamps) is said once, in it. Trace processor sorts packets by their
//! stamps itself, so that what is told late, as the begin of something that snapshots show, may stand
//! late in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use prost::Message as _;
use sleepwalk_trace::time::BootNanos;

use super::proto::{
    DebugAnnotation, EventName, Ftrace, FtraceEvent, FtraceEventBundle, InternedData, PACKET_TAG,
    TracePacket, TracePacketDefaults, TrackDescriptor, TrackEvent, clock, event, sequence,
};

/// Packet sequences; 0 is none.
const TRACK_EVENTS: u32 = 1;
const FTRACE: u32 = 2;
/// Ftrace events in one bundle.
const BUNDLE: usize = 256;

/// Writes the packets of a trace.
#[derive(Debug)]
pub struct Packets<W> {
    out: W,
    buffer: Vec<u8>,
    begun: bool,
    names: BTreeMap<String, u64>,
    /// Names that were not sent yet.
    unsent: Vec<EventName>,
    tracks: BTreeSet<u64>,
    ftrace: Vec<FtraceEvent>,
}

impl<W: Write> Packets<W> {
    /// To `out`, which should be buffered.
    pub fn new(out: W) -> Self {
        Self {
            out,
            buffer: Vec::new(),
            begun: false,
            names: BTreeMap::new(),
            unsent: Vec::new(),
            tracks: BTreeSet::new(),
            ftrace: Vec::new(),
        }
    }

    /// A packet of the track events' sequence.
    pub fn packet(&mut self, mut packet: TracePacket) -> io::Result<()> {
        packet.trusted_packet_sequence_id = Some(TRACK_EVENTS);
        let mut flags = sequence::NEEDS_INCREMENTAL_STATE;
        if !std::mem::replace(&mut self.begun, true) {
            flags |= sequence::INCREMENTAL_STATE_CLEARED;
            packet.trace_packet_defaults =
                Some(TracePacketDefaults { timestamp_clock_id: Some(clock::BOOTTIME) });
        }
        packet.sequence_flags = Some(flags);
        self.write(&packet)
    }

    /// Describes a track before its first event; later calls for it do nothing.
    pub fn track(
        &mut self,
        uuid: u64,
        describe: impl FnOnce() -> TrackDescriptor,
    ) -> io::Result<()> {
        if !self.tracks.insert(uuid) {
            return Ok(());
        }
        let descriptor = TrackDescriptor { uuid: Some(uuid), ..describe() };
        self.packet(TracePacket { track_descriptor: Some(descriptor), ..TracePacket::default() })
    }

    /// A slice begins on `track`.
    pub fn begin(
        &mut self,
        track: u64,
        at: BootNanos,
        name: &str,
        notes: Vec<DebugAnnotation>,
    ) -> io::Result<()> {
        let event = self.named(name, notes);
        self.event(track, at, event::SLICE_BEGIN, event)
    }

    /// The slice of `track` that began last ends.
    pub fn end(
        &mut self,
        track: u64,
        at: BootNanos,
        notes: Vec<DebugAnnotation>,
    ) -> io::Result<()> {
        let end = TrackEvent { debug_annotations: notes, ..TrackEvent::default() };
        self.event(track, at, event::SLICE_END, end)
    }

    /// Something without a length.
    pub fn instant(
        &mut self,
        track: u64,
        at: BootNanos,
        name: &str,
        notes: Vec<DebugAnnotation>,
    ) -> io::Result<()> {
        let event = self.named(name, notes);
        self.event(track, at, event::INSTANT, event)
    }

    /// A counter's new value.
    pub fn counter(&mut self, track: u64, at: BootNanos, value: i64) -> io::Result<()> {
        let counter = TrackEvent { counter_value: Some(value), ..TrackEvent::default() };
        self.event(track, at, event::COUNTER, counter)
    }

    /// An event as ftrace has it. Its CPU and thread are not in the trace: both are given as 0.
    pub fn ftrace(&mut self, at: BootNanos, event: Ftrace) -> io::Result<()> {
        let event = FtraceEvent { timestamp: Some(stamp(at)), pid: Some(0), event: Some(event) };
        self.ftrace.push(event);
        if self.ftrace.len() < BUNDLE { Ok(()) } else { self.bundle() }
    }

    /// Writes what was kept back.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.ftrace.is_empty() {
            self.bundle()?;
        }
        self.out.flush()
    }

    fn bundle(&mut self) -> io::Result<()> {
        let event = std::mem::take(&mut self.ftrace);
        self.write(&TracePacket {
            trusted_packet_sequence_id: Some(FTRACE),
            ftrace_events: Some(FtraceEventBundle { cpu: Some(0), event }),
            ..TracePacket::default()
        })
    }

    fn event(&mut self, track: u64, at: BootNanos, kind: i32, event: TrackEvent) -> io::Result<()> {
        let event_names = std::mem::take(&mut self.unsent);
        let track_event = TrackEvent { r#type: Some(kind), track_uuid: Some(track), ..event };
        self.packet(TracePacket {
            timestamp: Some(stamp(at)),
            track_event: Some(track_event),
            interned_data: (!event_names.is_empty()).then_some(InternedData { event_names }),
            ..TracePacket::default()
        })
    }

    fn named(&mut self, name: &str, notes: Vec<DebugAnnotation>) -> TrackEvent {
        let name_iid = Some(self.intern(name));
        TrackEvent { name_iid, debug_annotations: notes, ..TrackEvent::default() }
    }

    fn intern(&mut self, name: &str) -> u64 {
        if let Some(iid) = self.names.get(name) {
            return *iid;
        }
        let iid = self.names.len() as u64 + 1;
        self.names.insert(name.to_owned(), iid);
        self.unsent.push(EventName { iid: Some(iid), name: Some(name.to_owned()) });
        iid
    }

    fn write(&mut self, packet: &TracePacket) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.push(PACKET_TAG);
        packet.encode_length_delimited(&mut self.buffer).map_err(io::Error::other)?;
        self.out.write_all(&self.buffer)
    }
}

/// Perfetto reads stamps as signed.
pub fn stamp(at: BootNanos) -> u64 {
    at.0.min(i64::MAX as u64)
}

/// What is shown of a slice beside its name and its times.
pub fn note(name: &str, value: Value) -> DebugAnnotation {
    let note = DebugAnnotation { name: Some(name.to_owned()), ..DebugAnnotation::default() };
    match value {
        Value::Bool(value) => DebugAnnotation { bool_value: Some(value), ..note },
        Value::Unsigned(value) => DebugAnnotation { uint_value: Some(value), ..note },
        Value::Signed(value) => DebugAnnotation { int_value: Some(value), ..note },
        Value::Text(value) => DebugAnnotation { string_value: Some(value), ..note },
        Value::Notes(dict_entries) => DebugAnnotation { dict_entries, ..note },
        Value::List(items) => {
            let items = items.into_iter();
            let items = items
                .map(|dict_entries| DebugAnnotation { dict_entries, ..DebugAnnotation::default() });
            DebugAnnotation { array_values: items.collect(), ..note }
        }
    }
}

/// The value of a [`note`].
#[derive(Debug)]
pub enum Value {
    /// Yes or no.
    Bool(bool),
    /// A number.
    Unsigned(u64),
    /// A number that may be below zero.
    Signed(i64),
    /// Harmless text.
    Text(String),
    /// Notes of its own.
    Notes(Vec<DebugAnnotation>),
    /// A row of such.
    List(Vec<Vec<DebugAnnotation>>),
}
