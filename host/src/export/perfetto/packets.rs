//! Packets, written as they are made.
//!
//! Track events are one packet sequence, holds and ftrace events others. A sequence has its own state:
//! names by number, the clock of its stamps. Trace processor sorts packets by their stamps, so a packet
//! may come late in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use prost::Message as _;
use sleepwalk_trace::time::BootNanos;

use super::proto::{
    DebugAnnotation, EventName, Ftrace, FtraceEvent, InternedData, PACKET_FIELD, TracePacket,
    TracePacketDefaults, TrackDescriptor, TrackEvent, clock, event, sequence,
};
use super::wire;
use crate::export::pipe::Pipe;

/// Packet sequences; 0 is none.
const TRACK_EVENTS: u32 = 1;
const FTRACE: u32 = 2;
/// The sequence of [`Holds`](super::holds::Holds).
pub const HOLDS: u32 = 3;
/// A bundle of ftrace events is written when it holds as much.
const BUNDLE: usize = 1 << 14;

/// Writes the packets of a trace.
pub struct Packets {
    pipe: Pipe,
    begun: bool,
    names: BTreeMap<String, u64>,
    /// Names that were not sent yet.
    unsent: Vec<EventName>,
    tracks: BTreeSet<u64>,
    ftrace: Vec<u8>,
}

impl Packets {
    /// Into `pipe`.
    pub fn new(pipe: Pipe) -> Self {
        Self {
            pipe,
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
            packet.trace_packet_defaults = Some(TracePacketDefaults {
                timestamp_clock_id: Some(clock::BOOTTIME),
                ..TracePacketDefaults::default()
            });
        }
        packet.sequence_flags = Some(flags);
        self.write(&packet)
    }

    /// Whether a track is described.
    pub fn has(&self, track: u64) -> bool {
        self.tracks.contains(&track)
    }

    /// Describes a track, before its first event.
    pub fn track(&mut self, uuid: u64, descriptor: TrackDescriptor) -> io::Result<()> {
        self.tracks.insert(uuid);
        let descriptor = TrackDescriptor { uuid: Some(uuid), ..descriptor };
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
        self.ftrace_encoded(at, &encoded(event))
    }

    /// An ftrace event that is encoded already, without its stamp.
    pub fn ftrace_encoded(&mut self, at: BootNanos, event: &[u8]) -> io::Result<()> {
        let content = |out: &mut Vec<u8>| {
            wire::number(out, 1, stamp(at));
            out.extend_from_slice(event);
        };
        if event.len() < 100 {
            wire::short(&mut self.ftrace, 2, content);
        } else {
            let mut long = Vec::new();
            content(&mut long);
            wire::bytes(&mut self.ftrace, 2, &long);
        }
        if self.ftrace.len() < BUNDLE { Ok(()) } else { self.bundle() }
    }

    /// Writes what was kept back.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.ftrace.is_empty() {
            self.bundle()?;
        }
        self.pipe.flush()
    }

    fn bundle(&mut self) -> io::Result<()> {
        // Its CPU, and then its events.
        let mut bundle = vec![1 << 3, 0];
        bundle.append(&mut self.ftrace);
        let mut packet = Vec::with_capacity(bundle.len() + 8);
        wire::bytes(&mut packet, 1, &bundle);
        wire::number(&mut packet, 10, FTRACE.into());
        self.raw(&packet)
    }

    fn event(&mut self, track: u64, at: BootNanos, kind: i32, event: TrackEvent) -> io::Result<()> {
        let event_names = std::mem::take(&mut self.unsent);
        let track_event = TrackEvent { r#type: Some(kind), track_uuid: Some(track), ..event };
        self.packet(TracePacket {
            timestamp: Some(stamp(at)),
            track_event: Some(track_event),
            interned_data: (!event_names.is_empty())
                .then(|| InternedData { event_names, ..InternedData::default() }),
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

    /// A packet of any sequence.
    pub fn write(&mut self, packet: &TracePacket) -> io::Result<()> {
        self.raw(&packet.encode_to_vec())
    }

    /// A packet that is encoded already.
    fn raw(&mut self, packet: &[u8]) -> io::Result<()> {
        wire::bytes(&mut self.pipe.buffer, PACKET_FIELD, packet);
        self.pipe.flush_full()
    }

    /// A packet of less than 128 bytes, as `content` writes it.
    pub fn short(&mut self, content: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        wire::short(&mut self.pipe.buffer, PACKET_FIELD, content);
        self.pipe.flush_full()
    }
}

/// An ftrace event without its stamp.
pub fn encoded(event: Ftrace) -> Vec<u8> {
    FtraceEvent { timestamp: None, pid: Some(0), event: Some(event) }.encode_to_vec()
}

/// Perfetto reads stamps as signed.
pub fn stamp(at: BootNanos) -> u64 {
    at.0.min(i64::MAX as u64)
}

/// A note that is shown with a slice.
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
