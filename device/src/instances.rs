//! Which source is which: kernel addresses and ids are used again, names are not unique.
//!
//! An instance is one source from its registration to its removal, as far as snapshots can tell: the
//! same (key, id, name) with counters that did not fall. The last is needed: a source that is removed
//! and made anew readily gets the same memory and the same id.

use std::collections::{BTreeMap, HashMap, HashSet};

use sleepwalk_trace::record::{
    EDGE_ACTIVE, Edge, Record, STATE_ACTIVE, STATE_TORN, SourceDef, StringDef,
};
use sleepwalk_trace::snapshot::{Counters, SourceState};
use sleepwalk_trace::time::BootNanos;

use crate::pointers::{Meant, Name, Pointers};
use crate::source::{Key, Sample};

/// The sources and strings that the trace has been told of.
#[derive(Debug, Default)]
pub struct Instances {
    texts: HashMap<Vec<u8>, Told>,
    /// By key, and by name where the key counts within a name.
    known: HashMap<(Key, u32), Known>,
    pointers: Pointers,
    next: u32,
    next_text: u32,
    /// Strings that were left when some were forgotten last.
    texts_kept: usize,
    /// Sources that edges told of since the last snapshot.
    met: usize,
}

/// A string that the trace has.
#[derive(Clone, Copy, Debug)]
struct Told {
    id: u32,
    /// It is not only a source's name.
    lasting: bool,
}

/// So many sources that no snapshot has shown are remembered; then it is time to take one, which tells
/// those that are gone.
const MOST_MET: usize = 4096;

/// So few strings more than last time are not worth looking through.
const FEW_TEXTS: usize = 512;

#[derive(Debug)]
struct Known {
    instance: u32,
    id: Option<u32>,
    name: u32,
    counters: Counters,
    /// Number of the last snapshot that had it.
    seen_in: u64,
}

impl Instances {
    /// The number of a string; `tell` gets the record that introduces a new one.
    pub fn text(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Record)) -> u32 {
        if let Some(told) = self.texts.get(bytes) {
            return told.id;
        }
        let id = self.next_text;
        self.next_text += 1;
        self.texts.insert(bytes.to_vec(), Told { id, lasting: false });
        tell(Record::String(StringDef { id, bytes: bytes.to_vec() }));
        id
    }

    /// The same for a string that is never forgotten.
    pub fn lasting_text(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Record)) -> u32 {
        let id = self.text(bytes, tell);
        if let Some(told) = self.texts.get_mut(bytes) {
            told.lasting = true;
        }
        id
    }

    /// The strings that are not told again.
    pub fn known_texts(&self) -> HashSet<u32> {
        self.texts.values().map(|told| told.id).collect()
    }

    /// Whether a snapshot is due, because too many sources are known by edges alone.
    pub fn crowded(&self) -> bool {
        self.met > MOST_MET
    }

    /// A snapshot was taken, whole or not.
    pub fn looked(&mut self) {
        self.met = 0;
    }

    /// Adds `sample` to the snapshot numbered `snapshot`; `tell` gets what introduces a new source.
    pub fn add(
        &mut self,
        sample: &Sample<'_>,
        snapshot: u64,
        into: &mut BTreeMap<u32, SourceState>,
        tell: &mut dyn FnMut(Record),
    ) {
        let name = self.text(sample.name, tell);
        let mut state = sample.state;
        let key = (sample.key, if let Key::Nth(_) = sample.key { name } else { 0 });
        let printed = !matches!(sample.key, Key::Address(_));
        let known = self.known.get_mut(&key);
        if printed && let Some(known) = &known {
            settle(&known.counters, &mut state);
        }
        let counters = state.counters;
        let same = known.filter(|known| {
            known.id == sample.id && known.name == name && !fell(&known.counters, &counters)
        });
        let instance = if let Some(known) = same {
            // Two changes may come within the ms that printed times are exact to.
            if !printed && half_changed(&known.counters, &counters) {
                state.state |= STATE_TORN;
            }
            known.counters = counters;
            known.seen_in = snapshot;
            known.instance
        } else {
            let called = Name { text: name, cut: sample.name_cut };
            let met = self.pointers.show(sample.name_pointer, called, self.next);
            let instance = met.unwrap_or_else(|| self.fresh());
            let known = Known { instance, id: sample.id, name, counters, seen_in: snapshot };
            self.known.insert(key, known);
            tell(Record::Source(SourceDef {
                instance,
                name,
                name_cut: sample.name_cut,
                id: sample.id,
                address: sample.address(),
                name_pointer: sample.name_pointer,
            }));
            instance
        };
        into.insert(instance, state);
    }

    /// Forgets the sources that a complete snapshot, taken at `at`, did not have: what comes later at
    /// their addresses is new.
    pub fn retire(&mut self, snapshot: u64, at: BootNanos) {
        self.known.retain(|_, known| known.seen_in == snapshot);
        let live: HashSet<_> = self.known.values().map(|known| known.instance).collect();
        self.pointers.retire(at, |instance| live.contains(&instance));
        if self.texts.len() > 2 * self.texts_kept + FEW_TEXTS {
            self.forget();
        }
    }

    /// Forgets the names that only dead sources had: one that comes up again is told anew, under
    /// another number.
    fn forget(&mut self) {
        let mut used: HashSet<_> = self.known.values().map(|known| known.name).collect();
        used.extend(self.pointers.texts());
        self.texts.retain(|_, told| told.lasting || used.contains(&told.id));
        self.texts.shrink_to_fit();
        self.texts_kept = self.texts.len();
    }

    /// The probe says which name stands at a pointer from now on.
    pub fn name_pointer(
        &mut self,
        pointer: u64,
        name: &[u8],
        cut: bool,
        tell: &mut dyn FnMut(Record),
    ) {
        let text = self.text(name, tell);
        self.pointers.name(pointer, Name { text, cut });
    }

    /// The edge that the probe saw at `at` on the source with this name pointer, without its state;
    /// `None` where the name was never told. `tell` gets what introduces a new source.
    pub fn edge(
        &mut self,
        pointer: u64,
        active: bool,
        at: BootNanos,
        tell: &mut dyn FnMut(Record),
    ) -> Option<Edge> {
        let name = match self.pointers.meant(pointer, active, at) {
            Meant::Source(source, flags) => return Some(Edge { source, flags, state: None }),
            Meant::New(name) => name,
            Meant::Unknown => return None,
        };
        Some(self.meet(pointer, name, active, tell))
    }

    /// The same for a pointer of which nothing can be learnt any more.
    pub fn nameless_edge(
        &mut self,
        pointer: u64,
        active: bool,
        tell: &mut dyn FnMut(Record),
    ) -> Edge {
        let name = Name { text: self.text(b"", tell), cut: true };
        self.meet(pointer, name, active, tell)
    }

    fn meet(
        &mut self,
        pointer: u64,
        name: Name,
        active: bool,
        tell: &mut dyn FnMut(Record),
    ) -> Edge {
        let source = self.fresh();
        self.met += 1;
        self.pointers.meet(pointer, name, source);
        tell(Record::Source(SourceDef {
            instance: source,
            name: name.text,
            name_cut: name.cut,
            id: None,
            address: 0,
            name_pointer: pointer,
        }));
        Edge { source, flags: if active { EDGE_ACTIVE } else { 0 }, state: None }
    }

    fn fresh(&mut self) -> u32 {
        let instance = self.next;
        self.next += 1;
        instance
    }
}

/// Whether one of those counters is lower that never fall while a source lives. `relax_count` may: a
/// deactivation that finds nothing to do takes its step back (`wakeup_source_deactivate`, 7.3).
fn fell(old: &Counters, new: &Counters) -> bool {
    new.active_count < old.active_count
        || new.event_count < old.event_count
        || new.wakeup_count < old.wakeup_count
        || new.expire_count < old.expire_count
        || new.total_ns < old.total_ns
        || new.max_ns < old.max_ns
        || new.last_ns < old.last_ns
}

/// `total_time` changes together with `last_time` (`wakeup_source_deactivate`, 7.3). Where it is printed,
/// the activation under way was in it and had to be taken out, with an error that differs from time
/// to time: the first that was found stays.
fn settle(old: &Counters, state: &mut SourceState) {
    let new = &mut state.counters;
    if state.state & STATE_ACTIVE != 0
        && new.active_count == old.active_count
        && new.last_ns == old.last_ns
    {
        new.total_ns = old.total_ns;
    }
}

/// Whether a transition shows in the counts and not in `last_time`, which it changes last: it was
/// under way, and the times don't belong to the counts. The probe's own guard can't see that.
fn half_changed(old: &Counters, new: &Counters) -> bool {
    let counted = new.active_count != old.active_count || new.relax_count != old.relax_count;
    counted && new.last_ns == old.last_ns
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::snapshot::COUNTERS;

    use super::*;

    fn sample(address: u64, id: u32, name: &[u8], active_count: u64) -> Sample<'_> {
        let counters = Counters { active_count, last_ns: active_count, ..Counters::default() };
        let state = SourceState { state: 0, counters };
        Sample {
            key: Key::Address(address),
            name_pointer: address + 8,
            id: Some(id),
            name,
            name_cut: false,
            state,
        }
    }

    /// The instances that one snapshot gets.
    fn snapshot(instances: &mut Instances, number: u64, samples: &[Sample<'_>]) -> Vec<u32> {
        let mut told = 0;
        let mut numbers = Vec::new();
        for sample in samples {
            let mut into = BTreeMap::new();
            instances.add(sample, number, &mut into, &mut |_| told += 1);
            numbers.extend(into.keys());
        }
        instances.retire(number, BootNanos(number));
        numbers
    }

    #[test]
    fn a_source_keeps_its_instance_until_anything_contradicts_it() {
        let mut i = Instances::default();
        assert_eq!(snapshot(&mut i, 1, &[sample(16, 1, b"a", 5), sample(32, 2, b"a", 1)]), [0, 1]);
        assert_eq!(snapshot(&mut i, 2, &[sample(16, 1, b"a", 5), sample(32, 2, b"a", 9)]), [0, 1]);
        // A counter that fell, another id, another name: another source.
        assert_eq!(snapshot(&mut i, 3, &[sample(16, 1, b"a", 4), sample(32, 3, b"a", 9)]), [2, 3]);
        assert_eq!(snapshot(&mut i, 4, &[sample(16, 1, b"b", 4)]), [4]);
        // Away in the last snapshot, so another one although nothing differs.
        assert_eq!(snapshot(&mut i, 5, &[sample(16, 1, b"b", 4), sample(32, 3, b"a", 9)]), [4, 5]);
    }

    #[test]
    fn sources_without_an_address_are_known_by_id_or_by_name_and_place() {
        let mut i = Instances::default();
        let keyed = |key, name| Sample { key, id: None, name_pointer: 0, ..sample(0, 0, name, 5) };
        let first = [keyed(Key::Nth(0), b"a"), keyed(Key::Nth(1), b"a"), keyed(Key::Nth(0), b"b")];
        assert_eq!(snapshot(&mut i, 1, &first), [0, 1, 2]);
        assert_eq!(snapshot(&mut i, 2, &first), [0, 1, 2]);
        assert_eq!(snapshot(&mut i, 3, &first[1..]), [1, 2]);
        let ids = [keyed(Key::Id(1), b"a"), keyed(Key::Id(2), b"a")];
        assert_eq!(snapshot(&mut i, 4, &ids), [3, 4]);
        assert_eq!(snapshot(&mut i, 5, &[keyed(Key::Id(1), b"c"), ids[1]]), [5, 4]);
    }

    #[test]
    fn a_printed_total_that_jitters_is_no_other_source() {
        let mut i = Instances::default();
        let mut seen = Sample { key: Key::Nth(0), ..sample(0, 0, b"a", 5) };
        seen.state.state = STATE_ACTIVE;
        for (number, total_ns) in [(1, 4_000_000), (2, 3_000_000), (3, 4_000_000)] {
            seen.state.counters.total_ns = total_ns;
            assert_eq!(snapshot(&mut i, number, &[seen]), [0]);
        }
        let mut into = BTreeMap::new();
        seen.state.counters.total_ns = 3_000_000;
        i.add(&seen, 4, &mut into, &mut |_| {});
        assert_eq!(into[&0].counters.total_ns, 4_000_000);
    }

    #[test]
    fn a_source_made_anew_in_the_same_place_is_another_whichever_counter_tells() {
        let old = Counters::from_array([5; COUNTERS]);
        for counter in (0..COUNTERS).filter(|counter| ![4, 8, 9].contains(counter)) {
            let mut values = [6; COUNTERS];
            values[counter] = 4;
            assert!(fell(&old, &Counters::from_array(values)), "counter {counter}");
        }
        assert!(!fell(&old, &old));
    }

    #[test]
    fn a_transition_without_its_time_is_torn() {
        let mut i = Instances::default();
        let mut before = sample(16, 1, b"a", 5);
        before.state.counters.relax_count = 5;
        snapshot(&mut i, 1, &[before]);
        let mut into = BTreeMap::new();
        let mut after = before;
        after.state.counters.active_count = 6;
        i.add(&after, 2, &mut into, &mut |_| {});
        assert!(into[&0].torn());
        after.state.counters.active_count = 7;
        after.state.counters.last_ns += 1;
        i.add(&after, 3, &mut into, &mut |_| {});
        assert!(!into[&0].torn());
    }

    #[test]
    fn what_only_dead_sources_had_is_forgotten_and_told_anew() {
        let mut i = Instances::default();
        let lasting = i.lasting_text(b"suspend_enter", &mut |_| {});
        let mut most = 0;
        for round in 0..200u64 {
            let mut into = BTreeMap::new();
            let seen = sample(16, 1, b"stays", round);
            i.add(&seen, round, &mut into, &mut |_| {});
            for n in 0..100u64 {
                // Every name is new, every pointer too.
                let (pointer, name) = (1_000_000 + round * 100 + n, format!("{round}-{n}"));
                i.name_pointer(pointer, name.as_bytes(), false, &mut |_| {});
                let edge = i.edge(pointer, true, BootNanos(round), &mut |_| {});
                assert!(edge.is_some());
            }
            i.looked();
            i.retire(round, BootNanos(round));
            most = most.max(i.texts.len());
        }
        let names = crate::pointers::MOST_NAMES;
        assert!(most <= 3 * names + FEW_TEXTS, "{most} strings");
        let mut told = 0;
        assert_eq!(i.lasting_text(b"suspend_enter", &mut |_| told += 1), lasting);
        assert_eq!(told, 0);
        let numbers = i.known_texts().len();
        let anew = i.text(b"0-0", &mut |_| told += 1);
        assert_eq!((told, i.known_texts().len()), (1, numbers + 1));
        assert!(anew >= 20_000, "{anew} had been used");
    }

    #[test]
    fn many_sources_met_in_edges_ask_for_a_snapshot() {
        let mut i = Instances::default();
        for pointer in 1..=MOST_MET as u64 + 1 {
            assert!(!i.crowded());
            i.name_pointer(pointer, b"a", false, &mut |_| {});
            i.edge(pointer, true, BootNanos(1), &mut |_| {});
        }
        assert!(i.crowded());
        i.looked();
        assert!(!i.crowded());
    }

    #[test]
    fn a_name_is_told_once_and_kept_to_the_byte() {
        let mut i = Instances::default();
        let mut told = Vec::new();
        let name = b"\xff \n\x1b[31m";
        assert_eq!(i.text(name, &mut |r| told.push(r)), 0);
        assert_eq!(i.text(name, &mut |r| told.push(r)), 0);
        assert_eq!(told, [Record::String(StringDef { id: 0, bytes: name.to_vec() })]);
    }
}
