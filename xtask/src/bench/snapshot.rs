//! The cost of a snapshot, against reading the same from sysfs and debugfs, and how it grows with
//! the number of sources.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sleepwalk_vdev::{Device, Program};

use super::figure::{Figure, Limit};
use crate::sh;

/// A well-filled phone, and ten of them.
const FEW: u32 = 300;
const MANY: u32 = 3000;

/// Readings of each kind. Where sysfs takes part, 300 sources take more than half a second.
const TIMES: usize = 31;
/// Without sysfs they are cheap.
const TIMES_ALONE: usize = 101;

/// Sources of its own, which `measure` activates before each walk.
const TEN: &str = "--activate 10";
/// Other work in between: what the processor keeps of the walk is lost, as it is between two attempts.
const TEN_PAUSE: &str = "--activate 10 --pause 10ms";
const ALL: &str = "--activate 300 --only kfunc";

/// `measure` makes its own room; the kernel has some sources of its own.
const ROOM: u32 = 4096;

/// Nanoseconds of each reading.
#[derive(Debug, PartialEq)]
struct Measured {
    sources: u64,
    /// How many sources had changed.
    changed: Vec<u64>,
    kfunc: Vec<u64>,
    /// The probe's part of it, by the kernel's `run_time_ns`.
    probe: Vec<u64>,
    /// A walk that copies each source, and this process decodes it.
    copying: Vec<u64>,
    /// A walk that follows the list alone.
    follow: Vec<u64>,
    debugfs: Vec<u64>,
    sysfs: Vec<u64>,
}

/// The workload that makes `count` sources and lets them be.
pub fn sources(device: &Device, count: u32) -> Result<Program<'_>> {
    let command = format!("./sleepwalk-workload sources --count {count}");
    device.start(&command, "ready")
}

/// The figures of this file.
pub fn figures(device: &Device) -> Result<Vec<Figure>> {
    sh::progress(format!("{TIMES} readings of {FEW} sources by each of kfunc, debugfs and sysfs"));
    let running = sources(device, FEW)?;
    let all = measure(device, TIMES, "", FEW)?;
    let few = measure(device, TIMES_ALONE, "--only kfunc", FEW)?;
    let ten = measure(device, TIMES, TEN, FEW)?;
    let paused = measure(device, TIMES, TEN_PAUSE, FEW)?;
    running.stop()?;
    let each = measure(device, TIMES, ALL, FEW)?;
    sh::progress(format!("{TIMES_ALONE} readings of {MANY} sources by kfunc"));
    let running = sources(device, MANY)?;
    let many = measure(device, TIMES_ALONE, "--only kfunc", MANY)?;
    running.stop()?;
    ensure!(
        all.debugfs.len() == TIMES && all.sysfs.len() == TIMES,
        "the device has no debugfs or sysfs to compare with"
    );

    let (kfunc, debugfs, sysfs) = (median(&all.kfunc), median(&all.debugfs), median(&all.sysfs));
    let growth = median(&many.kfunc) / median(&few.kfunc);
    let at = |what: &str, n: u64| format!("{what} of {n} sources, median");
    // The kernel's own sources count too: ten times as many is never quite reached.
    let more = many.sources as f64 / few.sources as f64;
    let mut figures = vec![
        Figure::reported(at("snapshot", all.sources), kfunc / 1e6, "ms"),
        Figure::reported(at("debugfs", all.sources), debugfs / 1e6, "ms"),
        Figure::reported(at("sysfs", all.sources), sysfs / 1e6, "ms"),
        Figure::limited("snapshot faster than sysfs", sysfs / kfunc, "x", Limit::AtLeast(500.0)),
    ];
    figures.extend(changes("none", &all));
    figures.extend(changes("10", &ten));
    let after_pause = median(&paused.debugfs) / median(&paused.kfunc);
    let copying = median(&each.copying) / median(&each.kfunc);
    figures.extend([
        Figure::reported("10 changed, 10 ms apart: faster than debugfs", after_pause, "x"),
        Figure::reported("snapshot, all changed: changed, median", median(&each.changed), ""),
        Figure::limited("all changed: faster than copying", copying, "x", Limit::AtLeast(0.8)),
        Figure::reported(at("snapshot alone", few.sources), median(&few.kfunc) / 1e6, "ms"),
        Figure::reported(at("snapshot alone", many.sources), median(&many.kfunc) / 1e6, "ms"),
        Figure::reported("more sources", more, "x"),
        // Caches hold 300 slots, and not 3,000.
        Figure::limited("snapshot of more sources, time", growth, "x", Limit::AtMost(1.3 * more)),
    ]);
    Ok(figures)
}

/// Where `what` of the sources change between two readings.
fn changes(what: &str, measured: &Measured) -> Vec<Figure> {
    let kfunc = median(&measured.kfunc);
    let at = |figure: &str| format!("{what} changed: {figure}");
    let times = |other: &[u64]| median(other) / kfunc;
    let spread = quantile(&measured.kfunc, 0.9) / quantile(&measured.kfunc, 0.1);
    let walk = kfunc / median(&measured.follow);
    vec![
        Figure::reported(at("changed, median"), median(&measured.changed), ""),
        Figure::reported(at("snapshot, median"), kfunc / 1e6, "ms"),
        Figure::reported(at("snapshot, 90th by 10th percentile"), spread, "x"),
        Figure::reported(at("the probe's part"), median(&measured.probe) / 1e6, "ms"),
        Figure::limited(
            at("faster than debugfs"),
            times(&measured.debugfs),
            "x",
            Limit::AtLeast(12.0),
        ),
        Figure::limited(
            at("faster than copying"),
            times(&measured.copying),
            "x",
            Limit::AtLeast(2.0),
        ),
        Figure::limited(at("against the bare walk"), walk, "x", Limit::AtMost(1.6)),
    ]
}

fn measure(device: &Device, times: usize, options: &str, sources: u32) -> Result<Measured> {
    let command = format!("./sleepwalkd measure --times {times} --max-sources {ROOM} {options}");
    let output = device.spawn(&command)?.wait()?;
    let measured = Measured::read(&output).with_context(|| format!("measure output {output:?}"))?;
    ensure!(
        measured.sources >= u64::from(sources) && measured.kfunc.len() == times,
        "{} readings of {} sources, not {times} of {sources}",
        measured.kfunc.len(),
        measured.sources
    );
    Ok(measured)
}

impl Measured {
    fn read(text: &str) -> Option<Measured> {
        let value: Value = serde_json::from_str(text).ok()?;
        let list = |key: &str| -> Option<Vec<u64>> {
            value[key].as_array()?.iter().map(Value::as_u64).collect()
        };
        Some(Measured {
            sources: value["sources"].as_u64()?,
            changed: list("changed")?,
            kfunc: list("kfunc_ns")?,
            probe: list("probe_ns")?,
            copying: list("copying_ns")?,
            follow: list("follow_ns")?,
            debugfs: list("debugfs_ns")?,
            sysfs: list("sysfs_ns")?,
        })
    }
}

/// The value below which the share `q` of `values` lies; NaN where there is none.
fn quantile(values: &[u64], q: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    let at = (values.len().saturating_sub(1)) as f64 * q;
    values.get(at.round() as usize).map_or(f64::NAN, |value| *value as f64)
}

/// NaN where there is no value: it keeps no limit.
fn median(values: &[u64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle] as f64,
        _ => (values[middle - 1] as f64 + values[middle] as f64) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3, 1, 2]), 2.0);
        assert_eq!(median(&[4, 1, 2, 100]), 3.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_output_of_measure_is_read() {
        let text = r#"{"sources":3,"changed":[0,1],"kfunc_ns":[1,2],"probe_ns":[9],
            "copying_ns":[3,4],
            "follow_ns":[5],"debugfs_ns":[],"sysfs_ns":[7]}"#;
        let wanted = Measured {
            sources: 3,
            changed: vec![0, 1],
            kfunc: vec![1, 2],
            probe: vec![9],
            copying: vec![3, 4],
            follow: vec![5],
            debugfs: vec![],
            sysfs: vec![7],
        };
        assert_eq!(Measured::read(text), Some(wanted));
        for text in ["", "{}", r#"{"sources":3,"kfunc_ns":[-1],"debugfs_ns":[],"sysfs_ns":[]}"#] {
            assert_eq!(Measured::read(text), None, "{text:?}");
        }
    }
}
