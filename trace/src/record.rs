//! The records of a trace.
//!
//! Each record in a chunk's payload has four parts:
//!
//! | part | encoding |
//! |---|---|
//! | length of the parts below | varint |
//! | kind | one byte, [`Record::kind`] |
//! | stamp, minus the stamp before it in this chunk (for the first, minus the chunk's base) | zigzag varint |
//! | body | bincode 2, `config::standard()`: little-endian varints, fields as declared |
//!
//! A reader uses the length to skip an unknown kind. Fields are only added at the end of a body,
//! and only in a new version of the file.

mod origin;

use bincode::{Decode, Encode};

pub use self::origin::*;

use crate::time::{BootNanos, MonoNanos};

/// A record and when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// When, in CLOCK_BOOTTIME.
    pub at: BootNanos,
    /// The record.
    pub record: Record,
}

/// The kinds of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Kind 1, once, first: where and how the trace was taken.
    Session(Session),
    /// Kind 2: a string, before the first record that uses its number.
    String(StringDef),
    /// Kind 3: a wakeup source, before the first snapshot or edge that names it.
    Source(SourceDef),
    /// Kind 4: the sources' counters at one instant; the stamp is the start of the walk.
    Snapshot(Snapshot),
    /// Kind 5: one `power:suspend_resume` event.
    Phase(Phase),
    /// Kind 6: `pm_suspend` returned.
    Return(SuspendReturn),
    /// Kind 7: events that the probe could not pass on.
    Lost(Lost),
    /// Kind 8: the costs of the capture so far.
    Overhead(Overhead),
    /// Kind 9, last: the capture ended cleanly.
    End(End),
    /// Kind 10: a source was activated or deactivated.
    Edge(Edge),
    /// Kind 11: a reader of `/sys/power/wakeup_count` entered `pm_get_wakeup_count`.
    WaitBegin(WaitBegin),
    /// Kind 12: the wait ended.
    WaitEnd(WaitEnd),
    /// Kind 13: a write to `/sys/power/wakeup_count`, when `pm_save_wakeup_count` returned.
    CountWrite(CountWrite),
    /// Kind 14: an interrupt, before the first wake that names it.
    Irq(IrqDef),
    /// Kind 15: an interrupt woke the system (`pm_system_irq_wakeup`).
    Wake(Wake),
    /// Kind 16: a power supply, when it was read.
    PowerSupply(PowerSupply),
    /// Kind 17: the values of `/sys/power/suspend_stats` that changed.
    SuspendStats(SuspendStats),
    /// Kind 18: the threads that waited at the stamp, and how they were found.
    Waiters(Waiters),
    /// Kind 19: what the kernel's files say after an attempt.
    WakeReason(WakeReason),
    /// Kind 20, near the end: how often the hooks' programs ran.
    HookRuns(HookRuns),
    /// Kind 21: what the agent found or did on the device, in a sentence.
    Note(Note),
    /// Kind 22: what activates sources, in each chunk before the first record that names it.
    Activator(Activator),
    /// Kind 23: what activates a source from here on.
    ActivatedBy(ActivatedBy),
    /// Kind 24: the device behind a source.
    SourceDevice(SourceDevice),
    /// Kind 25: a process that waits for a file with a source of its own.
    EpollWaiter(EpollWaiter),
    /// Kind 26: a part of the output of an Android service.
    ServiceDump(ServiceDump),
}

/// Where and how the trace was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Session {
    /// Version of the agent, and the CRC32C of its file, which identifies the build.
    pub agent: String,
    /// Model of the device; empty if it is unknown.
    pub device: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub machine: String,
    /// Bytes in a page.
    pub page_size: u32,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Android's build fingerprint; empty on other systems.
    pub fingerprint: String,
    /// The source of snapshots: `kfunc`, `kallsyms`, `debugfs` or `sysfs`.
    pub source: String,
    /// The hooks, sorted as in [`HOOKS`].
    pub hooks: Vec<Hook>,
    /// Nanoseconds between periodic snapshots.
    pub interval_ns: u64,
    /// Whether individual activations were recorded.
    pub edges: bool,
    /// Android's serial number (`ro.serialno`), which distinguishes two devices of one model; empty
    /// on other systems.
    pub serial: String,
}

/// The names of hooks in [`Hook::what`]: suspend phases, `pm_suspend`'s return, edges,
/// the wait in `pm_get_wakeup_count`, `pm_save_wakeup_count`, `pm_system_irq_wakeup`.
pub const HOOKS: [&str; 6] = ["phase", "return", "edge", "wait", "save", "wake"];

/// How one thing is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Hook {
    /// One of [`HOOKS`].
    pub what: String,
    /// `tp_btf`, `raw_tp`, `fentry`, `fexit`, `kprobe`, `kretprobe`, `suspend_stats`; empty if it
    /// is not watched.
    pub how: String,
    /// Why it is not the first choice, or not watched; else empty.
    pub why: String,
}

/// A string with a number.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StringDef {
    /// Its number, unique in the trace.
    pub id: u32,
    /// Its bytes as the kernel has them: any except NUL, not always UTF-8.
    pub bytes: Vec<u8>,
}

/// One wakeup source, from its registration to its removal.
///
/// If an edge showed the source first, the first snapshot that has it defines it again under the
/// same number. The later definition completes the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SourceDef {
    /// Its number in this trace.
    pub instance: u32,
    /// [`StringDef::id`] of the name.
    pub name: u32,
    /// Whether the name is longer than the string. If the string is empty, the name could not be
    /// read.
    pub name_cut: bool,
    /// The kernel's `id`, which it uses again after a removal; `None` if it is unknown.
    pub id: Option<u32>,
    /// Kernel address of the struct; 0 if it is unknown.
    pub address: u64,
    /// Kernel address of the name, which the tracepoints pass; 0 if it is unknown. The kernel does
    /// not copy constant names, so sources may share one (`kstrdup_const` in
    /// `wakeup_source_create`, `drivers/base/power/wakeup.c`, 7.3).
    pub name_pointer: u64,
}

/// Why a snapshot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reason {
    /// The first of the trace.
    Start,
    /// `--interval` passed.
    Tick,
    /// An attempt began.
    AttemptBegin,
    /// An attempt returned.
    AttemptEnd,
    /// The last of the trace.
    End,
    /// Events were lost, so the state has to be read again.
    Lost,
}

/// The sources' counters at one instant, as differences to the snapshot before it.
///
/// [`crate::snapshot::DeltaDecoder`] turns it into absolute values.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Snapshot {
    /// Why it was taken.
    pub reason: Reason,
    /// CLOCK_MONOTONIC at the start of the walk, the clock of the sources' own times. It does not
    /// follow from the stamp, because a suspend may come between the stamp and the chunk's commit.
    pub mono: MonoNanos,
    /// Nanoseconds from the start of the walk to its end, without sleep (CLOCK_MONOTONIC).
    pub took_ns: u64,
    /// Sources on the kernel's list. It is more than `stored` if there was no room for all,
    /// or some could not be read.
    pub seen: u32,
    /// Sources stored, including the unchanged.
    pub stored: u32,
    /// The walk ended early: a node could not be read, or the list had no end.
    pub broken: bool,
    /// An [`Reason::AttemptBegin`] of which at least a part was taken after the freeze, so it does not show the
    /// start of the attempt.
    pub late: bool,
    /// The differences count from zero, not from the snapshot before.
    pub full: bool,
    /// The sources that are new or changed; all of them in a full snapshot.
    pub changed: Vec<SourceDelta>,
    /// Instances that were in the snapshot before and are gone.
    pub gone: Vec<u32>,
}

impl Snapshot {
    /// Whether the walk saw every source, so that one that is missing is gone.
    pub fn whole(&self) -> bool {
        !self.broken && self.seen == self.stored
    }
}

/// How one source changed between two snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SourceDelta {
    /// [`SourceDef::instance`].
    pub instance: u32,
    /// [`STATE_ACTIVE`] and the other bits.
    pub state: u8,
    /// Bit *i* set: counter *i* (in the order of [`crate::snapshot::Counters`]) differs.
    pub mask: u16,
    /// New − old, wrapping, for each set bit from the lowest up.
    pub deltas: Vec<u64>,
}

/// The source was active.
pub const STATE_ACTIVE: u8 = 1;
/// The source was changing while it was read, so its times don't match its counts.
pub const STATE_TORN: u8 = 2;
/// The kernel's `autosleep_enabled` was set.
pub const STATE_AUTOSLEEP: u8 = 4;

/// One `power:suspend_resume` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Phase {
    /// [`StringDef::id`] of the action.
    pub action: u32,
    /// The event's `val`: a suspend state, a PM event, a CPU.
    pub value: i32,
    /// Begin, else end.
    pub begin: bool,
}

/// `pm_suspend` returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SuspendReturn {
    /// 0 or a negative errno. `None`: it failed, and only `suspend_stats` show that, without an
    /// errno. Then the stamp is the time when the agent noticed.
    pub errno: Option<i32>,
}

/// Events that the probe could not pass on since the last such record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Lost {
    /// How many.
    pub events: u64,
}

/// The costs of the capture up to the stamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Overhead {
    /// CPU time of the agent, user and system, in ns.
    pub cpu_ns: u64,
    /// Snapshots taken.
    pub snapshots: u64,
    /// Their walks' time, in ns.
    pub snapshots_ns: u64,
    /// The longest walk, in ns.
    pub snapshot_max_ns: u64,
    /// Bytes written to the trace before this record's chunk.
    pub bytes_written: u64,
}

/// The capture ended cleanly.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct End {
    /// Why: `duration`, `signal`, …
    pub reason: String,
}

/// A source was activated or deactivated (`power:wakeup_source_activate`, `_deactivate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Edge {
    /// [`SourceDef::instance`].
    pub source: u32,
    /// [`EDGE_ACTIVE`] and the other bits.
    pub flags: u8,
    /// The tracepoint's `state`: wakeup events registered << 16 | in progress, each wrapping
    /// (`combined_event_count`, `drivers/base/power/wakeup.c`, 7.3). `None`: it follows from the
    /// edge before in this chunk, see [`next_state`].
    pub state: Option<u32>,
}

/// The edge is an activation, else a deactivation.
pub const EDGE_ACTIVE: u8 = 1;
/// Several live sources have the name pointer that the tracepoint passed, so the source is not
/// certain; [`Edge::source`] is the lowest of them.
pub const EDGE_SHARED: u8 = 2;

/// The state after an edge, if nothing came between it and the edge before.
///
/// An activation raises the events in progress; a deactivation takes one from them and raises the
/// registered events (`wakeup_source_activate`, `wakeup_source_deactivate`, 7.3).
pub fn next_state(before: u32, active: bool) -> u32 {
    before.wrapping_add(if active { 1 } else { 0xffff })
}

/// A thread entered `pm_get_wakeup_count`, where it waits while any source is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WaitBegin {
    /// The kernel's id of the thread.
    pub thread: u32,
}

/// A thread returned from `pm_get_wakeup_count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WaitEnd {
    /// The kernel's id of the thread.
    pub thread: u32,
    /// The return value: no source was active. Else a signal or the freezer ended the wait.
    pub idle: bool,
}

/// A thread wrote to `/sys/power/wakeup_count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CountWrite {
    /// The kernel's id of the thread.
    pub thread: u32,
    /// The return value of `pm_save_wakeup_count`. True: from now on an event aborts the attempt.
    /// False: an event had come since the count was read, or was in progress.
    pub saved: bool,
}

/// An interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IrqDef {
    /// Its number.
    pub number: u32,
    /// [`StringDef::id`] of its handlers' names, comma-separated (`actions` in
    /// `/sys/kernel/irq/N`).
    pub name: u32,
    /// [`StringDef::id`] of its controller's name (`chip_name`).
    pub chip: u32,
}

/// An interrupt woke the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Wake {
    /// [`IrqDef::number`].
    pub irq: u32,
}

/// A power supply, as `/sys/class/power_supply` shows it
/// (`Documentation/ABI/testing/sysfs-class-power`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct PowerSupply {
    /// [`StringDef::id`] of its name.
    pub name: u32,
    /// [`StringDef::id`] of its `type`: `Battery`, `Mains`, `USB`, …
    pub kind: u32,
    /// [`StringDef::id`] of its `status`: `Charging`, `Discharging`, …; an empty string if it has
    /// none.
    pub status: u32,
    /// Per cent.
    pub capacity: Option<i64>,
    /// `charge_counter` in µAh.
    pub charge_uah: Option<i64>,
    /// `current_now` in µA, with the driver's sign.
    pub current_ua: Option<i64>,
    /// `online`: not 0 if it provides power.
    pub online: Option<i64>,
}

/// `/sys/power/suspend_stats`, cumulative since boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SuspendStats {
    /// [`StringDef::id`] of a counter's name and its value; those that changed since the record
    /// before, or all in the first.
    pub counters: Vec<(u32, u64)>,
    /// [`StringDef::id`] of `last_failed_dev`, which keeps old values: an empty string if this is not the
    /// first record and no `failed_*` counter rose.
    pub last_device: u32,
    /// `last_failed_errno`; 0 if neither `fail` nor a `failed_*` counter rose.
    pub last_errno: i32,
    /// [`StringDef::id`] of `last_failed_step`; like the device.
    pub last_step: u32,
}

/// The threads that were inside a blocking `pm_get_wakeup_count` at the stamp.
///
/// The agent looks once, when its hooks are attached, and lists the threads that entered before
/// that. Their waits have neither [`WaitBegin`] nor [`WaitEnd`], because a hook sees the return of
/// a call only if it saw the entry. A prologue lists the threads that wait where its region starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Waiters {
    /// How they were found: `wchan`, `stack`, `syscall`, or several of these, comma-separated;
    /// `events` in a prologue. Empty if the agent could not look.
    pub how: String,
    /// Why threads may be missing, or may no longer wait; empty if the list is exact.
    pub why: String,
    /// How long the look took, from the stamp on, in ns.
    pub took_ns: u64,
    /// How many threads were looked at.
    pub seen: u32,
    /// The kernel's ids of those that waited, in ascending order.
    pub threads: Vec<u32>,
}

/// Files of the kernel about the last attempt, read at the start of the capture and after each attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct WakeReason {
    /// `/sys/power/pm_wakeup_irq`, which the kernel clears at each freeze (`pm_wakeup_clear`,
    /// `drivers/base/power/wakeup.c`, 7.1); `None` if it names no interrupt or does not exist.
    pub irq: Option<u32>,
    /// `/sys/kernel/wakeup_reasons/last_resume_reason`, which Android's kernels have, without the newline at
    /// its end: at most [`REASON_ROOM`] bytes. Empty if it is empty or does not exist.
    pub reason: Vec<u8>,
    /// `/sys/power/pm_freeze_timeout` in ms; `None` if it cannot be read.
    pub freeze_timeout_ms: Option<u32>,
}

/// The most bytes of [`WakeReason::reason`].
pub const REASON_ROOM: usize = 128;

/// How often the programs of each hook ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct HookRuns {
    /// The attached hooks, sorted as in [`HOOKS`].
    pub hooks: Vec<HookRun>,
}

/// How often the programs of one hook ran since they were attached (`struct bpf_prog_info`,
/// `include/uapi/linux/bpf.h`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct HookRun {
    /// One of [`HOOKS`].
    pub what: String,
    /// `run_cnt` of all its programs; `None` if the kernel does not count (`kernel.bpf_stats_enabled`).
    pub runs: Option<u64>,
    /// `recursion_misses` of all its programs: runs that the kernel left out, because the same program was
    /// running on the same CPU, or for a kprobe any other one. `None` if the kernel does not count them (before
    /// 5.12). Up to 6.6 it does not count those of kprobes (`trace_call_bpf`, `kernel/trace/bpf_trace.c`).
    pub missed: Option<u64>,
}

/// The agent found or did this on the device. for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Note {
    /// The part of the capture: `snapshots`.
    pub about: String,
    /// A sentence without an end mark.
    pub text: String,
}

impl Record {
    /// The byte that names the kind in the file.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Session(_) => 1,
            Self::String(_) => 2,
            Self::Source(_) => 3,
            Self::Snapshot(_) => 4,
            Self::Phase(_) => 5,
            Self::Return(_) => 6,
            Self::Lost(_) => 7,
            Self::Overhead(_) => 8,
            Self::End(_) => 9,
            Self::Edge(_) => 10,
            Self::WaitBegin(_) => 11,
            Self::WaitEnd(_) => 12,
            Self::CountWrite(_) => 13,
            Self::Irq(_) => 14,
            Self::Wake(_) => 15,
            Self::PowerSupply(_) => 16,
            Self::SuspendStats(_) => 17,
            Self::Waiters(_) => 18,
            Self::WakeReason(_) => 19,
            Self::HookRuns(_) => 20,
            Self::Note(_) => 21,
            Self::Activator(_) => 22,
            Self::ActivatedBy(_) => 23,
            Self::SourceDevice(_) => 24,
            Self::EpollWaiter(_) => 25,
            Self::ServiceDump(_) => 26,
        }
    }
}
