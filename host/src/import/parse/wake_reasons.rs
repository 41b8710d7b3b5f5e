//! `/sys/kernel/wakeup_reasons/last_resume_reason` (`kernel/power/wakeup_reason.c` of Android's kernels): a line for
//! each interrupt of the last wake, or one with the reason of an abort.

use super::super::facts::{Facts, Origin, Reason};
use super::suspend_control::is_abort;
use super::{Parser, Read};

/// Reads one reason a line.
#[derive(Default)]
pub struct Reasons;

impl Parser for Reasons {
    fn line(&mut self, line: &str, facts: &mut Facts) -> Read {
        let text = line.trim();
        let first = text.split(' ').next().unwrap_or_default();
        let is_interrupt = !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit());
        if !is_interrupt
            && !is_abort(text)
            && !first.starts_with('-')
            && !text.starts_with("unknown")
        {
            return Read::Unclear;
        }
        facts.reasons.push(Reason {
            text: text.to_owned(),
            abort: is_abort(text),
            count: Some(1),
            awake_ns: None,
            origin: Origin::LastResumeReason,
        });
        Read::Used
    }
}
