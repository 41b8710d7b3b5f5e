//! Blocked time by the names that were active together.
//!
//! Fixing one of two sources that always overlap gains nothing; fixing both does. Each combination of up to
//! [`MOST`] names has its time, so the gain of fixing several is exact: it is the time in which no other
//! name was active.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Names in a combination that is kept.
pub const MOST: usize = 4;

/// Combinations that are kept: a phone has some dozens.
const ROOM: usize = 4_096;

/// Combinations of which groups are formed: those with most time.
const SEEDS: usize = 32;

/// The names of a combination, sorted; the rest is [`NONE`].
type Names = [u32; MOST];

/// The number of no name.
const NONE: u32 = u32::MAX;

/// Blocked time by combinations of at least two names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlaps {
    times: HashMap<Names, u64>,
    /// Blocked time in combinations that are not kept.
    pub left_out_ns: u64,
}

/// Names that blocked suspend together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Together {
    /// The names' numbers, sorted.
    pub names: Vec<u32>,
    /// Blocked time in which no other name was active.
    pub gain_ns: u64,
}

impl Overlaps {
    /// Blocked time goes by with these names active, all different.
    pub fn advance(&mut self, ns: u64, names: &[u32]) {
        if ns == 0 || names.len() < 2 {
            return;
        }
        let mut key = [NONE; MOST];
        let Some(room) = key.get_mut(..names.len()) else {
            self.left_out_ns += ns;
            return;
        };
        room.copy_from_slice(names);
        key.sort_unstable();
        self.add(key, ns);
    }

    fn add(&mut self, key: Names, ns: u64) {
        let full = self.times.len() >= ROOM;
        match self.times.entry(key) {
            Entry::Occupied(mut time) => *time.get_mut() += ns,
            Entry::Vacant(_) if full => self.left_out_ns += ns,
            Entry::Vacant(new) => drop(new.insert(ns)),
        }
    }

    /// Takes in other time.
    pub fn join(&mut self, other: Self) {
        self.left_out_ns += other.left_out_ns;
        // In one order, so that a full map keeps the same combinations on every run.
        let mut times: Vec<_> = other.times.into_iter().collect();
        times.sort_unstable();
        for (key, ns) in times {
            self.add(key, ns);
        }
    }

    /// With other numbers for the names.
    pub fn by_name(self, name: impl Fn(u32) -> u32) -> Self {
        let mut renamed = Self { left_out_ns: self.left_out_ns, ..Self::default() };
        for (names, ns) in self.times {
            let names: Vec<u32> = members(&names).map(&name).collect();
            match key(&names) {
                Some(key) => renamed.add(key, ns),
                None => renamed.left_out_ns += ns,
            }
        }
        renamed
    }

    /// The group whose fixing gains most; of equals the smallest. Every member counts: without it the gain
    /// is smaller by a tenth or more. `sole_ns`: the blocked time in which only this name was active.
    pub fn best(&self, sole_ns: impl Fn(u32) -> u64) -> Option<Together> {
        let mut seeds: Vec<_> = self.times.iter().map(|(key, ns)| (*ns, *key)).collect();
        seeds.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        seeds.truncate(SEEDS);
        let joined = seeds.iter().enumerate().flat_map(|(index, (_, a))| {
            let others = seeds[index..].iter();
            others.filter_map(|(_, b)| key(&members(a).chain(members(b)).collect::<Vec<_>>()))
        });
        let gain = |names: &Names| {
            let within = self.times.iter().filter(|(key, _)| contains(names, key));
            let together: u64 = within.map(|(_, ns)| ns).sum();
            together + members(names).map(&sole_ns).sum::<u64>()
        };
        let needed = |names: &Names, gain_ns: u64| {
            let mut without = members(names).map(|name| {
                let rest: Vec<u32> = members(names).filter(|other| *other != name).collect();
                key(&rest).map_or(0, |rest| gain(&rest))
            });
            without.all(|ns| ns <= gain_ns - gain_ns / 10)
        };
        let groups = joined.map(|names| (gain(&names), names));
        let groups = groups.filter(|(gain_ns, names)| *gain_ns > 0 && needed(names, *gain_ns));
        let fewest = |names: &Names| MOST - members(names).count();
        let best = groups.max_by(|(a_ns, a), (b_ns, b)| {
            a_ns.cmp(b_ns).then(fewest(a).cmp(&fewest(b))).then(b.cmp(a))
        });
        best.map(|(gain_ns, names)| Together { names: members(&names).collect(), gain_ns })
    }
}

fn members(names: &Names) -> impl Iterator<Item = u32> + '_ {
    names.iter().copied().filter(|name| *name != NONE)
}

fn contains(names: &Names, part: &Names) -> bool {
    members(part).all(|name| names.contains(&name))
}

/// `None` if there are too many, or a source without a name.
fn key(names: &[u32]) -> Option<Names> {
    let mut key = [NONE; MOST];
    let mut length = 0;
    for name in names {
        if *name == NONE {
            return None;
        }
        if !key[..length].contains(name) {
            *key.get_mut(length)? = *name;
            length += 1;
        }
    }
    key.sort_unstable();
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(times: &[(&[u32], u64)], sole: &[u64]) -> Option<(Vec<u32>, u64)> {
        let mut overlaps = Overlaps::default();
        for (names, ns) in times {
            overlaps.advance(*ns, names);
        }
        let sole_ns = |name: u32| sole.get(name as usize).copied().unwrap_or(0);
        overlaps.best(sole_ns).map(|group| (group.names, group.gain_ns))
    }

    #[test]
    fn a_pair_that_always_overlaps_is_a_group() {
        assert_eq!(best(&[(&[1, 0], 100)], &[]), Some((vec![0, 1], 100)));
        // Alone they count too.
        assert_eq!(best(&[(&[0, 1], 100)], &[7, 5]), Some((vec![0, 1], 112)));
        assert_eq!(best(&[], &[100, 100]), None);
    }

    #[test]
    fn a_group_may_have_never_been_active_as_a_whole() {
        let ring: [(&[u32], u64); 3] = [(&[0, 1], 50), (&[1, 2], 50), (&[2, 0], 50)];
        assert_eq!(best(&ring, &[]), Some((vec![0, 1, 2], 150)));
    }

    #[test]
    fn a_member_that_adds_little_is_left_out() {
        let times: [(&[u32], u64); 2] = [(&[0, 1], 100), (&[0, 1, 2], 5)];
        assert_eq!(best(&times, &[]), Some((vec![0, 1], 100)));
        // One source does it all.
        assert_eq!(best(&[(&[0, 1], 5)], &[100, 0]), None);
    }

    #[test]
    fn combinations_of_many_names_are_left_out_and_counted() {
        let mut overlaps = Overlaps::default();
        overlaps.advance(3, &[0, 1, 2, 3, 4]);
        overlaps.advance(4, &[0, 1, 2, 3]);
        assert_eq!((overlaps.left_out_ns, overlaps.times.len()), (3, 1));
        for name in 0..2 * ROOM as u32 {
            overlaps.advance(1, &[name, name + 1]);
        }
        assert_eq!((overlaps.times.len(), overlaps.left_out_ns), (ROOM, 3 + ROOM as u64 + 1));
    }
}
