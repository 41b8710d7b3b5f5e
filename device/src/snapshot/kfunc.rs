//! Snapshots by the probe's walk, under the kernel's own lock.

use anyhow::{Result, bail};

use super::walker::{Program, Walker};
use super::{Sample, SnapshotSource, SnapshotSummary};
use crate::probe::KFUNCS;
use crate::probe::btf::Kernel;

/// The walk, loaded.
#[derive(Debug)]
pub struct Kfunc(Walker);

impl Kfunc {
    /// Loads the walk with room for `capacity` sources.
    pub fn load(kernel: &Kernel, capacity: u32) -> Result<Self> {
        if let Some(missing) = KFUNCS.iter().find(|f| !kernel.ids.contains_key(*f)) {
            bail!(
                "this kernel has no {missing}: it needs Linux 7.2, android16-6.12 of mid-2026, or later"
            );
        }
        Walker::load(kernel, Program::Locked, 0, capacity).map(Self)
    }
}

impl SnapshotSource for Kfunc {
    fn name(&self) -> &'static str {
        "kfunc"
    }

    fn take_snapshot(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        let walk = self.0.run()?;
        Ok(self.0.for_each(&walk, visit))
    }
}
