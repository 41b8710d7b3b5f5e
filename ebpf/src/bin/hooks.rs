//! The tracing programs: suspend attempts, as they happen.
//!
//! Each hook comes in two forms, of which the agent attaches the first that this kernel takes.
#![no_std]
#![no_main]

use core::ffi::c_void;
use core::ptr::addr_of_mut;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_probe_read_kernel_str};
use aya_ebpf::macros::{btf_tracepoint, fexit, kretprobe, map, raw_tracepoint};
use aya_ebpf::maps::{PerCpuArray, RingBuf};
use aya_ebpf::programs::{
    BtfTracePointContext, FExitContext, RawTracePointContext, RetProbeContext,
};
use sleepwalk_trace::abi::{
    ACTION_ROOM, EVENT_PHASE_BEGIN, EVENT_PHASE_END, EVENT_SUSPEND_RETURN, SuspendEvent,
};

/// To the agent. User space stands still from freeze to thaw, so it has to hold a whole attempt:
/// 256 KiB are 4,600 events, where an attempt has about 40 and each s2idle re-entry adds 2.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(256 << 10, 0);

/// Events that found the ring buffer full.
#[map]
static DROPPED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// `power:suspend_resume(const char *action, int val, bool start)`.
#[btf_tracepoint(function = "suspend_resume")]
fn phase_tp_btf(ctx: BtfTracePointContext) -> i32 {
    phase(ctx.arg(0), ctx.arg(1), ctx.arg::<u8>(2));
    0
}

/// The same for kernels whose BTF lacks the tracepoint.
#[raw_tracepoint(tracepoint = "suspend_resume")]
fn phase_raw_tp(ctx: RawTracePointContext) -> i32 {
    let args = ctx.as_ptr().cast::<u64>();
    // SAFETY: a raw tracepoint's context is its arguments, widened to u64 (`bpf_raw_tracepoint_args`,
    // `include/uapi/linux/bpf.h`), and this one has three.
    let (action, value, start) = unsafe { (*args, *args.add(1), *args.add(2)) };
    phase(action as *const c_void, value as i32, start as u8);
    0
}

/// `int pm_suspend(suspend_state_t state)`, `kernel/power/suspend.c`.
#[fexit(function = "pm_suspend")]
fn return_fexit(ctx: FExitContext) -> i32 {
    // Behind the one argument lies the return value.
    returned(ctx.arg(1));
    0
}

/// The same for kernels without the function tracer.
#[kretprobe(function = "pm_suspend")]
fn return_kretprobe(ctx: RetProbeContext) -> u32 {
    returned(ctx.ret::<u64>() as i32);
    0
}

#[inline(always)]
fn phase(action: *const c_void, value: i32, start: u8) {
    let kind = if start != 0 { EVENT_PHASE_BEGIN } else { EVENT_PHASE_END };
    emit(kind, value, |room| {
        // SAFETY: `room` has ACTION_ROOM bytes, and the helper checks the source address.
        unsafe { bpf_probe_read_kernel_str(room.cast(), ACTION_ROOM as u32, action) };
    });
}

#[inline(always)]
fn returned(value: i32) {
    emit(EVENT_SUSPEND_RETURN, value, |room| {
        // SAFETY: `room` has ACTION_ROOM bytes.
        unsafe { *room = 0 };
    });
}

#[inline(always)]
fn emit(kind: u32, value: i32, action: impl FnOnce(*mut u8)) {
    let Some(mut entry) = EVENTS.reserve::<SuspendEvent>(0) else {
        if let Some(dropped) = DROPPED.get_ptr_mut(0) {
            // SAFETY: a per-CPU element, and a tracing program is not preempted by itself.
            unsafe { *dropped += 1 };
        }
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: the entry has room for a whole event, and every field is written before it is
    // submitted, but for what lies behind the action's NUL.
    unsafe {
        (*event).time_ns = bpf_ktime_get_boot_ns();
        (*event).kind = kind;
        (*event).value = value;
        action(addr_of_mut!((*event).action).cast());
    }
    entry.submit(0);
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
