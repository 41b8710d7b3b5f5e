//! Decodes a copied `struct wakeup_source`.

use sleepwalk_trace::abi::{NODE_ROOM, NODE_WORDS, Walk};
use sleepwalk_trace::record::{STATE_ACTIVE, STATE_AUTOSLEEP};
use sleepwalk_trace::snapshot::{COUNTERS, Counters, SourceState};

use crate::probe::btf::{BtfError, Kernel};

/// The places of the members in this kernel.
#[derive(Clone, Debug)]
pub struct Layout {
    size: u32,
    name: Word,
    entry: Word,
    id: Bits,
    active: Bits,
    autosleep: Bits,
    active_count: Word,
    relax_count: Word,
    last_time: Word,
    /// As in [`Counters::to_array`].
    counters: [Word; COUNTERS],
}

/// A member that is a whole word: its number in the struct.
#[derive(Clone, Copy, Debug)]
struct Word(usize);

impl Word {
    /// [`Layout::new`] has checked the number; the modulo avoids a bounds check.
    fn of(self, node: &[u64; NODE_WORDS]) -> u64 {
        node[self.0 % NODE_WORDS]
    }

    fn offset(self) -> u32 {
        8 * self.0 as u32
    }
}

/// A member that is a part of a word.
#[derive(Clone, Copy, Debug)]
struct Bits {
    word: Word,
    shift: u32,
    /// Before the shift.
    mask: u64,
}

impl Bits {
    fn of(self, node: &[u64; NODE_WORDS]) -> u64 {
        (self.word.of(node) & self.mask) >> self.shift
    }
}

impl Layout {
    /// Takes the places from BTF.
    pub fn new(kernel: &Kernel) -> Result<Self, BtfError> {
        let size = kernel.size;
        if size as usize >= NODE_ROOM {
            return Err(BtfError::TooLarge(size));
        }
        let bits = |name, width: u32| {
            let at = kernel.member(name)?.bit_offset;
            let (word, shift) = (at / 64, at % 64);
            if shift + width > 64 || 8 * (word + 1) > size {
                return Err(BtfError::Damaged("a member of struct wakeup_source cannot be there"));
            }
            let mask = u64::MAX >> (64 - width) << shift;
            Ok(Bits { word: Word(word as usize), shift, mask })
        };
        let word = |name| bits(name, 64).map(|bits| bits.word);
        let entry = word("entry")?;
        if entry.offset() + 16 > size {
            return Err(BtfError::Damaged("no room for the member entry of struct wakeup_source"));
        }
        let counters = [
            word("active_count")?,
            word("event_count")?,
            word("wakeup_count")?,
            word("expire_count")?,
            word("relax_count")?,
            word("total_time")?,
            word("max_time")?,
            word("last_time")?,
            word("start_prevent_time")?,
            word("prevent_sleep_time")?,
        ];
        Ok(Self {
            size,
            name: word("name")?,
            entry,
            id: bits("id", 32)?,
            active: bits("active", 1)?,
            autosleep: bits("autosleep_enabled", 1)?,
            active_count: word("active_count")?,
            relax_count: word("relax_count")?,
            last_time: word("last_time")?,
            counters,
        })
    }

    /// The input of a walk into `capacity` slots.
    pub fn walk(&self, capacity: u32) -> Walk {
        let [_, event_count, .., prevent_sleep] = self.counters;
        Walk {
            node_size: self.size,
            entry_offset: self.entry.offset(),
            name_offset: self.name.offset(),
            active_offset: self.active.word.offset(),
            active_mask: self.active.mask,
            active_count_offset: self.active_count.offset(),
            relax_count_offset: self.relax_count.offset(),
            last_time_offset: self.last_time.offset(),
            id_offset: self.id.word.offset(),
            event_count_offset: event_count.offset(),
            prevent_sleep_offset: prevent_sleep.offset(),
            capacity,
            ..Walk::default()
        }
    }

    /// The kernel's `id` of a source.
    pub fn id(&self, node: &[u64; NODE_WORDS]) -> u32 {
        self.id.of(node) as u32
    }

    /// State and counters of a source.
    pub fn state(&self, node: &[u64; NODE_WORDS]) -> SourceState {
        let mut state = 0;
        if self.active.of(node) != 0 {
            state |= STATE_ACTIVE;
        }
        if self.autosleep.of(node) != 0 {
            state |= STATE_AUTOSLEEP;
        }
        let counters = Counters::from_array(self.counters.map(|word| word.of(node)));
        SourceState { state, counters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::btf::Member;

    /// As on arm64 7.3, in another order.
    fn kernel() -> Kernel {
        let names = [
            "name",
            "entry",
            "total_time",
            "max_time",
            "last_time",
            "start_prevent_time",
            "prevent_sleep_time",
            "event_count",
            "active_count",
            "relax_count",
            "expire_count",
            "wakeup_count",
            "id",
        ];
        let mut members: std::collections::BTreeMap<_, _> = (0..)
            .zip(names)
            .map(|(n, name)| (name, Member { bit_offset: n * 64, bit_size: 0 }))
            .collect();
        let flags = 64 * names.len() as u32;
        members.insert("active", Member { bit_offset: flags, bit_size: 1 });
        members.insert("autosleep_enabled", Member { bit_offset: flags + 1, bit_size: 1 });
        Kernel { size: 192, members, ..Kernel::default() }
    }

    #[test]
    fn every_member_is_read_from_its_place() {
        let layout = Layout::new(&kernel()).unwrap();
        let mut node = [0; NODE_WORDS];
        for (n, word) in node.iter_mut().take(13).enumerate() {
            *word = 100 + n as u64;
        }
        node[13] = 0b10;
        let state = layout.state(&node);
        assert_eq!(state.state, STATE_AUTOSLEEP);
        assert_eq!(state.counters.to_array(), [108, 107, 111, 110, 109, 102, 103, 104, 105, 106]);
        assert_eq!(layout.id(&node), 112);
        node[13] = 0b01;
        assert!(layout.state(&node).active());
    }

    #[test]
    fn a_struct_without_room_or_members_is_refused() {
        let mut large = kernel();
        large.size = NODE_ROOM as u32 + 1;
        assert!(matches!(Layout::new(&large), Err(BtfError::TooLarge(_))));
        let mut small = kernel();
        small.size = 64;
        assert!(matches!(Layout::new(&small), Err(BtfError::Damaged(_))));
        let mut askew = kernel();
        askew.members.insert("total_time", Member { bit_offset: 12, bit_size: 0 });
        assert!(matches!(Layout::new(&askew), Err(BtfError::Damaged(_))));
        let mut lacking = kernel();
        lacking.members.remove("relax_count");
        assert_eq!(Layout::new(&lacking).unwrap_err(), BtfError::NoMember("relax_count"));
        assert_eq!(Layout::new(&Kernel::default()).unwrap_err(), BtfError::NoStruct);
    }
}
