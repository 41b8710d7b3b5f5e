//! Snapshots by the kernel's table in debugfs.
//!
//! The kernel prints `%-12s\t%lu\t\t…\t\t%lld\n` per source (`print_wakeup_source_stats`,
//! `drivers/base/power/wakeup.c`, 7.3). The name comes first and may contain anything, even tabs
//! and newlines. So a record is parsed from its right, and ends with the first line that ends in
//! nine numbers with tabs between them.
//!
//! The kernel prints each source under its lock, but returns the table page by page. If a source
//! dies between two pages, another one is missing in the table; if one is born, another one appears
//! twice.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;

use anyhow::{Context, Result, ensure};

use super::printed::Printed;
use super::{Key, Sample, SnapshotSource, SnapshotSummary};
use crate::clock;

const TABLE: &str = "/sys/kernel/debug/wakeup_sources";

/// The name in the last line, which has the sums of removed sources (`deleted_ws`, same file).
const DELETED: &[u8] = b"deleted";

const COLUMNS: usize = 9;

/// The table.
#[derive(Debug)]
pub struct Debugfs {
    capacity: u32,
    bytes: Vec<u8>,
}

impl Debugfs {
    /// Checks that it exists.
    pub fn open(capacity: u32) -> Result<Self> {
        let mut debugfs = Self { capacity, bytes: Vec::new() };
        debugfs.read()?;
        Ok(debugfs)
    }

    fn read(&mut self) -> Result<()> {
        self.bytes.clear();
        File::open(TABLE)
            .and_then(|mut file| file.read_to_end(&mut self.bytes))
            .map(drop)
            .with_context(|| {
                format!(
                    "{TABLE} cannot be read: as root, `mount -t debugfs none /sys/kernel/debug`, on \
                     a kernel with CONFIG_DEBUG_FS=y"
                )
            })
    }
}

impl SnapshotSource for Debugfs {
    fn name(&self) -> &'static str {
        "debugfs"
    }

    fn take_snapshot(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        let started = clock::now();
        self.read()?;
        let end = clock::now().boot;
        let table = parse(&self.bytes)?;
        let stored = table.rows.len().min(self.capacity as usize);
        // The newest come first (`wakeup_source_add`), so counting from the end keeps the numbers
        // of old ones.
        let mut of_name: HashMap<&[u8], u32> = HashMap::new();
        let mut numbers = Vec::with_capacity(table.rows.len());
        for row in table.rows.iter().rev() {
            let next = of_name.entry(row.name).or_default();
            numbers.push(*next);
            *next += 1;
        }
        for (row, n) in table.rows.iter().zip(numbers.iter().rev()).take(stored) {
            visit(&Sample {
                key: Key::Nth(*n),
                name_pointer: 0,
                id: None,
                name: row.name,
                name_cut: false,
                state: row.numbers.state(),
            });
        }
        Ok(SnapshotSummary {
            begin: started.boot,
            mono: started.mono_at(started.boot),
            end,
            seen: table.rows.len() as u32,
            stored: stored as u32,
            broken: table.cut,
        })
    }
}

#[derive(Debug)]
struct Table<'a> {
    rows: Vec<TableRow<'a>>,
    /// It ends within a record.
    cut: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct TableRow<'a> {
    name: &'a [u8],
    numbers: Printed,
}

/// Parses the table. If a name contains a line that ends in nine numbers, it is indistinguishable
/// from two sources.
fn parse(bytes: &[u8]) -> Result<Table<'_>> {
    let heading = bytes.split_inclusive(|b| *b == b'\n').next().unwrap_or_default();
    ensure!(
        heading.starts_with(b"name\t") && heading.ends_with(b"\n"),
        "{TABLE} does not start with the heading that Linux prints: report this kernel's version to \
         Sleepwalk"
    );
    let mut records = Vec::new();
    let (mut start, mut at) = (heading.len(), heading.len());
    for line in bytes[heading.len()..].split_inclusive(|b| *b == b'\n') {
        at += line.len();
        if let Some(record) = record(&bytes[start..at]) {
            records.push(record);
            start = at;
        }
    }
    // Its padding shows the width of names: 12 bytes, or 32 on some of Android's kernels.
    let last = records.pop_if(|(name, _)| name.trim_ascii_end() == DELETED);
    let width = last.map_or(0, |(name, _)| name.len());
    let rows =
        records.into_iter().map(|(name, numbers)| TableRow { name: bare(name, width), numbers });
    Ok(Table { rows: rows.collect(), cut: start != bytes.len() })
}

/// The name without its padding. If it is shorter than the column, blanks at its end are lost.
fn bare(name: &[u8], width: usize) -> &[u8] {
    if name.len() > width {
        return name;
    }
    let end = name.iter().rposition(|b| *b != b' ').map_or(0, |last| last + 1);
    &name[..end]
}

/// The padded name and the numbers, if `bytes` are a whole record.
fn record(bytes: &[u8]) -> Option<(&[u8], Printed)> {
    let mut rest = bytes.strip_suffix(b"\n")?;
    let mut columns = [0; COLUMNS];
    for (n, column) in columns.iter_mut().enumerate().rev() {
        let tab = rest.iter().rposition(|b| *b == b'\t')?;
        let digits = &rest[tab + 1..];
        // The kernel prints no sign and no blank, but `parse` accepts a sign.
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        *column = std::str::from_utf8(digits).ok()?.parse().ok()?;
        rest = &rest[..tab];
        // One tab after the name, two between numbers.
        if n > 0 {
            rest = rest.strip_suffix(b"\t")?;
        }
    }
    Some((rest, Printed::from_columns(columns)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADING: &[u8] = b"name\t\tactive_count\tevent_count\n";

    fn line(name: &[u8], width: usize, first: u64) -> Vec<u8> {
        let mut line = name.to_vec();
        line.resize(name.len().max(width), b' ');
        line.extend(format!("\t{first}\t\t2\t\t3\t\t4\t\t0\t\t6\t\t7\t\t8\t\t9\n").bytes());
        line
    }

    fn table(names: &[&[u8]], width: usize) -> Vec<u8> {
        let mut bytes = HEADING.to_vec();
        for (first, name) in (1..).zip(names) {
            bytes.extend(line(name, width, first));
        }
        bytes.extend(line(DELETED, width, 0));
        bytes
    }

    #[test]
    fn hostile_names_are_kept_to_the_byte() {
        let names: [&[u8]; 9] = [
            b"short",
            b"a\nb\t9\t\t1",
            b"\n",
            b"",
            b"\x1b[31m \xff\xfe",
            b"deleted",
            b"longer than the column  ",
            b"twelve bytes",
            b"x\t1\t\t2\t\t3\t\t4\t\t0\t\t6\t\t7\t\t8\t\t9",
        ];
        for width in [12, 32] {
            let bytes = table(&names, width);
            let table = parse(&bytes).unwrap();
            let trimmed = |name: &[u8]| bare(name, width).to_vec();
            assert_eq!(
                table.rows.iter().map(|row| row.name.to_vec()).collect::<Vec<_>>(),
                names.map(trimmed),
            );
            assert_eq!(table.rows[3].numbers.active_count, 4);
            assert_eq!(table.rows[3].numbers.prevent_ms, 9);
            assert!(!table.cut);
        }
    }

    #[test]
    fn a_cut_table_is_marked_and_another_refused() {
        let mut bytes = table(&[b"a", b"b"], 12);
        bytes.truncate(bytes.len() - 4);
        let table = parse(&bytes).unwrap();
        assert_eq!(table.rows.len(), 2);
        assert!(table.cut);
        assert!(parse(b"").is_err());
        assert!(parse(b"Permission denied\n").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_parse_without_a_panic(bytes: Vec<u8>) {
            let _ = parse(&[HEADING, &bytes].concat());
        }
    }
}
