//! The list walk: copies every `struct wakeup_source` into the slots that the agent maps.
//!
//! The agent loads one of four programs. [`walk_locked`] calls the kfuncs, and [`walk_compared`] does too, but
//! leaves a slot as it is if its source has not changed since the walk before. [`walk_unlocked`] serves kernels
//! without the kfuncs, and starts at an address from the agent; so does [`walk_steps`], for kernels that have no
//! `bpf_loop` (before 5.17) or no programs of the type syscall (before 5.14).
//!
//! All but the last run as BPF_PROG_TYPE_SYSCALL through BPF_PROG_RUN; their context is a [`Walk`]. The
//! list is circular, through a head that is no source (`wakeup_sources`,
//! `drivers/base/power/wakeup.c`). `bpf_loop` verifies [`visit`] once, for any number of nodes. The
//! loop's index numbers the slots: the verifier treats it as unknown, but would follow a counter of
//! our own from value to value.
#![no_std]
#![no_main]

mod compare;

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr::{addr_of, addr_of_mut};

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::helpers::generated::{
    bpf_ktime_get_boot_ns, bpf_ktime_get_ns, bpf_loop, bpf_probe_read_kernel,
    bpf_probe_read_kernel_str,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use sleepwalk_trace::abi::{
    DEFAULT_CAPACITY, MAX_NODES, NAME_ROOM, NODE_ROOM, SLOT_NAME_CUT, SLOT_NAME_FAULT,
    SLOT_NAME_LONG, SLOT_TORN, Slot, Steps, WALK_CHANGED, WALK_DONE, WALK_ENDLESS, WALK_FAULT,
    WALK_STEPPED, WALK_STEPS, Walk,
};

/// One element per source. The agent sets the number of elements, maps it, and reads the first
/// [`Walk::stored`] after a run.
#[map]
static SLOTS: Array<Slot> = Array::with_max_entries(DEFAULT_CAPACITY, BPF_F_MMAPABLE);

/// The walk in steps.
#[map]
static STEPS: Array<Steps> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// `struct bpf_ws_lock`: an SRCU index disguised as a pointer, so that the verifier can check that
/// every path releases it.
#[repr(C)]
struct WsLock {
    opaque: [u8; 0],
}

// `drivers/base/power/wakeup.c`, 7.2. The agent's loader puts each function's BTF id into the call.
unsafe extern "C" {
    fn bpf_wakeup_sources_read_lock() -> *mut WsLock;
    fn bpf_wakeup_sources_read_unlock(lock: *mut WsLock);
    fn bpf_wakeup_sources_get_head() -> *mut c_void;
}

/// The state of [`visit`]. A callback's context has to be on the stack.
#[repr(C)]
struct Cursor {
    /// `struct list_head *` of the next node.
    next: u64,
    /// `struct list_head *` of the node before it.
    previous: u64,
    /// All ones if each node has to point back to the one before it, else 0.
    strict: u64,
    head: u64,
    node_size: u64,
    entry_offset: u64,
    name_offset: u64,
    active_offset: u64,
    active_mask: u64,
    active_count_offset: u64,
    relax_count_offset: u64,
    last_time_offset: u64,
    id_offset: u64,
    event_count_offset: u64,
    prevent_sleep_offset: u64,
    capacity: u32,
    seen: u32,
    moved: u32,
    status: u32,
}

/// Walks under the kernel's own lock.
///
/// aya-obj needs a section name that it knows; the agent sets the real program type.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp/walk_locked")]
extern "C" fn walk_locked(walk: *mut Walk) -> u32 {
    // SAFETY: `walk` is the context.
    unsafe { run_locked(walk, visit as *const ()) };
    0
}

/// As [`walk_locked`], but it stores only the sources that have changed since the walk before.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp/walk_compared")]
extern "C" fn walk_compared(walk: *mut Walk) -> u32 {
    // SAFETY: as in `walk_locked`.
    unsafe { run_locked(walk, compare::visit as *const ()) };
    0
}

/// Walks without the lock, on a list that may change at the same time.
///
/// A removed node keeps its `next`, but `list_del_rcu` poisons its `prev`, and freed memory may
/// hold anything. So each node's `prev` must point to the node before it, and this is checked after
/// the copy. The name is freed only after the node has left the list, so the check proves the name
/// too. A walk that has left the list ends here.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp/walk_unlocked")]
extern "C" fn walk_unlocked(walk: *mut Walk) -> u32 {
    // SAFETY: `walk` is the context.
    unsafe { run(walk, (*walk).head, u64::MAX, visit as *const ()) };
    0
}

/// As [`walk_unlocked`], a part of the list in each run. It runs as BPF_PROG_TYPE_RAW_TRACEPOINT, attached to
/// nothing (`bpf_prog_test_run_raw_tp`, `net/bpf/test_run.c`, 5.10), whose context it can't write, so its state is
/// in a map.
///
/// Between two runs the list may change too. If the next node left it, its `prev` is poisoned; if another
/// one came before it, its `prev` points there. Either ends the walk.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp/walk_steps")]
extern "C" fn walk_steps(_: *mut c_void) -> u32 {
    // SAFETY: the map has one element, and only one run at a time uses it.
    unsafe {
        let Some(steps) = STEPS.get_ptr_mut(0) else { return 0 };
        let walk = addr_of_mut!((*steps).walk);
        let mut cursor = Cursor::new(walk, (*walk).head, u64::MAX);
        if (*steps).next == 0 {
            (*walk).begin_ns = bpf_ktime_get_boot_ns();
            (*walk).begin_mono_ns = bpf_ktime_get_ns();
            if !read_u64(cursor.head, &mut cursor.next) {
                (*walk).status = WALK_FAULT;
                return 0;
            }
        } else {
            cursor.next = (*steps).next;
            cursor.previous = (*steps).previous;
            cursor.seen = (*walk).seen;
        }
        cursor.status = WALK_STEPPED;
        let first = cursor.seen;
        for step in 0..WALK_STEPS {
            if pass(first.wrapping_add(step), &mut cursor) == STOP {
                break;
            }
        }
        (*steps).next = cursor.next;
        (*steps).previous = cursor.previous;
        cursor.write(walk);
    }
    0
}

impl Cursor {
    /// At the head, with the input of `walk`.
    ///
    /// # Safety
    ///
    /// `walk` can be read.
    #[inline(always)]
    unsafe fn new(walk: *const Walk, head: u64, strict: u64) -> Self {
        // SAFETY: by the caller.
        unsafe {
            Self {
                next: 0,
                previous: head,
                strict,
                head,
                node_size: u64::from((*walk).node_size),
                entry_offset: u64::from((*walk).entry_offset),
                name_offset: u64::from((*walk).name_offset),
                active_offset: u64::from((*walk).active_offset),
                active_mask: (*walk).active_mask,
                active_count_offset: u64::from((*walk).active_count_offset),
                relax_count_offset: u64::from((*walk).relax_count_offset),
                last_time_offset: u64::from((*walk).last_time_offset),
                id_offset: u64::from((*walk).id_offset),
                event_count_offset: u64::from((*walk).event_count_offset),
                prevent_sleep_offset: u64::from((*walk).prevent_sleep_offset),
                capacity: (*walk).capacity,
                seen: 0,
                moved: 0,
                status: WALK_ENDLESS,
            }
        }
    }

    /// # Safety
    ///
    /// `walk` can be written.
    #[inline(always)]
    unsafe fn write(&self, walk: *mut Walk) {
        // SAFETY: by the caller.
        unsafe {
            (*walk).end_ns = bpf_ktime_get_boot_ns();
            (*walk).end_mono_ns = bpf_ktime_get_ns();
            (*walk).seen = self.seen;
            (*walk).stored = if self.seen < self.capacity { self.seen } else { self.capacity };
            (*walk).moved = self.moved;
            (*walk).status = self.status;
        }
    }
}

/// # Safety
///
/// As of [`run`].
#[inline(always)]
unsafe fn run_locked(walk: *mut Walk, visit: *const ()) {
    // SAFETY: the loader has resolved the kfuncs, and the calls match their BTF. The only path
    // releases the lock; the verifier would refuse the program otherwise.
    unsafe {
        let lock = bpf_wakeup_sources_read_lock();
        run(walk, bpf_wakeup_sources_get_head() as u64, 0, visit);
        bpf_wakeup_sources_read_unlock(lock);
    }
}

/// # Safety
///
/// `walk` is the program's context, of at least `size_of::<Walk>()` bytes.
#[inline(always)]
unsafe fn run(walk: *mut Walk, head: u64, strict: u64, visit: *const ()) {
    // SAFETY: the kernel has checked the context's size against the accesses here
    // (`bpf_prog_test_run_syscall`, `net/bpf/test_run.c`, 7.3).
    unsafe {
        let begin_ns = bpf_ktime_get_boot_ns();
        let begin_mono_ns = bpf_ktime_get_ns();
        let mut cursor = Cursor::new(walk, head, strict);
        if read_u64(head, &mut cursor.next) {
            let context = addr_of_mut!(cursor).cast::<c_void>();
            bpf_loop(MAX_NODES, visit as *mut c_void, context, 0);
        } else {
            cursor.status = WALK_FAULT;
        }
        (*walk).begin_ns = begin_ns;
        (*walk).begin_mono_ns = begin_mono_ns;
        cursor.write(walk);
    }
}

/// The first read of a name: four words.
const SHORT_NAME: usize = 32;

const GO_ON: i64 = 0;
const STOP: i64 = 1;

/// One node of bpf_loop; `index` counts from 0.
unsafe extern "C" fn visit(index: u32, cursor: *mut Cursor) -> i64 {
    // SAFETY: `run` passed `cursor` to bpf_loop, which has no other thread.
    unsafe { pass(index, &mut *cursor) }
}

/// Stores one node and passes on to the next; `index` counts from 0.
///
/// # Safety
///
/// The offsets in `cursor` are those of this kernel.
#[inline(always)]
unsafe fn pass(index: u32, cursor: &mut Cursor) -> i64 {
    // SAFETY: helpers follow the kernel's pointers, and they fail instead of faulting.
    unsafe {
        if cursor.next == cursor.head {
            cursor.status = WALK_DONE;
            return STOP;
        }
        let node = cursor.next.wrapping_sub(cursor.entry_offset);
        let stored = if index < cursor.capacity { SLOTS.get_ptr_mut(index) } else { None };
        // `struct list_head`: `next`, `prev`.
        let mut links = [0u64; 2];
        let mut read = stored.is_none_or(|slot| store(cursor, node, slot, &mut links));
        if stored.is_none() || cursor.strict != 0 {
            let to = addr_of_mut!(links).cast();
            read &= bpf_probe_read_kernel(to, 16, cursor.next as *const c_void) == 0;
        }
        if !read {
            cursor.status = WALK_FAULT;
            return STOP;
        }
        if (links[1] ^ cursor.previous) & cursor.strict != 0 {
            cursor.status = WALK_CHANGED;
            return STOP;
        }
        cursor.previous = cursor.next;
        cursor.next = links[0];
        cursor.seen = index.wrapping_add(1);
        GO_ON
    }
}

/// Copies the source at `node` and its links; `false` if it cannot be read.
#[inline(always)]
unsafe fn store(cursor: &Cursor, node: u64, slot: *mut Slot, links: &mut [u64; 2]) -> bool {
    // SAFETY: `slot` points to a whole element of the map.
    unsafe {
        if !copy(cursor, node, slot) {
            return false;
        }
        let mut flags = 0u64;
        // Activation and relaxation change `active`, the counts and `last_time` one after the other
        // (`wakeup_source_activate`, `_deactivate`). A copy made in between is made again, once.
        if torn(cursor, node, slot) && (!copy(cursor, node, slot) || torn(cursor, node, slot)) {
            flags |= SLOT_TORN;
        }
        let name = field(slot, cursor.name_offset);
        (*slot).address = node;
        (*slot).name_pointer = name;
        (*slot).flags = flags | copy_name(name, slot);
        *links = [field(slot, cursor.entry_offset), field(slot, cursor.entry_offset + 8)];
        true
    }
}

/// Copies the string at `name`; returns flags.
#[inline(always)]
unsafe fn copy_name(name: u64, slot: *mut Slot) -> u64 {
    // SAFETY: `slot` points to a whole element, and the helpers check the source address.
    unsafe {
        let room = addr_of_mut!((*slot).name).cast::<c_void>();
        // Nearly all names are short. A string is read byte by byte, but a fixed length word by
        // word, and the bytes behind the name do no harm.
        let read = bpf_probe_read_kernel(room, SHORT_NAME as u32, name as *const c_void);
        let words = room.cast::<u64>();
        if read == 0
            && (has_nul(*words)
                | has_nul(*words.add(1))
                | has_nul(*words.add(2))
                | has_nul(*words.add(3)))
        {
            return 0;
        }
        let length = bpf_probe_read_kernel_str(room, NAME_ROOM as u32, name as *const c_void);
        if length <= 0 {
            (*slot).name[0] = 0;
            return SLOT_NAME_FAULT;
        }
        if length == NAME_ROOM as i64 {
            let mut beyond = 0u8;
            let at = name.wrapping_add(NAME_ROOM as u64 - 1) as *const c_void;
            bpf_probe_read_kernel(addr_of_mut!(beyond).cast(), 1, at);
            if beyond != 0 {
                return SLOT_NAME_CUT | SLOT_NAME_LONG;
            }
        }
        SLOT_NAME_LONG
    }
}

/// Whether one of the eight bytes is zero. Only then does subtracting one from each byte borrow
/// from a byte whose top bit was clear.
#[inline(always)]
fn has_nul(word: u64) -> bool {
    word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080 != 0
}

#[inline(always)]
unsafe fn copy(cursor: &Cursor, node: u64, slot: *mut Slot) -> bool {
    // As in `field`: the mask does not change the agent's value, but proves the bound to the
    // verifier.
    let size = cursor.node_size & (NODE_ROOM as u64 - 1);
    // SAFETY: `size` is within the slot's `node`, and the helper checks the source address.
    unsafe {
        let to = addr_of_mut!((*slot).node).cast();
        bpf_probe_read_kernel(to, size as u32, node as *const c_void) == 0
    }
}

/// A source is inactive if every activation was relaxed, and active if all except one were. An activation sets
/// `last_time` last, so that of an active source is read once more: the copy may have the one before.
#[inline(always)]
unsafe fn torn(cursor: &Cursor, node: u64, slot: *const Slot) -> bool {
    // SAFETY: as `field`.
    unsafe {
        let active = field(slot, cursor.active_offset) & cursor.active_mask != 0;
        let activations = field(slot, cursor.active_count_offset);
        let relaxations = field(slot, cursor.relax_count_offset);
        if activations.wrapping_sub(relaxations) != u64::from(active) {
            return true;
        }
        let mut last_time = field(slot, cursor.last_time_offset);
        let copied = last_time;
        active
            && !(read_u64(node.wrapping_add(cursor.last_time_offset), &mut last_time)
                && last_time == copied)
    }
}

/// The word at `offset` of the copied struct. The agent's offsets are multiples of eight within the
/// struct, so the mask changes nothing. It proves to the verifier that they are within `node`, and
/// avoids a branch, which would double the paths to follow. The load is aligned, because BPF splits
/// an unaligned one into bytes.
#[inline(always)]
unsafe fn field(slot: *const Slot, offset: u64) -> u64 {
    let at = (offset & (NODE_ROOM as u64 - 8)) as usize;
    // SAFETY: within `node`, which starts at a multiple of eight.
    unsafe { addr_of!((*slot).node).cast::<u8>().add(at).cast::<u64>().read() }
}

#[inline(always)]
unsafe fn read_u64(from: u64, to: &mut u64) -> bool {
    // SAFETY: the helper checks the source address, and `to` has room for 8 bytes.
    unsafe { bpf_probe_read_kernel(core::ptr::from_mut(to).cast(), 8, from as *const c_void) == 0 }
}

// The masks and the word reads above depend on these.
const _: () = assert!(offset_of!(Slot, name).is_multiple_of(8) && SHORT_NAME < NAME_ROOM);
const _: () = assert!(NODE_ROOM.is_power_of_two() && offset_of!(Slot, node).is_multiple_of(8));

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
