//! Which source is which: kernel addresses and ids are used again, and names are not unique.
//!
//! An instance is one source from its registration to its removal, as far as snapshots can show:
//! the same (key, id, name) with counters that did not fall, and did not grow by more than the time that
//! passed. The last is needed because a source that is removed and registered again easily gets the same
//! memory and the same id, and because in a printed list another source of the name takes its place.

use std::collections::{HashMap, HashSet};

use sleepwalk_trace::record::{EDGE_ACTIVE, Edge, STATE_ACTIVE, STATE_TORN, SourceDef};
use sleepwalk_trace::snapshot::{Counters, SourceState};
use sleepwalk_trace::time::{BootNanos, MonoNanos};

use super::name_table::{NameTable, Resolved, SourceName};
use crate::snapshot::{Key, Sample};

/// The sources that the trace defines.
#[derive(Debug, Default)]
pub struct Instances {
    /// By key, and also by name if the key is only unique within a name.
    last_seen: HashMap<(Key, u32), LastSeen>,
    name_table: NameTable,
    next: u32,
    /// Sources that came up in edges since the last snapshot.
    only_in_edges: usize,
    /// Sources from before this number and known from edges alone are forgotten at the next look.
    before_last_look: u32,
}

/// When a sample was read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The number of its snapshot.
    pub snapshot: u64,
    /// When the snapshot began, CLOCK_BOOTTIME.
    pub boot: BootNanos,
    /// The same, CLOCK_MONOTONIC: the sample was read after it.
    pub from: MonoNanos,
    /// The sample was read before it, CLOCK_MONOTONIC.
    pub to: MonoNanos,
}

/// Where no snapshot is whole, a source that none of so many shows is forgotten.
const KEPT: u64 = 64;

/// Printed times are whole ms, and the total of an active source is off by up to another one.
const PRINTED_NS: u64 = 2_000_000;

/// With more sources that no snapshot has shown, a snapshot is due: it finds those that are gone.
const MAX_ONLY_IN_EDGES: usize = 4096;

/// A source in the last snapshot that had it.
#[derive(Debug)]
struct LastSeen {
    instance: u32,
    id: Option<u32>,
    name: u32,
    counters: Counters,
    /// How long it was held by then, in ns.
    held_ns: u64,
    read: Reading,
}

impl LastSeen {
    /// Whether `state` has more than one source can gain in the time since then.
    fn outgrown(&self, state: &SourceState, read: &Reading, printed: bool) -> bool {
        let passed_ns = read.to.0.saturating_sub(self.read.from.0);
        let grown_ns = state.held_ns(read.to).saturating_sub(self.held_ns);
        let activated = state.counters.active_count > self.counters.active_count;
        let before = state.counters.last_ns.saturating_add(PRINTED_NS) < self.read.from.0;
        !state.torn() && (grown_ns > passed_ns + PRINTED_NS || printed && activated && before)
    }
}

/// A sample, with the instance that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Identified {
    /// The instance.
    pub instance: u32,
    /// The sample's state, marked as torn or corrected if the sample before it requires that.
    pub state: SourceState,
    /// Defines the instance, if the trace does not have it yet.
    pub definition: Option<SourceDef>,
}

/// The source that an edge belongs to.
#[derive(Clone, Copy, Debug)]
pub enum EdgeOf {
    /// A source that the trace has.
    Known(Edge),
    /// A source that must be defined first.
    New(SourceDef, Edge),
    /// Nothing is known of the name pointer.
    Unknown,
}

impl Instances {
    /// How many sources came up in edges since the last snapshot.
    pub fn only_in_edges(&self) -> usize {
        self.only_in_edges
    }

    /// Whether a snapshot is due because too many sources are known from edges alone.
    pub fn snapshot_due(&self) -> bool {
        self.only_in_edges > MAX_ONLY_IN_EDGES
    }

    /// Finds the instance of `sample`, which has the name numbered `name`.
    pub fn identify(&mut self, sample: &Sample<'_>, name: u32, read: Reading) -> Identified {
        let mut state = sample.state;
        let key = (sample.key, if let Key::Nth(_) = sample.key { name } else { 0 });
        let printed = !matches!(sample.key, Key::Address(_));
        let last = self.last_seen.get_mut(&key);
        if printed && let Some(last) = &last {
            keep_total(&last.counters, &mut state);
        }
        // Printed sources are read one after the other: this one changed after the snapshot's stamp.
        if printed && state.counters.last_ns > read.from.0 {
            state.state |= STATE_TORN;
        }
        let counters = state.counters;
        let same = last.filter(|last| {
            last.id == sample.id
                && last.name == name
                && !fell(&last.counters, &counters)
                && !last.outgrown(&state, &read, printed)
        });
        let held_ns = state.held_ns(read.from);
        if let Some(last) = same {
            // Printed times are exact to the ms, in which two changes may come.
            if !printed && half_changed(&last.counters, &counters) {
                state.state |= STATE_TORN;
            }
            (last.counters, last.held_ns, last.read) = (counters, held_ns, read);
            return Identified { instance: last.instance, state, definition: None };
        }
        let source_name = SourceName { string: name, cut: sample.name_cut };
        let from_edge =
            self.name_table.add_from_snapshot(sample.name_pointer, source_name, self.next);
        let instance = from_edge.unwrap_or_else(|| self.new_instance());
        let last = LastSeen { instance, id: sample.id, name, counters, held_ns, read };
        self.last_seen.insert(key, last);
        let definition = SourceDef {
            instance,
            name,
            name_cut: sample.name_cut,
            id: sample.id,
            address: sample.address(),
            name_pointer: sample.name_pointer,
        };
        Identified { instance, state, definition: Some(definition) }
    }

    /// The snapshot numbered `snapshot` was taken at `at`. If it is whole, the sources that it does
    /// not have are gone, and what comes later at their addresses is new.
    pub fn snapshot_taken(&mut self, snapshot: u64, at: BootNanos, whole: bool) {
        self.only_in_edges = 0;
        let look = snapshot.is_multiple_of(KEPT);
        if !whole && !look {
            return;
        }
        let shown_since = if whole { snapshot } else { snapshot.saturating_sub(KEPT) };
        self.last_seen.retain(|_, last| last.read.snapshot >= shown_since);
        let live: HashSet<_> = self.last_seen.values().map(|last| last.instance).collect();
        // One that is not whole lacks sources that live.
        let new = if whole { self.next } else { self.before_last_look };
        self.name_table.remove_missing(at, |one| one >= new || live.contains(&one));
        if look {
            self.before_last_look = self.next;
        }
    }

    /// The sources that a record may still refer to.
    pub fn in_use(&self) -> HashSet<u32> {
        let shown = self.last_seen.values().map(|last| last.instance);
        shown.chain(self.name_table.instances()).collect()
    }

    /// The numbers of the names that a record may still refer to.
    pub fn names_in_use(&self) -> HashSet<u32> {
        let mut used: HashSet<_> = self.last_seen.values().map(|last| last.name).collect();
        used.extend(self.name_table.strings_in_use());
        used
    }

    /// The probe sent the name at a pointer: from now on edges with this pointer have this name.
    pub fn set_name(&mut self, pointer: u64, name: SourceName) {
        self.name_table.set_name(pointer, name);
    }

    /// Finds the source of an edge at `at` by its name pointer. The edge has no state yet.
    pub fn edge(&mut self, pointer: u64, active: bool, at: BootNanos) -> EdgeOf {
        match self.name_table.resolve(pointer, active, at) {
            Resolved::Source { instance, flags } => {
                EdgeOf::Known(Edge { source: instance, flags, state: None })
            }
            Resolved::NewSource(name) => {
                let (definition, edge) = self.new_source(pointer, name, active);
                EdgeOf::New(definition, edge)
            }
            Resolved::UnknownPointer => EdgeOf::Unknown,
        }
    }

    /// Makes a new source of an edge, named `name`, which no snapshot has shown.
    pub fn new_source(
        &mut self,
        pointer: u64,
        name: SourceName,
        active: bool,
    ) -> (SourceDef, Edge) {
        let instance = self.new_instance();
        self.only_in_edges += 1;
        self.name_table.add_from_edge(pointer, name, instance, active);
        let definition = SourceDef {
            instance,
            name: name.string,
            name_cut: name.cut,
            id: None,
            address: 0,
            name_pointer: pointer,
        };
        let flags = if active { EDGE_ACTIVE } else { 0 };
        (definition, Edge { source: instance, flags, state: None })
    }

    fn new_instance(&mut self) -> u32 {
        let instance = self.next;
        self.next += 1;
        instance
    }
}

/// Whether a counter fell that never falls while a source lives. `relax_count` may: a deactivation
/// that finds nothing to do takes its step back (`wakeup_source_deactivate`, 7.3).
fn fell(old: &Counters, new: &Counters) -> bool {
    new.active_count < old.active_count
        || new.event_count < old.event_count
        || new.wakeup_count < old.wakeup_count
        || new.expire_count < old.expire_count
        || new.total_ns < old.total_ns
        || new.max_ns < old.max_ns
        || new.last_ns < old.last_ns
}

/// `total_time` changes together with `last_time` (`wakeup_source_deactivate`, 7.3). A printed
/// total contains the current activation, whose length is subtracted with a rounding error that
/// varies: the first result is kept.
fn keep_total(old: &Counters, state: &mut SourceState) {
    let new = &mut state.counters;
    if state.state & STATE_ACTIVE != 0
        && new.active_count == old.active_count
        && new.last_ns == old.last_ns
    {
        new.total_ns = old.total_ns;
    }
}

/// Whether the counts show a transition that `last_time`, which changes last, does not: the source
/// was changing, and its times don't belong to its counts. The probe's own check cannot see that.
fn half_changed(old: &Counters, new: &Counters) -> bool {
    let counted = new.active_count != old.active_count || new.relax_count != old.relax_count;
    counted && new.last_ns == old.last_ns
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::snapshot::COUNTERS;

    use super::*;
    use crate::identity::strings::StringTable;

    const HOUR_NS: u64 = 3_600_000_000_000;

    /// Instances, and the strings that their names are numbers of.
    #[derive(Default)]
    struct Fixture {
        instances: Instances,
        strings: StringTable,
    }

    impl Fixture {
        fn identify(&mut self, sample: &Sample<'_>, snapshot: u64) -> Identified {
            // Enough time passes for any counter.
            self.identify_at(sample, snapshot, MonoNanos(snapshot * HOUR_NS))
        }

        fn identify_at(&mut self, sample: &Sample<'_>, snapshot: u64, at: MonoNanos) -> Identified {
            let (name, _) = self.strings.name(sample.name);
            let read = Reading { snapshot, boot: BootNanos(at.0), from: at, to: at };
            self.instances.identify(sample, name, read)
        }

        /// The instances that one snapshot gets.
        fn snapshot(&mut self, number: u64, samples: &[Sample<'_>]) -> Vec<u32> {
            let instances = samples.iter().map(|s| self.identify(s, number).instance).collect();
            self.instances.snapshot_taken(number, BootNanos(number), true);
            instances
        }
    }

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

    #[test]
    fn an_instance_lasts_until_contradicted() {
        let mut f = Fixture::default();
        assert_eq!(f.snapshot(1, &[sample(16, 1, b"a", 5), sample(32, 2, b"a", 1)]), [0, 1]);
        assert_eq!(f.snapshot(2, &[sample(16, 1, b"a", 5), sample(32, 2, b"a", 9)]), [0, 1]);
        // A counter that fell, another id, another name: another source.
        assert_eq!(f.snapshot(3, &[sample(16, 1, b"a", 4), sample(32, 3, b"a", 9)]), [2, 3]);
        assert_eq!(f.snapshot(4, &[sample(16, 1, b"b", 4)]), [4]);
        // Missing in the last snapshot, so another one although nothing differs.
        assert_eq!(f.snapshot(5, &[sample(16, 1, b"b", 4), sample(32, 3, b"a", 9)]), [4, 5]);
    }

    #[test]
    fn without_an_address_id_or_place_identifies() {
        let mut f = Fixture::default();
        let keyed = |key, name| Sample { key, id: None, name_pointer: 0, ..sample(0, 0, name, 5) };
        let first = [keyed(Key::Nth(0), b"a"), keyed(Key::Nth(1), b"a"), keyed(Key::Nth(0), b"b")];
        assert_eq!(f.snapshot(1, &first), [0, 1, 2]);
        assert_eq!(f.snapshot(2, &first), [0, 1, 2]);
        assert_eq!(f.snapshot(3, &first[1..]), [1, 2]);
        let ids = [keyed(Key::Id(1), b"a"), keyed(Key::Id(2), b"a")];
        assert_eq!(f.snapshot(4, &ids), [3, 4]);
        assert_eq!(f.snapshot(5, &[keyed(Key::Id(1), b"c"), ids[1]]), [5, 4]);
    }

    #[test]
    fn jitter_of_a_printed_total_is_ignored() {
        let mut f = Fixture::default();
        let mut seen = Sample { key: Key::Nth(0), ..sample(0, 0, b"a", 5) };
        seen.state.state = STATE_ACTIVE;
        for (number, total_ns) in [(1, 4_000_000), (2, 3_000_000), (3, 4_000_000)] {
            seen.state.counters.total_ns = total_ns;
            assert_eq!(f.snapshot(number, &[seen]), [0]);
        }
        seen.state.counters.total_ns = 3_000_000;
        let identified = f.identify(&seen, 4);
        assert_eq!(identified.instance, 0);
        assert_eq!(identified.state.counters.total_ns, 4_000_000);
    }

    #[test]
    fn any_counter_that_fell_makes_another_source() {
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
        let mut f = Fixture::default();
        let mut before = sample(16, 1, b"a", 5);
        before.state.counters.relax_count = 5;
        f.snapshot(1, &[before]);
        let mut after = before;
        after.state.counters.active_count = 6;
        let identified = f.identify(&after, 2);
        assert!(identified.instance == 0 && identified.state.torn());
        after.state.counters.active_count = 7;
        after.state.counters.last_ns += 1;
        let identified = f.identify(&after, 3);
        assert!(identified.instance == 0 && !identified.state.torn());
    }

    const SECOND: u64 = 1_000_000_000;

    fn printed(key: Key, active_count: u64, total_ns: u64, last_ns: u64) -> Sample<'static> {
        let mut sample = sample(0, 0, b"eventpoll", active_count);
        (sample.key, sample.name_pointer, sample.id) = (key, 0, None);
        let counters = &mut sample.state.counters;
        (counters.total_ns, counters.last_ns) = (total_ns, last_ns);
        sample
    }

    /// The oldest of two dies, and the other takes its number.
    #[test]
    fn the_death_of_an_older_namesake_is_no_hold() {
        let nth = |n, total| printed(Key::Nth(n), 10 * total, total * SECOND, 50 * SECOND);
        let mut f = Fixture::default();
        let at = |s: u64| MonoNanos(s * SECOND);
        let first = f.identify_at(&nth(0, 1), 1, at(4_000)).instance;
        let second = f.identify_at(&nth(1, 3_600), 1, at(4_000)).instance;
        f.instances.snapshot_taken(1, BootNanos(1), true);
        let taken = f.identify_at(&nth(0, 3_600), 2, at(4_060)).instance;
        assert!(taken != first && taken != second, "one of {first} and {second}");
        // By its count: the hold is short, but was over before the snapshot before.
        let mut f = Fixture::default();
        let quiet = printed(Key::Nth(0), 1, 0, 10 * SECOND);
        let other = printed(Key::Nth(0), 9, 0, 20 * SECOND);
        let first = f.identify_at(&quiet, 1, at(100)).instance;
        assert_ne!(f.identify_at(&other, 2, at(101)).instance, first);
        // One that goes on being held gains what passes.
        let mut f = Fixture::default();
        let mut held = printed(Key::Nth(0), 1, 0, 10 * SECOND);
        held.state.state = STATE_ACTIVE;
        let first = f.identify_at(&held, 1, at(100)).instance;
        let released = printed(Key::Nth(0), 1, 100 * SECOND, 110 * SECOND);
        assert_eq!(f.identify_at(&released, 2, at(111)).instance, first);
    }

    #[test]
    fn a_source_read_after_a_change_is_torn() {
        let mut f = Fixture::default();
        let (name, _) = f.strings.name(b"eventpoll");
        let sample = printed(Key::Id(3), 2, 0, 7 * SECOND);
        let from = MonoNanos(6 * SECOND);
        let read = Reading { snapshot: 1, boot: BootNanos(0), from, to: MonoNanos(8 * SECOND) };
        assert!(f.instances.identify(&sample, name, read).state.torn());
        let earlier = printed(Key::Id(3), 2, 0, 5 * SECOND);
        assert!(!f.instances.identify(&earlier, name, read).state.torn());
    }

    #[test]
    fn tables_stay_small_without_whole_snapshots() {
        let mut f = Fixture::default();
        for snapshot in 0..40 * KEPT {
            // A device that leaks sources: the walk has no room for the older ones.
            f.identify(&sample(64 * (snapshot + 1), snapshot as u32, b"leak", 1), snapshot);
            let pointer = 1_000_000 + snapshot;
            f.instances.set_name(pointer, SourceName { string: 1_000, cut: false });
            f.instances.edge(pointer, true, BootNanos(snapshot));
            f.instances.snapshot_taken(snapshot, BootNanos(snapshot), false);
        }
        let limit = 4 * KEPT as usize;
        assert!(f.instances.last_seen.len() <= limit, "{}", f.instances.last_seen.len());
        let names = f.instances.name_table.sources();
        assert!(names <= 2 * limit, "{names}");
    }

    #[test]
    fn names_of_dead_sources_go_out_of_use() {
        let mut f = Fixture::default();
        let mut most = 0;
        for round in 0..200u64 {
            f.identify(&sample(16, 1, b"stays", round), round);
            for n in 0..100u64 {
                // Every name is new, and every pointer.
                let (pointer, name) = (1_000_000 + round * 100 + n, format!("{round}-{n}"));
                let (string, _) = f.strings.name(name.as_bytes());
                f.instances.set_name(pointer, SourceName { string, cut: false });
                let edge = f.instances.edge(pointer, true, BootNanos(round));
                assert!(matches!(edge, EdgeOf::New(..)));
            }
            f.instances.snapshot_taken(round, BootNanos(round), true);
            most = most.max(f.instances.names_in_use().len());
        }
        // The name table keeps twice as many at most.
        assert!(most <= 2 * crate::identity::name_table::MAX_NAMES + 1, "{most} names");
        let (stays, _) = f.strings.name(b"stays");
        let (first, _) = f.strings.name(b"0-0");
        let used = f.instances.names_in_use();
        assert!(used.contains(&stays) && !used.contains(&first));
    }

    #[test]
    fn many_sources_from_edges_make_a_snapshot_due() {
        let mut f = Fixture::default();
        let name = SourceName { string: 0, cut: false };
        for pointer in 1..=MAX_ONLY_IN_EDGES as u64 + 1 {
            assert!(!f.instances.snapshot_due());
            f.instances.set_name(pointer, name);
            f.instances.edge(pointer, true, BootNanos(1));
        }
        assert!(f.instances.snapshot_due());
        f.instances.snapshot_taken(1, BootNanos(1), false);
        assert!(!f.instances.snapshot_due());
    }
}
