//! `/sys/kernel/debug/wakeup_sources`, the kernel's own table.

use anyhow::{Result, ensure};

use crate::Device;

/// One line (`print_wakeup_source_stats`, `drivers/base/power/wakeup.c`, 7.3). Times are in ms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Padded with spaces to 12 by the kernel: those at the end are gone here.
    pub name: Vec<u8>,
    /// Inactive → active.
    pub active_count: u64,
    /// Every report of an event.
    pub event_count: u64,
    /// Reports while wakeup-count checking was armed.
    pub wakeup_count: u64,
    /// Timers that ended an activation.
    pub expire_count: u64,
    /// 0 for an inactive source.
    pub active_since: u64,
    /// With the activation under way.
    pub total_time: u64,
    /// The longest activation.
    pub max_time: u64,
    /// CLOCK_MONOTONIC.
    pub last_change: u64,
    /// With autosleep only.
    pub prevent_suspend_time: u64,
}

/// All lines but the heading and the `deleted` one.
pub fn read(device: &Device) -> Result<Vec<Line>> {
    device.sh("cat /sys/kernel/debug/wakeup_sources > debugfs.txt")?;
    parse(&device.pull("debugfs.txt")?)
}

/// Takes a copy of the table apart. A name may hold anything, newlines too: a record ends with a
/// line's ninth number.
pub fn parse(bytes: &[u8]) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut pending: Vec<u8> = Vec::new();
    for line in bytes.split_inclusive(|b| *b == b'\n').skip(1) {
        pending.extend(line);
        let Some(parsed) = record(&pending) else { continue };
        pending.clear();
        if parsed.name != b"deleted" {
            lines.push(parsed);
        }
    }
    let rest = String::from_utf8_lossy(&pending);
    // The kernel may cut this line at the end of a page: see the agent's own reader.
    let rest = if rest.starts_with("del") { "" } else { &rest };
    ensure!(rest.is_empty(), "debugfs ends within a line: {rest:?}");
    Ok(lines)
}

fn record(bytes: &[u8]) -> Option<Line> {
    let bytes = bytes.strip_suffix(b"\n")?;
    let mut fields: Vec<u64> = Vec::new();
    let mut rest = bytes;
    while fields.len() < 9 {
        let tab = rest.iter().rposition(|b| *b == b'\t')?;
        let field = std::str::from_utf8(&rest[tab + 1..]).ok()?.trim();
        rest = &rest[..tab];
        // Two tabs between columns leave an empty field.
        if !field.is_empty() {
            fields.push(field.parse().ok()?);
        }
    }
    fields.reverse();
    let [
        active_count,
        event_count,
        wakeup_count,
        expire_count,
        active_since,
        total_time,
        max_time,
        last_change,
        prevent_suspend_time,
    ] = fields.try_into().ok()?;
    let end = rest.iter().rposition(|b| *b != b' ' && *b != b'\t').map_or(0, |last| last + 1);
    Some(Line {
        name: rest[..end].to_vec(),
        active_count,
        event_count,
        wakeup_count,
        expire_count,
        active_since,
        total_time,
        max_time,
        last_change,
        prevent_suspend_time,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_newlines_and_tabs_are_kept() {
        let text = b"name\t\tactive_count\n\
            a\nb 9\t1\t1\t\t2\t\t3\t\t4\t\t5\t\t6\t\t7\t\t8\t\t9\n\
            short       \t1\t\t2\t\t3\t\t4\t\t5\t\t6\t\t7\t\t8\t\t9\n\
            deleted     \t0\t\t0\t\t0\t\t0\t\t0\t\t0\t\t0\t\t0\t\t0\n";
        let lines = parse(text).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].name, b"a\nb 9\t1");
        assert_eq!((lines[1].name.as_slice(), lines[1].active_count), (&b"short"[..], 1));
        assert_eq!(lines[1].prevent_suspend_time, 9);
        assert!(parse(b"heading\nhalf a line\t1\t2\n").is_err());
    }
}
