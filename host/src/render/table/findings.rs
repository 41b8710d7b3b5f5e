//! The findings, in words that wrap.

use unicode_width::UnicodeWidthStr as _;

use super::{DIM, Page, RED, WIDTH, YELLOW};
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
        let sign = out.paint(style, sign);
        // Names within are escaped already; a backslash is not to be doubled.
        let text = escape(finding.text.as_bytes()).replace("\\\\", "\\");
        for (index, line) in wrap(&text, WIDTH - 4).iter().enumerate() {
            match index {
                0 => out.line(&format!("  {sign} {line}")),
                _ => out.line(&format!("    {line}")),
            }
        }
    }
    let more = report.findings.len().saturating_sub(SHOWN);
    if more > 0 {
        out.styled(DIM, &format!("  … {more} more in --format json"));
    }
}

/// Breaks `text` at spaces into lines of at most `width` columns, but not before a unit.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let number =
            |w: &&mut String| w.trim_start_matches('(').starts_with(|c: char| c.is_ascii_digit());
        let unit = ["ns", "µs", "ms", "s", "m", "h", "d", "%"]
            .contains(&word.trim_end_matches([',', ';', ':', '.', ')']));
        match words.last_mut().filter(number) {
            Some(last) if unit => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    let mut lines = vec![String::new()];
    for word in &words {
        let line = lines.last_mut().map(|line| (line.width(), line));
        match line {
            Some((0, line)) => line.push_str(word),
            Some((used, line)) if used + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.clone()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("a bc def g", 4), ["a bc", "def", "g"]);
        assert_eq!(wrap("took 12.5 s.", 8), ["took", "12.5 s."]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("longer than that", 4), ["longer", "than", "that"]);
    }
}
