//! Finds the source that an edge belongs to by its name: the tracepoints pass the pointer of a
//! source's name, and nothing else.
//!
//! The kernel uses a pointer again after a source's death. Several sources may share one
//! (`eventpoll` is a constant of the kernel, and constants are not copied). A source may live and
//! die between two snapshots. So the probe sends the name at a pointer before the first edge with
//! that pointer, and again when the name has changed.

use std::collections::HashMap;

use sleepwalk_trace::record::{EDGE_ACTIVE, EDGE_SHARED};
use sleepwalk_trace::time::BootNanos;

/// Name pointers, the names there, and the sources that have them.
#[derive(Debug, Default)]
pub struct NameTable {
    /// The name at each pointer, as the probe sent it last, or from a snapshot if the probe has not
    /// sent one.
    names: HashMap<u64, NameAtPointer>,
    /// How many names were left the last time that some were forgotten.
    left: usize,
    /// The sources that have a pointer and a name. Snapshots without pointers use pointer 0.
    candidates: HashMap<(u64, u32), Candidates>,
    /// Counts the uses of names, to find the least recently used.
    clock: u64,
}

/// So many names are remembered: twice as many as the probe remembers having sent (`NAMES` in
/// `ebpf/src/bin/hooks/edges.rs`). The probe sends a name again once it has forgotten that it did.
pub const MAX_NAMES: usize = 8192;

#[derive(Debug)]
struct NameAtPointer {
    name: SourceName,
    /// [`NameTable::clock`] at the last use.
    used_at: u64,
}

/// The name of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceName {
    /// The number of the string.
    pub string: u32,
    /// The name is longer than the string, or could not be read.
    pub cut: bool,
}

/// The sources of one name at one pointer.
#[derive(Debug, Default)]
struct Candidates {
    /// The live instances, in ascending order. Once all are gone, the last of them.
    instances: Vec<u32>,
    /// Known from edges alone.
    only_in_edges: bool,
    /// When a snapshot showed none of them.
    gone_at: Option<BootNanos>,
    /// Whether the last edge since the last snapshot was an activation.
    active: Option<bool>,
    /// The edges contradict each other: there are several, and no snapshot has shown them yet.
    shared: bool,
}

/// The source that a name pointer leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// A source that is known.
    Source {
        /// Its number.
        instance: u32,
        /// For [`sleepwalk_trace::record::Edge::flags`].
        flags: u8,
    },
    /// A source of this name that is not known yet.
    NewSource(SourceName),
    /// The name at the pointer is not known: the event that the probe sent it in was lost.
    UnknownPointer,
}

impl NameTable {
    /// Stores the name that the probe sent.
    pub fn set_name(&mut self, pointer: u64, name: SourceName) {
        self.clock += 1;
        self.names.insert(pointer, NameAtPointer { name, used_at: self.clock });
        if self.names.len() > self.left.max(MAX_NAMES) + MAX_NAMES {
            self.forget_least_recently_used();
        }
    }

    /// Keeps the names of live sources: the probe may remember having sent one of these however
    /// long ago that was, because a CPU that sends little keeps its share of the probe's map
    /// (`struct bpf_lru_locallist`, `kernel/bpf/bpf_lru_list.c`, 7.3).
    fn forget_least_recently_used(&mut self) {
        let mut uses: Vec<_> = self.names.values().map(|at| at.used_at).collect();
        let (_, oldest, _) = uses.select_nth_unstable(self.names.len() - MAX_NAMES);
        let candidates = &self.candidates;
        self.names.retain(|pointer, NameAtPointer { name, used_at }| {
            // Printed sources have no pointers.
            let lives = |pointer| candidates.contains_key(&(pointer, name.string));
            *used_at >= *oldest || lives(*pointer) || lives(0)
        });
        self.left = self.names.len();
    }

    /// The sources that an edge may still lead to.
    pub fn instances(&self) -> impl Iterator<Item = u32> {
        self.candidates.values().flat_map(|candidates| candidates.instances.iter().copied())
    }

    /// How many entries there are.
    #[cfg(test)]
    pub fn sources(&self) -> usize {
        self.candidates.len()
    }

    /// The numbers of the names that an edge may still lead to.
    pub fn strings_in_use(&self) -> impl Iterator<Item = u32> {
        let of_sources = self.candidates.keys().map(|(_, string)| *string);
        of_sources.chain(self.names.values().map(|at| at.name.string))
    }

    /// Adds a source that a snapshot shows for the first time. Returns the instance that edges have
    /// given to it already; if there is none, it becomes `new_instance`.
    pub fn add_from_snapshot(
        &mut self,
        pointer: u64,
        name: SourceName,
        new_instance: u32,
    ) -> Option<u32> {
        if pointer != 0 {
            self.clock += 1;
            let at = NameAtPointer { name, used_at: self.clock };
            self.names.entry(pointer).or_insert(at);
        }
        let key = (pointer, name.string);
        let from_edge = match pointer {
            // Without pointers, only the name can match.
            0 => self.candidates.iter().find(|((_, n), c)| *n == name.string && c.only_in_edges),
            _ => self.candidates.get_key_value(&key).filter(|(_, c)| c.only_in_edges),
        };
        let from_edge = from_edge.map(|(key, candidates)| (*key, candidates.instances[0]));
        if let Some((key, instance)) = from_edge {
            let confirmed = Candidates { instances: vec![instance], ..Candidates::default() };
            self.candidates.insert(key, confirmed);
            return Some(instance);
        }
        let candidates = self.candidates.entry(key).or_default();
        if candidates.gone_at.take().is_some() {
            candidates.instances.clear();
        }
        candidates.instances.push(new_instance);
        None
    }

    /// Adds a source that an edge shows first.
    pub fn add_from_edge(&mut self, pointer: u64, name: SourceName, instance: u32, active: bool) {
        let candidates = Candidates {
            instances: vec![instance],
            only_in_edges: true,
            active: Some(active),
            ..Candidates::default()
        };
        self.candidates.insert((pointer, name.string), candidates);
        self.set_name(pointer, name);
    }

    /// Finds the source of an edge at `at`.
    pub fn resolve(&mut self, pointer: u64, active: bool, at: BootNanos) -> Resolved {
        self.clock += 1;
        let Some(named) = self.names.get_mut(&pointer) else { return Resolved::UnknownPointer };
        named.used_at = self.clock;
        let name = named.name;
        let exact = (pointer, name.string);
        let key = if self.candidates.contains_key(&exact) { exact } else { (0, name.string) };
        let Some(candidates) = self.candidates.get_mut(&key) else {
            return Resolved::NewSource(name);
        };
        // The kernel ends an activation after it has taken the source off its list
        // (`wakeup_source_unregister`, `drivers/base/power/wakeup.c`, 7.3).
        if active && candidates.gone_at.is_some_and(|gone_at| at > gone_at) {
            return Resolved::NewSource(name);
        }
        let Some(&instance) = candidates.instances.first() else {
            return Resolved::NewSource(name);
        };
        // A source is activated only while it is inactive (`wakeup_source_report_event`, same file).
        candidates.shared |= candidates.active.replace(active) == Some(active);
        let shared =
            if candidates.shared || candidates.instances.len() > 1 { EDGE_SHARED } else { 0 };
        let flags = shared | if active { EDGE_ACTIVE } else { 0 };
        Resolved::Source { instance, flags }
    }

    /// A whole snapshot at `at` showed the sources for which `is_live` holds, and no others.
    pub fn remove_missing(&mut self, at: BootNanos, is_live: impl Fn(u32) -> bool) {
        // A late edge may still belong to a source that is gone, but not after another snapshot.
        self.candidates.retain(|_, candidates| candidates.gone_at.is_none());
        for candidates in self.candidates.values_mut() {
            (candidates.active, candidates.shared) = (None, false);
            let last = candidates.instances.last().copied();
            candidates.instances.retain(|instance| is_live(*instance));
            if candidates.instances.is_empty() {
                candidates.instances.extend(last);
                candidates.only_in_edges = false;
                candidates.gone_at = Some(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SourceName = SourceName { string: 1, cut: false };
    const B: SourceName = SourceName { string: 2, cut: false };
    const T: [BootNanos; 4] = [BootNanos(10), BootNanos(20), BootNanos(30), BootNanos(40)];

    fn source(instance: u32, flags: u8) -> Resolved {
        Resolved::Source { instance, flags }
    }

    #[test]
    fn an_edge_leads_to_the_source_of_the_snapshot() {
        let mut table = NameTable::default();
        assert_eq!(table.resolve(16, true, T[0]), Resolved::UnknownPointer);
        assert_eq!(table.add_from_snapshot(16, A, 7), None);
        assert_eq!(table.resolve(16, true, T[0]), source(7, EDGE_ACTIVE));
        assert_eq!(table.resolve(16, false, T[0]), source(7, 0));
    }

    #[test]
    fn sources_that_share_a_pointer_are_marked() {
        let mut table = NameTable::default();
        table.add_from_snapshot(16, A, 7);
        table.add_from_snapshot(16, A, 9);
        assert_eq!(table.resolve(16, false, T[0]), source(7, EDGE_SHARED));
        table.remove_missing(T[1], |instance| instance == 9);
        assert_eq!(table.resolve(16, false, T[2]), source(9, 0));
    }

    #[test]
    fn a_snapshot_confirms_a_source_from_an_edge() {
        let mut table = NameTable::default();
        table.set_name(16, A);
        assert_eq!(table.resolve(16, true, T[0]), Resolved::NewSource(A));
        table.add_from_edge(16, A, 3, true);
        assert_eq!(table.resolve(16, false, T[0]), source(3, 0));
        assert_eq!(table.add_from_snapshot(16, A, 4), Some(3));
        // Once: another of that pointer and name is another source.
        assert_eq!(table.add_from_snapshot(16, A, 4), None);
    }

    #[test]
    fn without_pointers_names_match() {
        let mut table = NameTable::default();
        table.add_from_snapshot(0, A, 7);
        table.set_name(16, A);
        assert_eq!(table.resolve(16, true, T[0]), source(7, EDGE_ACTIVE));
        table.set_name(32, B);
        table.add_from_edge(32, B, 8, false);
        assert_eq!(table.add_from_snapshot(0, B, 9), Some(8));
        assert_eq!(table.resolve(32, true, T[0]), source(8, EDGE_ACTIVE));
    }

    #[test]
    fn a_pointer_used_again_is_another_source() {
        let mut table = NameTable::default();
        table.add_from_snapshot(16, A, 7);
        table.remove_missing(T[1], |_| false);
        // Earlier edges, and the end of an activation, still belong to the old one.
        assert_eq!(table.resolve(16, true, T[0]), source(7, EDGE_ACTIVE));
        assert_eq!(table.resolve(16, false, T[2]), source(7, 0));
        assert_eq!(table.resolve(16, true, T[2]), Resolved::NewSource(A));
        assert_eq!(table.add_from_snapshot(16, A, 8), None);
        assert_eq!(table.resolve(16, true, T[3]), source(8, EDGE_ACTIVE));
        // Another name at the same pointer.
        table.set_name(16, B);
        assert_eq!(table.resolve(16, true, T[3]), Resolved::NewSource(B));
    }

    #[test]
    fn recently_used_names_are_remembered() {
        let mut table = NameTable::default();
        for pointer in 1..=3 * MAX_NAMES as u64 {
            table.set_name(pointer, A);
            assert!(table.names.len() <= 2 * MAX_NAMES);
            assert_ne!(table.resolve(1, true, T[0]), Resolved::UnknownPointer, "{pointer}");
        }
        assert_eq!(table.resolve(2, true, T[0]), Resolved::UnknownPointer);
    }

    #[test]
    fn the_name_of_a_live_source_is_not_forgotten() {
        let mut table = NameTable::default();
        table.add_from_snapshot(16, A, 7);
        for pointer in 1..=3 * MAX_NAMES as u64 {
            table.set_name(pointer << 8, B);
        }
        assert_eq!(table.resolve(16, true, T[0]), source(7, EDGE_ACTIVE));
        table.remove_missing(T[1], |_| false);
        table.remove_missing(T[2], |_| false);
        for pointer in 1..=3 * MAX_NAMES as u64 {
            table.set_name(pointer << 8, B);
        }
        assert_eq!(table.resolve(16, true, T[3]), Resolved::UnknownPointer);
    }

    #[test]
    fn a_printed_live_source_keeps_its_name() {
        let mut table = NameTable::default();
        table.add_from_snapshot(0, A, 7);
        table.set_name(16, A);
        for pointer in 1..=3 * MAX_NAMES as u64 {
            table.set_name(pointer << 8, B);
        }
        assert_eq!(table.resolve(16, true, T[0]), source(7, EDGE_ACTIVE));
    }

    #[test]
    fn edges_that_contradict_are_of_several() {
        let mut table = NameTable::default();
        table.add_from_snapshot(16, A, 7);
        assert_eq!(table.resolve(16, true, T[0]), source(7, EDGE_ACTIVE));
        // Another `eventpoll`, born since the snapshot.
        assert_eq!(table.resolve(16, true, T[0]), source(7, EDGE_ACTIVE | EDGE_SHARED));
        assert_eq!(table.resolve(16, false, T[0]), source(7, EDGE_SHARED));
        // A snapshot shows them all: here, the other one is gone again.
        table.remove_missing(T[1], |instance| instance == 7);
        assert_eq!(table.resolve(16, false, T[2]), source(7, 0));
        assert_eq!(table.resolve(16, true, T[2]), source(7, EDGE_ACTIVE));
        assert_eq!(table.resolve(16, false, T[2]), source(7, 0));
        assert_eq!(table.resolve(16, false, T[3]), source(7, EDGE_SHARED));
    }

    #[test]
    fn a_second_snapshot_forgets_what_is_gone() {
        let mut table = NameTable::default();
        table.set_name(16, A);
        table.add_from_edge(16, A, 3, true);
        table.remove_missing(T[1], |_| false);
        assert_eq!(table.resolve(16, false, T[2]), source(3, 0));
        table.remove_missing(T[2], |_| false);
        assert_eq!(table.resolve(16, false, T[3]), Resolved::NewSource(A));
        assert!(table.candidates.is_empty());
    }
}
