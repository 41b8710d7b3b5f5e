//! Where snapshots come from: four sources, best first.
//!
//! | source | sees | what it costs in trust |
//! |---|---|---|
//! | `kfunc` | every field, in ns | nothing: the list stands still under the kernel's lock |
//! | `kallsyms` | every field, in ns | the list may change under the walk, which then breaks off |
//! | `debugfs` | the printed columns, in ms | no address, so that sources of one name are told apart by their order alone |
//! | `sysfs` | the attributes, in ms | each is read by itself, at another moment, and all together take long |

pub mod debugfs;
pub mod kallsyms;
pub mod kfunc;
mod printed;
pub mod sysfs;
mod walker;

use std::fmt;

use anyhow::{Result, anyhow, bail};
use sleepwalk_trace::snapshot::SourceState;
use sleepwalk_trace::time::{BootNanos, Clocks, MonoNanos};

use crate::probe::btf::Kernel;

/// What tells a source from the others of its snapshot, and finds it in the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Kernel address of the struct.
    Address(u64),
    /// The kernel's `id`, where there is no address.
    Id(u32),
    /// The source is the n-th of its name from the end of the kernel's list, the oldest, which keep
    /// their numbers when others are born.
    Nth(u32),
}

/// One wakeup source in a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Which it is.
    pub key: Key,
    /// Kernel address of the name; 0 where it is not known.
    pub name_pointer: u64,
    /// The kernel's `id`, where it is known.
    pub id: Option<u32>,
    /// The name, any bytes but NUL.
    pub name: &'a [u8],
    /// Whether the name goes on beyond `name`.
    pub name_cut: bool,
    /// State and counters.
    pub state: SourceState,
}

impl Sample<'_> {
    /// Kernel address of the struct; 0 where it is not known.
    pub fn address(&self) -> u64 {
        match self.key {
            Key::Address(address) => address,
            _ => 0,
        }
    }
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

impl Taken {
    /// A snapshot that could not be taken at `now`.
    pub fn nothing(now: Clocks) -> Self {
        let mono = now.mono_at(now.boot);
        Self { begin: now.boot, mono, end: now.boot, seen: 0, stored: 0, broken: true }
    }
}

/// Takes snapshots of all wakeup sources.
pub trait SnapshotSource: fmt::Debug {
    /// What the trace calls it.
    fn name(&self) -> &'static str;

    /// Takes one and hands out each source.
    fn take(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<Taken>;
}

impl SnapshotSource for Box<dyn SnapshotSource> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn take(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<Taken> {
        (**self).take(visit)
    }
}

/// A kind of source.
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

    /// As `--source` and the trace name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kfunc => "kfunc",
            Self::Kallsyms => "kallsyms",
            Self::Debugfs => "debugfs",
            Self::Sysfs => "sysfs",
        }
    }

    /// Makes it ready, with room for `capacity` sources. `kernel` is what BTF says, if there is any;
    /// only the walks need it.
    pub fn open(
        self,
        kernel: Result<&Kernel, &anyhow::Error>,
        capacity: u32,
    ) -> Result<Box<dyn SnapshotSource>> {
        let kernel = || kernel.map_err(|error| anyhow!("{error:#}"));
        Ok(match self {
            Self::Kfunc => Box::new(kfunc::Kfunc::load(kernel()?, capacity)?),
            Self::Kallsyms => Box::new(kallsyms::Kallsyms::load(kernel()?, capacity)?),
            Self::Debugfs => Box::new(debugfs::Debugfs::open(capacity)?),
            Self::Sysfs => Box::new(sysfs::Sysfs::open(capacity)?),
        })
    }
}

/// Opens the best source that works; one that does takes a snapshot without an error. The log tells
/// why a better one was passed over.
pub fn best(
    kernel: Result<&Kernel, &anyhow::Error>,
    capacity: u32,
) -> Result<Box<dyn SnapshotSource>> {
    let mut passed_over = Vec::new();
    for kind in Kind::ALL {
        match kind.open(kernel, capacity).and_then(tried) {
            Ok(source) => {
                if !passed_over.is_empty() {
                    let why = passed_over.join("; ");
                    log::warn!("snapshots come from {}: {why}", kind.name());
                }
                return Ok(source);
            }
            Err(error) => passed_over.push(format!("no {}, {error:#}", kind.name())),
        }
    }
    bail!("nothing gives snapshots here: {}", passed_over.join("; "))
}

fn tried(mut source: Box<dyn SnapshotSource>) -> Result<Box<dyn SnapshotSource>> {
    source.take(&mut |_| {})?;
    Ok(source)
}
