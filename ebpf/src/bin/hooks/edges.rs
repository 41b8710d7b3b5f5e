//! Edges: activations and deactivations of wakeup sources.
//!
//! The tracepoints pass the source's name, not its address. An edge carries the pointer of the
//! name, which the sources of a snapshot have too. The name itself is sent the first time that a
//! pointer comes up, and again when it has changed. So a source that lives and dies between two
//! snapshots has its name.

use core::ffi::c_void;
use core::ptr::addr_of_mut;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str};
use aya_ebpf::macros::{btf_tracepoint, map, raw_tracepoint};
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext};
use sleepwalk_trace::abi::{
    ActivationEvent, EVENT_ACTIVATE, EVENT_DEACTIVATE, EVENT_NAME, EdgeEvent, NAME_ROOM,
    NAME_WORDS, NameEvent,
};

use crate::activators;
use crate::out::{Urgency, emit, now};

/// The names that were sent to the agent, by their pointers.
#[map]
static NAMES: LruHashMap<u64, [u64; NAME_WORDS]> = LruHashMap::with_max_entries(4096, 0);

/// `power:wakeup_source_activate(const char *name, unsigned int state)`.
#[btf_tracepoint(function = "wakeup_source_activate")]
fn activate_tp_btf(ctx: BtfTracePointContext) -> i32 {
    activation(now(), ctx.as_ptr(), ctx.arg(0), ctx.arg(1));
    0
}

/// `power:wakeup_source_deactivate(const char *name, unsigned int state)`.
#[btf_tracepoint(function = "wakeup_source_deactivate")]
fn deactivate_tp_btf(ctx: BtfTracePointContext) -> i32 {
    edge(now(), EVENT_DEACTIVATE, ctx.arg(0), ctx.arg(1));
    0
}

/// The same for kernels whose BTF lacks the tracepoint.
#[raw_tracepoint(tracepoint = "wakeup_source_activate")]
fn activate_raw_tp(ctx: RawTracePointContext) -> i32 {
    let time_ns = now();
    let (name, state) = arguments(&ctx);
    activation(time_ns, ctx.as_ptr(), name, state);
    0
}

/// The same for kernels whose BTF lacks the tracepoint.
#[raw_tracepoint(tracepoint = "wakeup_source_deactivate")]
fn deactivate_raw_tp(ctx: RawTracePointContext) -> i32 {
    let time_ns = now();
    let (name, state) = arguments(&ctx);
    edge(time_ns, EVENT_DEACTIVATE, name, state);
    0
}

#[inline(always)]
fn arguments(ctx: &RawTracePointContext) -> (u64, u32) {
    let args = ctx.as_ptr().cast::<u64>();
    // SAFETY: the context is the arguments, widened to u64 (`bpf_raw_tracepoint_args`,
    // `include/uapi/linux/bpf.h`), and these tracepoints have two.
    unsafe { (*args, *args.add(1) as u32) }
}

#[inline(always)]
fn activation(time_ns: u64, ctx: *mut c_void, pointer: u64, state: u32) {
    if !activators::wanted() {
        return edge(time_ns, EVENT_ACTIVATE, pointer, state);
    }
    send_name(time_ns, pointer);
    let stack = activators::stack(ctx);
    emit::<ActivationEvent>(time_ns, EVENT_ACTIVATE, state, Urgency::Bulk, |event| {
        // SAFETY: the entry has room for a whole event.
        unsafe { activators::fill(event, pointer, stack) };
    });
}

#[inline(always)]
fn edge(time_ns: u64, kind: u32, pointer: u64, state: u32) {
    send_name(time_ns, pointer);
    emit::<EdgeEvent>(time_ns, kind, state, Urgency::Bulk, |event| {
        // SAFETY: the entry has room for a whole event.
        unsafe { (*event).name_pointer = pointer };
    });
}

/// Sends the name at `pointer`, unless that name was sent already. It has the stamp of the edge that
/// follows it.
#[inline(always)]
fn send_name(time_ns: u64, pointer: u64) {
    let mut name = [0u64; NAME_WORDS];
    // SAFETY: `name` has NAME_ROOM bytes, and the helper checks the source address.
    let mut length = unsafe {
        let from = pointer as *const c_void;
        bpf_probe_read_kernel_str(name.as_mut_ptr().cast(), NAME_ROOM as u32, from)
    };
    if length == NAME_ROOM as i64 {
        let mut beyond = 0u8;
        let at = pointer.wrapping_add(NAME_ROOM as u64 - 1) as *const c_void;
        // SAFETY: `beyond` has one byte, and the helper checks the source address.
        unsafe { bpf_probe_read_kernel(addr_of_mut!(beyond).cast(), 1, at) };
        length += i64::from(beyond != 0);
    }
    // SAFETY: another CPU may replace the value meanwhile; then the names differ, and one is sent
    // once too often.
    let sent_before = unsafe { NAMES.get(pointer) };
    if sent_before.is_some_and(|before| differences(before, &name) == 0) {
        return;
    }
    let sent = emit::<NameEvent>(time_ns, EVENT_NAME, length as u32, Urgency::Bulk, |event| {
        // SAFETY: the entry has room for a whole event.
        unsafe {
            (*event).name_pointer = pointer;
            *addr_of_mut!((*event).name) = name;
        }
    });
    if sent {
        // If the map has no room, the name is sent again next time.
        let _ = NAMES.insert(pointer, name, 0);
    }
}

/// Not 0 if the names differ. It has no branch per word, because the verifier would follow each.
#[inline(always)]
fn differences(a: &[u64; NAME_WORDS], b: &[u64; NAME_WORDS]) -> u64 {
    let mut differences = 0;
    for n in 0..NAME_WORDS {
        differences |= a[n] ^ b[n];
    }
    differences
}
