//! The records of a trace.
//!
//! In a chunk's payload each record stands as
//!
//! | what | encoding |
//! |---|---|
//! | length of all that follows | varint |
//! | kind | one byte, [`Record::kind`] |
//! | stamp, less the stamp before it in this chunk (at first the chunk's base) | zigzag varint |
//! | body | bincode 2, `config::standard()`: little-endian varints, fields in order |
//!
//! A reader skips a kind that it does not know by its length. Fields are only ever added at a body's
//! end, under a new version of the file.

use bincode::{Decode, Encode};

use crate::time::{BootNanos, MonoNanos};

/// A record and when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// When, in CLOCK_BOOTTIME.
    pub at: BootNanos,
    /// What.
    pub record: Record,
}

/// Everything that a trace can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Kind 1, once, first: where and how the trace was taken.
    Session(Session),
    /// Kind 2: a string, before the first record that uses its number.
    Text(Text),
    /// Kind 3: a wakeup source, before the first snapshot that holds it.
    Source(SourceDef),
    /// Kind 4: the sources' counters at one instant; the stamp is the walk's begin.
    Snapshot(Snapshot),
    /// Kind 5: one `power:suspend_resume` event.
    Phase(Phase),
    /// Kind 6: `pm_suspend` returned.
    Return(SuspendReturn),
    /// Kind 7: events that the probe could not hand over.
    Lost(Lost),
    /// Kind 8: what the capture itself cost, so far.
    Overhead(Overhead),
    /// Kind 9, last: the capture ended in order.
    End(End),
}

/// Where and how the trace was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Session {
    /// Version of the agent, and the CRC32C of its file, which tells its build from others.
    pub agent: String,
    /// Model of the device; empty where it does not say.
    pub device: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub machine: String,
    /// Bytes in a page.
    pub page_size: u32,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Android's build fingerprint; empty elsewhere.
    pub fingerprint: String,
    /// Where snapshots come from: `kfunc`, …
    pub source: String,
    /// How attempts' ends are seen: `fexit` or `kretprobe`.
    pub return_hook: String,
    /// How suspend phases are seen: `tp_btf` or `raw_tp`.
    pub phase_hook: String,
    /// Nanoseconds between periodic snapshots.
    pub interval_ns: u64,
    /// Whether activations were recorded one by one.
    pub edges: bool,
}

/// A string with a number.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Text {
    /// Its number, unique in the trace.
    pub id: u32,
    /// Its bytes as the kernel has them: any but NUL, not always UTF-8.
    pub bytes: Vec<u8>,
}

/// One wakeup source, from its registration to its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SourceDef {
    /// Its number in this trace.
    pub instance: u32,
    /// [`Text::id`] of the name.
    pub name: u32,
    /// Whether the name goes on beyond what was copied; where nothing was, it could not be read.
    pub name_cut: bool,
    /// The kernel's `id`, which it uses again after a removal.
    pub id: u32,
    /// Kernel address of the struct.
    pub address: u64,
    /// Kernel address of the name, which the tracepoints pass.
    pub name_pointer: u64,
}

/// Why a snapshot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reason {
    /// First of the trace.
    Start,
    /// `--interval` went by.
    Tick,
    /// An attempt began.
    AttemptBegin,
    /// An attempt returned.
    AttemptEnd,
    /// Last of the trace.
    End,
}

/// The sources' counters at one instant, as differences to the snapshot before it.
///
/// [`crate::snapshot::Replay`] turns it into absolute values.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Snapshot {
    /// Why it was taken.
    pub reason: Reason,
    /// CLOCK_MONOTONIC at the walk's begin: what the sources' own times count with. It can't be told
    /// from the stamp, because a suspend may lie between the stamp and the chunk's commit.
    pub mono: MonoNanos,
    /// Nanoseconds from the walk's begin to its end.
    pub took_ns: u64,
    /// Sources on the kernel's list; more than are stored where the room ran out.
    pub seen: u32,
    /// Sources stored, including the unchanged.
    pub stored: u32,
    /// The walk ended early: a node could not be read, or the list had no end.
    pub broken: bool,
    /// The differences count from zero, not from the snapshot before.
    pub full: bool,
    /// The sources that are new or changed; all of them in a full snapshot.
    pub changed: Vec<SourceDelta>,
    /// Instances that were in the snapshot before and are no more.
    pub gone: Vec<u32>,
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
/// The source was changing while it was read, and its times don't belong to its counts.
pub const STATE_TORN: u8 = 2;
/// The kernel's `autosleep_enabled` was set.
pub const STATE_AUTOSLEEP: u8 = 4;

/// One `power:suspend_resume` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Phase {
    /// [`Text::id`] of the action.
    pub action: u32,
    /// The event's `val`: a suspend state, a PM event, a CPU.
    pub value: i32,
    /// Begin, else end.
    pub begin: bool,
}

/// `pm_suspend` returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SuspendReturn {
    /// 0 or a negative errno.
    pub errno: i32,
}

/// Events that the probe could not hand over since the last such record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Lost {
    /// How many.
    pub events: u64,
}

/// What the capture cost, in total at the stamp.
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

/// The capture ended in order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct End {
    /// Why: `duration`, `signal`, …
    pub reason: String,
}

impl Record {
    /// The byte that names the kind in the file.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Session(_) => 1,
            Self::Text(_) => 2,
            Self::Source(_) => 3,
            Self::Snapshot(_) => 4,
            Self::Phase(_) => 5,
            Self::Return(_) => 6,
            Self::Lost(_) => 7,
            Self::Overhead(_) => 8,
            Self::End(_) => 9,
        }
    }
}
