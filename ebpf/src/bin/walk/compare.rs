//! The walk that compares: it stores only the sources that have changed since the walk before.

use core::ffi::c_void;
use core::ptr::addr_of;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use sleepwalk_trace::abi::{DEFAULT_CAPACITY, Slot, WALK_DONE};

use crate::{Cursor, GO_ON, SHORT_NAME, SLOTS, STOP, field, pass};

/// The slots that a walk has stored again: how many, then the index of each. The agent sets the count to 0 before a
/// walk. It is in a map, because the verifier would follow a count on the stack.
#[map]
static CHANGED: Array<u64> = Array::with_max_entries(DEFAULT_CAPACITY + 1, BPF_F_MMAPABLE);

unsafe extern "C" {
    // `kernel/bpf/helpers.c`, 6.2. To `void` it makes memory that a program may load from anywhere (6.17); a load
    // that faults gives 0.
    fn bpf_rdonly_cast(object: *const c_void, type_id: u32) -> *const c_void;
}

/// The BTF id of `void`.
const VOID: u32 = 0;

/// As [`super::visit`], but it passes a node that has not changed, and stores another one.
pub unsafe extern "C" fn visit(index: u32, cursor: *mut Cursor) -> i64 {
    // SAFETY: as in the other `visit`.
    unsafe {
        let cursor = &mut *cursor;
        if cursor.next == cursor.head {
            cursor.seen = index;
            cursor.status = WALK_DONE;
            return STOP;
        }
        // The map has as many slots as the agent has room for.
        if let Some(slot) = SLOTS.get_ptr_mut(index) {
            let node = cursor.next.wrapping_sub(cursor.entry_offset);
            if (*slot).address != node {
                cursor.moved = 1;
            } else if is_unchanged(cursor, node, slot) {
                let entry = bpf_rdonly_cast(cursor.next as *const c_void, VOID);
                cursor.next = entry.cast::<u64>().read_volatile();
                return GO_ON;
            }
            list_as_changed(index);
        }
        pass(index, cursor)
    }
}

#[inline(always)]
fn list_as_changed(index: u32) {
    let Some(count) = CHANGED.get_ptr_mut(0) else { return };
    // SAFETY: one walk runs at a time.
    unsafe {
        let number = (*count).wrapping_add(1);
        if let Some(to) = CHANGED.get_ptr_mut(number as u32) {
            *to = u64::from(index);
            *count = number;
        }
    }
}

/// Whether `slot` has the source at `node` as it is now. A slot with `SLOT_*` flags is not complete.
///
/// Few members show every change (`drivers/base/power/wakeup.c`, 7.3). `wakeup_source_report_event` counts each
/// event in `event_count`, and only it activates. So a source whose count and whose word of `active` are as before
/// was neither activated nor deactivated. Autosleep changes that word, and if it is changed back
/// `prevent_sleep_time` (`pm_wakep_autosleep_enabled`). Id, name and `last_time` show another source in the same
/// memory: one with the same `last_time` has never been active, as the one before.
#[inline(always)]
unsafe fn is_unchanged(cursor: &Cursor, node: u64, slot: *const Slot) -> bool {
    // SAFETY: loads from `ws` and `name` do not fault; `slot` points to a whole element.
    unsafe {
        if (*slot).flags != 0 {
            return false;
        }
        let ws = bpf_rdonly_cast(node as *const c_void, VOID).cast::<u64>();
        let now = |offset: u64| ws.byte_add(offset as usize).read_volatile();
        // It changes most often.
        if now(cursor.event_count_offset) != field(slot, cursor.event_count_offset) {
            return false;
        }
        let mut differs = 0;
        for offset in [
            cursor.id_offset,
            cursor.name_offset,
            cursor.active_offset,
            cursor.last_time_offset,
            cursor.prevent_sleep_offset,
        ] {
            differs |= now(offset) ^ field(slot, offset);
        }
        let name = bpf_rdonly_cast(field(slot, cursor.name_offset) as *const c_void, VOID);
        let name = name.cast::<u64>();
        let copied = addr_of!((*slot).name).cast::<u64>();
        for word in 0..SHORT_NAME / 8 {
            differs |= name.add(word).read_volatile() ^ copied.add(word).read_volatile();
        }
        differs == 0
    }
}
