//! Our held times against ftrace's.

use anyhow::{Result, ensure};
use sleepwalk_e2e::device;
use sleepwalk_e2e::ftrace::{Ahead, Ftrace, Kind};
use sleepwalk_e2e::held::{Hold, holds, percentile};
use sleepwalk_e2e::trace::Trace;
use sleepwalk_vdev::Device;

/// Held times may differ by so much at the median.
const MEDIAN_NS: i64 = 20_000;

/// The holds of the sources `held…` while `script` runs.
///
/// A tracepoint calls its probes in the order of their registration, so ftrace has to be there
/// first: else what our probe takes delays ftrace's stamp, and ours looks early.
fn record(device: &Device, script: &str) -> Result<Vec<Hold>> {
    let _ahead = Ahead::start(device)?;
    let ftrace = Ftrace::start(device)?;
    device.sh("rm -f a.swk")?;
    let agent = device.start("./sleepwalkd record -o a.swk", "ready")?;
    let ran = device.sh(script);
    let stopped = agent.stop();
    let mut kernel = ftrace.stop()?;
    ran?;
    stopped?;
    let mut ours = Trace::read(&device.pull("a.swk")?)?.events()?;
    for events in [&mut kernel, &mut ours] {
        events.retain(|e| matches!(&e.kind, Kind::Edge { name, .. } if name.starts_with("held")));
    }
    holds(&kernel, &ours)
}

fn show(what: &str, values: impl Iterator<Item = i64> + Clone) {
    let at = |percent| percentile(values.clone(), percent) as f64 / 1e3;
    let (p10, median, p90, most) = (at(10), at(50), at(90), at(100));
    println!("{what}: 10 % {p10:.1}, median {median:.1}, 90 % {p90:.1}, most {most:.1} µs");
}

fn agree(what: &str, holds: &[Hold], least: usize) -> Result<()> {
    ensure!(holds.len() >= least, "only {} holds {what}", holds.len());
    println!("{} holds {what}, ours less ftrace's:", holds.len());
    show("  activation", holds.iter().map(|hold| hold.activation_ns));
    show("  deactivation", holds.iter().map(|hold| hold.deactivation_ns));
    show("  held", holds.iter().map(|hold| hold.held_ns()));
    let median = percentile(holds.iter().map(|hold| hold.held_ns()), 50);
    ensure!(median.abs() <= MEDIAN_NS, "{what}: held time differs by {median} ns at the median");
    Ok(())
}

/// The first activation of a source sends its name too, which must not delay its stamp.
#[test]
fn held_time_is_ftraces() -> Result<()> {
    let device = device::with_kfuncs()?;
    let script = "for n in 0 1 2 3 4 5 6 7; do sleep 1 | \
        ./sleepwalk-workload sources --count 10 --prefix held$n --churn 20 --for 550ms \
        > sources.txt; done";
    let new = record(&device, script)?;
    let script = "sleep 9 | ./sleepwalk-workload sources --count 4 --prefix held --churn 20 \
        --for 8s > s.txt";
    let known = record(&device, script)?;
    agree("of new sources", &new, 60).and(agree("of known sources", &known, 100))
}
