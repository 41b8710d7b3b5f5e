//! Everything that can happen, against ftrace; on Linux 6.1 it is among that kernel's own tests.

use anyhow::Result;
use sleepwalk_e2e::{device, scenario};

#[test]
fn everything_in_the_scenario_is_ftraces_and_the_report_says_the_same() -> Result<()> {
    scenario::check(&device::with_kfuncs()?, "sync").map(drop)
}

/// Where a sync can't be aborted, the freezer is the first to look for wakeups.
#[test]
fn everything_in_the_scenario_is_ftraces_without_the_kfuncs() -> Result<()> {
    scenario::check(&device::without_kfuncs()?, "freeze").map(drop)
}
