//! The kernel's log: what it says of aborted suspends.

use super::super::facts::{Abort, Facts};
use super::{Parser, Read};

/// Reads lines with a stamp.
#[derive(Default)]
pub struct Log;

/// Messages that name an active source (`pm_print_active_wakeup_sources` and `pm_wakeup_pending`,
/// `drivers/base/power/wakeup.c`; Android's `kernel/power/wakeup_reason.c`).
const NAMING: [&str; 3] =
    ["last active wakeup source: ", "active wakeup source: ", "Pending Wakeup Sources: "];

/// Messages of an aborted or failed attempt (`kernel/power/suspend.c`, `process.c`, `drivers/base/power/main.c`,
/// 4.14 to 7.3).
const ABORTS: [&str; 8] = [
    "Wakeup pending, aborting suspend",
    "Some devices failed to suspend, or early wake event detected",
    "Freezing of tasks aborted",
    "Freezing user space processes aborted",
    "Freezing of tasks failed",
    "Freezing user space processes failed",
    "suspend of devices failed",
    "failed to suspend",
];

impl Parser for Log {
    fn line(&mut self, line: &str, facts: &mut Facts) -> Read {
        let Some((last_ns, message)) = stamp(line) else { return Read::Skipped };
        let naming = NAMING
            .iter()
            .find_map(|naming| message.split_once(naming).map(|found| (*naming, found.1)));
        let (message, source) = match naming {
            Some((naming, source)) => (naming.trim_end_matches([' ', ':']), Some(source.trim())),
            None => match ABORTS.iter().find(|abort| message.contains(**abort)) {
                Some(_) => (message.strip_prefix("PM: ").unwrap_or(message).trim(), None),
                None => return Read::Skipped,
            },
        };
        let same =
            |abort: &&mut Abort| abort.message == message && abort.source.as_deref() == source;
        let full = facts.aborts.len() >= MOST;
        match facts.aborts.iter_mut().find(same) {
            Some(abort) => {
                abort.count = abort.count.map(|count| count + 1);
                abort.last_ns = Some(last_ns);
            }
            None if full => return Read::Unclear,
            None => facts.aborts.push(Abort {
                message: message.to_owned(),
                source: source.map(str::to_owned),
                count: Some(1),
                last_ns: Some(last_ns),
            }),
        }
        Read::Used
    }
}

/// Different messages; a log has far fewer.
const MOST: usize = 10_000;

/// The stamp of `<6>[   12.345678] [  T123] PM: …` in ns, and the message behind it.
pub fn stamp(line: &str) -> Option<(u64, &str)> {
    let line = match line.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?.1,
        None => line,
    };
    let (stamp, message) = line.trim_start().strip_prefix('[')?.split_once(']')?;
    let (seconds, micros) = stamp.trim().split_once('.')?;
    if micros.len() != 6 {
        return None;
    }
    let ns = seconds.parse::<u64>().ok()?.saturating_mul(1_000_000_000);
    let ns = ns.saturating_add(micros.parse::<u64>().ok()? * 1_000);
    let message = message.trim_start();
    // CONFIG_PRINTK_CALLER.
    let caller = message.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    Some((ns, caller.map_or(message, |(_, message)| message.trim_start())))
}
