//! The memory that probe and agent share: `repr(C)`, integers only, little-endian like both of
//! them.
//!
//! | struct | lives in | written by |
//! |---|---|---|
//! | [`Walk`] | the context of one `BPF_PROG_RUN` | agent (the first half), probe (the second) |
//! | [`Steps`] | the one element of the mmap'd array map `STEPS` | agent, then probe |
//! | [`Slot`] | one element of the mmap'd array map `SLOTS` | probe |
//! | how many slots a walk stored again, and the index of each | elements of the mmap'd array map `CHANGED` | probe |
//! | a stack's return addresses, the innermost first, then zeroes | one value of the map `STACKS`, by a hash of them | probe |
//! | [`Event`], and the structs that start with it | one entry of the ring buffer `EVENTS` | probe |
//!
//! The probe knows no kernel offsets: rustc emits no CO-RE relocations, so the agent reads the
//! offsets from `/sys/kernel/btf/vmlinux` and passes those that the probe needs in [`Walk`]. The
//! probe copies each `struct wakeup_source` in one read, and the agent decodes the copy.

/// Room for a source's name, with the NUL that ends it.
pub const NAME_ROOM: usize = 128;

/// Room for one `struct wakeup_source`: a power of two, so that the probe can mask offsets into it.
/// The struct has 192 bytes on an arm64 distribution kernel 7.3. Lock debugging makes it larger;
/// such a kernel, which is not used to measure power, is refused. Room for it would double the
/// pages and cost a sixth of the speed.
pub const NODE_ROOM: usize = 256;

/// The same in words (`unsigned long`); no member crosses a word.
pub const NODE_WORDS: usize = NODE_ROOM / 8;

/// How many sources a snapshot has room for by default.
pub const DEFAULT_CAPACITY: u32 = 4096;

/// A walk stops after this many nodes, stored or not: no kernel has as many, so the list was not
/// circular.
pub const MAX_NODES: u32 = 1 << 20;

/// The context of the walk programs: their input and output.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// In: size of `struct wakeup_source`, less than [`NODE_ROOM`].
    pub node_size: u32,
    /// In: offset of the member `entry`.
    pub entry_offset: u32,
    /// In: offset of the member `name`.
    pub name_offset: u32,
    /// In: offset of the word that holds the bit-field `active`.
    pub active_offset: u32,
    /// In: offset of the member `active_count`.
    pub active_count_offset: u32,
    /// In: offset of the member `relax_count`.
    pub relax_count_offset: u32,
    /// In: how many slots there are.
    pub capacity: u32,
    /// In: offset of the member `last_time`.
    pub last_time_offset: u32,
    /// In: offset of the word that holds the member `id`.
    pub id_offset: u32,
    /// In: offset of the member `event_count`.
    pub event_count_offset: u32,
    /// In: offset of the member `prevent_sleep_time`.
    pub prevent_sleep_offset: u32,
    /// Keeps the layout free of hidden padding.
    pub reserved: u32,
    /// In: the bit of `active` within its word.
    pub active_mask: u64,
    /// In, for the walk without the lock: address of the list's head, `wakeup_sources`.
    pub head: u64,

    /// Out: CLOCK_BOOTTIME in ns, after the lock was taken, if there is one.
    pub begin_ns: u64,
    /// Out: CLOCK_MONOTONIC in ns, at the same time.
    pub begin_mono_ns: u64,
    /// Out: CLOCK_BOOTTIME in ns, after the last node.
    pub end_ns: u64,
    /// Out: CLOCK_MONOTONIC in ns, at the same time.
    pub end_mono_ns: u64,
    /// Out: nodes on the list. More than [`Walk::capacity`] means that some were not stored.
    pub seen: u32,
    /// Out: slots filled, from the first on.
    pub stored: u32,
    /// Out: one of the `WALK_*` values.
    pub status: u32,
    /// Out, of a walk that compares: not 0 if a slot has another source than after the walk before.
    pub moved: u32,
}

/// The walk came back to the head.
pub const WALK_DONE: u32 = 1;
/// A node could not be read; the slots before it are valid.
pub const WALK_FAULT: u32 = 2;
/// The walk passed [`MAX_NODES`] and did not reach the head.
pub const WALK_ENDLESS: u32 = 3;
/// Without the lock: a node does not point back to the node before it, so the list changed during
/// the walk; the slots before it are valid.
pub const WALK_CHANGED: u32 = 4;

/// From `walk_steps`: the rest of the list is for its next run.
pub const WALK_STEPPED: u32 = 5;

/// How many nodes one run of `walk_steps` passes. The verifier follows each of them, and gives up after a
/// million instructions (`BPF_COMPLEXITY_LIMIT_INSNS`, `include/linux/bpf_verifier.h`, 5.10).
pub const WALK_STEPS: u32 = 64;

/// A walk in steps: the one element of the mmap'd array map `STEPS`. The agent sets [`Steps::walk`] and zeroes
/// the rest before the first run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Input, and output after the last run.
    pub walk: Walk,
    /// `struct list_head *` of the next node; 0 before the first run.
    pub next: u64,
    /// `struct list_head *` of the node before it.
    pub previous: u64,
}

/// One wakeup source as the probe copied it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Kernel address of the `struct wakeup_source`.
    pub address: u64,
    /// Its `name` pointer, which the tracepoints pass too.
    pub name_pointer: u64,
    /// `SLOT_*` bits.
    pub flags: u64,
    /// The name up to its NUL; the bytes after it are undefined.
    pub name: [u8; NAME_ROOM],
    /// The struct as it is in the kernel.
    pub node: [u64; NODE_WORDS],
}

/// `active` and the counts contradicted each other in both reads: the source was changing.
pub const SLOT_TORN: u64 = 1;
/// The name is longer than the room for it.
pub const SLOT_NAME_CUT: u64 = 2;
/// The name's pointer could not be followed.
pub const SLOT_NAME_FAULT: u64 = 4;
/// The name is longer than a walk that compares reads.
pub const SLOT_NAME_LONG: u64 = 8;

/// Room for the `action` of `power:suspend_resume` with its NUL. The longest on Linux 7.3 is
/// `dpm_suspend_noirq` (17 bytes; `trace_suspend_resume` callers in `drivers/base/power/main.c` and
/// `kernel/power/`).
pub const ACTION_ROOM: usize = 32;

/// Bytes of the ring buffer. User space is frozen from freeze to thaw, so the ring has to hold all
/// events of an attempt: an edge takes 32 bytes with the ring's own header, an activation with its
/// activator 72, a phase 56.
pub const RING_BYTES: u32 = 1 << 20;

/// Edges leave so much of it free for the suspend events: an attempt has about 40, and each s2idle
/// re-entry adds 2.
pub const RING_RESERVE: u32 = RING_BYTES / 8;

/// The start of every entry of the ring buffer, and all of most entries.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// CLOCK_BOOTTIME in ns, when the hook was called. The event gets its place in the ring later, so
    /// the order in the ring may differ from the order of the stamps.
    pub time_ns: u64,
    /// One of the `EVENT_*` values.
    pub kind: u32,
    /// Depends on the kind.
    pub value: u32,
}

/// `power:suspend_resume` with `start` set, a [`PhaseEvent`]; the value is its `val`.
pub const EVENT_PHASE_BEGIN: u32 = 1;
/// `power:suspend_resume` with `start` clear, a [`PhaseEvent`]; the value is its `val`.
pub const EVENT_PHASE_END: u32 = 2;
/// `pm_suspend` returned the value.
pub const EVENT_SUSPEND_RETURN: u32 = 3;
/// `power:wakeup_source_activate`, an [`EdgeEvent`], or an [`ActivationEvent`] if activators are recorded; the value
/// is its `state`.
pub const EVENT_ACTIVATE: u32 = 4;
/// `power:wakeup_source_deactivate`, an [`EdgeEvent`]; the value is its `state`.
pub const EVENT_DEACTIVATE: u32 = 5;
/// The name at a pointer from here on, a [`NameEvent`]. The value is the name's length with its
/// NUL, or an errno, as `bpf_probe_read_kernel_str` returns it; [`NAME_ROOM`] + 1 if the name is
/// longer.
pub const EVENT_NAME: u32 = 6;
/// A thread, the value, entered `pm_get_wakeup_count` to wait.
pub const EVENT_WAIT_BEGIN: u32 = 7;
/// The wait of a thread, the value, ended because no source was active.
pub const EVENT_WAIT_IDLE: u32 = 8;
/// The wait of a thread, the value, ended although a source was active.
pub const EVENT_WAIT_BROKEN: u32 = 9;
/// `pm_save_wakeup_count` returned true to a thread, the value.
pub const EVENT_SAVED: u32 = 10;
/// `pm_save_wakeup_count` returned false to a thread, the value.
pub const EVENT_NOT_SAVED: u32 = 11;
/// `pm_system_irq_wakeup` was called for an interrupt, the value.
pub const EVENT_WAKE: u32 = 12;

/// More than there are kinds of events.
pub const EVENT_KINDS: usize = 16;

/// A suspend phase.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PhaseEvent {
    /// When and which.
    pub event: Event,
    /// The tracepoint's `action`, NUL-terminated.
    pub action: [u8; ACTION_ROOM],
}

/// An activation or a deactivation.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EdgeEvent {
    /// When and which.
    pub event: Event,
    /// Kernel address of the source's name.
    pub name_pointer: u64,
}

/// An activation, and what ran then.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ActivationEvent {
    /// When and which.
    pub event: Event,
    /// Kernel address of the source's name.
    pub name_pointer: u64,
    /// The key of the stack in the map `STACKS`; 0 if it could not be read or stored.
    pub stack: u64,
    /// The thread's id.
    pub thread: u32,
    /// The process' id.
    pub process: u32,
    /// The process' user.
    pub uid: u32,
    /// The thread's `preempt_count`; [`NO_PREEMPT_COUNT`] if its place is not known.
    pub preempt_count: u32,
    /// The thread's name, NUL-terminated.
    pub comm: [u8; COMM_ROOM],
}

/// TASK_COMM_LEN, `include/linux/sched.h`.
pub const COMM_ROOM: usize = 16;

/// No preempt count: it has bits that no count has (`include/linux/preempt.h`).
pub const NO_PREEMPT_COUNT: u32 = u32::MAX;

/// The most frames of a stack in the map `STACKS`.
pub const STACK_FRAMES: usize = 32;

/// The frames that are enough to find the function that called the core of wakeup sources.
pub const CALLER_FRAMES: usize = 12;

/// The most different stacks.
pub const MAX_STACKS: u32 = 4096;

/// The name at a pointer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NameEvent {
    /// When.
    pub event: Event,
    /// The pointer.
    pub name_pointer: u64,
    /// The name, then zeroes.
    pub name: [u64; NAME_WORDS],
}

/// [`NAME_ROOM`] in words: names are compared by words.
pub const NAME_WORDS: usize = NAME_ROOM / 8;

// The layout is the contract: no hidden padding.
const _: () = assert!(size_of::<Walk>() == 112 && size_of::<Steps>() == 112 + 16);
const _: () = assert!(size_of::<Slot>() == 24 + NAME_ROOM + NODE_ROOM);
const _: () = assert!((EVENT_WAKE as usize) < EVENT_KINDS && EVENT_KINDS.is_power_of_two());
const _: () = assert!(size_of::<PhaseEvent>() == 16 + ACTION_ROOM);
const _: () = assert!(size_of::<EdgeEvent>() == 24);
const _: () = assert!(size_of::<ActivationEvent>() == 48 + COMM_ROOM);
const _: () = assert!(size_of::<NameEvent>() == 24 + NAME_ROOM);
