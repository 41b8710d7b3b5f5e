//! The context of an activation: the thread, the interrupt, and the functions on the stack.

use core::ffi::c_void;
use core::ptr::addr_of_mut;

use aya_ebpf::helpers::generated::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_uid_gid,
    bpf_get_stack, bpf_probe_read_kernel,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, PerCpuArray};
use sleepwalk_trace::abi::{
    ActivationEvent, CALLER_FRAMES, COMM_ROOM, MAX_STACKS, NO_PREEMPT_COUNT, STACK_FRAMES,
};

/// How many frames the agent wants; 0: no activators. The verifier knows the value and drops what is not needed.
#[unsafe(no_mangle)]
static ACTIVATOR_FRAMES: u32 = 0;

/// Where `struct task_struct` has its `preempt_count`, in bytes; not known without BTF.
#[unsafe(no_mangle)]
static PREEMPT_COUNT_AT: u32 = u32::MAX;

/// Each stack once, by the hash of its frames.
#[map]
static STACKS: HashMap<u64, [u64; STACK_FRAMES]> = HashMap::with_max_entries(MAX_STACKS, 0);

/// Room for a stack. Activations come with interrupts off (`ws->lock`), so that no two on a processor use it at once.
#[map]
static ROOM: PerCpuArray<[u64; STACK_FRAMES]> = PerCpuArray::with_max_entries(1, 0);

/// An odd number whose bits are well mixed: the golden ratio in 64 bits.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Whether activators are wanted.
#[inline(always)]
pub fn wanted() -> bool {
    frames() != 0
}

#[inline(always)]
fn frames() -> u32 {
    // SAFETY: the agent sets it before the program is loaded.
    unsafe { (&raw const ACTIVATOR_FRAMES).read_volatile() }
}

/// The stack's key in `STACKS`; 0 if there is none.
#[inline(always)]
pub fn stack(ctx: *mut c_void) -> u64 {
    let Some(room) = ROOM.get_ptr_mut(0) else { return 0 };
    let wanted = if frames() as usize == STACK_FRAMES { STACK_FRAMES } else { CALLER_FRAMES };
    // SAFETY: `room` is a whole element, which nothing else uses meanwhile; the helper fills all of `size`
    // (`__bpf_get_stack`, `kernel/bpf/stackmap.c`, 7.3).
    unsafe {
        let size = (wanted * 8) as u32;
        if bpf_get_stack(ctx, room.cast(), size, 0) <= 0 {
            return 0;
        }
        let mut hash = 0u64;
        for n in 0..STACK_FRAMES {
            if n < wanted {
                hash = (hash ^ (*room)[n]).wrapping_mul(MIX);
                hash ^= hash >> 29;
            }
        }
        // 0 is no key.
        let key = hash | 1;
        // By reference: the stack of a BPF program has no room for it.
        let stack: &[u64; STACK_FRAMES] = &*room;
        if STACKS.get_ptr(key).is_none() && STACKS.insert(key, stack, 0).is_err() {
            return 0;
        }
        key
    }
}

/// Fills in what runs now.
///
/// # Safety
///
/// `event` points to a whole event.
#[inline(always)]
pub unsafe fn fill(event: *mut ActivationEvent, name_pointer: u64, stack: u64) {
    // SAFETY: by the caller; the helpers write no more than their room.
    unsafe {
        let ids = bpf_get_current_pid_tgid();
        (*event).name_pointer = name_pointer;
        (*event).stack = stack;
        (*event).thread = ids as u32;
        (*event).process = (ids >> 32) as u32;
        (*event).uid = bpf_get_current_uid_gid() as u32;
        (*event).preempt_count = preempt_count();
        let comm = addr_of_mut!((*event).comm);
        bpf_get_current_comm(comm.cast(), COMM_ROOM as u32);
    }
}

#[inline(always)]
fn preempt_count() -> u32 {
    // SAFETY: as in `frames`; the helper checks the address.
    unsafe {
        let at = (&raw const PREEMPT_COUNT_AT).read_volatile();
        let mut count = NO_PREEMPT_COUNT;
        if at != u32::MAX {
            let from = bpf_get_current_task().wrapping_add(u64::from(at));
            bpf_probe_read_kernel(addr_of_mut!(count).cast(), 4, from as *const c_void);
        }
        count
    }
}
