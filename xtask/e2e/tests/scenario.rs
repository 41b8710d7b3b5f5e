//! Everything that can happen, against ftrace, on each kernel.

use anyhow::{Context as _, Result};
use sleepwalk_e2e::{device, scenario};

#[test]
fn the_scenario_matches_ftrace_and_the_report() -> Result<()> {
    for tested in device::each()? {
        let kernel = tested.kernel.name();
        let trace = scenario::check(&tested.device, tested.best.sync)
            .with_context(|| format!("on the kernel {kernel}"))?;
        assert_eq!(trace.session()?.source, tested.best.snapshots, "{kernel}");
        assert_eq!(trace.hows()?, tested.best.hooks, "{kernel}");
    }
    Ok(())
}
