//! The four sources of snapshots, best first.
//!
//! | source | values | limits |
//! |---|---|---|
//! | `kfunc` | every field, in ns | none: the kernel's lock keeps the list unchanged |
//! | `kallsyms` | every field, in ns | the list may change during the walk, which then ends early |
//! | `debugfs` | the printed columns, in ms | no addresses: only their order distinguishes sources of one name |
//! | `sysfs` | the attributes, in ms | each is read at another moment, and reading them all takes long |

mod debugfs;
mod frozen_kmi;
mod kallsyms;
mod kfunc;
pub mod kptr;
mod layout;
mod printed;
mod self_check;
mod sysfs;
mod walker;

use std::fmt;

use anyhow::{Result, anyhow, bail};
use sleepwalk_trace::snapshot::SourceState;
use sleepwalk_trace::time::{BootNanos, Clocks, MonoNanos};

use crate::probe::btf::Kernel;

pub use self::kallsyms::NoAddress;
pub use self::kfunc::{Copying, Kfunc};

/// Identifies a source within its snapshot, and in the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Kernel address of the struct.
    Address(u64),
    /// The kernel's `id`, if there is no address.
    Id(u32),
    /// The source is the n-th of its name from the end of the kernel's list. That end has the
    /// oldest sources, so a new one does not change the numbers of the others.
    Nth(u32),
}

/// One wakeup source in a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Identifies it.
    pub key: Key,
    /// Kernel address of the name; 0 if it is unknown.
    pub name_pointer: u64,
    /// The kernel's `id`, if it is known.
    pub id: Option<u32>,
    /// The name, any bytes but NUL.
    pub name: &'a [u8],
    /// Whether `name` is only the start of the name.
    pub name_cut: bool,
    /// State and counters.
    pub state: SourceState,
}

impl Sample<'_> {
    /// Kernel address of the struct; 0 if it is unknown.
    pub fn address(&self) -> u64 {
        match self.key {
            Key::Address(address) => address,
            _ => 0,
        }
    }
}

const NS_PER_MS: u64 = 1_000_000;

/// The facts of one snapshot, besides its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// When it began, CLOCK_BOOTTIME.
    pub begin: BootNanos,
    /// When it began, CLOCK_MONOTONIC.
    pub mono: MonoNanos,
    /// When it ended, CLOCK_BOOTTIME.
    pub end: BootNanos,
    /// When it ended, CLOCK_MONOTONIC.
    pub end_mono: MonoNanos,
    /// Sources on the kernel's list; if it is broken, those passed until then.
    pub seen: u32,
    /// Sources handed out.
    pub stored: u32,
    /// It ended early: a node could not be read, or the list had no end.
    pub broken: bool,
    /// Only sources that have changed were handed out. All others are as they were in the last snapshot of this
    /// source.
    pub changes_only: bool,
}

impl SnapshotSummary {
    /// A snapshot that failed at `now`.
    pub fn failed(now: Clocks) -> Self {
        Self {
            begin: now.boot,
            mono: now.mono(),
            end: now.boot,
            end_mono: now.mono(),
            seen: 0,
            stored: 0,
            broken: true,
            changes_only: false,
        }
    }

    /// How long it took in ns, without sleep.
    pub fn took_ns(&self) -> u64 {
        self.end_mono.0.saturating_sub(self.mono.0)
    }

    /// Whether the device slept before it was complete. The two clocks are not read at one instant.
    pub fn slept(&self) -> bool {
        self.end.since(self.begin) > self.took_ns() + NS_PER_MS
    }

    /// Whether it has every source, so that one that is missing is gone.
    pub fn whole(&self) -> bool {
        !self.broken && self.seen == self.stored
    }
}

/// Takes snapshots of all wakeup sources.
pub trait SnapshotSource: fmt::Debug {
    /// Its name in the trace.
    fn name(&self) -> &'static str;

    /// A sentence on a change that it made on the device.
    fn note(&self) -> Option<&str> {
        None
    }

    /// Takes a snapshot and hands each wakeup source to `visit`.
    fn take_snapshot(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary>;

    /// Takes a snapshot for a caller who knows all sources of the last one, and hands to `visit` at least the
    /// sources that have changed since.
    fn take_changes(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        self.take_snapshot(visit)
    }
}

impl SnapshotSource for Box<dyn SnapshotSource> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn note(&self) -> Option<&str> {
        (**self).note()
    }

    fn take_snapshot(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        (**self).take_snapshot(visit)
    }

    fn take_changes(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        (**self).take_changes(visit)
    }
}

/// A source of snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Kfunc,
    Kallsyms,
    Debugfs,
    Sysfs,
}

impl Kind {
    /// All, best first.
    pub const ALL: [Self; 4] = [Self::Kfunc, Self::Kallsyms, Self::Debugfs, Self::Sysfs];

    /// Its name in the trace and for `--source`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kfunc => "kfunc",
            Self::Kallsyms => "kallsyms",
            Self::Debugfs => "debugfs",
            Self::Sysfs => "sysfs",
        }
    }

    /// Opens it with room for `capacity` sources. Only the walks use the kernel's BTF (`kernel`), and
    /// `kallsyms` can do without on some kernels.
    pub fn open(
        self,
        kernel: Result<&Kernel, &anyhow::Error>,
        capacity: u32,
    ) -> Result<Box<dyn SnapshotSource>> {
        Ok(match self {
            Self::Kfunc => {
                let kernel = kernel.map_err(|error| anyhow!("{error:#}"))?;
                Box::new(Kfunc::load(kernel, capacity)?)
            }
            Self::Kallsyms => Box::new(kallsyms::Kallsyms::load(kernel, capacity)?),
            Self::Debugfs => Box::new(debugfs::Debugfs::open(capacity)?),
            Self::Sysfs => Box::new(sysfs::Sysfs::open(capacity)?),
        })
    }
}

/// A source that works.
#[derive(Debug)]
pub struct Opened {
    /// The source.
    pub source: Box<dyn SnapshotSource>,
    /// Why no better one was taken; empty if there is none, or if the user chose this one.
    pub why: String,
}

impl Opened {
    /// Sentences on it for the trace.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        let why = Some(self.why.as_str()).filter(|why| !why.is_empty());
        why.into_iter().chain(self.source.note())
    }
}

/// Opens this source, if a first snapshot succeeds.
pub fn open(kind: Kind, kernel: Result<&Kernel, &anyhow::Error>, capacity: u32) -> Result<Opened> {
    let source = kind.open(kernel, capacity).and_then(try_snapshot)?;
    Ok(Opened { source, why: String::new() })
}

/// Opens the best source of which a first snapshot succeeds.
pub fn open_best(kernel: Result<&Kernel, &anyhow::Error>, capacity: u32) -> Result<Opened> {
    let mut failures = Vec::new();
    for kind in Kind::ALL {
        match kind.open(kernel, capacity).and_then(try_snapshot) {
            Ok(source) => return Ok(Opened { source, why: failures.join("; ") }),
            Err(error) => failures.push(format!("no {}, {error:#}", kind.name())),
        }
    }
    bail!("no source of snapshots works here: {}", failures.join("; "))
}

fn try_snapshot(mut source: Box<dyn SnapshotSource>) -> Result<Box<dyn SnapshotSource>> {
    source.take_snapshot(&mut |_| {})?;
    Ok(source)
}
