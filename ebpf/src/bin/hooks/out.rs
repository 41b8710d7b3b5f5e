//! The way to the agent: the ring buffer, the count of dropped events, and the agent's wake-ups.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray, RingBuf};
use sleepwalk_trace::abi::{EVENT_KINDS, Event, RING_BYTES, RING_RESERVE};

/// The events, on their way to the agent.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Events that found no room in the ring buffer, by kind.
///
/// An edge may come in an interrupt, during the program of another hook, and Rust has no atomic
/// addition for BPF. Still, no two programs add to one count at once: the kernel does not run a
/// program within itself on one CPU (`prog->active`, `__bpf_prog_enter_recur`,
/// `kernel/bpf/trampoline.c`, 7.3), each kind has one program, and edges, which have two, come with
/// interrupts off (`ws->lock`).
#[map]
static DROPPED: PerCpuArray<[u64; EVENT_KINDS]> = PerCpuArray::with_max_entries(1, 0);

/// Not 0: the agent was woken, and will read the ring again within seconds without a wake-up per
/// event. The agent clears it when it has found no events.
#[map]
static AWAKE: Array<u32> = Array::with_max_entries(1, 0);

/// One of the values below. While user space is frozen, nobody wakes the agent: it could not run, and an interrupt
/// that is pending when the platform goes to sleep ends that sleep at once.
#[map]
static USER_SPACE: Array<u32> = Array::with_max_entries(1, 0);

/// It runs.
pub const RUNNING: u32 = 0;
/// It is being frozen. If that fails, it is thawed before `freeze_processes` ends (`kernel/power/process.c`, 5.10
/// to 7.3).
pub const FREEZING: u32 = 1;
/// It is frozen.
const FROZEN: u32 = 2;

/// Several processors may reserve at once, so that none of them sees exactly the half.
const HALF_FULL_BAND: u64 = 4096;

/// How soon the agent needs an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// At once: the freeze is near, or the attempt is over.
    Now,
    /// With the next batch.
    Batch,
    /// With the next batch, and dropped before the others when the ring fills.
    Bulk,
}

/// CLOCK_BOOTTIME in ns. Each hook reads it first: the rest of its work takes longer for some events
/// than for others, which must not shift their stamps.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: it has no arguments and returns a number.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Sends a `T`, which starts with an [`Event`]; `fill` writes the rest. Returns `false` if it was
/// dropped. `time_ns` is when the hook was called.
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
            // SAFETY: a per-CPU element; nothing else changes this count at the same time.
            unsafe { (*dropped)[kind as usize % EVENT_KINDS] += 1 };
        }
        return false;
    };
    let to = entry.as_mut_ptr();
    // SAFETY: the entry has room for a whole `T`, which starts with an event.
    unsafe {
        *to.cast::<Event>() = Event { time_ns, kind, value };
    }
    fill(to);
    // Half full: the events that get it there wake the agent, and not each one from then on.
    let half = u64::from(RING_BYTES / 2);
    let half_full = waiting + (size_of::<T>() as u64) > half && waiting <= half + HALF_FULL_BAND;
    if user_space() == FROZEN {
        entry.submit(BPF_RB_NO_WAKEUP.into());
    } else if urgency == Urgency::Now || half_full {
        // The mark comes before the wake-up: a program that is interrupted in between still wakes the agent.
        wake_agent();
        entry.submit(BPF_RB_FORCE_WAKEUP.into());
    } else {
        entry.submit(BPF_RB_NO_WAKEUP.into());
        // Check for a sleeping agent only after the event is visible; otherwise the agent could
        // look, see nothing and doze off in between. Discarding an entry wakes the agent without
        // adding an event.
        if wake_agent()
            && let Some(entry) = EVENTS.reserve::<u64>(0)
        {
            entry.discard(BPF_RB_FORCE_WAKEUP.into());
        }
    }
    true
}

/// Sends an [`Event`] without further fields.
#[inline(always)]
pub fn emit_plain(time_ns: u64, kind: u32, value: u32, urgency: Urgency) {
    emit::<Event>(time_ns, kind, value, urgency, |_| {});
}

/// Marks the agent as awake, and returns whether it was asleep: then the caller wakes it.
///
/// A program may be interrupted between the two steps for so long that the agent dozes off again. So it only
/// stores where it also wakes.
#[inline(always)]
fn wake_agent() -> bool {
    let Some(awake) = AWAKE.get_ptr_mut(0) else { return true };
    // SAFETY: probe and agent only set the word as a whole; a race costs one more wake-up.
    unsafe {
        if awake.read_volatile() != 0 {
            return false;
        }
        awake.write_volatile(1);
    }
    true
}

#[inline(always)]
fn user_space() -> u32 {
    // SAFETY: only the hook of the phases, one at a time, sets the word.
    USER_SPACE.get_ptr(0).map_or(RUNNING, |state| unsafe { state.read_volatile() })
}

/// User space begins to be frozen, or runs.
#[inline(always)]
pub fn set_user_space(state: u32) {
    if let Some(to) = USER_SPACE.get_ptr_mut(0) {
        // SAFETY: as in `user_space`.
        unsafe { to.write_volatile(state) };
    }
}

/// `freeze_processes` has ended: unless it failed, user space is frozen.
#[inline(always)]
pub fn end_freezing() {
    if user_space() == FREEZING {
        set_user_space(FROZEN);
    }
}
