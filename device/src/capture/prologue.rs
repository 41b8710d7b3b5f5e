//! The prologue of a ring's regions: everything a reader needs to continue after older regions were
//! dropped.
//!
//! It follows the records on their way into the trace, as a reader will. A kind of record that prologues
//! repeat needs a line in [`Prologue::apply`] and one in [`Prologue::records`].

use std::collections::BTreeMap;

use sleepwalk_trace::record::{
    IrqDef, Overhead, PowerSupply, Reason, Record, Session, Snapshot, SourceDef, Stamped,
    StringDef, SuspendStats,
};
use sleepwalk_trace::snapshot::{DeltaDecoder, DeltaEncoder};
use sleepwalk_trace::time::BootNanos;

/// After two whole snapshots without a source no edge belongs to it, see
/// [`crate::identity::name_table::NameTable::remove_missing`].
const KEPT_FOR: u64 = 2;

/// A summary of the trace so far.
#[derive(Debug, Default)]
pub struct Prologue {
    /// Records of the chunk under way. A prologue goes before that chunk, so it does not have them.
    pending: Vec<Stamped>,
    session: Option<Session>,
    overhead: Option<Overhead>,
    strings: BTreeMap<u32, Vec<u8>>,
    sources: BTreeMap<u32, Kept>,
    irqs: BTreeMap<u32, IrqDef>,
    /// By the number of the name.
    power_supplies: BTreeMap<u32, PowerSupply>,
    stats: Option<SuspendStats>,
    decoder: DeltaDecoder,
    snapshot: Option<(BootNanos, Snapshot)>,
    /// Whole snapshots so far.
    snapshots: u64,
}

#[derive(Debug)]
struct Kept {
    source: SourceDef,
    /// [`Prologue::snapshots`] when it was last defined or in a snapshot.
    seen_at: u64,
}

impl Prologue {
    /// A record was added to the chunk under way.
    pub fn push(&mut self, at: BootNanos, record: &Record) {
        let repeated = match record {
            Record::Session(_) => self.session.is_none(),
            Record::Overhead(_) => self.overhead.is_none(),
            Record::String(_)
            | Record::Source(_)
            | Record::Irq(_)
            | Record::PowerSupply(_)
            | Record::Snapshot(_)
            | Record::SuspendStats(_) => true,
            _ => false,
        };
        if repeated {
            self.pending.push(Stamped { at, record: record.clone() });
        }
    }

    /// The chunk under way was discarded.
    pub fn discard(&mut self) {
        self.pending.clear();
    }

    /// The chunk under way is part of the trace. `known` holds for the strings that the agent remembers.
    pub fn commit(&mut self, known: impl Fn(u32) -> bool) {
        let before = self.snapshots;
        for stamped in std::mem::take(&mut self.pending) {
            self.apply(stamped);
        }
        if self.snapshots > before {
            let now = self.snapshots;
            self.sources.retain(|_, kept| now - kept.seen_at <= KEPT_FOR);
            let named: std::collections::HashSet<_> =
                self.sources.values().map(|kept| kept.source.name).collect();
            self.strings.retain(|id, _| named.contains(id) || known(*id));
        }
    }

    fn apply(&mut self, Stamped { at, record }: Stamped) {
        match record {
            Record::Session(session) => self.session = self.session.take().or(Some(session)),
            Record::Overhead(overhead) => self.overhead = self.overhead.or(Some(overhead)),
            Record::String(string) => {
                self.strings.insert(string.id, string.bytes);
            }
            Record::Source(source) => {
                let kept = Kept { source, seen_at: self.snapshots };
                self.sources.insert(source.instance, kept);
            }
            Record::Irq(irq) => {
                self.irqs.insert(irq.number, irq);
            }
            Record::PowerSupply(supply) => {
                self.power_supplies.insert(supply.name, supply);
            }
            Record::SuspendStats(new) => {
                let counters = self.stats.take().map(|old| old.counters).unwrap_or_default();
                let mut counters: BTreeMap<u32, u64> = counters.into_iter().collect();
                counters.extend(new.counters);
                self.stats = Some(SuspendStats { counters: counters.into_iter().collect(), ..new });
            }
            Record::Snapshot(snapshot) => {
                // It can't fail: the agent's own differences follow on each other.
                if let Ok(states) = self.decoder.apply(at, &snapshot) {
                    self.snapshots += u64::from(snapshot.whole());
                    for instance in states.keys() {
                        if let Some(kept) = self.sources.get_mut(instance) {
                            kept.seen_at = self.snapshots;
                        }
                    }
                }
                self.snapshot = Some((at, snapshot));
            }
            _ => {}
        }
    }

    /// The records of a prologue, and their common stamp: that of the last snapshot.
    pub fn records(&self) -> (BootNanos, Vec<Record>) {
        let mut records = Vec::new();
        records.extend(self.session.clone().map(Record::Session));
        records.extend(self.overhead.map(Record::Overhead));
        let string = |(id, bytes): (&u32, &Vec<u8>)| StringDef { id: *id, bytes: bytes.clone() };
        records.extend(self.strings.iter().map(string).map(Record::String));
        records.extend(self.sources.values().map(|kept| Record::Source(kept.source)));
        records.extend(self.irqs.values().copied().map(Record::Irq));
        records.extend(self.power_supplies.values().copied().map(Record::PowerSupply));
        records.extend(self.stats.clone().map(Record::SuspendStats));
        let Some((at, last)) = &self.snapshot else { return (BootNanos(0), records) };
        let mut snapshot = Snapshot { reason: Reason::Tick, late: false, ..last.clone() };
        DeltaEncoder::default().encode(&mut snapshot, self.decoder.sources(), true);
        records.push(Record::Snapshot(snapshot));
        (*at, records)
    }
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::time::MonoNanos;

    use super::*;

    fn stats(counters: &[(u32, u64)], last_errno: i32) -> Record {
        let counters = counters.to_vec();
        Record::SuspendStats(SuspendStats { counters, last_device: 1, last_errno, last_step: 2 })
    }

    fn string(id: u32) -> Record {
        Record::String(StringDef { id, bytes: vec![b'a'; id as usize] })
    }

    fn source(instance: u32, name: u32) -> Record {
        let (address, name_pointer) = (0, u64::from(instance));
        Record::Source(SourceDef {
            instance,
            name,
            name_cut: false,
            id: None,
            address,
            name_pointer,
        })
    }

    fn snapshot() -> Record {
        Record::Snapshot(Snapshot {
            reason: Reason::AttemptBegin,
            mono: MonoNanos(1),
            took_ns: 1,
            seen: 0,
            stored: 0,
            broken: false,
            late: true,
            full: true,
            changed: Vec::new(),
            gone: Vec::new(),
        })
    }

    #[test]
    fn committed_records_are_repeated() {
        let mut prologue = Prologue::default();
        let irq = Record::Irq(IrqDef { number: 22, name: 1, chip: 2 });
        let first = Record::Overhead(Overhead { cpu_ns: 1, ..Overhead::default() });
        let second = Record::Overhead(Overhead { cpu_ns: 2, ..Overhead::default() });
        let session = Record::Session(Session { kernel: "7.3".into(), ..Session::default() });
        let supply = |capacity| {
            let capacity = Some(capacity);
            Record::PowerSupply(PowerSupply { name: 1, capacity, ..PowerSupply::default() })
        };
        let stats_then = stats(&[(3, 1), (4, 1)], 0);
        let committed = [&session, &first, &string(1), &irq, &supply(50), &stats_then, &snapshot()];
        for record in committed {
            prologue.push(BootNanos(5), record);
        }
        assert_eq!(prologue.records().1, [], "nothing is committed");
        prologue.commit(|_| true);
        prologue.push(BootNanos(6), &second);
        prologue.push(BootNanos(6), &supply(49));
        prologue.push(BootNanos(6), &stats(&[(4, 7)], -16));
        prologue.commit(|_| true);
        prologue.push(BootNanos(7), &stats(&[(4, 9)], -5));
        prologue.discard();
        prologue.commit(|_| true);
        let (at, records) = prologue.records();
        assert_eq!(at, BootNanos(5));
        let Record::Snapshot(shown) = snapshot() else { unreachable!() };
        let shown = Record::Snapshot(Snapshot { reason: Reason::Tick, late: false, ..shown });
        let together = stats(&[(3, 1), (4, 7)], -16);
        assert_eq!(records, [session, first, string(1), irq, supply(49), together, shown]);
    }

    #[test]
    fn a_source_leaves_with_its_name() {
        let mut prologue = Prologue::default();
        for record in [string(1), string(2), source(7, 1)] {
            prologue.push(BootNanos(1), &record);
        }
        let mut kept = Vec::new();
        for _ in 0..5 {
            prologue.push(BootNanos(2), &snapshot());
            // The agent has forgotten 1, not 2.
            prologue.commit(|string| string == 2);
            let (_, records) = prologue.records();
            let has = |record: &Record| records.contains(record);
            assert!(has(&string(2)));
            assert_eq!(has(&string(1)), has(&source(7, 1)));
            kept.push(has(&source(7, 1)));
        }
        assert_eq!(kept, [true, true, false, false, false]);
    }
}
