//! Which sources an edge means: the tracepoints pass the pointer of a source's name, and that alone.
//!
//! Pointers are used again after a source's death, several sources may share one (`eventpoll` is a
//! constant of the kernel, and constants are not copied), and a source may live and die between two
//! snapshots. The probe says what stands at a pointer before the first edge that means it, and again
//! when it has changed.

use std::collections::HashMap;

use sleepwalk_trace::record::{EDGE_ACTIVE, EDGE_SHARED};
use sleepwalk_trace::time::BootNanos;

/// What name pointers stand for.
#[derive(Debug, Default)]
pub struct Pointers {
    /// The number of the name at a pointer, and whether it is cut; as the probe said last, or a
    /// snapshot where the probe has not.
    names: HashMap<u64, Standing>,
    /// Names that were left when some were forgotten last.
    kept: usize,
    /// The sources that have a pointer and a name. Pointer 0: of snapshots that have no pointers.
    entries: HashMap<(u64, u32), Entry>,
    /// Counts what was said and asked.
    now: u64,
}

/// So many names are remembered: twice as many as the probe remembers to have told
/// (`NAMES` in `ebpf/src/bin/hooks/edges.rs`), which tells what it has forgotten anew.
pub const MOST_NAMES: usize = 8192;

/// What stands at a pointer.
#[derive(Debug)]
struct Standing {
    name: Name,
    /// [`Pointers::now`] when it was said or asked for last.
    used_at: u64,
}

/// A name at a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its number in the trace.
    pub text: u32,
    /// It goes on beyond that, or could not be read.
    pub cut: bool,
}

#[derive(Debug)]
struct Entry {
    /// The instances alive, in ascending order; after that the last of them.
    instances: Vec<u32>,
    /// Known by edges alone.
    unconfirmed: bool,
    /// When a snapshot was without them all.
    gone: Option<BootNanos>,
}

/// What an edge means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// This instance; with the bits for [`sleepwalk_trace::record::Edge::what`].
    Source(u32, u8),
    /// A source that no snapshot has shown yet, of this name.
    New(Name),
    /// Nobody has said what stands at the pointer: the probe's word was dropped.
    Unknown,
}

impl Pointers {
    /// The probe says what stands at a pointer.
    pub fn name(&mut self, pointer: u64, name: Name) {
        self.now += 1;
        self.names.insert(pointer, Standing { name, used_at: self.now });
        if self.names.len() > self.kept.max(MOST_NAMES) + MOST_NAMES {
            self.forget();
        }
    }

    /// Forgets the names that nobody has asked for longest, but not those of sources that live. The
    /// probe may take one of these for told however long ago that was: what a CPU told that has told
    /// little since stays in its map (`struct bpf_lru_locallist`, `kernel/bpf/bpf_lru_list.c`, 7.3).
    fn forget(&mut self) {
        let mut ages: Vec<_> = self.names.values().map(|standing| standing.used_at).collect();
        let (_, oldest, _) = ages.select_nth_unstable(self.names.len() - MOST_NAMES);
        let entries = &self.entries;
        self.names.retain(|pointer, Standing { name, used_at }| {
            *used_at >= *oldest || entries.contains_key(&(*pointer, name.text))
        });
        self.kept = self.names.len();
    }

    /// The numbers of the names that an edge may still mean.
    pub fn texts(&self) -> impl Iterator<Item = u32> {
        let entries = self.entries.keys().map(|(_, text)| *text);
        entries.chain(self.names.values().map(|standing| standing.name.text))
    }

    /// A snapshot shows a source that it had not shown before. Returns the instance that edges have
    /// given it already; else `fresh` is its instance.
    pub fn show(&mut self, pointer: u64, name: Name, fresh: u32) -> Option<u32> {
        if pointer != 0 {
            self.now += 1;
            let standing = Standing { name, used_at: self.now };
            self.names.entry(pointer).or_insert(standing);
        }
        let key = (pointer, name.text);
        let met = match pointer {
            // Without pointers, the name is all there is to go by.
            0 => self.entries.iter().find(|((_, n), e)| *n == name.text && e.unconfirmed),
            _ => self.entries.get_key_value(&key).filter(|(_, e)| e.unconfirmed),
        };
        let met = met.map(|(key, entry)| (*key, entry.instances[0]));
        if let Some((key, instance)) = met
            && let Some(entry) = self.entries.get_mut(&key)
        {
            *entry = Entry { instances: vec![instance], unconfirmed: false, gone: None };
            return Some(instance);
        }
        let entry = self.entries.entry(key).or_insert_with(Entry::empty);
        if entry.gone.take().is_some() {
            entry.instances.clear();
        }
        entry.instances.push(fresh);
        None
    }

    /// What an edge at `at` means.
    pub fn meant(&mut self, pointer: u64, active: bool, at: BootNanos) -> Meant {
        self.now += 1;
        let Some(standing) = self.names.get_mut(&pointer) else { return Meant::Unknown };
        standing.used_at = self.now;
        let name = &standing.name;
        let exact = self.entries.get(&(pointer, name.text));
        let Some(entry) = exact.or_else(|| self.entries.get(&(0, name.text))) else {
            return Meant::New(*name);
        };
        // The kernel ends an activation after it has taken the source off its list
        // (`wakeup_source_unregister`, `drivers/base/power/wakeup.c`, 7.3).
        if active && entry.gone.is_some_and(|gone| at > gone) {
            return Meant::New(*name);
        }
        let Some(lowest) = entry.instances.first() else { return Meant::New(*name) };
        let shared = if entry.instances.len() > 1 { EDGE_SHARED } else { 0 };
        Meant::Source(*lowest, shared | if active { EDGE_ACTIVE } else { 0 })
    }

    /// An edge is the first word of a source, which gets `instance`.
    pub fn meet(&mut self, pointer: u64, name: Name, instance: u32) {
        let entry = Entry { instances: vec![instance], unconfirmed: true, gone: None };
        self.entries.insert((pointer, name.text), entry);
        self.name(pointer, name);
    }

    /// A whole snapshot at `at` showed those that `lives` says, and no others.
    pub fn retire(&mut self, at: BootNanos, lives: impl Fn(u32) -> bool) {
        // What was gone in the snapshot before is not asked for any more.
        self.entries.retain(|_, entry| entry.gone.is_none());
        for entry in self.entries.values_mut() {
            let last = entry.instances.last().copied();
            entry.instances.retain(|instance| lives(*instance));
            if entry.instances.is_empty() {
                entry.instances.extend(last);
                entry.unconfirmed = false;
                entry.gone = Some(at);
            }
        }
    }
}

impl Entry {
    fn empty() -> Self {
        Self { instances: Vec::new(), unconfirmed: false, gone: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Name = Name { text: 1, cut: false };
    const B: Name = Name { text: 2, cut: false };
    const T: [BootNanos; 4] = [BootNanos(10), BootNanos(20), BootNanos(30), BootNanos(40)];

    #[test]
    fn an_edge_means_the_source_of_the_snapshot() {
        let mut p = Pointers::default();
        assert_eq!(p.meant(16, true, T[0]), Meant::Unknown);
        assert_eq!(p.show(16, A, 7), None);
        assert_eq!(p.meant(16, true, T[0]), Meant::Source(7, EDGE_ACTIVE));
        assert_eq!(p.meant(16, false, T[0]), Meant::Source(7, 0));
    }

    #[test]
    fn sources_that_share_a_pointer_are_told_as_such() {
        let mut p = Pointers::default();
        p.show(16, A, 7);
        p.show(16, A, 9);
        assert_eq!(p.meant(16, false, T[0]), Meant::Source(7, EDGE_SHARED));
        p.retire(T[1], |instance| instance == 9);
        assert_eq!(p.meant(16, false, T[2]), Meant::Source(9, 0));
    }

    #[test]
    fn a_source_met_in_an_edge_keeps_its_number_when_a_snapshot_shows_it() {
        let mut p = Pointers::default();
        p.name(16, A);
        assert_eq!(p.meant(16, true, T[0]), Meant::New(A));
        p.meet(16, A, 3);
        assert_eq!(p.meant(16, false, T[0]), Meant::Source(3, 0));
        assert_eq!(p.show(16, A, 4), Some(3));
        // Once: another of that pointer and name is another source.
        assert_eq!(p.show(16, A, 4), None);
    }

    #[test]
    fn without_pointers_names_join() {
        let mut p = Pointers::default();
        p.show(0, A, 7);
        p.name(16, A);
        assert_eq!(p.meant(16, true, T[0]), Meant::Source(7, EDGE_ACTIVE));
        p.name(32, B);
        p.meet(32, B, 8);
        assert_eq!(p.show(0, B, 9), Some(8));
        assert_eq!(p.meant(32, true, T[0]), Meant::Source(8, EDGE_ACTIVE));
    }

    #[test]
    fn a_pointer_used_again_is_another_source() {
        let mut p = Pointers::default();
        p.show(16, A, 7);
        p.retire(T[1], |_| false);
        // What came before, and the end of an activation, still mean the old one.
        assert_eq!(p.meant(16, true, T[0]), Meant::Source(7, EDGE_ACTIVE));
        assert_eq!(p.meant(16, false, T[2]), Meant::Source(7, 0));
        assert_eq!(p.meant(16, true, T[2]), Meant::New(A));
        assert_eq!(p.show(16, A, 8), None);
        assert_eq!(p.meant(16, true, T[3]), Meant::Source(8, EDGE_ACTIVE));
        // Another name at the same pointer.
        p.name(16, B);
        assert_eq!(p.meant(16, true, T[3]), Meant::New(B));
    }

    #[test]
    fn the_names_asked_for_last_are_remembered() {
        let mut p = Pointers::default();
        for pointer in 1..=3 * MOST_NAMES as u64 {
            p.name(pointer, A);
            assert!(p.names.len() <= 2 * MOST_NAMES);
            assert_ne!(p.meant(1, true, T[0]), Meant::Unknown, "{pointer}");
        }
        assert_eq!(p.meant(2, true, T[0]), Meant::Unknown);
    }

    #[test]
    fn the_name_of_a_source_that_lives_is_not_forgotten() {
        let mut p = Pointers::default();
        p.show(16, A, 7);
        for pointer in 1..=3 * MOST_NAMES as u64 {
            p.name(pointer << 8, B);
        }
        assert_eq!(p.meant(16, true, T[0]), Meant::Source(7, EDGE_ACTIVE));
        p.retire(T[1], |_| false);
        p.retire(T[2], |_| false);
        for pointer in 1..=3 * MOST_NAMES as u64 {
            p.name(pointer << 8, B);
        }
        assert_eq!(p.meant(16, true, T[3]), Meant::Unknown);
    }

    #[test]
    fn what_is_gone_is_forgotten_after_a_snapshot_more() {
        let mut p = Pointers::default();
        p.name(16, A);
        p.meet(16, A, 3);
        p.retire(T[1], |_| false);
        assert_eq!(p.meant(16, false, T[2]), Meant::Source(3, 0));
        p.retire(T[2], |_| false);
        assert_eq!(p.meant(16, false, T[3]), Meant::New(A));
        assert!(p.entries.is_empty());
    }
}
