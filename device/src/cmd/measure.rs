//! `sleepwalkd measure`: how long a snapshot takes on this device, compared with reading debugfs
//! and sysfs.
//!
//! The walk and debugfs, which take about a millisecond, alternate, so that other load affects both
//! alike. sysfs, which takes seconds, comes after them.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::kernel;
use super::own_sources::OwnSources;
use crate::args::MeasureOptions;
use crate::probe::cost;
use crate::snapshot::{Copying, Kfunc, SnapshotSource as _};

const DEBUGFS: &str = "/sys/kernel/debug/wakeup_sources";
const SYSFS: &str = "/sys/class/wakeup";

/// The attributes of each source in sysfs (`wakeup_source_attrs`,
/// `drivers/base/power/wakeup_stats.c`, 7.3).
const ATTRIBUTES: [&str; 10] = [
    "name",
    "active_count",
    "event_count",
    "wakeup_count",
    "expire_count",
    "active_time_ms",
    "total_time_ms",
    "max_time_ms",
    "last_change_ms",
    "prevent_suspend_time_ms",
];

/// Nanoseconds of each reading, from the call to the last source's values in this process.
#[derive(Debug, Default, Serialize)]
struct Measured {
    sources: u32,
    /// How many of them each reading of the next kind handed out: those that had changed.
    changed: Vec<u64>,
    kfunc_ns: Vec<u64>,
    /// The part of it between lock and unlock in the kernel.
    walk_ns: Vec<u64>,
    /// The part of it in the probe, as the kernel counts it: `run_time_ns`, 0 unless `kernel.bpf_stats_enabled` is on.
    probe_ns: Vec<u64>,
    /// A walk that copies each source, of which this process decodes all.
    copying_ns: Vec<u64>,
    /// The bare walk: it follows the list.
    follow_ns: Vec<u64>,
    /// Empty without debugfs. With `--only kfunc` this and the next are empty.
    debugfs_ns: Vec<u64>,
    sysfs_ns: Vec<u64>,
}

/// The text to print.
pub fn run(options: &MeasureOptions) -> Result<String> {
    let kernel = kernel();
    if let Some(length) = options.hooks {
        let costs = cost::measure(kernel.as_ref().ok(), length, options.activators.frames())?;
        return Ok(serde_json::to_string(&costs)? + "\n");
    }
    let kernel = kernel?;
    let mut walk = Kfunc::load(&kernel, options.capacity)?;
    let mut copying = Copying::load(&kernel, options.capacity)?;
    // The first readings fill the slots.
    walk.take_snapshot(&mut |_| {})?;
    copying.take_snapshot(&mut |_| {})?;
    let debugfs = Path::new(DEBUGFS).exists();
    let mut measured = Measured::default();
    let mut buffer = Vec::new();
    let mut own = OwnSources::new(options.activated)?;
    for _ in 0..options.times {
        own.activate()?;
        let mut changed = 0;
        let mut summary = None;
        let ran_before = walk.run_time_ns()?;
        measured.kfunc_ns.push(timed(options.pause, || {
            summary = Some(walk.take_changes(&mut |sample| {
                std::hint::black_box(sample);
                changed += 1;
            })?);
            Ok(())
        })?);
        let summary = summary.context("no snapshot")?;
        measured.changed.push(changed);
        measured.probe_ns.push(walk.run_time_ns()?.saturating_sub(ran_before));
        measured.walk_ns.push(summary.took_ns());
        measured.sources = summary.stored;
        measured.copying_ns.push(timed(options.pause, || {
            copying.take_snapshot(&mut |sample| {
                std::hint::black_box(sample);
            })?;
            Ok(())
        })?);
        measured.follow_ns.push(timed(options.pause, || copying.follow())?);
        if debugfs && !options.only_kfunc {
            measured
                .debugfs_ns
                .push(timed(options.pause, || read(Path::new(DEBUGFS), &mut buffer))?);
        }
    }
    if !options.only_kfunc {
        for _ in 0..options.times {
            measured.sysfs_ns.push(timed(Duration::ZERO, || sysfs(&mut buffer))?);
        }
    }
    Ok(serde_json::to_string(&measured)? + "\n")
}

fn timed<T>(pause: Duration, work: impl FnOnce() -> Result<T>) -> Result<u64> {
    // An emulated processor that slept is slow for a while, so this one does not.
    let since = Instant::now();
    while since.elapsed() < pause {}
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_nanos() as u64)
}

/// Reads all attributes of all sources. A source that goes away in between is skipped.
fn sysfs(buffer: &mut Vec<u8>) -> Result<()> {
    for source in fs::read_dir(SYSFS).with_context(|| format!("{SYSFS} cannot be read"))? {
        let source = source?.path();
        for attribute in ATTRIBUTES {
            let _ = read(&source.join(attribute), buffer);
        }
    }
    Ok(())
}

fn read(path: &Path, buffer: &mut Vec<u8>) -> Result<()> {
    buffer.clear();
    File::open(path)
        .and_then(|mut file| file.read_to_end(buffer))
        .with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(())
}
