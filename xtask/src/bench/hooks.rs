//! The cost of each hook per event, by the kernel's `run_time_ns`, beside a program that does nothing.

use anyhow::{Context, Result};
use serde_json::Value;
use sleepwalk_vdev::Device;

use super::figure::{Figure, Limit};
use crate::sh;

const TRAFFIC: &str = "./sleepwalk-workload sources --count 20 --prefix busy --churn 1000";
/// Attempts with a wait, a sleep and a wake; so many fit into the measurement.
const SUSPEND: &str = "./sleepwalk-workload suspend --times 1000 --alarm 1s --gap 1s";
const MEASURE: &str = "./sleepwalkd measure --hooks 20s";
/// The hook that reads activators.
const ACTIVATE: &str = "activate_tp_btf";

/// The figures of this file.
pub fn figures(device: &Device) -> Result<Vec<Figure>> {
    sh::progress("each hook's run time beside an empty program's");
    let busy = device.start(TRAFFIC, "ready")?;
    let suspending = device.spawn(SUSPEND)?;
    let costs = measure(device, "stacks")?;
    // It gets SIGTERM before it is done.
    drop(suspending);
    let [off, callers, stacks] =
        ["off", "callers", "stacks"].map(|detail| activation(device, detail));
    busy.stop()?;
    let (off, callers, stacks) = (off?, callers?, stacks?);
    let mut figures: Vec<_> = costs.iter().filter_map(per_event).flatten().collect();
    figures.extend([
        Figure::reported("an activation without activators", off, "ns"),
        Figure::limited("with callers", callers / off, "x", Limit::AtMost(2.0)),
        Figure::limited("with stacks", stacks / off, "x", Limit::AtMost(3.0)),
    ]);
    Ok(figures)
}

fn measure(device: &Device, activators: &str) -> Result<Vec<Value>> {
    let output = device.spawn(&format!("{MEASURE} --activators {activators}"))?.wait()?;
    serde_json::from_str(&output).context("measure --hooks")
}

/// Nanoseconds of an activation.
fn activation(device: &Device, activators: &str) -> Result<f64> {
    let costs = measure(device, activators)?;
    let cost = costs.iter().find(|cost| cost["program"] == ACTIVATE).context("no activations")?;
    let [hook, _] = per_event(cost).context("no activations")?;
    Ok(hook.value)
}

/// `None` for a hook that never ran.
fn per_event(cost: &Value) -> Option<[Figure; 2]> {
    let mean = |time: &str, runs: &str| {
        let runs = cost[runs].as_u64().filter(|runs| *runs > 0)?;
        Some(cost[time].as_u64()? as f64 / runs as f64)
    };
    let name = cost["program"].as_str()?;
    let (hook, empty) = (mean("run_time_ns", "runs")?, mean("empty_run_time_ns", "empty_runs")?);
    Some([
        Figure::reported(format!("{name}, an event"), hook, "ns"),
        Figure::reported(format!("{name}, an empty program"), empty, "ns"),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_hook_that_never_ran_has_no_figure() {
        let cost = |runs: u64| json!({"program": "p", "runs": runs, "run_time_ns": 30, "empty_runs": 2, "empty_run_time_ns": 4});
        let [hook, empty] = per_event(&cost(3)).unwrap();
        assert_eq!((hook.value, empty.value), (10.0, 2.0));
        assert_eq!(per_event(&cost(0)), None);
    }
}
