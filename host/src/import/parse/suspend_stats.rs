//! debugfs' `suspend_stats` (`suspend_stats_show`, `kernel/power/main.c`, 3.10 to 7.3).

use super::super::facts::{Facts, Origin};
use super::{Parser, Read};

/// Reads counters, and lists of the last failures.
#[derive(Default)]
pub struct Counts {
    /// The list that a line without a name goes on.
    list: Option<String>,
}

/// Whether `line` is the first.
pub fn starts(line: &str) -> bool {
    line.strip_prefix("success:").is_some_and(|rest| rest.trim().parse::<u64>().is_ok())
}

impl Parser for Counts {
    fn line(&mut self, line: &str, facts: &mut Facts) -> Read {
        let bare = line.trim();
        if starts(bare) {
            facts.suspends.retain(|one| one.origin != Origin::SuspendStats);
        }
        if bare == "failures:" {
            return Read::Used;
        }
        let is_name = |name: &str| {
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
        };
        match bare.split_once(':') {
            Some((name, value)) if !name.is_empty() && is_name(name) => {
                let value = value.trim();
                self.list = name.starts_with("last_failed").then(|| name.to_owned());
                if self.list.is_none() && value.parse::<u64>().is_err() {
                    return Read::Unclear;
                }
                facts.suspend(Origin::SuspendStats, name, value);
                Read::Used
            }
            // The last failures but the newest have no name.
            _ => match &self.list {
                Some(name) if line.starts_with([' ', '\t']) => {
                    facts.suspend(Origin::SuspendStats, name, bare);
                    Read::Used
                }
                _ => Read::Unclear,
            },
        }
    }
}
