//! Waits and count writes: user space wants to suspend, reads `/sys/power/wakeup_count`, and writes
//! it back.

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;
use aya_ebpf::macros::{fentry, fexit, kprobe, kretprobe};
use aya_ebpf::programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext};
use sleepwalk_trace::abi::{
    EVENT_NOT_SAVED, EVENT_SAVED, EVENT_WAIT_BEGIN, EVENT_WAIT_BROKEN, EVENT_WAIT_IDLE,
};

use crate::out::{Urgency, emit_plain, now};

/// `bool pm_get_wakeup_count(unsigned int *count, bool block)`, `drivers/base/power/wakeup.c`.
#[fentry(function = "pm_get_wakeup_count")]
fn wait_begin_fentry(ctx: FEntryContext) -> i32 {
    begin(now(), ctx.arg::<u8>(1));
    0
}

/// The same function at its exit: the arguments, then the return value.
#[fexit(function = "pm_get_wakeup_count")]
fn wait_end_fexit(ctx: FExitContext) -> i32 {
    let time_ns = now();
    // Autosleep also calls it without blocking (`try_to_suspend`, `kernel/power/autosleep.c`, 7.3).
    if ctx.arg::<u8>(1) != 0 {
        end(time_ns, ctx.arg::<u8>(2));
    }
    0
}

/// For kernels without the function tracer.
#[kprobe(function = "pm_get_wakeup_count")]
fn wait_begin_kprobe(ctx: ProbeContext) -> u32 {
    begin(now(), ctx.arg::<u64>(1).unwrap_or(0) as u8);
    0
}

/// For kernels without the function tracer. It cannot see whether the call was a blocking one.
#[kretprobe(function = "pm_get_wakeup_count")]
fn wait_end_kretprobe(ctx: RetProbeContext) -> u32 {
    end(now(), ctx.ret::<u64>() as u8);
    0
}

/// `bool pm_save_wakeup_count(unsigned int count)`, `drivers/base/power/wakeup.c`.
#[fexit(function = "pm_save_wakeup_count")]
fn save_fexit(ctx: FExitContext) -> i32 {
    count_written(now(), ctx.arg::<u8>(1));
    0
}

/// The same for kernels without the function tracer.
#[kretprobe(function = "pm_save_wakeup_count")]
fn save_kretprobe(ctx: RetProbeContext) -> u32 {
    count_written(now(), ctx.ret::<u64>() as u8);
    0
}

/// Only a blocking call is a wait.
#[inline(always)]
fn begin(time_ns: u64, block: u8) {
    if block != 0 {
        emit_plain(time_ns, EVENT_WAIT_BEGIN, thread(), Urgency::Batch);
    }
}

#[inline(always)]
fn end(time_ns: u64, idle: u8) {
    let kind = if idle != 0 { EVENT_WAIT_IDLE } else { EVENT_WAIT_BROKEN };
    emit_plain(time_ns, kind, thread(), Urgency::Batch);
}

#[inline(always)]
fn count_written(time_ns: u64, saved: u8) {
    let kind = if saved != 0 { EVENT_SAVED } else { EVENT_NOT_SAVED };
    emit_plain(time_ns, kind, thread(), Urgency::Batch);
}

/// The kernel's id of the current thread.
#[inline(always)]
fn thread() -> u32 {
    // SAFETY: it has no arguments and returns a number.
    unsafe { bpf_get_current_pid_tgid() as u32 }
}
