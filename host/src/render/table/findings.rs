//! The findings, in words that wrap.

use super::{DIM, Page, RED, YELLOW};
use crate::render::findings::text;
use crate::report::{Report, Severity};

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
            Severity::High => (RED, "!"),
            Severity::Medium => (YELLOW, "!"),
            Severity::Low => (DIM, "·"),
        };
        out.item(style, sign, &text(finding, report.session.duration_ns));
    }
    let more = report.findings.len().saturating_sub(SHOWN);
    if more > 0 {
        out.styled(DIM, &format!("  … {more} more in --format json"));
    }
}
