//! The journal without a probe and without a file.

use sleepwalk_trace::abi::NAME_ROOM;
use sleepwalk_trace::read::{Item, Reader};
use sleepwalk_trace::time::MonoNanos;

use super::*;
use crate::probe::events::InlineStr;
use crate::snapshot::Key;

fn event(at: u64, kind: EventKind) -> ProbeEvent {
    ProbeEvent { at: BootNanos(at), kind }
}

fn name(name_pointer: u64, name: &[u8]) -> EventKind {
    let name = InlineStr::<NAME_ROOM>::new(name);
    EventKind::Name { name_pointer, name, cut: false }
}

fn edge(name_pointer: u64, active: bool, state: u32) -> ProbeEdge {
    ProbeEdge { name_pointer, active, state, running: None }
}

fn sample(name: &[u8]) -> Sample<'_> {
    let (key, state) = (Key::Address(16), SourceState::default());
    Sample { key, name_pointer: 24, id: Some(1), name, name_cut: false, state }
}

/// The pending records.
fn pending(journal: &mut Journal) -> Vec<Record> {
    let chunk = journal.out.writer.seal(clock::now()).unwrap_or_default();
    let file = [&sleepwalk_trace::chunk::file_header(0)[..], &chunk].concat();
    let items = Reader::open(&file).unwrap();
    let record = |item| if let Item::Record(r) = item { Some(r.record) } else { None };
    items.filter_map(record).collect()
}

fn reading(at: u64, snapshot: u64) -> Reading {
    let mono = MonoNanos(at);
    Reading { snapshot, boot: BootNanos(at), from: mono, to: mono }
}

#[test]
fn an_edge_without_a_name_is_recorded_once() {
    let mut journal = Journal::default();
    let lost = edge(32, true, 1);
    let next = journal.event(&event(1, EventKind::Edge(lost)));
    assert_eq!(next, NextStep::NameMissing(lost));
    journal.edge_without_name(BootNanos(1), lost);
    let known = journal.event(&event(2, EventKind::Edge(edge(32, false, 1 << 16))));
    assert_eq!(known, NextStep::Nothing);
    let records = pending(&mut journal);
    let [Record::String(string), Record::Source(source), edges @ ..] = &records[..] else {
        panic!("{records:?}")
    };
    assert!(string.bytes.is_empty() && source.name_cut && source.name == string.id);
    let first = Edge { source: 0, flags: 1, state: Some(1) };
    let second = Edge { source: 0, flags: 0, state: None };
    assert_eq!(edges, [Record::Edge(first), Record::Edge(second)]);
    assert_eq!(journal.events, 2, "each event counts once");
}

#[test]
fn a_snapshot_may_show_a_missing_name() {
    let mut journal = Journal::default();
    let missing = edge(24, true, 1);
    let next = journal.event(&event(1, EventKind::Edge(missing)));
    assert_eq!(next, NextStep::NameMissing(missing));
    let (instance, _) = journal.source(&sample(b"a"), reading(2, 0));
    journal.edge_without_name(BootNanos(1), missing);
    let records = pending(&mut journal);
    let last = Edge { source: instance, flags: 1, state: Some(1) };
    assert_eq!(records.last(), Some(&Record::Edge(last)));
    assert_eq!(records.len(), 3, "{records:?}");
}

#[test]
fn strings_of_dead_sources_are_forgotten() {
    for (whole, rounds) in [(true, 200), (false, 400u64)] {
        let mut journal = Journal::default();
        let action = journal.string(BootNanos(0), b"suspend_enter");
        for round in 0..rounds {
            let at = BootNanos(round);
            journal.source(&sample(b"stays"), reading(at.0, round));
            for n in 0..100u64 {
                // Every name is new, and every pointer.
                let pointer = 1_000_000 + round * 100 + n;
                let bytes = format!("{round}-{n}");
                journal.event(&event(round, name(pointer, bytes.as_bytes())));
                let edge = EventKind::Edge(edge(pointer, true, 0));
                assert_eq!(journal.event(&event(round, edge)), NextStep::Nothing);
            }
            journal.snapshot_taken(round, at, whole);
            journal.discard();
        }
        let known = journal.strings.ids().len();
        assert!(known < 100 * rounds as usize, "whole: {whole}, {known} strings");
        assert_eq!(journal.string(BootNanos(0), b"suspend_enter"), action);
        assert_eq!(journal.strings.ids().len(), known);
        let again = journal.source_name(BootNanos(0), b"0-0");
        assert!(u64::from(again) >= 100 * rounds, "whole: {whole}");
        assert_eq!(journal.strings.ids().len(), known + 1);
    }
}
