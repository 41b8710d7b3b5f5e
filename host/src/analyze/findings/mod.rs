//! Findings: conclusions from the analysis, as data. `render::findings` words them.
//!
//! Each file has rules of one kind. Their gains never count a nanosecond twice: see `claims.rs`.

mod awake;
mod blocked;
mod claims;
mod doubts;
mod hours;
mod outcomes;
mod storms;
mod wakes;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Analysis;
use crate::report::{Attempt, Cause, Culprit, Finding, FindingKind, Severity, Source, SourceKind};
use claims::Claims;

/// The least number of events that is a habit.
const AGAIN: usize = 3;
/// A habit concerns at least one in this many attempts or sleeps.
const RARELY: u64 = 20;

/// Every finding, the most important first. `by_name`: the ranking by name.
pub fn findings(analysis: &Analysis, by_name: &[Source]) -> Vec<Finding> {
    let sources = by_name.iter().filter(|source| source.kind == SourceKind::Source);
    let sources = sources.map(|source| (&source.name.bytes[..], source)).collect();
    let rules = Rules { analysis, by_name, sources, whole_ns: analysis.model.duration_ns() };
    let mut claims = Claims::new(&analysis.attempts, &analysis.refusals);
    let mut findings = Vec::new();
    findings.extend(rules.died_suspending());
    findings.extend(rules.blocked());
    findings.extend(rules.aborters(&mut claims));
    findings.extend(rules.devices_failed(&mut claims));
    findings.extend(rules.freeze_timeout(&mut claims));
    findings.extend(rules.no_sleep(&mut claims));
    findings.extend(rules.failed(&mut claims));
    findings.extend(rules.storms(&mut claims));
    findings.extend(rules.unslept(&mut claims, &findings));
    findings.extend(rules.count_refused(&mut claims));
    let wakers = rules.wakers();
    let after_wakes_ns = after_wakes_ns(&wakers);
    findings.extend(wakers);
    findings.extend(rules.user_space());
    let (backoff, within_ns) = rules.backoff(&mut claims, after_wakes_ns);
    findings.extend(backoff);
    findings.extend(rules.not_trying(after_wakes_ns - within_ns));
    findings.extend(rules.unattributed());
    findings.extend(rules.longest_hold());
    findings.extend(rules.worst_hour());
    findings.extend(rules.blocked_unknown());
    findings.extend(rules.charger());
    findings.extend(rules.dead_hooks());
    findings.extend(rules.lost());
    findings.extend(rules.late_snapshots());
    // Findings of equal severity by their gain, else in the order above.
    findings.sort_by_key(|finding| (finding.severity, Reverse(finding.gain_ns)));
    findings
}

/// The awake time after wakes that these findings gain.
fn after_wakes_ns(wakers: &[Finding]) -> u64 {
    let after = wakers.iter().map(|finding| match finding.kind {
        FindingKind::Waker { after_ns, .. } => after_ns,
        _ => 0,
    });
    after.sum()
}

struct Rules<'a> {
    analysis: &'a Analysis,
    /// Sources by name, interrupts and devices.
    by_name: &'a [Source],
    /// The sources alone.
    sources: BTreeMap<&'a [u8], &'a Source>,
    whole_ns: u64,
}

impl<'a> Rules<'a> {
    /// By the part of the session that is concerned.
    fn severity(&self, ns: u64) -> Severity {
        match self.whole_ns {
            _ if ns == 0 => Severity::Low,
            whole if ns >= whole.div_ceil(10) => Severity::High,
            whole if ns >= whole.div_ceil(100) => Severity::Medium,
            _ => Severity::Low,
        }
    }

    fn name(&self, instance: u32) -> &'a [u8] {
        self.analysis.model.name(instance)
    }

    /// The names of the sources, or of the interrupt, that kept an attempt from sleeping.
    fn blamed(&self, attempt: &Attempt) -> BTreeSet<Cow<'a, [u8]>> {
        let names = self.names(&attempt.causes).into_iter().map(Cow::Borrowed);
        names.chain(self.interrupt_of(attempt)).collect()
    }

    /// The name of the interrupt that aborted an attempt.
    fn interrupt_of(&self, attempt: &Attempt) -> Option<Cow<'a, [u8]>> {
        match attempt.ended_by()? {
            Culprit::Interrupt(irq) => Some(self.interrupt_name(irq)),
            _ => None,
        }
    }

    /// The name of an interrupt's handlers, else its number, as in the ranking.
    fn interrupt_name(&self, irq: u32) -> Cow<'a, [u8]> {
        let model = &self.analysis.model;
        let name = model.irqs.get(&irq).map_or(&[][..], |known| model.text(known.name));
        if name.is_empty() { format!("irq {irq}").into_bytes().into() } else { name.into() }
    }

    /// The names of causes, each once.
    fn names(&self, causes: &[Cause]) -> BTreeSet<&'a [u8]> {
        causes.iter().map(|cause| self.name(cause.instance)).collect()
    }
}
