//! The prologue of a ring's regions: everything a reader needs to continue after older regions were
//! dropped.
//!
//! It follows the records on their way into the trace, as a reader will. A kind of record that
//! prologues repeat needs a line in [`Prologue::apply`] and one in [`Prologue::records`].

use std::collections::{BTreeMap, BTreeSet};

use sleepwalk_trace::record::{
    CountWrite, EDGE_ACTIVE, EpollWaiter, IrqDef, Note, Overhead, PowerSupply, Reason, Record,
    Session, Snapshot, SourceDef, SourceDevice, Stamped, StringDef, SuspendStats, WaitBegin,
    WaitEnd, Waiters, WakeReason, next_state,
};
use sleepwalk_trace::snapshot::{DeltaDecoder, DeltaEncoder};
use sleepwalk_trace::time::BootNanos;

/// After two whole snapshots without a source no edge belongs to it, see
/// [`crate::identity::name_table::NameTable::remove_missing`].
const KEPT_FOR: u64 = 2;

/// A summary of the trace so far.
#[derive(Debug, Default)]
pub struct Prologue {
    /// Records of the current chunk. A prologue goes before that chunk, so it does not have them.
    pending: Vec<Stamped>,
    session: Option<Session>,
    notes: Vec<Note>,
    overhead: Option<Overhead>,
    strings: BTreeMap<u32, Vec<u8>>,
    sources: BTreeMap<u32, Kept>,
    /// By the source.
    devices: BTreeMap<u32, SourceDevice>,
    epoll_waiters: Vec<EpollWaiter>,
    irqs: BTreeMap<u32, IrqDef>,
    /// By the number of the name.
    power_supplies: BTreeMap<u32, PowerSupply>,
    stats: Option<SuspendStats>,
    wake_reason: Option<WakeReason>,
    waits: Waits,
    /// Threads were found waiting, whose waits may not be over.
    waits_were_found: bool,
    decoder: DeltaDecoder,
    snapshot: Option<(BootNanos, Snapshot)>,
    /// Whole snapshots so far.
    snapshots: u64,
}

/// The waits in progress.
#[derive(Debug, Default)]
struct Waits {
    /// The last stamp from which they are known; `None` before the agent has looked for waiters.
    at: Option<BootNanos>,
    /// Threads that a hook saw enter.
    threads: BTreeSet<u32>,
    /// Threads that were found waiting. No hook sees the end of that wait.
    found: BTreeSet<u32>,
    /// `Edge::state` of the last edge; followed while there are such threads.
    state: u32,
    /// [`Waiters::why`].
    why: String,
}

#[derive(Debug)]
struct Kept {
    source: SourceDef,
    /// [`Prologue::snapshots`] when it was last defined or in a snapshot.
    seen_at: u64,
}

impl Prologue {
    /// Follows a record that was added to the current chunk.
    pub fn push(&mut self, at: BootNanos, record: &Record) {
        let repeated = match record {
            Record::Session(_) => self.session.is_none(),
            Record::Overhead(_) => self.overhead.is_none(),
            Record::String(_)
            | Record::Source(_)
            | Record::Irq(_)
            | Record::SourceDevice(_)
            | Record::EpollWaiter(_)
            | Record::PowerSupply(_)
            | Record::Snapshot(_)
            | Record::SuspendStats(_)
            | Record::Waiters(_)
            | Record::WaitBegin(_)
            | Record::WaitEnd(_)
            | Record::CountWrite(_)
            | Record::Note(_)
            | Record::Lost(_) => true,
            Record::Edge(_) | Record::Phase(_) => self.waits_were_found,
            _ => false,
        };
        if let Record::Waiters(waiters) = record {
            self.waits_were_found = !waiters.threads.is_empty();
        }
        if repeated {
            self.pending.push(Stamped { at, record: record.clone() });
        }
    }

    /// Forgets the records of the current chunk, which was discarded.
    pub fn discard(&mut self) {
        self.pending.clear();
    }

    /// Adds the current chunk, which is now part of the trace. `known` holds for the strings that
    /// the agent remembers, and `in_use` for the sources that a record may still refer to.
    pub fn commit(&mut self, known: impl Fn(u32) -> bool, in_use: impl Fn(u32) -> bool) {
        let shown = self.pending.iter().any(|s| matches!(s.record, Record::Snapshot(_)));
        for stamped in std::mem::take(&mut self.pending) {
            self.apply(stamped);
        }
        self.waits_were_found = !self.waits.found.is_empty();
        if shown {
            let now = self.snapshots;
            // Where no snapshot is whole, the agent forgets a source after many that lack it.
            self.sources.retain(|one, kept| now - kept.seen_at <= KEPT_FOR && in_use(*one));
            self.decoder.retain(in_use);
            self.devices.retain(|source, _| self.sources.contains_key(source));
            let named: std::collections::HashSet<_> =
                self.sources.values().map(|kept| kept.source.name).collect();
            self.strings.retain(|id, _| named.contains(id) || known(*id));
        }
    }

    /// How many sources it has.
    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.sources.len().max(self.decoder.sources().len())
    }

    fn apply(&mut self, Stamped { at, record }: Stamped) {
        match record {
            Record::Note(note) => self.notes.push(note),
            Record::Session(session) => self.session = self.session.take().or(Some(session)),
            Record::Overhead(overhead) => self.overhead = self.overhead.or(Some(overhead)),
            Record::String(string) => {
                self.strings.insert(string.id, string.bytes);
            }
            Record::Source(source) => {
                let kept = Kept { source, seen_at: self.snapshots };
                self.sources.insert(source.instance, kept);
            }
            Record::EpollWaiter(waiter) => self.epoll_waiters.push(waiter),
            Record::SourceDevice(device) => {
                self.devices.insert(device.source, device);
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
            Record::WakeReason(reason) => self.wake_reason = Some(reason),
            Record::Snapshot(snapshot) => {
                // It cannot fail: the agent's own differences follow on each other.
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
            Record::Phase(phase) => {
                if phase.begin && self.strings.get(&phase.action).is_some_and(|a| a == FREEZE) {
                    self.waits.found.clear();
                    self.waits.changed(at);
                }
            }
            _ => self.waits.apply(at, &record),
        }
    }

    /// The threads that wait where the region starts, and since when no wait began or ended, or the
    /// stamp of the last snapshot if that is later; `None` if the capture does not follow waits.
    pub fn waiters(&self) -> Option<(BootNanos, Record)> {
        let hooks = &self.session.as_ref()?.hooks;
        hooks.iter().find(|hook| hook.what == "wait" && !hook.how.is_empty())?;
        let Waits { at, threads, found, why, .. } = &self.waits;
        let snapshot = self.snapshot.as_ref().map(|(at, _)| *at);
        let waiters = Waiters {
            how: "events".to_owned(),
            why: why.clone(),
            threads: threads.union(found).copied().collect(),
            ..Waiters::default()
        };
        Some(((*at)?.max(snapshot?), Record::Waiters(waiters)))
    }

    /// The other records of a prologue, and their common stamp: that of the last snapshot.
    pub fn records(&self) -> (BootNanos, Vec<Record>) {
        let mut records = Vec::new();
        records.extend(self.session.clone().map(Record::Session));
        records.extend(self.notes.iter().cloned().map(Record::Note));
        records.extend(self.overhead.map(Record::Overhead));
        let string = |(id, bytes): (&u32, &Vec<u8>)| StringDef { id: *id, bytes: bytes.clone() };
        records.extend(self.strings.iter().map(string).map(Record::String));
        records.extend(self.sources.values().map(|kept| Record::Source(kept.source)));
        records.extend(self.epoll_waiters.iter().copied().map(Record::EpollWaiter));
        records.extend(self.devices.values().copied().map(Record::SourceDevice));
        records.extend(self.irqs.values().copied().map(Record::Irq));
        records.extend(self.power_supplies.values().copied().map(Record::PowerSupply));
        records.extend(self.stats.clone().map(Record::SuspendStats));
        records.extend(self.wake_reason.clone().map(Record::WakeReason));
        let Some((at, last)) = &self.snapshot else { return (BootNanos(0), records) };
        let mut snapshot = Snapshot { reason: Reason::Tick, late: false, ..last.clone() };
        DeltaEncoder::default().encode(&mut snapshot, self.decoder.sources(), true);
        records.push(Record::Snapshot(snapshot));
        (*at, records)
    }
}

impl Waits {
    fn apply(&mut self, at: BootNanos, record: &Record) {
        match record {
            Record::Waiters(waiters) => {
                self.found.extend(&waiters.threads);
                self.why.clone_from(&waiters.why);
                self.at = Some(at);
            }
            Record::WaitBegin(WaitBegin { thread }) => {
                self.found.remove(thread);
                self.threads.insert(*thread);
            }
            Record::WaitEnd(WaitEnd { thread, .. })
            | Record::CountWrite(CountWrite { thread, .. }) => {
                self.found.remove(thread);
                self.threads.remove(thread);
            }
            Record::Edge(edge) => {
                let active = edge.flags & EDGE_ACTIVE != 0;
                self.state = edge.state.unwrap_or_else(|| next_state(self.state, active));
                // Nothing is in progress, so the kernel ends all waits. Those that a hook saw start
                // have an end of their own.
                if self.state & 0xffff == 0 {
                    self.found.clear();
                }
            }
            Record::Lost(_) => EVENTS_LOST.clone_into(&mut self.why),
            _ => return,
        }
        self.changed(at);
    }

    fn changed(&mut self, at: BootNanos) {
        self.at = self.at.map(|last| last.max(at));
    }
}

/// The lost events may be waits that began or ended.
const EVENTS_LOST: &str = "events were lost";

/// The phase that ends waits, because it signals every thread (`freeze_task`, `kernel/freezer.c`,
/// 7.3).
const FREEZE: &[u8] = b"freeze_processes";

#[cfg(test)]
mod tests {
    use sleepwalk_trace::record::{Edge, Hook, Lost, Phase};
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
        prologue.commit(|_| true, |_| true);
        prologue.push(BootNanos(6), &second);
        prologue.push(BootNanos(6), &supply(49));
        prologue.push(BootNanos(6), &stats(&[(4, 7)], -16));
        prologue.commit(|_| true, |_| true);
        prologue.push(BootNanos(7), &stats(&[(4, 9)], -5));
        prologue.discard();
        prologue.commit(|_| true, |_| true);
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
            prologue.commit(|string| string == 2, |_| true);
            let (_, records) = prologue.records();
            let has = |record: &Record| records.contains(record);
            assert!(has(&string(2)));
            assert_eq!(has(&string(1)), has(&source(7, 1)));
            kept.push(has(&source(7, 1)));
        }
        assert_eq!(kept, [true, true, false, false, false]);
    }

    #[test]
    fn waits_under_way_are_repeated() {
        let wait = |how: &str| Hook { what: "wait".into(), how: how.into(), why: String::new() };
        let session = |how| Session { hooks: vec![wait(how)], ..Session::default() };
        let found = Waiters { how: "wchan".into(), threads: vec![5, 7], ..Waiters::default() };
        let prologue = |how, looked: bool| {
            let mut prologue = Prologue::default();
            prologue.push(BootNanos(1), &Record::Session(session(how)));
            prologue.push(BootNanos(2), &snapshot());
            if looked {
                prologue.push(BootNanos(2), &Record::Waiters(found.clone()));
            }
            prologue.push(BootNanos(3), &Record::WaitEnd(WaitEnd { thread: 5, idle: true }));
            prologue.push(BootNanos(4), &Record::WaitBegin(WaitBegin { thread: 6 }));
            prologue.commit(|_| true, |_| true);
            prologue
        };
        let listed = |threads: &[u32], why: &str| {
            let (how, why, threads) = ("events".into(), why.into(), threads.to_vec());
            Record::Waiters(Waiters { how, why, threads, ..Waiters::default() })
        };
        let mut followed = prologue("fexit", true);
        assert_eq!(followed.waiters(), Some((BootNanos(4), listed(&[6, 7], ""))));
        followed.push(BootNanos(9), &Record::Lost(Lost { events: 1 }));
        followed.push(BootNanos(11), &snapshot());
        assert_eq!(followed.waiters(), Some((BootNanos(4), listed(&[6, 7], ""))), "pending");
        followed.commit(|_| true, |_| true);
        assert_eq!(followed.waiters(), Some((BootNanos(11), listed(&[6, 7], EVENTS_LOST))));
        let edge = |flags, state| Record::Edge(Edge { source: 1, flags, state });
        let after = |records: &[Record]| {
            let mut prologue = prologue("fexit", true);
            let name = StringDef { id: 4, bytes: FREEZE.to_vec() };
            prologue.push(BootNanos(12), &Record::String(name));
            records.iter().for_each(|record| prologue.push(BootNanos(12), record));
            prologue.commit(|_| true, |_| true);
            prologue.waiters().map(|(_, record)| record)
        };
        let busy = [edge(0, Some(0x5_0001)), edge(EDGE_ACTIVE, None), edge(0, None)];
        assert_eq!(after(&busy), Some(listed(&[6, 7], "")), "one source is active");
        let idle = [&busy[..], &[edge(0, None)]].concat();
        assert_eq!(after(&idle), Some(listed(&[6], "")), "no hook sees the end of 7's wait");
        let freeze = Record::Phase(Phase { action: 4, value: 0, begin: true });
        assert_eq!(after(&[freeze]), Some(listed(&[6], "")));
        let write = Record::CountWrite(CountWrite { thread: 7, saved: true });
        assert_eq!(after(&[write]), Some(listed(&[6], "")));
        assert_eq!(prologue("", true).waiters(), None, "no hook sees waits");
        assert_eq!(prologue("fexit", false).waiters(), None, "the agent has not looked");
    }
}
