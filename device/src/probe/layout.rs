//! Takes a copied `struct wakeup_source` apart.

use sleepwalk_trace::abi::{NODE_ROOM, Walk};
use sleepwalk_trace::record::{STATE_ACTIVE, STATE_AUTOSLEEP};
use sleepwalk_trace::snapshot::{Counters, SourceState};

use super::btf::{BtfError, Kernel};

/// Where the members lie in this kernel. All offsets are in bytes and within [`Layout::size`].
#[derive(Clone, Debug)]
pub struct Layout {
    size: usize,
    name: usize,
    id: usize,
    entry: usize,
    active: Bit,
    autosleep: Bit,
    active_count: usize,
    relax_count: usize,
    /// In the order of [`Counters::to_array`].
    counters: [usize; sleepwalk_trace::snapshot::COUNTERS],
}

#[derive(Clone, Copy, Debug)]
struct Bit {
    byte: usize,
    mask: u8,
}

impl Layout {
    /// From what BTF says.
    pub fn new(kernel: &Kernel) -> Result<Self, BtfError> {
        let size = kernel.size as usize;
        if size >= NODE_ROOM {
            return Err(BtfError::Damaged("struct wakeup_source is larger than there is room for"));
        }
        let place = |name, width: usize| {
            let member = kernel.member(name)?;
            let byte = member.bit_offset as usize / 8;
            if byte.is_multiple_of(width) && byte + width <= size {
                Ok((byte, member.bit_offset % 8))
            } else {
                Err(BtfError::Damaged("a member of struct wakeup_source is where none can be"))
            }
        };
        let word = |name| place(name, 8).map(|(byte, _)| byte);
        let bit = |name| place(name, 1).map(|(byte, bit)| Bit { byte, mask: 1 << bit });
        Ok(Self {
            size,
            name: word("name")?,
            id: place("id", 4)?.0,
            entry: word("entry")?,
            active: bit("active")?,
            autosleep: bit("autosleep_enabled")?,
            active_count: word("active_count")?,
            relax_count: word("relax_count")?,
            counters: [
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
            ],
        })
    }

    /// What the probe needs to know for a walk into `capacity` slots.
    pub fn walk(&self, capacity: u32) -> Walk {
        Walk {
            node_size: self.size as u32,
            entry_offset: self.entry as u32,
            name_offset: self.name as u32,
            active_offset: self.active.byte as u32,
            active_mask: u32::from(self.active.mask),
            active_count_offset: self.active_count as u32,
            relax_count_offset: self.relax_count as u32,
            capacity,
            ..Walk::default()
        }
    }

    /// The kernel's `id` of a source.
    pub fn id(&self, node: &[u8; NODE_ROOM]) -> u32 {
        u32::from_le_bytes(bytes(node, self.id))
    }

    /// State and counters of a source.
    pub fn state(&self, node: &[u8; NODE_ROOM]) -> SourceState {
        let set = |bit: Bit| node[bit.byte] & bit.mask != 0;
        let mut state = 0;
        if set(self.active) {
            state |= STATE_ACTIVE;
        }
        if set(self.autosleep) {
            state |= STATE_AUTOSLEEP;
        }
        let counters =
            Counters::from_array(self.counters.map(|at| u64::from_le_bytes(bytes(node, at))));
        SourceState { state, counters }
    }
}

/// The bytes at `at`, which [`Layout::new`] has checked to lie inside.
fn bytes<const N: usize>(node: &[u8; NODE_ROOM], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&node[at..at + N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::btf::Member;
    use super::*;

    /// As on arm64 7.3, but for the order.
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
        let mut node = [0u8; NODE_ROOM];
        for (n, word) in node.chunks_exact_mut(8).take(13).enumerate() {
            word.copy_from_slice(&(100 + n as u64).to_le_bytes());
        }
        node[13 * 8] = 0b10;
        let state = layout.state(&node);
        assert_eq!(state.state, STATE_AUTOSLEEP);
        assert_eq!(state.counters.to_array(), [108, 107, 111, 110, 109, 102, 103, 104, 105, 106]);
        assert_eq!(layout.id(&node), 112);
        node[13 * 8] = 0b01;
        assert!(layout.state(&node).active());
    }

    #[test]
    fn a_struct_without_room_or_members_is_refused() {
        let mut large = kernel();
        large.size = NODE_ROOM as u32 + 1;
        assert!(matches!(Layout::new(&large), Err(BtfError::Damaged(_))));
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
