//! The findings, in words that wrap.

use super::{DIM, Page, RED, YELLOW};
use crate::report::Report;
use crate::text::escape;

/// Findings shown: those that matter less are in the other formats.
const SHOWN: usize = 10;

/// The most important findings, on top of all else.
pub(super) fn findings(out: &mut Page, report: &Report) {
    if report.findings.is_empty() {
        return;
    }
    out.heading("Findings");
    for finding in report.findings.iter().take(SHOWN) {
        let (style, sign) = match finding.severity {
            "high" => (RED, "!"),
            "medium" => (YELLOW, "!"),
            _ => (DIM, "·"),
        };
        // Names within are escaped already; a backslash is not to be doubled.
        let text = escape(finding.text.as_bytes()).replace("\\\\", "\\");
        out.item(style, sign, &text);
    }
    let more = report.findings.len().saturating_sub(SHOWN);
    if more > 0 {
        out.styled(DIM, &format!("  … {more} more in --format json"));
    }
}
