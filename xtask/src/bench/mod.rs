//! `cargo xtask bench`: the costs of a snapshot and of the agent, measured in a virtual device of its own,
//! and the cost of reading traces on this machine.
//!
//! The figures are ratios where they can be: an emulated core's milliseconds mean little. They hold
//! on a quiet machine only, so the load before is among them.

mod agent;
mod figure;
mod hooks;
mod host;
mod load;
mod snapshot;

use std::fs;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use sleepwalk_vdev::{Kernel, OwnDevice};

use self::figure::Figure;
use crate::{build, paths, sh};

/// The sources that a device has while the agent is measured.
const SOURCES: u32 = 300;

const BPF_STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// A half of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Snapshots and the agent
    Device,
    /// Reading traces
    Host,
}

/// Measures, prints, writes `target/bench.json`; an error where a limit is missed. With `keep`, the
/// large trace that the host's part makes stays.
pub fn run(part: Option<Part>, keep: bool) -> Result<()> {
    let load = load()?;
    let mut figures = vec![Figure::reported("load of this machine before, 1 min", load, "")];
    if part != Some(Part::Device) {
        figures.extend(host::figures(keep)?);
    }
    if part != Some(Part::Host) {
        figures.extend(on_device()?);
    }

    let file = paths::target().join("bench.json");
    fs::write(&file, figure::json(&figures))
        .with_context(|| format!("{} cannot be written", file.display()))?;
    print!("{}", figure::table(&figures));
    let missed: Vec<&str> = figures.iter().filter(|f| !f.ok()).map(|f| f.name.as_str()).collect();
    if !missed.is_empty() {
        bail!("not within the limit: {} (target/bench.json)", missed.join(", "));
    }
    sh::progress("all within their limits; target/bench.json has the figures");
    Ok(())
}

fn on_device() -> Result<Vec<Figure>> {
    build::agent()?;
    build::workload()?;
    let own = OwnDevice::boot("bench", Kernel::Kfunc)?;
    let measured = figures(&own).map_err(|error| match own.alive() {
        true => error,
        false => error.context(format!("the device ended on its own; {}", own.console())),
    });
    drop(own);
    measured
}

fn figures(own: &OwnDevice) -> Result<Vec<Figure>> {
    let device = &own.device;
    device.push(&[paths::agent_program(), paths::workload_program()])?;
    // The kernel counts the run time of programs where that is wanted, and nowhere else.
    device.sh(&format!("echo 1 > {BPF_STATS}"))?;
    let mut figures = snapshot::figures(device)?;
    figures.extend(hooks::figures(device)?);
    device.sh(&format!("echo 0 > {BPF_STATS}"))?;
    let sources = snapshot::sources(device, SOURCES)?;
    figures.extend(agent::figures(device)?);
    figures.extend(load::figures(device)?);
    sources.stop()?;
    Ok(figures)
}

/// How busy this machine has been in the last minute.
fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("/proc/loadavg")?;
    first_number(&text).with_context(|| format!("/proc/loadavg: {text:?}"))
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_minutes_load() {
        assert_eq!(first_number("0.52 0.58 0.59 1/467 12345\n"), Some(0.52));
        assert_eq!(first_number(""), None);
    }
}
