//! Holds as slices, and how many sources are held, on a packet sequence of their own.
//!
//! A trace has millions of them, so they are small: a stamp is the distance from the one before (an
//! incremental clock, which only this sequence knows), a name is a number, and the counter's value is
//! part of the slice's event. No packet says that it needs the sequence's state: all of them follow it in
//! one file, so none has to be skipped. Events come in order, as [`Held`](crate::session::held::Held) has them.

use std::io;

use sleepwalk_trace::time::BootNanos;

use super::packets::{HOLDS, Packets, Value, note, stamp};
use super::proto::{
    Clock, ClockSnapshot, DebugAnnotation, EventName, InternedData, TracePacket,
    TracePacketDefaults, TrackEvent, TrackEventDefaults, clock, event, sequence,
};
use super::stacks::Stack;
use super::tracks::Track;
use super::wire;

/// Writes the events of holds.
#[derive(Debug)]
pub struct Holds {
    /// The stamp of the last packet.
    last: u64,
    /// Sources held.
    count: u64,
    /// By the source's place: its name was sent.
    named: Vec<bool>,
}

impl Holds {
    /// Begins the sequence.
    pub fn new(start: BootNanos, packets: &mut Packets) -> io::Result<Self> {
        let reading = |clock_id, is_incremental| Clock {
            clock_id: Some(clock_id),
            timestamp: Some(stamp(start)),
            is_incremental,
        };
        let clear = sequence::INCREMENTAL_STATE_CLEARED | sequence::NEEDS_INCREMENTAL_STATE;
        packets.write(&TracePacket {
            timestamp: Some(stamp(start)),
            timestamp_clock_id: Some(clock::BOOTTIME),
            trusted_packet_sequence_id: Some(HOLDS),
            sequence_flags: Some(clear),
            clock_snapshot: Some(ClockSnapshot {
                clocks: vec![
                    reading(clock::BOOTTIME, None),
                    reading(clock::INCREMENTAL, Some(true)),
                ],
                primary_trace_clock: None,
            }),
            trace_packet_defaults: Some(TracePacketDefaults {
                timestamp_clock_id: Some(clock::INCREMENTAL),
                track_event_defaults: Some(TrackEventDefaults {
                    extra_counter_track_uuids: vec![Track::Held.uuid()],
                }),
            }),
            ..TracePacket::default()
        })?;
        Ok(Self { last: stamp(start), count: 0, named: Vec::new() })
    }

    /// A hold begins on the track of the source at this place; its name is sent with the first.
    pub fn begin(
        &mut self,
        at: BootNanos,
        (slot, track): (u32, u64),
        name: impl FnOnce() -> String,
        notes: &[&str],
        stack: Option<Stack>,
        packets: &mut Packets,
    ) -> io::Result<()> {
        self.count += 1;
        let iid = u64::from(slot) + 1;
        let slot = slot as usize;
        self.named.resize(self.named.len().max(slot + 1), false);
        let new = !std::mem::replace(&mut self.named[slot], true);
        let (callstack, interned) = match stack {
            Some((callstack, interned)) => (Some(callstack), interned),
            None => (None, None),
        };
        if !new && notes.is_empty() && interned.is_none() {
            let named = (Some(iid), callstack);
            return self.short(at, event::SLICE_BEGIN, named, track, packets);
        }
        let event = TrackEvent {
            r#type: Some(event::SLICE_BEGIN),
            name_iid: Some(iid),
            track_uuid: Some(track),
            debug_annotations: self::notes(notes),
            callstack_iid: callstack,
            ..TrackEvent::default()
        };
        let mut interned = interned.unwrap_or_default();
        if new {
            interned.event_names.push(EventName { iid: Some(iid), name: Some(name()) });
        }
        self.long(at, event, Some(interned), packets)
    }

    /// The hold of that track ends.
    pub fn end(
        &mut self,
        at: BootNanos,
        track: u64,
        unfinished: bool,
        notes: &[&str],
        packets: &mut Packets,
    ) -> io::Result<()> {
        // A hold that the end of the trace cuts off is still held.
        self.count -= u64::from(!unfinished);
        if notes.is_empty() {
            return self.short(at, event::SLICE_END, (None, None), track, packets);
        }
        let event = TrackEvent {
            r#type: Some(event::SLICE_END),
            track_uuid: Some(track),
            debug_annotations: self::notes(notes),
            ..TrackEvent::default()
        };
        self.long(at, event, None, packets)
    }

    /// Encodes an event without notes right where it is written: most are such.
    fn short(
        &mut self,
        at: BootNanos,
        kind: i32,
        (name, callstack): (Option<u64>, Option<u64>),
        track: u64,
        packets: &mut Packets,
    ) -> io::Result<()> {
        let at = stamp(at).max(self.last);
        let (delta, count) = (at - self.last, self.count);
        self.last = at;
        packets.short(|out| {
            wire::number(out, 8, delta);
            wire::number(out, 10, HOLDS.into());
            wire::short(out, 11, |out| {
                wire::number(out, 9, kind as u64);
                if let Some(iid) = name {
                    wire::number(out, 10, iid);
                }
                wire::number(out, 11, track);
                wire::number(out, 12, count);
                if let Some(iid) = callstack {
                    wire::number(out, 56, iid);
                }
            });
        })
    }

    fn long(
        &mut self,
        at: BootNanos,
        event: TrackEvent,
        interned: Option<InternedData>,
        packets: &mut Packets,
    ) -> io::Result<()> {
        let at = stamp(at).max(self.last);
        let delta = at - std::mem::replace(&mut self.last, at);
        let event = TrackEvent { extra_counter_values: vec![self.count as i64], ..event };
        packets.write(&TracePacket {
            timestamp: Some(delta),
            trusted_packet_sequence_id: Some(HOLDS),
            track_event: Some(event),
            interned_data: interned.filter(|interned| *interned != InternedData::default()),
            ..TracePacket::default()
        })
    }
}

fn notes(notes: &[&str]) -> Vec<DebugAnnotation> {
    notes.iter().map(|name| note(name, Value::Bool(true))).collect()
}
