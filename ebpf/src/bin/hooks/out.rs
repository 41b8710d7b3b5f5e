//! The way to the agent: the ring buffer, what was dropped, and when the agent is woken.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray, RingBuf};
use sleepwalk_trace::abi::{EVENT_KINDS, Event, RING_BYTES, RING_RESERVE};

/// To the agent.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Events that found no room in the ring buffer, by kind.
///
/// An edge may come in an interrupt, in the middle of another hook's program, and Rust has no atomic
/// addition for BPF. But no program is run within itself on one CPU (`prog->active`,
/// `__bpf_prog_enter_recur`, `kernel/bpf/trampoline.c`, 7.3), each kind has one program, and the kinds
/// of edges, which have two, come with interrupts off (`ws->lock`): so no two add to one count at once.
#[map]
static DROPPED: PerCpuArray<[u64; EVENT_KINDS]> = PerCpuArray::with_max_entries(1, 0);

/// Not 0: the agent was woken and will look again within seconds, without being woken for each event.
/// The agent clears it when it has found nothing.
#[map]
static AWAKE: Array<u32> = Array::with_max_entries(1, 0);

/// How soon the agent has to see an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// At once: the freeze is near, or the attempt is over.
    Now,
    /// With the next batch.
    Batch,
    /// With the next batch, and dropped sooner than the others when the ring fills.
    Bulk,
}

/// CLOCK_BOOTTIME in ns. A hook calls it first: what the hook then does takes longer for one event
/// than for another, and must not shift their stamps.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: it takes nothing and only returns a number.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Sends a `T`, which begins with an [`Event`] and is filled in by `fill`; false where it was dropped.
/// `time_ns` is when the hook was called.
#[inline(always)]
pub fn emit<T: 'static>(
    time_ns: u64,
    kind: u32,
    value: u32,
    urgency: Urgency,
    fill: impl FnOnce(*mut T),
) -> bool {
    let waiting = if urgency == Urgency::Now { 0 } else { EVENTS.query(BPF_RB_AVAIL_DATA.into()) };
    let full = urgency == Urgency::Bulk && waiting > u64::from(RING_BYTES - RING_RESERVE);
    let entry = if full { None } else { EVENTS.reserve::<T>(0) };
    let Some(mut entry) = entry else {
        if let Some(dropped) = DROPPED.get_ptr_mut(0) {
            // SAFETY: a per-CPU element, of which nothing else changes this count meanwhile.
            unsafe { (*dropped)[kind as usize % EVENT_KINDS] += 1 };
        }
        return false;
    };
    let to = entry.as_mut_ptr();
    // SAFETY: the entry has room for a whole `T`, which begins with an event.
    unsafe {
        *to.cast::<Event>() = Event { time_ns, kind, value };
    }
    fill(to);
    if urgency == Urgency::Now || waiting > u64::from(RING_BYTES / 2) {
        entry.submit(BPF_RB_FORCE_WAKEUP.into());
        stir();
    } else {
        entry.submit(BPF_RB_NO_WAKEUP.into());
        // Only now that the agent can see it: else it might have its last look before that, and go to
        // sleep. An entry that is given up wakes too, and is none.
        if stir()
            && let Some(entry) = EVENTS.reserve::<u64>(0)
        {
            entry.discard(BPF_RB_FORCE_WAKEUP.into());
        }
    }
    true
}

/// Sends an [`Event`] alone.
#[inline(always)]
pub fn emit_plain(time_ns: u64, kind: u32, value: u32, urgency: Urgency) {
    emit::<Event>(time_ns, kind, value, urgency, |_| {});
}

/// From here on the agent counts as awake; whether it was asleep.
#[inline(always)]
fn stir() -> bool {
    let Some(awake) = AWAKE.get_ptr_mut(0) else { return true };
    // SAFETY: a word that probe and agent only ever set whole; what a race costs is one wake-up more.
    unsafe { core::ptr::replace(awake, 1) == 0 }
}
