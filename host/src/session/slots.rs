//! Numbers of sources in the order in which they came, to find what is kept about a source fast.

use std::collections::BTreeMap;

/// Instances up to here have an entry of their own.
const DENSE: u32 = 1 << 20;

/// The number of each source so far.
#[derive(Debug, Default)]
pub struct Slots {
    /// By instance, where that is small, as the agent gives them.
    dense: Vec<u32>,
    sparse: BTreeMap<u32, u32>,
    next: u32,
}

impl Slots {
    /// The number of a source.
    #[inline]
    pub fn get(&self, instance: u32) -> Option<usize> {
        let slot = if instance < DENSE {
            self.dense.get(instance as usize).copied().filter(|slot| *slot != u32::MAX)
        } else {
            self.sparse.get(&instance).copied()
        };
        slot.map(|slot| slot as usize)
    }

    /// The number of a source that has none yet.
    pub fn add(&mut self, instance: u32) -> usize {
        let slot = self.next;
        self.next += 1;
        if instance < DENSE {
            let length = self.dense.len().max(instance as usize + 1);
            self.dense.resize(length, u32::MAX);
            self.dense[instance as usize] = slot;
        } else {
            self.sparse.insert(instance, slot);
        }
        slot as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_numbered_as_they_come() {
        let mut slots = Slots::default();
        let instances = [7, u32::MAX, 0, DENSE, DENSE - 1];
        for (slot, instance) in instances.into_iter().enumerate() {
            assert_eq!(slots.get(instance), None);
            assert_eq!(slots.add(instance), slot);
        }
        assert!(instances.iter().enumerate().all(|(slot, i)| slots.get(*i) == Some(slot)));
        assert_eq!(slots.get(6), None);
    }
}
