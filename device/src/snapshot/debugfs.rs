//! Snapshots by the kernel's table in debugfs.
//!
//! The kernel prints `%-12s\t%lu\t\t…\t\t%lld\n` per source (`print_wakeup_source_stats`,
//! `drivers/base/power/wakeup.c`, 7.3). Vendors add columns, so `columns` finds each number by the
//! heading. The name comes first and may contain anything, even tabs and newlines. So a record is
//! parsed from its right, and ends with the first line that ends in a number for each column.
//!
//! The kernel prints each source under its lock, but returns the table page by page. If a source
//! dies between two pages, another one is missing in the table; if one is born, another one appears
//! twice.
//!
//! The last line, `deleted`, may be cut at the end of a page: the kernel prints it as it looks for a next source
//! (`wakeup_sources_stats_seq_next`, same file, 5.10 to 7.3), where `seq_read_iter` (`fs/seq_file.c`) does not
//! notice that the page is full. Lines of sources are never cut.

mod columns;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;

use anyhow::{Context, Result, ensure};

use self::columns::{Columns, is_blank};
use super::printed::Printed;
use super::{Key, Sample, SnapshotSource, SnapshotSummary};
use crate::clock;

const TABLE: &str = "/sys/kernel/debug/wakeup_sources";

/// The name in the last line, which has the sums of removed sources (`deleted_ws`, same file).
const DELETED: &[u8] = b"deleted";

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
        let ended = clock::now();
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
            mono: started.mono(),
            end: ended.boot,
            end_mono: ended.mono(),
            seen: table.rows.len() as u32,
            stored: stored as u32,
            broken: table.cut,
            changes_only: false,
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

/// Parses the table. If a name contains a line that ends in a number for each column, it is
/// indistinguishable from two sources.
fn parse(bytes: &[u8]) -> Result<Table<'_>> {
    let heading = bytes.split_inclusive(|b| *b == b'\n').next().unwrap_or_default();
    let columns = Columns::of(heading)?;
    let mut records = Vec::new();
    let (mut start, mut at) = (heading.len(), heading.len());
    for line in bytes[heading.len()..].split_inclusive(|b| *b == b'\n') {
        at += line.len();
        if let Some(record) = columns.record(&bytes[start..at]) {
            records.push(record);
            start = at;
        }
    }
    ensure!(
        !records.is_empty() || start == bytes.len(),
        "no row of {TABLE} has a number for each of the heading's {} columns: report the table's first \
         two lines to Sleepwalk",
        columns.count(),
    );
    let rest = &bytes[start..];
    let cut_deleted = is_cut_deleted(rest);
    // Its blanks show the width of names: 12 bytes, or 32 on some of Android's kernels.
    let last = match rest.iter().position(|b| *b == b'\t') {
        Some(tab) if cut_deleted => &rest[..tab],
        None if cut_deleted => &[],
        _ => records.last().map_or(&[][..], |(name, _)| name),
    };
    let after = last.strip_prefix(DELETED).filter(|rest| rest.first().is_none_or(is_blank));
    ensure!(
        !after.is_some_and(has_number),
        "rows of {TABLE} have more numbers than the heading's {} columns: report the table's first two \
         lines to Sleepwalk",
        columns.count(),
    );
    let width = after.filter(|rest| rest.iter().all(is_blank)).map(|_| last.len());
    if width.is_some() && !cut_deleted {
        records.pop();
    }
    let bare = |name| columns.bare(name, width.unwrap_or(usize::MAX));
    let rows = records.into_iter().map(|(name, numbers)| TableRow { name: bare(name), numbers });
    Ok(Table { rows: rows.collect(), cut: !rest.is_empty() && !cut_deleted })
}

/// Whether `rest`, behind the last whole record, is a line `deleted` without its end.
fn is_cut_deleted(rest: &[u8]) -> bool {
    let (name, numbers) = rest.split_at(rest.len().min(DELETED.len()));
    let printed = |b: &u8| is_blank(b) || b.is_ascii_digit() || *b == 0;
    let name = name.strip_suffix(&[0]).unwrap_or(name);
    !rest.is_empty() && DELETED.starts_with(name) && numbers.iter().all(printed)
}

/// Whether numbers follow the name.
fn has_number(rest: &[u8]) -> bool {
    rest.iter().any(u8::is_ascii_digit) && rest.iter().all(|b| is_blank(b) || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADING: &[u8] = b"name\t\tactive_count\tevent_count\twakeup_count\texpire_count\t\
        active_since\ttotal_time\tmax_time\tlast_change\tprevent_suspend_time\n";

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
            let trimmed = |name: &[u8]| Columns::of(HEADING).unwrap().bare(name, width).to_vec();
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
    fn a_cut_line_of_the_deleted_cuts_nothing() {
        for width in [12, 32] {
            let whole = table(&[b"padded  ", b"deleted"], width);
            let expected = parse(&whole).unwrap();
            let line = line(DELETED, width, 0).len();
            for less in 1..line {
                // vsnprintf ends what it cut with NUL.
                let mut bytes = whole[..whole.len() - less - 1].to_vec();
                bytes.push(0);
                let table = parse(&bytes).unwrap();
                assert!(!table.cut, "{less} bytes less");
                assert_eq!(table.rows.len(), expected.rows.len(), "{less} bytes less");
                // While the name's tab is there, so is the width of names.
                if less + 2 < line - width {
                    assert_eq!(table.rows, expected.rows, "{less} bytes less");
                }
            }
        }
    }

    #[test]
    fn a_cut_table_is_marked_and_another_refused() {
        let mut bytes = table(&[b"a", b"b"], 12);
        bytes.truncate(bytes.len() - line(DELETED, 12, 0).len() - 4);
        let table = parse(&bytes).unwrap();
        assert_eq!(table.rows.len(), 1);
        assert!(table.cut);
        assert!(parse(b"").is_err());
        assert!(parse(b"Permission denied\n").is_err());
    }

    /// Names, and the printed numbers that matter most: the current activation and the last change.
    fn rows(table: &str) -> Vec<(String, u64, i64, i64)> {
        let table = parse(table.as_bytes()).expect("a table");
        assert!(!table.cut);
        let row = |row: TableRow<'_>| {
            let Printed { active_count, active_ms, last_ms, .. } = row.numbers;
            (String::from_utf8_lossy(row.name).into_owned(), active_count, active_ms, last_ms)
        };
        table.rows.into_iter().map(row).collect()
    }

    fn row(name: &str, count: u64, active_ms: i64, last_ms: i64) -> (String, u64, i64, i64) {
        (name.to_owned(), count, active_ms, last_ms)
    }

    #[test]
    fn a_vendors_column_is_passed_over() {
        let table = include_str!("../../tests/cases/05_lg_pending_count.txt");
        let expected = [row("modem_rx", 12, 0, 81000), row("wlan", 5, 150, 82000)];
        assert_eq!(rows(table), expected);
    }

    #[test]
    fn a_negative_number_leaves_one_row_one_row() {
        let table = include_str!("../../tests/cases/05b_negative_number.txt");
        let expected = [
            row("modem_rx", 13, 0, 81000),
            row("ec_sync", 2, -4, 81011),
            row("wlan", 5, 150, 82000),
            row("mgmt_txrx tx_cmp", 5, 0, 82000),
        ];
        assert_eq!(rows(table), expected);
        let wide = table.replace("\t-4\t", "\t-99999999999999999999\t");
        assert_eq!(rows(&wide)[1], row("ec_sync", 2, i64::MIN, 81011));
    }

    #[test]
    fn columns_may_come_in_any_order_and_width() {
        let heading = "name last_change active_since total_time extra max_time prevent_suspend_time \
                       expire_count wakeup_count event_count active_count \n";
        let table = format!(
            "{heading}\
             two words   82000  -150 3702 9 31 0 2 1 5 12 \n\
             \x20           1 2 3 9 4 5 6 7 8 9\n\
             deleted     0 0 0 0 0 0 0 0 0 0\n"
        );
        assert_eq!(rows(&table), [row("two words", 12, -150, 82000), row("", 9, 2, 1)]);
        let padded = table.replace(" 9 31 ", " \t 9\t31 ");
        assert_eq!(rows(&padded), rows(&table));
    }

    #[test]
    fn a_heading_that_lacks_a_column_is_refused() {
        let table = String::from_utf8(table(&[b"wlan"], 12)).expect("ASCII");
        let refused = |table: String| format!("{:#}", parse(table.as_bytes()).unwrap_err());
        for column in ["active_count", "active_since", "prevent_suspend_time"] {
            let text = refused(table.replace(column, "other"));
            assert!(text.contains(&format!("the column {column} 0 times")), "{text}");
        }
        let text = refused(table.replace("max_time", "total_time"));
        assert!(text.contains("the column total_time 2 times"), "{text}");
        // A row with more numbers than columns, and one with fewer.
        let text = refused(table.replace("\t6\t", "\t6\t\t6\t"));
        assert!(text.contains("more numbers than the heading's 9 columns"), "{text}");
        let text = refused(table.replace("\t6\t", "\t"));
        assert!(text.contains("no row of"), "{text}");
    }

    proptest! {
        #[test]
        fn any_bytes_parse_without_a_panic(bytes: Vec<u8>) {
            let _ = parse(&[HEADING, &bytes].concat());
        }
    }
}
