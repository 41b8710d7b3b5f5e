//! Bounds on the size of a trace and of the agent's tables.

use super::*;

/// Two hundred sources, of which the first snapshot has none.
#[derive(Debug, Default)]
struct Crowd(u64);

impl SnapshotSource for Crowd {
    fn name(&self) -> &'static str {
        "crowd"
    }

    fn take_snapshot(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        self.0 += 1;
        let count = if self.0 == 1 { 0 } else { 200 };
        for n in 0..count {
            let counters = Counters::from_array([u64::MAX - 9; 10]);
            visit(&Sample {
                key: Key::Address(u64::MAX - 64 * n),
                name_pointer: POINTER + n,
                id: Some(u32::MAX - n as u32),
                name: n.to_string().as_bytes(),
                name_cut: false,
                state: SourceState { state: 0, counters },
            });
        }
        let summary = SnapshotSummary::failed(clock::now());
        let all = count as u32;
        Ok(SnapshotSummary { seen: all, stored: all, broken: false, ..summary })
    }
}

const POINTER: u64 = 0xffff_8000_0000_0000;

#[test]
fn sources_from_edges_have_room_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.swk");
    let bounds = Bounds { max_size: LEAST_SIZE, on_full: OnFull::Stop };
    let store = Store::create(&path, 4096, bounds).unwrap();
    let surroundings = Surroundings::open();
    let source = Crowd::default();
    let mut recorder =
        Recorder::start(source, store, Session::default(), Vec::new(), surroundings, false)
            .unwrap();
    for n in 0..200 {
        let name = crate::probe::events::InlineStr::new(n.to_string().as_bytes());
        let kind = EventKind::Name { name_pointer: POINTER + n, name, cut: false };
        recorder.journal.event(&ProbeEvent { at: BootNanos(n), kind });
        let edge = crate::probe::events::ProbeEdge {
            name_pointer: POINTER + n,
            active: true,
            state: 1,
            running: None,
        };
        recorder.journal.event(&ProbeEvent { at: BootNanos(n), kind: EventKind::Edge(edge) });
    }
    let chunk = recorder.store.chunk();
    while !recorder.store.is_full() {
        // Small chunks, and large ones at last, the worst of which leaves 8 KiB.
        let left = LEAST_SIZE - recorder.store.written();
        let size = if left > 2 * chunk as u64 + 8192 { 1 } else { chunk };
        while recorder.journal.pending() < size {
            recorder.journal.push_now(&Record::Lost(Lost { events: 1 }));
        }
        recorder.commit().unwrap();
    }
    recorder.end("full", HookRuns::default()).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() <= LEAST_SIZE);
}

/// A device that leaks sources, and whose walk always breaks: each snapshot has another source.
#[derive(Debug)]
struct Leak(u64);

impl SnapshotSource for Leak {
    fn name(&self) -> &'static str {
        "leak"
    }

    fn take_snapshot(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        self.0 += 1;
        visit(&Sample {
            key: Key::Address(64 * self.0),
            name_pointer: 64 * self.0 + 8,
            id: None,
            name: self.0.to_string().as_bytes(),
            name_cut: false,
            state: SourceState::default(),
        });
        Ok(SnapshotSummary { seen: 1, stored: 1, ..SnapshotSummary::failed(clock::now()) })
    }
}

#[test]
fn a_leak_under_broken_walks_fills_no_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.swk");
    let bounds = Bounds { max_size: LEAST_SIZE, on_full: OnFull::Ring };
    let mut store = Store::create(&path, 4096, bounds).unwrap();
    let mut snapshotter = Snapshotter::new(Leak(0));
    let mut journal = Journal::new(true);
    journal.push_now(&Record::Session(Session::default()));
    let mut largest = 0;
    for _ in 0..40 * FULL_EVERY {
        snapshotter.record(Reason::Tick, &mut journal, |_| false).unwrap();
        journal.commit(&mut store, 0).unwrap();
        largest = largest.max(journal.in_prologue()).max(snapshotter.remembered());
    }
    assert!(largest <= 4 * FULL_EVERY as usize, "{largest} sources");
    // The regions that are left define what they use.
    store.finish().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut reader = Reader::open(&bytes).unwrap();
    let mut defined = std::collections::HashSet::new();
    let mut used = 0;
    for item in reader.by_ref() {
        match item {
            Item::Record(Stamped { record: Record::Source(source), .. }) => {
                defined.insert(source.instance);
            }
            Item::Record(Stamped { record: Record::Snapshot(snapshot), .. }) => {
                used += snapshot.changed.len();
                assert!(snapshot.changed.iter().all(|one| defined.contains(&one.instance)));
            }
            _ => {}
        }
    }
    assert!(used > 0 && reader.dropped_chunks() > 0, "{used} states");
}
