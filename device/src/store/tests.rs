//! A reader finds a whole trace in the file at every instant.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use proptest::collection::vec;
use proptest::prelude::*;
use sleepwalk_trace::chunk::{LEAST_SIZE, chunk_len};
use sleepwalk_trace::read::{Damage, Item, Reader};
use sleepwalk_trace::record::{End, Reason, Record, Session, Snapshot, Stamped, StringDef};
use sleepwalk_trace::snapshot::{Counters, DeltaDecoder, DeltaEncoder, SourceState};
use sleepwalk_trace::time::{BootNanos, MonoNanos};

use super::*;
use crate::capture::journal::Journal;
use crate::identity::instances::Reading;
use crate::snapshot::{Key, Sample};

/// A power cut writes a sector whole or not at all.
const SECTOR: usize = 512;

/// A reader may come between any two stores of this length.
const PIECE: usize = 149;

/// A disk in memory that does as little at once as a real one.
struct Memory<F> {
    /// As a reader sees it.
    now: Vec<u8>,
    /// As it was at the last sync.
    synced: Vec<u8>,
    room: u64,
    /// Something is being erased.
    erasing: bool,
    /// Looks at both after each step.
    look: F,
}

impl<F: FnMut(&[u8], &[u8], bool)> Memory<F> {
    fn new(room: u64, look: F) -> Self {
        Self { now: Vec::new(), synced: Vec::new(), room, erasing: false, look }
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        for (n, piece) in bytes.chunks(PIECE).enumerate() {
            let at = at as usize + n * PIECE;
            self.now[at..at + piece.len()].copy_from_slice(piece);
            (self.look)(&self.now, &self.synced, self.erasing);
        }
    }
}

impl<F: FnMut(&[u8], &[u8], bool)> Disk for Memory<F> {
    fn reserve(&mut self, end: u64) -> Result<()> {
        ensure!(end <= self.room, "no room for {end} bytes");
        let reserved = self.now.len().max(end as usize);
        self.now.resize(reserved, 0);
        Ok(())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        self.put(at, bytes);
        Ok(())
    }

    fn commit(&mut self, at: u64) -> Result<()> {
        self.put(at, &CHUNK_MAGIC);
        Ok(())
    }

    fn erase(&mut self, at: u64, length: u64) -> Result<()> {
        self.erasing = true;
        self.put(at, &vec![0; length as usize]);
        Ok(())
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<()> {
        into.copy_from_slice(&self.now[at as usize..at as usize + into.len()]);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.synced.clone_from(&self.now);
        self.erasing = false;
        (self.look)(&self.now, &self.synced, self.erasing);
        Ok(())
    }
}

fn string(id: u32, length: usize) -> Record {
    Record::String(StringDef { id, bytes: vec![b'x'; length] })
}

/// The strings' numbers; the damage; the number of chunks, including dropped ones.
fn read(bytes: &[u8]) -> (Vec<u32>, Damage, u64) {
    let mut reader = Reader::open(bytes).unwrap();
    let (mut ids, mut chunks) = (Vec::new(), 0);
    for item in reader.by_ref() {
        match item {
            Item::Record(stamped) => {
                ids.extend(if let Record::String(string) = stamped.record {
                    Some(string.id)
                } else {
                    None
                });
            }
            Item::Chunk(_) => chunks += 1,
            Item::Gap => {}
        }
    }
    (ids, reader.damage(), chunks + reader.dropped_chunks())
}

/// Writes chunks of one string each into a single region, and reads at each step.
fn write_and_read(limit: u64, sizes: &[usize]) {
    let committed = std::cell::Cell::new(0);
    let look = |now: &[u8], _: &[u8], _: bool| {
        // Before the header is whole, there is no trace.
        if Reader::open(now).is_err() {
            assert_eq!(committed.get(), 0);
            return;
        }
        let (ids, damage, _) = read(now);
        assert_eq!(damage, Damage::default());
        assert!(ids.iter().copied().eq(0..ids.len() as u32), "{ids:?}");
        // The last may be there before its commit has returned.
        let there = ids.len() - committed.get();
        assert!(there <= 1, "{there} too many");
    };
    let mut store = Store::new(Memory::new(limit, look), 0, limit);
    store.open().unwrap();
    let mut journal = Journal::new(false);
    for (id, size) in (0..).zip(sizes) {
        journal.push(BootNanos(1), &string(id, *size));
        if !store.fits(chunk_len(journal.pending())) {
            break;
        }
        journal.commit(&mut store, 0).unwrap();
        committed.set(id as usize + 1);
    }
    assert!(store.disk.now.len() as u64 <= limit);
}

/// The names of a few sources, some of which come and go.
fn sample(number: u64, count: u64) -> (Vec<u8>, Sample<'static>) {
    let counters = Counters { active_count: count, last_ns: count, ..Counters::default() };
    let sample = Sample {
        key: Key::Address(number * 64),
        name_pointer: number * 64 + 8,
        id: Some(number as u32),
        name: b"",
        name_cut: false,
        state: SourceState { state: 0, counters },
    };
    (format!("source {number}").into_bytes(), sample)
}

/// Sources as they were at each snapshot, by name, as written and as read.
type Seen = Vec<(u64, BTreeMap<Vec<u8>, u64>)>;

fn seen(bytes: &[u8]) -> Seen {
    let mut reader = Reader::open(bytes).unwrap();
    let (mut strings, mut names) = (BTreeMap::new(), BTreeMap::new());
    let mut decoder = DeltaDecoder::default();
    let mut seen = Seen::new();
    for item in reader.by_ref() {
        match item {
            Item::Gap => decoder.forget(),
            Item::Chunk(_) => {}
            Item::Record(stamped) => match stamped.record {
                Record::String(string) => {
                    strings.insert(string.id, string.bytes);
                }
                Record::Source(source) => {
                    names.insert(source.instance, source.name);
                }
                Record::Snapshot(snapshot) => {
                    let states = decoder.apply(stamped.at, &snapshot).unwrap();
                    let named = states.iter().map(|(i, state)| {
                        (strings[&names[i]].clone(), state.counters.active_count)
                    });
                    seen.push((stamped.at.0, named.collect()));
                }
                _ => {}
            },
        }
    }
    assert_eq!(reader.damage(), Damage::default());
    seen
}

/// Takes snapshots of the sources in `steps`, one or several per chunk. Passes the snapshots taken
/// and the number committed to each `look` at the disk.
fn take_snapshots(
    steps: &[(Vec<u64>, bool)],
    limit: u64,
    region: u64,
    mut look: impl FnMut(&[u8], &[u8], bool, &Seen, usize),
) {
    let taken = std::cell::RefCell::new((Seen::new(), 0));
    let look = |now: &[u8], synced: &[u8], erasing: bool| {
        let (seen, committed) = &*taken.borrow();
        look(now, synced, erasing, seen, *committed);
    };
    let mut store = Store::new(Memory::new(limit, look), region, limit);
    store.open().unwrap();
    let mut journal = Journal::new(true);
    let mut encoder = DeltaEncoder::default();
    journal.push(BootNanos(0), &Record::Session(Session::default()));
    for (n, (numbers, commit)) in (1..).zip(steps) {
        let mut states = BTreeMap::new();
        let mut names = BTreeMap::new();
        for number in numbers {
            let (name, sample) = sample(*number, n);
            let sample = Sample { name: &name, ..sample };
            let at = MonoNanos(n);
            let read = Reading { snapshot: n, boot: BootNanos(n), from: at, to: at };
            let (instance, state) = journal.source(&sample, read);
            states.insert(instance, state);
            names.insert(name, n);
        }
        journal.snapshot_taken(n, BootNanos(n), true);
        let sources = states.len() as u32;
        let mut snapshot = Snapshot {
            reason: Reason::Tick,
            mono: MonoNanos(n),
            took_ns: 1,
            seen: sources,
            stored: sources,
            broken: false,
            late: false,
            full: false,
            changed: Vec::new(),
            gone: Vec::new(),
        };
        encoder.encode(&mut snapshot, &states, n == 1);
        journal.push(BootNanos(n), &Record::Snapshot(snapshot));
        taken.borrow_mut().0.push((n, names));
        if *commit {
            journal.commit(&mut store, 0).unwrap();
            let mut taken = taken.borrow_mut();
            taken.1 = taken.0.len();
        }
        if n % 7 == 0 {
            store.sync().unwrap();
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<(Vec<u64>, bool)>> {
    let numbers = proptest::sample::subsequence((1..12).collect::<Vec<u64>>(), 0..8);
    // Mostly enough to fill all regions several times.
    vec((numbers, proptest::bool::weighted(0.8)), 1..110)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn one_region_reads_well_at_every_instant(sizes in vec(0usize..900, 1..40)) {
        write_and_read(16 << 10, &sizes);
    }

    /// Each snapshot reads as it was taken, and none is missing after the first, except at the end
    /// of a region that is being dropped.
    #[test]
    fn a_ring_reads_well_at_every_instant(steps in steps(), spare in 0u64..4096) {
        let limit = FILE_HEADER as u64 + 2 * 4096 + spare;
        take_snapshots(&steps, limit, 4096, |now, _, erasing, taken, committed| {
            if Reader::open(now).is_err() {
                assert_eq!(committed, 0);
                return;
            }
            assert!(now.len() as u64 <= limit);
            let read = seen(now);
            // The last chunk may be there before its commit has returned.
            let Some((last, _)) = read.last() else {
                assert_eq!(committed, 0);
                return;
            };
            let last = *last as usize;
            assert!(last >= committed && last <= taken.len(), "{last} of {committed}");
            let mut holes = 0;
            for (a, b) in read.iter().zip(&read[1..]) {
                holes += usize::from(b.0 != a.0 + 1);
            }
            let as_taken = read.iter().all(|seen| taken[seen.0 as usize - 1] == *seen);
            assert!(as_taken && holes <= usize::from(erasing), "{holes} holes before {last}");
        });
    }

    /// Any part of the unsynced data may be on the disk.
    #[test]
    fn a_power_cut_costs_only_unsynced_data(steps in steps(), seed in any::<u64>()) {
        let limit = FILE_HEADER as u64 + 3 * 4096;
        let mut random = seed | 1;
        let mut kept = 0;
        let mut synced_before = Vec::new();
        take_snapshots(&steps, limit, 4096, |now, synced, _, taken, _| {
            if Reader::open(synced).is_err() {
                return;
            }
            if synced_before != synced {
                synced_before = synced.to_vec();
                kept = seen(synced).last().map_or(0, |(n, _)| *n);
            }
            let mut disk = synced.to_vec();
            disk.resize(now.len(), 0);
            for (disk, now) in disk.chunks_mut(SECTOR).zip(now.chunks(SECTOR)) {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if random >> 63 == 1 {
                    disk.copy_from_slice(now);
                }
            }
            // Everything that was synced and not dropped is there, sorted and correct.
            let mut decoder = DeltaDecoder::default();
            let (mut last, mut previous) = (0, 0);
            for item in Reader::open(&disk).unwrap() {
                match item {
                    Item::Gap => decoder.forget(),
                    Item::Record(Stamped { at, record: Record::Snapshot(snapshot) }) => {
                        assert!(at.0 >= previous, "{} after {previous}", at.0);
                        previous = at.0;
                        let Ok(states) = decoder.apply(at, &snapshot) else { continue };
                        last = at.0;
                        let expected = taken[last as usize - 1].1.values();
                        let found = states.values().map(|state| &state.counters.active_count);
                        assert!(found.eq(expected), "snapshot {last}");
                    }
                    _ => {}
                }
            }
            assert!(last >= kept, "{last} of {kept}");
        });
    }
}

#[test]
fn the_oldest_chunks_are_dropped_and_counted() {
    let steps: Vec<_> = (0..400).map(|n| (vec![1, 2, 3 + n % 5], true)).collect();
    let limit = FILE_HEADER as u64 + 4 * 4096;
    let mut last = (Vec::new(), 0);
    take_snapshots(&steps, limit, 4096, |now, _, _, taken, _| last = (now.to_vec(), taken.len()));
    let read = seen(&last.0);
    assert!(read.len() > 50 && read.len() < 300, "{}", read.len());
    let (_, _, chunks) = self::read(&last.0);
    assert!(chunks > 400, "{chunks}");
}

#[test]
fn a_full_trace_ends_within_its_limit() {
    let limit = 16 << 10;
    let mut store = Store::new(Memory::new(limit, |_, _, _| {}), 0, limit);
    store.open().unwrap();
    let mut journal = Journal::new(false);
    let mut written = 0;
    while store.full().is_none() {
        journal.push(BootNanos(1), &string(written, 500));
        journal.commit(&mut store, 2000).unwrap();
        written += 1;
    }
    assert!(written > 15, "{written}");
    journal.push(BootNanos(1), &string(written, 1000));
    journal.push(BootNanos(2), &Record::End(End { reason: "full".to_owned() }));
    journal.commit(&mut store, 0).unwrap();
    assert!(store.used <= limit);
    let (ids, damage, _) = read(&store.disk.now);
    assert_eq!((ids.len() as u32, damage), (written + 1, Damage::default()));
}

#[test]
fn on_a_full_disk_the_end_still_fits() {
    for room in (3000..9000).step_by(97) {
        for region in [0, 4096] {
            let limit = FILE_HEADER as u64 + 3 * 4096;
            let mut store = Store::new(Memory::new(room, |_, _, _| {}), region, limit);
            store.open().unwrap();
            let mut journal = Journal::new(region != 0);
            // Without a session, a prologue would be empty.
            journal.push(BootNanos(0), &Record::Session(Session::default()));
            let (mut whole, mut error) = (0, None);
            while error.is_none() {
                journal
                    .push(BootNanos(1), &Record::Lost(sleepwalk_trace::record::Lost { events: 1 }));
                for _ in 0..40 {
                    journal.push(BootNanos(1), &Record::End(End { reason: "0123456789".into() }));
                }
                error = journal.commit(&mut store, 500).err();
                whole += u64::from(error.is_none());
                if let Some(Full::Disk(full)) = store.full() {
                    error = Some(full);
                }
            }
            let end = Record::End(End { reason: format!("error: {:#}", error.unwrap()) });
            journal.close(&mut store, &end).unwrap();
            let mut reader = Reader::open(&store.disk.now).unwrap();
            let records: Vec<_> = reader
                .by_ref()
                .filter_map(|item| if let Item::Record(r) = item { Some(r.record) } else { None })
                .collect();
            assert_eq!(reader.damage(), Damage::default(), "room {room}, region {region}");
            assert_eq!(records.last(), Some(&end));
            let lost = records.iter().filter(|r| matches!(r, Record::Lost(_))).count() as u64;
            assert_eq!(lost, whole, "room {room}, region {region}");
        }
    }
}

#[test]
fn a_region_must_hold_its_prologue() {
    let limit = FILE_HEADER as u64 + 2 * 4096;
    let mut store = Store::new(Memory::new(limit, |_, _, _| {}), 4096, limit);
    store.open().unwrap();
    let mut journal = Journal::new(true);
    let error = (0..10).find_map(|id| {
        journal.push(BootNanos(1), &string(id, 1000));
        journal.commit(&mut store, 0).err()
    });
    let error = error.unwrap().to_string();
    assert!(error.contains("larger --max-size"), "{error}");
}

#[test]
fn regions_lie_within_the_limit() {
    for max_size in (LEAST_SIZE..5 << 20).step_by(4099) {
        let region = Bounds { max_size, on_full: OnFull::Ring }.region();
        let store = Store::new(Memory::new(0, |_, _, _| {}), region, max_size);
        let count = (store.limit - FILE_HEADER as u64) / region;
        assert!(region.is_multiple_of(8) && region > SHORTEST - 100, "{region}");
        assert!(store.limit <= max_size && max_size - store.limit < 100, "{max_size}");
        assert!((2..=REGIONS).contains(&count), "{count}");
    }
}

#[test]
fn chunks_of_any_size_are_whole_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for on_full in [OnFull::Stop, OnFull::Ring] {
        let path = folder.path().join(format!("{on_full:?}.swk"));
        let max_size = 5 << 20;
        let mut store = Store::create(&path, 4096, Bounds { max_size, on_full }).unwrap();
        let mut journal = Journal::new(on_full == OnFull::Ring);
        let sizes = [1, 100, 4096, 256 << 10, 7, 0];
        let mut written = 0;
        let most = if on_full == OnFull::Ring { 100 } else { 15 };
        for size in sizes.into_iter().cycle().take(most) {
            // A prologue does not repeat this record.
            let reason = "x".repeat(size);
            journal.push(BootNanos(1), &Record::End(End { reason }));
            journal.commit(&mut store, 0).unwrap();
            written += 1;
            let bytes = std::fs::read(&path).unwrap();
            let (_, damage, chunks) = read(&bytes);
            assert_eq!(damage, Damage::default());
            assert!(chunks >= written && bytes.len() as u64 <= max_size);
        }
        let used = store.used;
        store.sync_all().unwrap();
        assert!(!store.dirty());
        store.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, used);
        assert_eq!(read(&bytes).1, Damage::default());
    }
}

#[test]
fn a_trace_is_private_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.swk");
    let bounds = Bounds { max_size: LEAST_SIZE, on_full: OnFull::Stop };
    Store::create(&path, 4096, bounds).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let error = format!("{:#}", Store::create(&path, 4096, bounds).unwrap_err());
    assert!(
        error.contains("a.swk cannot be created: it exists already: choose another name"),
        "{error}"
    );
    let (link, target) = (folder.path().join("link.swk"), folder.path().join("target"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    Store::create(&link, 4096, bounds).unwrap_err();
    assert!(!target.exists(), "no link is followed");
}
