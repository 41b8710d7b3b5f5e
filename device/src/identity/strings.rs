//! The string table: each string is defined once in the trace, under a number.

use std::collections::{HashMap, HashSet};

use sleepwalk_trace::record::StringDef;

/// The strings that the trace defines and the agent still remembers.
#[derive(Debug, Default)]
pub struct StringTable {
    strings: HashMap<Vec<u8>, Entry>,
    next_id: u32,
    /// How many were left the last time that unused ones were forgotten.
    left: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: u32,
    /// Never forgotten: it is not only the name of a source.
    permanent: bool,
}

/// With fewer new strings than this, looking for unused ones is not worth the time.
const FEW: usize = 512;

impl StringTable {
    /// The number of a string, and the record that defines it if the trace does not have it yet. It
    /// may be forgotten once nothing uses it as a name.
    pub fn name(&mut self, bytes: &[u8]) -> (u32, Option<StringDef>) {
        self.intern(bytes, false)
    }

    /// As [`StringTable::name`], for a string that is never forgotten.
    pub fn permanent(&mut self, bytes: &[u8]) -> (u32, Option<StringDef>) {
        self.intern(bytes, true)
    }

    /// The number of a string that is remembered.
    pub fn id(&self, bytes: &[u8]) -> Option<u32> {
        self.strings.get(bytes).map(|entry| entry.id)
    }

    fn intern(&mut self, bytes: &[u8], permanent: bool) -> (u32, Option<StringDef>) {
        if let Some(entry) = self.strings.get_mut(bytes) {
            entry.permanent |= permanent;
            return (entry.id, None);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.strings.insert(bytes.to_vec(), Entry { id, permanent });
        (id, Some(StringDef { id, bytes: bytes.to_vec() }))
    }

    /// The numbers of the strings that are remembered, and so will not be defined again.
    pub fn ids(&self) -> HashSet<u32> {
        self.strings.values().map(|entry| entry.id).collect()
    }

    /// Whether enough strings were added to make [`StringTable::forget_unused`] worth its time.
    pub fn has_grown(&self) -> bool {
        self.strings.len() > 2 * self.left + FEW
    }

    /// Forgets the names that are not `used`. One that comes up again is defined again, under
    /// another number.
    pub fn forget_unused(&mut self, used: &HashSet<u32>) {
        self.strings.retain(|_, entry| entry.permanent || used.contains(&entry.id));
        self.strings.shrink_to_fit();
        self.left = self.strings.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_defined_once_and_to_the_byte() {
        let mut strings = StringTable::default();
        let name = b"\xff \n\x1b[31m";
        assert_eq!(strings.name(name), (0, Some(StringDef { id: 0, bytes: name.to_vec() })));
        assert_eq!(strings.name(name), (0, None));
        assert_eq!(strings.permanent(b"a").0, 1);
    }

    #[test]
    fn an_unused_name_gets_another_number_later() {
        let mut strings = StringTable::default();
        let (used, _) = strings.name(b"used");
        let (unused, _) = strings.name(b"unused");
        let (permanent, _) = strings.permanent(b"permanent");
        // Permanent from now on, although it began as a name.
        let (both, _) = strings.name(b"both");
        strings.permanent(b"both");
        strings.forget_unused(&HashSet::from([used]));
        assert_eq!(strings.ids(), HashSet::from([used, permanent, both]));
        assert_eq!(strings.name(b"used"), (used, None));
        let (again, definition) = strings.name(b"unused");
        assert!(again > both && again != unused && definition.is_some());
    }

    #[test]
    fn it_grows_by_a_lot_before_it_is_pruned() {
        let mut strings = StringTable::default();
        for n in 0..FEW {
            strings.name(&n.to_ne_bytes());
        }
        assert!(!strings.has_grown());
        strings.name(b"one more");
        assert!(strings.has_grown());
        strings.forget_unused(&HashSet::new());
        assert!(!strings.has_grown());
    }
}
