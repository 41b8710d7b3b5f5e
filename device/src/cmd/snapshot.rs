//! `sleepwalkd snapshot`: prints all wakeup sources once.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;
use sleepwalk_trace::time::MonoNanos;

use super::{kernel, open_source};
use crate::args::SnapshotOptions;
use crate::clock;
use crate::snapshot::{Sample, SnapshotSource as _, SnapshotSummary};

/// One source, as `--json` prints it. Times are in ns, instants on CLOCK_MONOTONIC.
#[derive(Debug, Serialize)]
struct Row {
    /// With U+FFFD for what is not UTF-8.
    name: String,
    /// The exact bytes, if the name is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
    name_cut: bool,
    /// Null if the source of snapshots does not have it; so is `address`.
    id: Option<u32>,
    address: Option<String>,
    active: bool,
    torn: bool,
    held_ns: u64,
    active_count: u64,
    event_count: u64,
    wakeup_count: u64,
    expire_count: u64,
    relax_count: u64,
    total_ns: u64,
    max_ns: u64,
    last_ns: u64,
    prevent_ns: u64,
}

impl Row {
    fn new(sample: &Sample<'_>, now: MonoNanos) -> Self {
        let counters = sample.state.counters;
        let name_hex = std::str::from_utf8(sample.name).is_err().then(|| hex(sample.name));
        Self {
            name: String::from_utf8_lossy(sample.name).into_owned(),
            name_hex,
            name_cut: sample.name_cut,
            id: sample.id,
            address: match sample.address() {
                0 => None,
                address => Some(format!("{address:#x}")),
            },
            active: sample.state.active(),
            torn: sample.state.torn(),
            held_ns: sample.state.held_ns(now),
            active_count: counters.active_count,
            event_count: counters.event_count,
            wakeup_count: counters.wakeup_count,
            expire_count: counters.expire_count,
            relax_count: counters.relax_count,
            total_ns: counters.total_ns,
            max_ns: counters.max_ns,
            last_ns: counters.last_ns,
            prevent_ns: counters.prevent_ns,
        }
    }
}

/// The text to print.
pub fn run(options: &SnapshotOptions) -> Result<String> {
    let mut source = open_source(options.source, kernel().as_ref(), options.capacity)?.source;
    let clocks = clock::now();
    let now = clocks.mono_at(clocks.boot);
    let mut rows = Vec::new();
    let summary = source.take_snapshot(&mut |sample| rows.push(Row::new(sample, now)))?;
    if summary.seen > summary.stored {
        log::warn!(
            "{} of {} sources had no room: give a larger --max-sources",
            summary.seen - summary.stored,
            summary.seen
        );
    }
    if summary.broken {
        log::warn!("the walk ended early, after {} sources", summary.seen);
    }
    if options.json {
        let snapshot = as_json(source.name(), &summary, &rows);
        return Ok(ascii(&serde_json::to_string(&snapshot)?) + "\n");
    }
    rows.sort_by(|a, b| b.held_ns.cmp(&a.held_ns).then_with(|| a.name.cmp(&b.name)));
    let mut text =
        format!("{:>14}  {:>8}  {:>8}  {:>8}  name\n", "held s", "active", "events", "expired");
    for row in &rows {
        let held = row.held_ns as f64 / 1e9;
        let mark = if row.active { "  (active)" } else { "" };
        // Names may hold any bytes, including escape sequences for the terminal.
        let name = row.name.escape_debug();
        let cut = if row.name_cut { "…" } else { "" };
        writeln!(
            text,
            "{held:>14.6}  {:>8}  {:>8}  {:>8}  {name}{cut}{mark}",
            row.active_count, row.event_count, row.expire_count
        )?;
    }
    Ok(text)
}

fn as_json(source: &str, summary: &SnapshotSummary, rows: &[Row]) -> serde_json::Value {
    json!({
        "source": source,
        "begin_ns": summary.begin.0,
        "took_ns": summary.took_ns(),
        "seen": summary.seen,
        "stored": summary.stored,
        "broken": summary.broken,
        "sources": rows,
    })
}

/// The same JSON in ASCII. A name may hold characters that drive a terminal or reverse a line.
fn ascii(json: &str) -> String {
    json.chars().fold(String::new(), |mut text, c| {
        if c.is_ascii() && c != '\x7f' {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
        text
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::time::BootNanos;

    use super::*;

    #[test]
    fn a_sleep_is_no_part_of_what_it_took() {
        let failed = SnapshotSummary::failed(clock::now());
        let end = BootNanos(failed.begin.0 + 7_200_000_000_000);
        let slept = SnapshotSummary { end, end_mono: MonoNanos(failed.mono.0 + 500), ..failed };
        assert_eq!(as_json("sysfs", &slept, &[])["took_ns"], 500);
    }

    #[test]
    fn escaped_json_reads_the_same() {
        let hostile = json!({ "name": "a\u{9b}31m\u{7f}\u{202e}ü名😀\u{1b}" });
        let text = ascii(&hostile.to_string());
        assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), hostile);
    }
}
