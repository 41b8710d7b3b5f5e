//! Exports for Perfetto, read back.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use sleepwalk::export::perfetto::proto::clock::INCREMENTAL;
use sleepwalk::export::perfetto::proto::{Ftrace, PACKET_FIELD, TracePacket, event};

/// The packets of an export, with all stamps by CLOCK_BOOTTIME.
pub fn decode(mut bytes: &[u8]) -> Vec<TracePacket> {
    let mut packets = Vec::new();
    // By sequence: its clock, and the last stamp by an incremental one.
    let mut sequences = BTreeMap::<Option<u32>, (Option<u32>, u64)>::new();
    while let Some((tag, rest)) = bytes.split_first() {
        // A field with a length.
        assert_eq!(u32::from(*tag), PACKET_FIELD << 3 | 2);
        bytes = rest;
        let mut packet = TracePacket::decode_length_delimited(&mut bytes).expect("a packet");
        let (clock, last) = sequences.entry(packet.trusted_packet_sequence_id).or_default();
        let used = packet.timestamp_clock_id.or(*clock);
        if let Some(stamp) = packet.timestamp.as_mut().filter(|_| used == Some(INCREMENTAL)) {
            *last += *stamp;
            *stamp = *last;
        }
        if let Some(defaults) = &packet.trace_packet_defaults {
            *clock = defaults.timestamp_clock_id;
        }
        let clocks = packet.clock_snapshot.iter().flat_map(|snapshot| &snapshot.clocks);
        for reading in clocks.filter(|reading| reading.is_incremental == Some(true)) {
            assert_eq!(reading.clock_id, Some(INCREMENTAL));
            *last = reading.timestamp.unwrap_or_default();
        }
        packets.push(packet);
    }
    packets
}

/// Checks the properties of every export: stamps are within the session, tracks are described before their
/// events, slices begin before they end and all of them end, and so do sleeps.
pub fn check(packets: &[TracePacket], start: u64, end: u64) -> Result<(), String> {
    let signed = |stamp: u64| stamp.min(i64::MAX as u64);
    let session = signed(start)..=signed(end);
    let inside = |stamp: Option<u64>| match stamp {
        Some(stamp) if session.contains(&stamp) => Ok(stamp),
        stamp => Err(format!("{stamp:?} is not in {session:?}")),
    };
    let mut tracks = BTreeSet::new();
    let mut asleep = false;
    let mut slices: BTreeMap<u64, Vec<(u64, bool)>> = BTreeMap::new();
    for packet in packets {
        if let Some(track) = &packet.track_descriptor {
            if track.parent_uuid.is_some_and(|parent| !tracks.contains(&parent)) {
                return Err(format!("{:?} is part of nothing", track.name));
            }
            tracks.insert(track.uuid.unwrap_or_default());
        }
        for event in packet.ftrace_events.iter().flat_map(|bundle| &bundle.event) {
            inside(event.timestamp)?;
            if let Some(Ftrace::SuspendResumeMinimal(sleep)) = &event.event {
                if sleep.start != Some(u32::from(!asleep)) {
                    return Err(format!("asleep: {asleep}, and then {sleep:?}"));
                }
                asleep = !asleep;
            }
        }
        let Some(happened) = &packet.track_event else { continue };
        let at = inside(packet.timestamp)?;
        let track = happened.track_uuid.unwrap_or_default();
        if !tracks.contains(&track) {
            return Err(format!("an event of no track: {happened:?}"));
        }
        match happened.r#type {
            Some(event::SLICE_BEGIN) => slices.entry(track).or_default().push((at, true)),
            Some(event::SLICE_END) => slices.entry(track).or_default().push((at, false)),
            _ => {}
        }
    }
    if asleep {
        return Err("a sleep does not end".to_owned());
    }
    for (track, mut ends) in slices {
        // As Perfetto does it: by stamp, and of equals in the order of the file.
        ends.sort_by_key(|(at, _)| *at);
        let mut depth = 0i64;
        for (at, begin) in ends {
            depth += if begin { 1 } else { -1 };
            if depth < 0 {
                return Err(format!("track {track:x}: an end without a begin at {at}"));
            }
        }
        if depth != 0 {
            return Err(format!("track {track:x}: {depth} slices do not end"));
        }
    }
    Ok(())
}
