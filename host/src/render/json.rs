//! The report for machines.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::findings;
use crate::compare::merge::Reports;
use crate::report::Report;
use crate::text::hidden;

/// An object with one more key.
#[derive(Serialize)]
struct With<'a, T, V> {
    #[serde(flatten)]
    object: &'a T,
    #[serde(flatten)]
    more: BTreeMap<&'static str, V>,
}

fn with<'a, T, V>(object: &'a T, key: &'static str, value: V) -> With<'a, T, V> {
    With { object, more: BTreeMap::from([(key, value)]) }
}

/// A report with its findings in words.
fn worded(report: &Report) -> impl Serialize {
    let text = |finding| with(finding, "text", findings::text(finding, report.session.duration_ns));
    with(report, "findings", report.findings.iter().map(text).collect::<Vec<_>>())
}

/// The report as JSON, with a line end.
pub fn report(report: &Report) -> Result<String, serde_json::Error> {
    pretty(&worded(report))
}

/// Several reports as JSON, with a line end.
pub fn reports(reports: &Reports) -> Result<String, serde_json::Error> {
    let devices = reports.devices.iter().map(|device| {
        let sessions = device.sessions.iter().map(|s| with(s, "report", worded(&s.report)));
        with(device, "sessions", sessions.collect::<Vec<_>>())
    });
    pretty(&with(reports, "devices", devices.collect::<Vec<_>>()))
}

/// `value` as JSON on several lines, with a line end.
pub fn pretty(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut text = harmless(&serde_json::to_string_pretty(value)?).into_owned();
    text.push('\n');
    Ok(text)
}

/// Escapes [`hidden`] characters as `\uXXXX`, so that the JSON neither drives a terminal nor reverses a
/// line. JSON is ASCII outside strings, and escapes ASCII's controls except DEL within them.
pub fn harmless(json: &str) -> Cow<'_, str> {
    if json.bytes().all(|byte| byte < 0x7f) {
        return json.into();
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c >= '\x7f' && hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_escaped() {
        let name = "a\u{9b}31m\x7f\u{85}\u{202e}\u{2066}\u{200b}\u{e0041}\x1b\"\\ größe 名前 😀";
        let text = pretty(&[name]).expect("JSON");
        assert!(
            text.contains(r"a\u009b31m\u007f\u0085\u202e\u2066\u200b\udb40\udc41\u001b"),
            "{text}"
        );
        assert!(text.contains("größe 名前 😀"), "{text}");
        let back: Vec<String> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(back, [name]);
    }
}
