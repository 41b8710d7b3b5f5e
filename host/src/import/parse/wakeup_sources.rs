//! debugfs' `wakeup_sources` (`wakeup_sources_stats_seq_show`, `drivers/base/power/wakeup.c`, 3.10 to 7.3). Vendors'
//! kernels add columns.

use super::super::facts::{Facts, Holder, Layer, Origin};
use super::values::ms;
use super::{Parser, Read};

/// Reads the rows by the heading.
#[derive(Default)]
pub struct Table {
    columns: Vec<String>,
    /// A row whose name has line ends, so far.
    begun: String,
    /// How many lines that is.
    lines: u64,
}

/// So much of a row is kept; the kernel has no longer ones.
const LONGEST: usize = 4096;

/// Whether `line` is the table's first.
pub fn is_heading(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    words.next() == Some("name")
        && words.clone().any(|w| w == "active_count")
        && words.any(|w| w == "total_time")
}

impl Parser for Table {
    fn line(&mut self, line: &str, facts: &mut Facts) -> Read {
        if is_heading(line) {
            self.columns = line.split_ascii_whitespace().map(str::to_owned).collect();
            self.begun.clear();
            facts.restart(Origin::WakeupSources);
            return Read::Used;
        }
        if self.columns.is_empty() || self.begun.len() + line.len() > LONGEST {
            return Read::Unclear;
        }
        self.begun.push_str(line);
        self.lines += 1;
        if row(&self.columns, &self.begun, facts).is_some() {
            self.begun.clear();
            self.lines = 0;
        } else {
            self.begun.push('\n');
        }
        // The lines of a name are counted at the end.
        Read::Used
    }

    fn blank(&mut self, _line: &str) {
        if !self.begun.is_empty() {
            self.begun.push('\n');
        }
    }

    fn end(&mut self) -> u64 {
        std::mem::take(&mut self.lines)
    }
}

fn row(columns: &[String], text: &str, facts: &mut Facts) -> Option<()> {
    let mut rest = text.trim_end_matches([' ', '\t']);
    let mut numbers = Vec::new();
    for column in columns[1..].iter().rev() {
        let at = rest.rfind([' ', '\t'])? + 1;
        let number = &rest[at..];
        let digits = number.strip_prefix('-').unwrap_or(number);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        numbers.push((column.as_str(), number));
        rest = rest[..at].trim_end_matches([' ', '\t']);
    }
    // A negative number is a fault of the kernel's; nothing is known then.
    let of = |head: &str| numbers.iter().find(|(column, _)| *column == head)?.1.parse::<u64>().ok();
    // The kernel sums sources that are gone under this name.
    let mut holder = Holder::new(Layer::Kernel, Some(rest), Origin::WakeupSources);
    holder.held_ns = of("total_time").map(ms);
    holder.longest_ns = of("max_time").map(ms);
    holder.holds = of("active_count");
    holder.wakeups = of("wakeup_count");
    holder.active = of("active_since").map(|since| since > 0);
    facts.hold(holder);
    Some(())
}
