//! The recorder with invented snapshots, and without a probe.

mod bounds;
mod changes;

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use anyhow::ensure;
use sleepwalk_trace::chunk::LEAST_SIZE;
use sleepwalk_trace::read::{Item, Reader};
use sleepwalk_trace::record::{HookRuns, STATE_ACTIVE, Snapshot, Stamped};
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

fn phase(at: u64, begin: bool, action: &[u8]) -> ProbeEvent {
    let kind = if begin {
        sleepwalk_trace::abi::EVENT_PHASE_BEGIN
    } else {
        sleepwalk_trace::abi::EVENT_PHASE_END
    };
    let mut bytes = [&at.to_ne_bytes()[..], &kind.to_ne_bytes(), &0u32.to_ne_bytes()].concat();
    let start = bytes.len();
    bytes.resize(start + sleepwalk_trace::abi::ACTION_ROOM, 0);
    bytes[start..start + action.len()].copy_from_slice(action);
    ProbeEvent::parse(&bytes).unwrap()
}

#[test]
fn a_snapshot_that_the_freeze_cuts_is_late() {
    let freeze = [phase(10, true, b"freeze_processes"), phase(15, false, b"freeze_processes")];
    // It ends before the freeze; after it; and there was none.
    assert!(!was_frozen_by(&freeze, BootNanos(12)));
    assert!(was_frozen_by(&freeze, BootNanos(7_200_000_000_000)));
    assert!(!was_frozen_by(&freeze[..1], BootNanos(20)));
}

#[test]
fn a_backlog_of_returns_gets_one_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.swk");
    let mut recorder = recorder(&path, Fake::default(), OnFull::Stop).unwrap();
    recorder.ahead.push_back(phase(10, true, b"suspend_enter"));
    recorder.attempt_ended(recorder.attempt_is_ahead()).unwrap();
    recorder.ahead.clear();
    recorder.attempt_ended(recorder.attempt_is_ahead()).unwrap();
    let taken = snapshots(recorder, &path);
    let reasons: Vec<_> = taken.iter().map(|s| s.reason).collect();
    assert_eq!(reasons, [Reason::Start, Reason::AttemptEnd, Reason::End]);
}

/// Sleeps for an hour during the first of its snapshots. The n-th takes n × 500 ns.
#[derive(Debug, Default)]
struct Sleeper(u64);

impl SnapshotSource for Sleeper {
    fn name(&self) -> &'static str {
        "sleeper"
    }

    fn take_snapshot(&mut self, _: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        self.0 += 1;
        let summary = SnapshotSummary::failed(clock::now());
        let slept = if self.0 == 1 { 3_600_000_000_000 } else { 0 };
        let end = BootNanos(summary.end.0 + slept);
        let end_mono = sleepwalk_trace::time::MonoNanos(summary.mono.0 + 500 * self.0);
        Ok(SnapshotSummary { end, end_mono, broken: false, ..summary })
    }
}

#[test]
fn a_snapshot_during_which_it_slept_is_repeated() {
    let mut snapshotter = Snapshotter::new(Sleeper::default());
    let mut journal = Journal::new(false);
    snapshotter.record(Reason::Tick, &mut journal, |_| false).unwrap();
    // Neither the hour nor the first try is in the costs.
    assert_eq!(snapshotter.overhead().snapshot_max_ns, 1000);
    assert_eq!(snapshotter.overhead().snapshots, 1);
}

/// As [`Fake`], and each snapshot takes so long.
#[derive(Debug)]
struct Slow(u64);

impl SnapshotSource for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn take_snapshot(&mut self, _: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        let summary = SnapshotSummary::failed(clock::now());
        let end = BootNanos(summary.end.0 + self.0);
        let end_mono = sleepwalk_trace::time::MonoNanos(summary.mono.0 + self.0);
        Ok(SnapshotSummary { end, end_mono, broken: false, ..summary })
    }
}

#[test]
fn slow_snapshots_keep_a_distance() {
    for (took_ns, pauses) in [(1_000_000, false), (45_000_000, true)] {
        let mut snapshotter = Snapshotter::new(Slow(took_ns));
        let mut journal = Journal::new(false);
        snapshotter.record(Reason::Tick, &mut journal, |_| false).unwrap();
        let now = clock::now().boot;
        assert_eq!(snapshotter.pauses(now), pauses, "{took_ns} ns");
        assert!(!snapshotter.pauses(BootNanos(now.0 + 2_000_000_001)));
    }
}

/// A recorder whose power supply was not read yet, and whose kernel counts no attempts of its own.
fn charging(folder: &Path) -> Recorder<Fake> {
    let mut recorder = recorder(&folder.join("a.swk"), Fake::default(), OnFull::Stop).unwrap();
    let battery = folder.join("class/battery");
    std::fs::create_dir_all(&battery).unwrap();
    std::fs::write(battery.join("capacity"), "80\n").unwrap();
    recorder.surroundings = Surroundings::open().with_power_supplies(folder.join("class"));
    recorder
}

/// The battery's readings, and the reasons of the snapshots, without the end's.
fn recorded(mut recorder: Recorder<Fake>, folder: &Path) -> (usize, Vec<Reason>) {
    recorder.commit().unwrap();
    recorder.store.finish().unwrap();
    let bytes = std::fs::read(folder.join("a.swk")).unwrap();
    let (mut readings, mut reasons) = (0, Vec::new());
    for item in Reader::open(&bytes).unwrap() {
        match item {
            Item::Record(Stamped { record: Record::PowerSupply(supply), .. }) => {
                readings += usize::from(supply.capacity == Some(80));
            }
            Item::Record(Stamped { record: Record::Snapshot(snapshot), .. }) => {
                reasons.push(snapshot.reason);
            }
            _ => {}
        }
    }
    (readings, reasons)
}

#[test]
fn no_gauge_is_read_once_an_attempt_has_begun() {
    for begun in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        // A tick.
        let mut recorder = charging(folder.path());
        recorder.in_attempt = begun;
        recorder.tick().unwrap();
        let expected = (usize::from(!begun), vec![Reason::Start, Reason::Tick]);
        assert_eq!(recorded(recorder, folder.path()), expected);
        // The end of the attempt before.
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = charging(folder.path());
        if begun {
            recorder.ahead.push_back(phase(10, true, b"suspend_enter"));
        }
        recorder.attempt_ended(recorder.attempt_is_ahead()).unwrap();
        assert_eq!(recorded(recorder, folder.path()).0, usize::from(!begun));
    }
}

#[test]
fn filled_returns_do_not_delay_an_attempt() {
    let counted = |fail| Stats { counters: [("fail".to_owned(), fail)].into(), ..Stats::default() };
    for limit in [Some(BootNanos(30)), None] {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = charging(folder.path());
        let mut returns = SuspendStatsReturns::new(&counted(0), false);
        returns.observe(&phase(10, true, b"suspend_enter"));
        returns.observe(&phase(20, true, b"suspend_enter"));
        returns.update(&counted(2), BootNanos(25));
        recorder.returns = Some(returns);
        recorder.record_returns(limit).unwrap();
        // The third attempt has begun, and gets a snapshot of its own; or two returns get one.
        let (readings, reasons) = recorded(recorder, folder.path());
        let expected = if limit.is_some() { &[][..] } else { &[Reason::AttemptEnd] };
        assert_eq!(reasons[1..], *expected, "{limit:?}");
        assert_eq!(readings, expected.len());
    }
}

#[test]
fn a_read_of_the_ring_ends_in_a_storm() {
    assert_eq!(at_most_the_ring(|| Some(())).count(), RING_EVENTS);
    assert_eq!(at_most_the_ring(|| None::<()>).count(), 0);
}
