//! Everything that can happen, against ftrace; on Linux 6.1 it is among that kernel's own tests.

use anyhow::Result;
use sleepwalk_e2e::{device, scenario};

#[test]
fn the_scenario_matches_ftrace_and_the_report() -> Result<()> {
    scenario::check(&device::with_kfuncs()?, "sync").map(drop)
}

/// Where a sync cannot be aborted, the freezer is the first to look for wakeups.
#[test]
fn the_scenario_matches_ftrace_without_kfuncs() -> Result<()> {
    scenario::check(&device::without_kfuncs()?, "freeze").map(drop)
}
