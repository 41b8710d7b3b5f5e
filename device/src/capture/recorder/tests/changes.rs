//! Snapshots that hand over only the changes.

use super::*;

/// Ten sources, of which each snapshot after the first activates one.
#[derive(Debug, Default)]
struct Changing {
    counts: [u64; 10],
    taken: usize,
    visited: Rc<Cell<usize>>,
}

impl Changing {
    fn take(&mut self, all: bool, visit: &mut dyn FnMut(&Sample<'_>)) -> SnapshotSummary {
        let changed = self.taken % 10;
        self.counts[changed] += 1;
        self.taken += 1;
        for (n, count) in self.counts.iter().enumerate().filter(|(n, _)| all || *n == changed) {
            self.visited.set(self.visited.get() + 1);
            let counters = Counters { active_count: *count, ..Counters::default() };
            visit(&Sample {
                key: Key::Address(64 * n as u64),
                name_pointer: 8 + n as u64,
                id: Some(n as u32),
                name: b"a",
                name_cut: false,
                state: SourceState { state: 0, counters },
            });
        }
        let summary = SnapshotSummary::failed(clock::now());
        SnapshotSummary { seen: 10, stored: 10, broken: false, changes_only: !all, ..summary }
    }
}

impl SnapshotSource for Changing {
    fn name(&self) -> &'static str {
        "changing"
    }

    fn take_snapshot(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        Ok(self.take(true, visit))
    }

    fn take_changes(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        Ok(self.take(false, visit))
    }
}

#[test]
fn changes_alone_make_the_same_snapshots() {
    let source = Changing::default();
    let visited = Rc::clone(&source.visited);
    let mut snapshotter = Snapshotter::new(source);
    let mut journal = Journal::new(false);
    for n in 0..FULL_EVERY + 10 {
        if n == 5 {
            // Its sources are in no record: the next one cannot build on it.
            snapshotter.try_once().unwrap();
        }
        snapshotter.record(Reason::Tick, &mut journal, |_| false).unwrap();
    }
    // All ten at the start, in the try, after it, and when a full one is due.
    let whole = 4;
    let snapshots = FULL_EVERY as usize + 11;
    assert_eq!(visited.get(), 10 * whole + snapshots - whole);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.swk");
    let bounds = Bounds { max_size: LEAST_SIZE, on_full: OnFull::Stop };
    let mut store = Store::create(&path, 4096, bounds).unwrap();
    journal.commit(&mut store, 0).unwrap();
    store.finish().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut replay = sleepwalk_trace::snapshot::DeltaDecoder::default();
    for item in Reader::open(&bytes).unwrap() {
        if let Item::Record(Stamped { at, record: Record::Snapshot(snapshot) }) = item {
            replay.apply(at, &snapshot).unwrap();
        }
    }
    let mut expected = Changing::default();
    for _ in 0..snapshots {
        expected.take(true, &mut |_| {});
    }
    let counts: Vec<_> = replay.sources().values().map(|s| s.counters.active_count).collect();
    assert_eq!(counts, expected.counts);
}
