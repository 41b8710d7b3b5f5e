//! Written records are read back, and no input makes the reader panic or hide damage.

mod strategies;

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use sleepwalk_trace::chunk::{self, CHUNK_HEADER, FILE_HEADER, file_header};
use sleepwalk_trace::read::{Item, OpenError, Reader};
use sleepwalk_trace::record::{End, Reason, Record, Snapshot, Stamped};
use sleepwalk_trace::snapshot::{
    COUNTERS, Counters, DeltaDecoder, DeltaEncoder, DeltaError, SourceState,
};
use sleepwalk_trace::time::{BootNanos, Clocks, MonoNanos, RealNanos};
use sleepwalk_trace::write::ChunkWriter;
use strategies::stamped;

const CLOCKS: Clocks = Clocks { boot: BootNanos(900), suspended_ns: 30, real: RealNanos(1 << 60) };

fn states() -> impl Strategy<Value = BTreeMap<u32, SourceState>> {
    let state = (0u8..8, any::<[u64; COUNTERS]>()).prop_map(|(state, counters)| SourceState {
        state,
        counters: Counters::from_array(counters),
    });
    btree_map(0u32..20, state, 0..12)
}

fn snapshot(sources: usize) -> Snapshot {
    Snapshot {
        reason: Reason::Tick,
        mono: MonoNanos(4),
        took_ns: 5,
        seen: sources as u32,
        stored: sources as u32,
        broken: false,
        late: false,
        full: false,
        changed: Vec::new(),
        gone: Vec::new(),
    }
}

/// A file of these records, a chunk for each inner list.
fn file(chunks: &[Vec<Stamped>]) -> Vec<u8> {
    let mut bytes = file_header(0).to_vec();
    let mut writer = ChunkWriter::default();
    for chunk in chunks {
        for record in chunk {
            writer.push_stamped(record);
        }
        bytes.extend(writer.seal(CLOCKS).unwrap_or_default());
    }
    bytes
}

/// One record as bytes of a payload, with the stamp of the record before it.
fn payload(record: &Stamped) -> Vec<u8> {
    let bytes = file(&[vec![record.clone()]]);
    let chunk = &bytes[FILE_HEADER..];
    let length = u32::from_le_bytes(chunk[4..8].try_into().expect("four bytes")) as usize;
    chunk[CHUNK_HEADER..CHUNK_HEADER + length].to_vec()
}

fn records(bytes: &[u8]) -> Vec<Stamped> {
    let items = Reader::open(bytes).expect("a trace");
    items.filter_map(|i| if let Item::Record(r) = i { Some(r) } else { None }).collect()
}

proptest! {
    #[test]
    fn written_records_are_read_back(chunks in vec(vec(stamped(), 1..6), 0..5), spare in 0usize..99) {
        let mut bytes = file(&chunks);
        let length = bytes.len();
        bytes.resize(length + spare, 0);
        let mut reader = Reader::open(&bytes).expect("a trace");
        let items: Vec<_> = reader.by_ref().collect();
        let read: Vec<_> = items.iter().filter_map(|i| match i {
            Item::Record(r) => Some(r.clone()),
            _ => None,
        }).collect();
        prop_assert_eq!(read, chunks.concat());
        prop_assert_eq!(reader.damage(), Default::default());
        prop_assert!(reader.position() <= length);
        prop_assert!(!items.contains(&Item::Gap));
    }

    #[test]
    fn a_cut_file_keeps_its_whole_chunks(chunks in vec(vec(stamped(), 1..4), 1..5), cut in any::<prop::sample::Index>()) {
        let bytes = file(&chunks);
        let cut = cut.index(bytes.len());
        match Reader::open(&bytes[..cut]) {
            Err(error) => prop_assert!(cut < FILE_HEADER, "{}", error),
            Ok(mut reader) => {
                let read = reader.by_ref().filter(|i| matches!(i, Item::Record(_))).count();
                let whole: usize = (1..=chunks.len())
                    .filter(|n| file(&chunks[..*n]).len() <= cut)
                    .map(|n| chunks[n - 1].len())
                    .sum();
                prop_assert!(read >= whole);
                prop_assert_eq!(&records(&bytes[..cut])[..], &chunks.concat()[..read]);
            }
        }
    }

    #[test]
    fn flipped_bytes_are_counted(chunks in vec(vec(stamped(), 1..4), 1..5), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = file(&chunks);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(mut reader) = Reader::open(&bytes) {
            let read = reader.by_ref().filter(|i| matches!(i, Item::Record(_))).count();
            let lost = chunks.concat().len() - read;
            prop_assert!(lost == 0 || reader.damage().bytes >= CHUNK_HEADER as u64);
        } else {
            prop_assert!(at < FILE_HEADER);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(tail in vec(any::<u8>(), 0..400), chunks in vec(vec(stamped(), 1..3), 0..3)) {
        let _ = Reader::open(&tail).map(Iterator::count);
        let mut bytes = file(&chunks);
        bytes.extend(&tail);
        let mut reader = Reader::open(&bytes).expect("a trace");
        let read = reader.by_ref().filter(|i| matches!(i, Item::Record(_))).count();
        prop_assert_eq!(read, chunks.concat().len());
        let noise = tail.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        prop_assert!(reader.damage().bytes + 7 >= noise as u64);
    }

    /// Kinds of a later version, between known ones: only they are missing, and no stamp shifts.
    #[test]
    fn unknown_kinds_are_skipped(
        known in vec(stamped(), 1..5),
        kind in 27u8..,
        body in vec(any::<u8>(), 0..300),
    ) {
        let later = |last: u64, at: u64| {
            let since = at.wrapping_sub(last) as i64;
            let mut frame = vec![kind];
            frame.extend(bincode::encode_to_vec(since, bincode::config::standard()).expect("a stamp"));
            frame.extend(&body);
            let length = frame.len() as u32;
            let mut framed =
                bincode::encode_to_vec(length, bincode::config::standard()).expect("a length");
            framed.extend(frame);
            framed
        };
        // Each known record alone in its chunk has its stamp as the base, and counts 0 from it.
        let mut chunk = vec![0; CHUNK_HEADER];
        let mut last = 7;
        for record in &known {
            chunk.extend(later(last, record.at.0));
            chunk.extend(payload(record));
            last = record.at.0;
        }
        chunk.extend(later(last, 3));
        let header = chunk::ChunkHeader { base: BootNanos(7), ..Default::default() };
        chunk::seal(&mut chunk, &header);
        let bytes = [&file_header(0)[..], &chunk].concat();
        let mut reader = Reader::open(&bytes).expect("a trace");
        let items: Vec<_> = reader.by_ref().skip(1).collect();
        let wanted: Vec<_> = known.iter().cloned().map(Item::Record).collect();
        prop_assert_eq!(items, wanted);
        prop_assert_eq!(reader.damage().unknown_records, known.len() as u64 + 1);
        prop_assert_eq!(reader.damage().bad_records, 0);
    }

    #[test]
    fn snapshots_replay(steps in vec((states(), any::<bool>()), 1..8)) {
        let (mut differ, mut replay) = (DeltaEncoder::default(), DeltaDecoder::default());
        for (n, (now, full)) in steps.into_iter().enumerate() {
            let mut made = snapshot(now.len());
            differ.encode(&mut made, &now, full || n == 0);
            prop_assert_eq!(replay.apply(BootNanos(n as u64), &made), Ok(&now));
        }
    }

    /// Snapshots that hand over some of the sources, those that changed among them.
    #[test]
    fn changes_replay(first in states(), steps in vec(states(), 1..8)) {
        let (mut differ, mut replay) = (DeltaEncoder::default(), DeltaDecoder::default());
        let mut now = first;
        let mut made = snapshot(now.len());
        differ.encode(&mut made, &now, true);
        replay.apply(BootNanos(0), &made).expect("a full one");
        for (n, mut changed) in (1..).zip(steps) {
            changed.retain(|instance, _| now.contains_key(instance));
            now.extend(changed.iter().map(|(instance, state)| (*instance, *state)));
            let mut made = snapshot(now.len());
            differ.encode_changes(&mut made, &changed);
            prop_assert_eq!(replay.apply(BootNanos(n), &made), Ok(&now));
        }
    }
}

#[test]
fn an_unchanged_snapshot_costs_little() {
    let source = SourceState { state: 1, counters: Counters::from_array([u64::MAX; COUNTERS]) };
    let now: BTreeMap<_, _> = (0..300).map(|i| (i, source)).collect();
    let mut differ = DeltaEncoder::default();
    let (mut first, mut second) = (snapshot(300), snapshot(300));
    differ.encode(&mut first, &now, true);
    differ.encode(&mut second, &now, false);
    let size = |made| {
        let record = Record::Snapshot(made);
        file(&[vec![Stamped { at: BootNanos(1), record }]]).len() - FILE_HEADER - CHUNK_HEADER
    };
    assert!(size(first) > 300 * 10);
    let unchanged = size(second);
    assert!(unchanged <= 24, "{unchanged} bytes");
}

#[test]
fn a_partial_walk_loses_no_source() {
    let now: BTreeMap<_, _> = (0..3).map(|i| (i, SourceState::default())).collect();
    let mut differ = DeltaEncoder::default();
    differ.encode(&mut snapshot(3), &now, true);
    let one: BTreeMap<_, _> = now.clone().into_iter().take(1).collect();
    let mut overfull = snapshot(1);
    overfull.seen = 3;
    differ.encode(&mut overfull, &one, false);
    assert_eq!(overfull.gone, []);
    let mut whole = snapshot(1);
    differ.encode(&mut whole, &one, false);
    assert_eq!(whole.gone, [1, 2]);
}

#[test]
fn differences_without_a_base_are_refused() {
    let mut replay = DeltaDecoder::default();
    let refused = replay.apply(BootNanos(4), &snapshot(0)).map(BTreeMap::len);
    assert_eq!(refused, Err(DeltaError::NoBase(4)));
}

#[test]
fn each_unreadable_file_has_its_error() {
    let open = |bytes: &[u8]| Reader::open(bytes).map(|_| ()).expect_err("no trace");
    assert_eq!(open(b""), OpenError::Empty);
    assert_eq!(
        open(b"\x7fELF\x02\x01\x01\0\0\0"),
        OpenError::NotATrace(b"\x7fELF\x02\x01\x01\0".to_vec())
    );
    assert_eq!(open(&file_header(0)[..9]), OpenError::Short(9));
    let mut damaged = file_header(0);
    damaged[9] = 1;
    assert_eq!(open(&damaged), OpenError::DamagedHeader);
    let mut newer = file_header(0);
    newer[8] = 2;
    let crc = chunk::header_crc(&newer);
    newer[12..16].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(open(&newer), OpenError::Newer(2));
}

#[test]
fn the_stamp_of_an_unknown_kind_counts() {
    let end =
        |at| Stamped { at: BootNanos(at), record: Record::End(End { reason: String::new() }) };
    let mut bytes = file(&[vec![end(10), end(15), end(17)]]);
    // The second record's kind; frames here are length, kind, stamp, body.
    let second = FILE_HEADER + CHUNK_HEADER + 1 + usize::from(bytes[FILE_HEADER + CHUNK_HEADER]);
    let mut chunk = bytes.split_off(FILE_HEADER);
    chunk[second + 1 - FILE_HEADER] = 200;
    let (header, payload) = {
        let payload = chunk[CHUNK_HEADER..].to_vec();
        let header = chunk::ChunkHeader { base: BootNanos(10), ..Default::default() };
        (header, payload)
    };
    let length = u32::from_le_bytes(chunk[4..8].try_into().expect("four bytes")) as usize;
    let mut sealed = vec![0; CHUNK_HEADER];
    sealed.extend(&payload[..length]);
    chunk::seal(&mut sealed, &header);
    bytes.extend(sealed);
    let mut reader = Reader::open(&bytes).expect("a trace");
    let read: Vec<_> = reader.by_ref().filter(|i| matches!(i, Item::Record(_))).collect();
    assert_eq!(read, [Item::Record(end(10)), Item::Record(end(17))]);
    assert_eq!(reader.damage().unknown_records, 1);
}

#[test]
fn held_time_counts_the_activation_under_way() {
    let counters = Counters { total_ns: 100, last_ns: 1_000, ..Counters::default() };
    let active = SourceState { state: 1, counters };
    assert_eq!(active.held_ns(MonoNanos(1_500)), 600);
    assert_eq!(SourceState { state: 0, counters }.held_ns(MonoNanos(1_500)), 100);
}

#[test]
fn a_forged_file_full_of_magics_is_given_up() {
    let mut bytes = file_header(0).to_vec();
    let mut forged = vec![0u8; CHUNK_HEADER];
    forged[..4].copy_from_slice(b"SWCK");
    forged[8] = 1;
    // The second length is the longest that is accepted.
    for (length, size) in [(1u32 << 20, 4 << 20), (16 << 20, 17 << 20)] {
        bytes.truncate(FILE_HEADER);
        forged[4..8].copy_from_slice(&length.to_le_bytes());
        while bytes.len() < size {
            bytes.extend(&forged);
        }
        let mut reader = Reader::open(&bytes).expect("a trace");
        assert_eq!(reader.by_ref().count(), 0);
        assert!(reader.damage().bytes > 3 << 20);
    }
}

#[test]
fn an_unfinished_chunk_is_no_damage() {
    let end = |at| Stamped { at: BootNanos(at), record: Record::End(End { reason: "x".into() }) };
    let whole = file(&[vec![end(1)], vec![end(2)], vec![end(3)]]);
    let first = file(&[vec![end(1)]]).len();
    let second = file(&[vec![end(1)], vec![end(2)]]).len();
    // The last chunk's magic is not there yet.
    let mut growing = whole.clone();
    growing[second..second + 4].fill(0);
    growing.resize(growing.len() + 4096, 0);
    let mut reader = Reader::open(&growing).expect("a trace");
    assert_eq!(reader.by_ref().filter(|i| matches!(i, Item::Record(_))).count(), 2);
    assert_eq!(reader.damage(), Default::default());
    // If a whole chunk follows, the zeroes are damage.
    let mut damaged = whole;
    damaged[first..first + 4].fill(0);
    let mut reader = Reader::open(&damaged).expect("a trace");
    assert_eq!(reader.by_ref().filter(|i| matches!(i, Item::Record(_))).count(), 2);
    assert_eq!(reader.damage().missing_chunks, 1);
}

#[test]
fn a_bad_record_does_not_shift_later_stamps() {
    let end = |at| Stamped { at: BootNanos(at), record: Record::End(End { reason: "abc".into() }) };
    let bytes = file(&[vec![end(10), end(15), end(17)]]);
    let mut payload = bytes[FILE_HEADER + CHUNK_HEADER..].to_vec();
    let frame = 1 + usize::from(payload[0]);
    payload.truncate(3 * frame);
    // The second record's string claims to be longer than its frame.
    payload[frame + 3] = 200;
    let mut chunk = vec![0; CHUNK_HEADER];
    chunk.extend(payload);
    let header = chunk::ChunkHeader { base: BootNanos(10), ..Default::default() };
    chunk::seal(&mut chunk, &header);
    let mut forged = file_header(0).to_vec();
    forged.extend(chunk);
    let mut reader = Reader::open(&forged).expect("a trace");
    let items: Vec<_> = reader.by_ref().skip(1).collect();
    assert_eq!(items, [Item::Record(end(10)), Item::Gap, Item::Record(end(17))]);
    assert_eq!(reader.damage().bad_records, 1);
}
