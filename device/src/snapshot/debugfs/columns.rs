//! The columns of debugfs' table, by its heading.
//!
//! The heading of Linux 3.10 to 7.3 names ten (`wakeup_sources_stats_seq_show` and its
//! predecessors, `drivers/base/power/wakeup.c`). Vendors' kernels add some between them, such as
//! `pending_count`, and set other widths.

use anyhow::{Result, ensure};

use super::super::printed::Printed;
use super::TABLE;

/// The columns that a snapshot needs, in the order of [`Printed::from_columns`].
const NEEDED: [&str; 9] = [
    "active_count",
    "event_count",
    "wakeup_count",
    "expire_count",
    "active_since",
    "total_time",
    "max_time",
    "last_change",
    "prevent_suspend_time",
];

/// A blank between numbers.
pub fn is_blank(b: &u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// The part of `bytes` up to its blanks at the end, and these.
fn blanks(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().rposition(|b| !is_blank(b)).map_or(0, |last| last + 1);
    bytes.split_at(end)
}

/// How the rows of a table are read.
#[derive(Debug)]
pub struct Columns {
    /// Where each number belongs among [`NEEDED`]; `None` for a column that a vendor added.
    places: Vec<Option<usize>>,
    /// A tab ends each column; else blanks do.
    tabs: bool,
}

impl Columns {
    /// By the table's first line.
    pub fn of(heading: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(heading).unwrap_or_default();
        let mut names = text.split_ascii_whitespace();
        ensure!(
            names.next() == Some("name") && text.starts_with("name") && text.ends_with('\n'),
            "{TABLE} does not start with the heading that Linux prints: report this kernel's version \
             to Sleepwalk"
        );
        let place = |name| NEEDED.iter().position(|needed| *needed == name);
        let places: Vec<_> = names.map(place).collect();
        for (place, name) in NEEDED.iter().enumerate() {
            let times = places.iter().filter(|found| **found == Some(place)).count();
            ensure!(
                times == 1,
                "the heading of {TABLE} names the column {name} {times} times: use --source sysfs, and \
                 report the table's first two lines to Sleepwalk"
            );
        }
        Ok(Self { places, tabs: text.contains('\t') })
    }

    /// How many numbers a row has.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// The padded name and the numbers, if `bytes` are a whole record.
    pub fn record<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], Printed)> {
        let (mut rest, _) = blanks(bytes.strip_suffix(b"\n")?);
        let mut columns = [0; NEEDED.len()];
        for (n, place) in self.places.iter().enumerate().rev() {
            let digits = rest.iter().rposition(|b| !matches!(b, b'0'..=b'9' | b'-'))? + 1;
            let number = number(&rest[digits..])?;
            if let Some(place) = place {
                columns[*place] = number;
            }
            let (before, gap) = blanks(&rest[..digits]);
            if gap.is_empty() || self.tabs && !gap.contains(&b'\t') {
                return None;
            }
            // A name may end in blanks itself.
            rest = if n > 0 { before } else { &rest[..digits - 1] };
        }
        Some((rest, Printed::from_columns(columns)))
    }

    /// The name without its padding to `width`. If it is shorter, blanks at its end are lost.
    pub fn bare<'a>(&self, name: &'a [u8], width: usize) -> &'a [u8] {
        if self.tabs && name.len() > width {
            return name;
        }
        let end = name.iter().rposition(|b| *b != b' ').map_or(0, |last| last + 1);
        &name[..end]
    }
}

/// A number of the table: the kernel's `%lu` and `%lld`.
fn number(digits: &[u8]) -> Option<i64> {
    let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = std::str::from_utf8(digits).ok()?;
    // Any other error is an overflow.
    Some(digits.parse().unwrap_or(if digits.starts_with('-') { i64::MIN } else { i64::MAX }))
}
