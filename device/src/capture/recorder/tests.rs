//! The recorder with invented snapshots, and without a probe.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use anyhow::ensure;
use sleepwalk_trace::chunk::LEAST_SIZE;
use sleepwalk_trace::read::{Item, Reader};
use sleepwalk_trace::record::{STATE_ACTIVE, Snapshot, Stamped};
use sleepwalk_trace::snapshot::{Counters, SourceState};

use super::*;
use crate::capture::snapshotter::{FULL_EVERY, TRIES};
use crate::snapshot::{Key, Sample, SnapshotSummary};
use crate::store::{Bounds, OnFull};

/// One source, which each snapshot finds activated once more. The next `fails` snapshots fail.
#[derive(Debug, Default)]
struct Fake {
    taken: u64,
    fails: Rc<Cell<u32>>,
    broken: Rc<Cell<bool>>,
}

impl SnapshotSource for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn take_snapshot(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        let fails = self.fails.get();
        self.fails.set(fails.saturating_sub(1));
        ensure!(fails == 0, "no memory");
        self.taken += 1;
        let counters = Counters { active_count: self.taken, ..Counters::default() };
        if !self.broken.get() {
            visit(&Sample {
                key: Key::Address(64),
                name_pointer: 8,
                id: Some(1),
                name: b"a",
                name_cut: false,
                state: SourceState { state: STATE_ACTIVE, counters },
            });
        }
        let summary = SnapshotSummary::failed(clock::now());
        Ok(SnapshotSummary { seen: 1, stored: 1, broken: self.broken.get(), ..summary })
    }
}

fn recorder(path: &Path, source: Fake, on_full: OnFull) -> Result<Recorder<Fake>> {
    let store = Store::create(path, 4096, Bounds { max_size: LEAST_SIZE, on_full })?;
    let surroundings = Surroundings::open();
    let (session, ring) = (Session::default(), on_full == OnFull::Ring);
    Recorder::start(source, store, session, Vec::new(), surroundings, ring)
}

/// Ends the capture; the snapshots in its trace.
fn snapshots(mut recorder: Recorder<Fake>, path: &Path) -> Vec<Snapshot> {
    recorder.end("signal", HookRuns::default()).unwrap();
    recorder.store.finish().unwrap();
    let bytes = std::fs::read(path).unwrap();
    let records = Reader::open(&bytes).unwrap();
    let snapshot = |item| match item {
        Item::Record(Stamped { record: Record::Snapshot(snapshot), .. }) => Some(snapshot),
        _ => None,
    };
    records.filter_map(snapshot).collect()
}

#[test]
fn a_new_region_of_a_ring_gets_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.swk");
    let mut recorder = recorder(&path, Fake::default(), OnFull::Ring).unwrap();
    let lost = Record::Lost(Lost { events: 1 });
    // Fills all regions several times, without a tick.
    for _ in 0..100 {
        for _ in 0..1000 {
            recorder.journal.push_now(&lost);
        }
        recorder.commit().unwrap();
    }
    recorder.end("signal", HookRuns::default()).unwrap();
    recorder.store.finish().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut reader = Reader::open(&bytes).unwrap();
    // Chunks that start with a session are the first of a region.
    let (mut snapshots, mut regions, mut chunks) = (Vec::new(), Vec::new(), 0);
    for item in reader.by_ref() {
        match item {
            Item::Chunk(_) => chunks += 1,
            Item::Record(Stamped { record: Record::Snapshot(snapshot), .. }) => {
                snapshots.push((chunks, snapshot.reason));
            }
            Item::Record(Stamped { record: Record::Session(_), .. }) => regions.push(chunks),
            _ => {}
        }
    }
    assert!(reader.dropped_chunks() > 0);
    // The prologue is the first chunk; the snapshot follows on the region's own first chunk.
    assert_eq!(regions, [1]);
    let expected = [(1, Reason::Tick), (3, Reason::Tick)];
    assert_eq!(snapshots[..2], expected, "{snapshots:?}");
}

#[test]
fn a_snapshot_is_broken_after_repeated_failures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.swk");
    let source = Fake::default();
    let fails = Rc::clone(&source.fails);
    let mut recorder = recorder(&path, source, OnFull::Stop).unwrap();
    for times in [1, TRIES, 0] {
        fails.set(times);
        recorder.snapshot(Reason::Tick).unwrap();
    }
    let taken = snapshots(recorder, &path);
    let broken: Vec<_> = taken.iter().map(|s| (s.broken, s.seen)).collect();
    assert_eq!(broken, [(false, 1), (false, 1), (true, 0), (false, 1), (false, 1)]);
    assert!(taken.iter().all(|s| s.gone.is_empty()));
    assert!(taken[2].changed.is_empty() && !taken[2].full);
}

#[test]
fn without_a_first_snapshot_no_file_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.swk");
    let source = Fake { fails: Rc::new(Cell::new(TRIES)), ..Fake::default() };
    let error = recorder(&path, source, OnFull::Stop).unwrap_err();
    assert!(error.to_string().contains("no memory"), "{error:#}");
    assert!(!path.exists());
}

#[test]
fn only_the_first_full_snapshot_may_be_broken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.swk");
    let source = Fake::default();
    let broken = Rc::clone(&source.broken);
    broken.set(true);
    let mut recorder = recorder(&path, source, OnFull::Stop).unwrap();
    for number in 1..2 * FULL_EVERY {
        broken.set((60..70).contains(&number));
        recorder.snapshot(Reason::Tick).unwrap();
    }
    let full = snapshots(recorder, &path).into_iter().enumerate().filter(|(_, s)| s.full);
    let full: Vec<_> = full.map(|(number, _)| number as u64).collect();
    assert_eq!(full, [0, 70]);
}
