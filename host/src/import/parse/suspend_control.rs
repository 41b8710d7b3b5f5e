//! `dumpsys suspend_control_internal` (Android 12 to 17), and `suspend_control` (11): system/hardware/interfaces,
//! suspend/1.0/default, `WakeLockEntryList.cpp` and `SystemSuspend.cpp`.

use super::super::facts::{Facts, Holder, Layer, Origin, Reason};
use super::values::millis;
use super::{Parser, Read, used};

/// Reads the tables of any options, in any order.
#[derive(Default)]
pub struct Dump {
    /// The heads of the table's columns.
    columns: Vec<String>,
}

/// Whether only this service prints `line`.
pub fn starts(line: &str) -> bool {
    line.starts_with("WakeupInfo{name: ")
        || line == "----- Suspend Stats -----"
        || cells(line).is_some_and(|cells| is_heading(&cells) || cells == ["WAKELOCK STATS"])
}

impl Parser for Dump {
    fn line(&mut self, line: &str, facts: &mut Facts) -> Read {
        let bare = line.trim();
        if bare.chars().all(|c| matches!(c, '-' | '|' | '=' | '+' | ' ')) {
            return Read::Used;
        }
        if let Some(cells) = cells(line) {
            if is_heading(&cells) {
                facts.restart(Origin::SuspendControl);
                self.columns = cells.iter().map(|cell| (*cell).to_owned()).collect();
                return Read::Used;
            }
            return if cells.len() == 1 { Read::Used } else { used(self.row(line, facts)) };
        }
        if let Some(wakeup) = bare.strip_prefix("WakeupInfo{name: ") {
            return used(reason(wakeup, facts));
        }
        match bare {
            "Wakeups:" => facts.reasons.retain(|one| one.origin != Origin::SuspendControl),
            "----- Suspend Stats -----" => {
                facts.suspends.retain(|one| one.origin != Origin::SuspendControl);
            }
            _ => {}
        }
        if bare.starts_with("-----")
            || matches!(bare, "Wakeups:" | "Suspend Info:" | "Last Failures:")
        {
            return Read::Used;
        }
        match bare.split_once(": ").or_else(|| Some((bare.strip_suffix(':')?, ""))) {
            Some((name, value)) if is_name(name) => {
                facts.suspend(Origin::SuspendControl, name, value.trim());
                Read::Used
            }
            _ => Read::Unclear,
        }
    }
}

/// Names of counters are of lower-case words.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_lowercase() || b"_ ".contains(&b) || b.is_ascii_digit())
}

/// The cells of a line between two frames, for headings: a name may hold the separator.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

fn is_heading(cells: &[&str]) -> bool {
    ["NAME", "TYPE", "TOTAL TIME"].iter().all(|head| cells.contains(head))
}

impl Dump {
    /// A row is parted from the right: a name may be longer than its column, and hold anything.
    fn row(&self, line: &str, facts: &mut Facts) -> Option<()> {
        // The name is the first column in each release.
        let others = self.columns.len().checked_sub(1).filter(|others| *others > 0)?;
        let inner = line.trim_end().strip_suffix('|')?.trim_end();
        let (_, inner) = inner.split_once("| ")?;
        let mut cells: Vec<&str> = inner.rsplitn(others + 1, " | ").collect();
        if cells.len() != others + 1 {
            return None;
        }
        cells.reverse();
        let of = |head: &str| {
            let at = self.columns.iter().position(|column| column == head)?;
            cells.get(at).map(|cell| cell.trim()).filter(|cell| *cell != "---")
        };
        let layer = match of("TYPE")? {
            "Native" => Layer::Native,
            "Kernel" => Layer::Kernel,
            _ => return None,
        };
        let mut holder = Holder::new(layer, Some(cells[0].trim()), Origin::SuspendControl);
        holder.held_ns = Some(millis(of("TOTAL TIME")?)?);
        holder.pid = of("PID").and_then(|pid| pid.parse().ok());
        holder.longest_ns = of("MAX TIME").and_then(millis);
        holder.active = match of("STATUS") {
            Some("Active") => Some(true),
            Some("Inactive") => Some(false),
            _ => None,
        };
        // That of native ones is how many hold it now since Android 15 QPR2.
        if layer == Layer::Kernel {
            holder.holds = of("ACTIVE COUNT").and_then(|count| count.parse().ok());
            holder.wakeups = of("WAKEUP COUNT").and_then(|count| count.parse().ok());
        }
        facts.hold(holder);
        Some(())
    }
}

/// `188 mtk_gauge, count: 1}`.
fn reason(wakeup: &str, facts: &mut Facts) -> Option<()> {
    let (text, count) = wakeup.strip_suffix('}')?.rsplit_once(", count: ")?;
    facts.reasons.push(Reason {
        text: text.to_owned(),
        abort: is_abort(text),
        count: Some(count.parse().ok()?),
        awake_ns: None,
        origin: Origin::SuspendControl,
    });
    Some(())
}

/// `kernel/power/wakeup_reason.c` of Android's kernels puts `Abort: ` in front.
pub fn is_abort(reason: &str) -> bool {
    reason.starts_with("Abort")
}
