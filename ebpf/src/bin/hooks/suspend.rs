//! Suspend attempts: their phases, their return, and the interrupt that ends their sleep.

use core::ffi::c_void;
use core::ptr::addr_of_mut;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use aya_ebpf::macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe, raw_tracepoint};
use aya_ebpf::programs::{
    BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RawTracePointContext,
    RetProbeContext,
};
use sleepwalk_trace::abi::{
    ACTION_ROOM, EVENT_PHASE_BEGIN, EVENT_PHASE_END, EVENT_SUSPEND_RETURN, EVENT_WAKE, PhaseEvent,
};

use crate::out::{FREEZING, RUNNING, Urgency, emit, emit_plain, end_freezing, now, set_user_space};

/// `power:suspend_resume(const char *action, int val, bool start)`.
#[btf_tracepoint(function = "suspend_resume")]
fn phase_tp_btf(ctx: BtfTracePointContext) -> i32 {
    phase(now(), ctx.arg(0), ctx.arg(1), ctx.arg::<u8>(2));
    0
}

/// The same for kernels whose BTF lacks the tracepoint.
#[raw_tracepoint(tracepoint = "suspend_resume")]
fn phase_raw_tp(ctx: RawTracePointContext) -> i32 {
    let time_ns = now();
    let args = ctx.as_ptr().cast::<u64>();
    // SAFETY: a raw tracepoint's context is its arguments, widened to u64
    // (`bpf_raw_tracepoint_args`, `include/uapi/linux/bpf.h`), and this one has three.
    let (action, value, start) = unsafe { (*args, *args.add(1), *args.add(2)) };
    phase(time_ns, action as *const c_void, value as u32, start as u8);
    0
}

#[inline(always)]
fn phase(time_ns: u64, action: *const c_void, value: u32, start: u8) {
    let kind = if start != 0 { EVENT_PHASE_BEGIN } else { EVENT_PHASE_END };
    // An attempt starts with the phase `suspend_enter`. The agent needs that one at once, and the
    // others only when the attempt is over.
    let mut first = [0u8; 8];
    // SAFETY: `first` has 8 bytes, and the helper checks the source address.
    unsafe { bpf_probe_read_kernel_str(first.as_mut_ptr().cast(), 8, action) };
    let begins = start != 0 && first == *b"suspend\0";
    let urgency = if begins { Urgency::Now } else { Urgency::Batch };
    if begins || first == *b"thaw_pr\0" {
        set_user_space(RUNNING);
    } else if first == *b"freeze_\0" {
        if start != 0 { set_user_space(FREEZING) } else { end_freezing() }
    }
    emit::<PhaseEvent>(time_ns, kind, value, urgency, |event| {
        // SAFETY: `action` has ACTION_ROOM bytes, and the helper checks the source address.
        unsafe {
            let room = addr_of_mut!((*event).action).cast();
            bpf_probe_read_kernel_str(room, ACTION_ROOM as u32, action);
        }
    });
}

/// `int pm_suspend(suspend_state_t state)`, `kernel/power/suspend.c`.
#[fexit(function = "pm_suspend")]
fn return_fexit(ctx: FExitContext) -> i32 {
    // The return value follows the one argument.
    emit_plain(now(), EVENT_SUSPEND_RETURN, ctx.arg(1), Urgency::Now);
    0
}

/// The same for kernels without the function tracer.
#[kretprobe(function = "pm_suspend")]
fn return_kretprobe(ctx: RetProbeContext) -> u32 {
    emit_plain(now(), EVENT_SUSPEND_RETURN, ctx.ret::<u64>() as u32, Urgency::Now);
    0
}

/// `void pm_system_irq_wakeup(unsigned int irq_number)`, `drivers/base/power/wakeup.c`.
#[fentry(function = "pm_system_irq_wakeup")]
fn wake_fentry(ctx: FEntryContext) -> i32 {
    emit_plain(now(), EVENT_WAKE, ctx.arg(0), Urgency::Batch);
    0
}

/// The same for kernels without the function tracer.
#[kprobe(function = "pm_system_irq_wakeup")]
fn wake_kprobe(ctx: ProbeContext) -> u32 {
    emit_plain(now(), EVENT_WAKE, ctx.arg::<u64>(0).unwrap_or(0) as u32, Urgency::Batch);
    0
}
