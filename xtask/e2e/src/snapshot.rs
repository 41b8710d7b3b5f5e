//! `sleepwalkd snapshot` and debugfs.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Device;
use crate::debugfs::{self, Line};

/// `sleepwalkd snapshot --json`.
pub fn snapshot(device: &Device, options: &str) -> Result<Value> {
    let text = device.sh(&format!("./sleepwalkd snapshot --json {options}"))?;
    Ok(serde_json::from_str(&text)?)
}

/// Its list of sources.
pub fn sources(snapshot: &Value) -> Result<&Vec<Value>> {
    snapshot["sources"].as_array().context("no sources")
}

/// A number of a source's; the largest there is where it has none of that name.
pub fn number(source: &Value, key: &str) -> u64 {
    source[key].as_u64().unwrap_or(u64::MAX)
}

/// The exact bytes of a source's name.
pub fn name(source: &Value) -> Vec<u8> {
    match source["name_hex"].as_str() {
        Some(hex) => (0..hex.len() / 2)
            .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap_or(b'?'))
            .collect(),
        None => source["name"].as_str().unwrap_or_default().as_bytes().to_vec(),
    }
}

/// A source of ours in debugfs' terms: whole ms, and times that go on for an active source.
pub fn line(source: &Value) -> Line {
    let ms = |key| number(source, key) / 1_000_000;
    Line {
        name: name(source),
        active_count: number(source, "active_count"),
        event_count: number(source, "event_count"),
        wakeup_count: number(source, "wakeup_count"),
        expire_count: number(source, "expire_count"),
        active_since: 0,
        total_time: ms("total_ns"),
        max_time: ms("max_ns"),
        last_change: ms("last_ns"),
        prevent_suspend_time: ms("prevent_ns"),
    }
}

/// debugfs before and after, and our snapshot in between. The lines that did not change in debugfs
/// must be ours exactly. sysfs does not have the one of the kernel's autosleep, which is made before the class.
pub fn compare(device: &Device, options: &str) -> Result<(Vec<Line>, Value)> {
    let mut before = debugfs::read(device)?;
    let ours = snapshot(device, options)?;
    let after = debugfs::read(device)?;
    before.retain(|line| ours["source"] != "sysfs" || line.name != b"autosleep");
    let mut lines: Vec<_> =
        sources(&ours)?.iter().filter(|s| s["active"] == false).map(line).collect();
    lines.sort();
    let quiet = |line: &Line| line.active_since == 0;
    let mut kernel: Vec<_> =
        before.iter().filter(|l| quiet(l) && after.contains(l)).cloned().collect();
    kernel.sort();
    for line in &kernel {
        ensure!(lines.contains(line), "debugfs has {line:?}, our snapshot has not");
    }
    ensure!(before.len() == sources(&ours)?.len(), "debugfs has {} sources", before.len());
    Ok((kernel, ours))
}
