//! Snapshots by the probe's walk, under the kernel's own lock.

use anyhow::{Result, bail};

use super::walker::{Program, Walker};
use super::{Sample, SnapshotSource, SnapshotSummary};
use crate::probe::KFUNCS;
use crate::probe::btf::Kernel;

/// The walk, loaded.
#[derive(Debug)]
pub struct Kfunc(Walker);

/// The walk that copies each source, whether it has changed or not; `measure` compares with it.
#[derive(Debug)]
pub struct Copying(Walker);

impl Copying {
    /// Loads it with room for `capacity` sources.
    pub fn load(kernel: &Kernel, capacity: u32) -> Result<Self> {
        Walker::load(kernel, Program::Locked, 0, capacity).map(Self)
    }

    /// Takes a snapshot.
    pub fn take_snapshot(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        let (walk, _) = self.0.run()?;
        Ok(self.0.for_each(&walk, false, visit))
    }

    /// Follows the list, and copies nothing.
    pub fn follow(&mut self) -> Result<()> {
        self.0.follow()
    }
}

impl Kfunc {
    /// Loads the walk with room for `capacity` sources.
    pub fn load(kernel: &Kernel, capacity: u32) -> Result<Self> {
        if let Some(missing) = KFUNCS.iter().find(|f| !kernel.ids.contains_key(*f)) {
            bail!(
                "this kernel has no {missing}: it needs Linux 7.2, android16-6.12 of mid-2026, or later"
            );
        }
        let walker = Walker::load(kernel, Program::Compared, 0, capacity);
        let walker = walker.or_else(|error| {
            log::debug!("the walk copies each source: {error:#}");
            Walker::load(kernel, Program::Locked, 0, capacity)
        });
        walker.map(Self)
    }

    /// The time that the walk's program has run so far; 0 unless the sysctl `kernel.bpf_stats_enabled` is on.
    pub fn run_time_ns(&self) -> Result<u64> {
        self.0.run_time_ns()
    }
}

impl SnapshotSource for Kfunc {
    fn name(&self) -> &'static str {
        "kfunc"
    }

    fn take_snapshot(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        let (walk, _) = self.0.run()?;
        Ok(self.0.for_each(&walk, false, visit))
    }

    fn take_changes(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        let (walk, same_sources) = self.0.run()?;
        Ok(self.0.for_each(&walk, same_sources, visit))
    }
}
