//! Where snapshots come from.

pub mod kfunc;

use anyhow::Result;
use sleepwalk_trace::snapshot::SourceState;
use sleepwalk_trace::time::{BootNanos, MonoNanos};

/// One wakeup source in a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Kernel address of the struct.
    pub address: u64,
    /// Kernel address of the name.
    pub name_pointer: u64,
    /// The kernel's `id`.
    pub id: u32,
    /// The name, any bytes but NUL.
    pub name: &'a [u8],
    /// Whether the name goes on beyond `name`.
    pub name_cut: bool,
    /// State and counters.
    pub state: SourceState,
}

/// How a snapshot went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// When it began, CLOCK_BOOTTIME.
    pub begin: BootNanos,
    /// CLOCK_MONOTONIC at its begin.
    pub mono: MonoNanos,
    /// When it ended, CLOCK_BOOTTIME.
    pub end: BootNanos,
    /// Sources on the kernel's list, or of them those passed before it broke off.
    pub seen: u32,
    /// Sources handed out.
    pub stored: u32,
    /// It broke off: a node could not be read, or the list had no end.
    pub broken: bool,
}

/// Takes snapshots of all wakeup sources.
pub trait SnapshotSource {
    /// What the trace calls it.
    fn name(&self) -> &'static str;

    /// Takes one and hands out each source.
    fn take(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<Taken>;
}
