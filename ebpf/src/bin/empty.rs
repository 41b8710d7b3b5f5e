//! Programs that do nothing, one of each type that a hook has. `sleepwalkd measure --hooks` attaches them beside the
//! hooks: what they cost is the kernel's part of a hook's cost.
#![no_std]
#![no_main]

use aya_ebpf::macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe, raw_tracepoint};
use aya_ebpf::programs::{
    BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RawTracePointContext,
    RetProbeContext,
};

#[btf_tracepoint]
fn empty_tp_btf(_: BtfTracePointContext) -> i32 {
    0
}

#[raw_tracepoint]
fn empty_raw_tp(_: RawTracePointContext) -> i32 {
    0
}

#[fentry]
fn empty_fentry(_: FEntryContext) -> i32 {
    0
}

#[fexit]
fn empty_fexit(_: FExitContext) -> i32 {
    0
}

#[kprobe]
fn empty_kprobe(_: ProbeContext) -> u32 {
    0
}

#[kretprobe]
fn empty_kretprobe(_: RetProbeContext) -> u32 {
    0
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
