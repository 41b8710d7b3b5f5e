//! The findings of a trace, with their words.

use sleepwalk::analyze::analyze;
use sleepwalk::render::findings::text;
use sleepwalk::report::{By, Finding, Severity, build};

/// A finding with its words.
#[derive(Clone, Debug)]
pub struct Worded {
    pub kind: &'static str,
    pub severity: Severity,
    pub gain_ns: Option<u64>,
    pub sources: Vec<String>,
    pub text: String,
}

pub fn findings(bytes: &[u8]) -> Vec<Worded> {
    let report = build(&analyze(bytes).expect("a trace"), By::Name, None);
    let worded = |finding: &Finding| Worded {
        kind: finding.kind.key(),
        severity: finding.severity,
        gain_ns: finding.gain_ns,
        sources: finding.kind.sources().iter().map(|name| name.text().into_owned()).collect(),
        text: text(finding, report.session.duration_ns),
    };
    report.findings.iter().map(worded).collect()
}

/// The findings of one kind.
pub fn of_kind(findings: &[Worded], kind: &str) -> Vec<Worded> {
    findings.iter().filter(|finding| finding.kind == kind).cloned().collect()
}

/// The one finding of a kind.
#[track_caller]
pub fn only(bytes: &[u8], kind: &str) -> Worded {
    let found = findings(bytes);
    let [only] = &of_kind(&found, kind)[..] else { panic!("not one {kind}: {found:#?}") };
    only.clone()
}

/// That there is none of a kind.
#[track_caller]
pub fn none(bytes: &[u8], kind: &str) {
    let found = findings(bytes);
    assert!(of_kind(&found, kind).is_empty(), "{found:#?}");
}
