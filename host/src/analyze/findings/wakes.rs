//! Sources and interrupts that woke the device.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{AGAIN, RARELY, Rules};
use crate::report::{
    Attempt, Culprit, Evidence, Finding, FindingKind, Name, Outcome, Severity, Waker,
};

/// The least number of wakes that can be regular.
const PATTERN: usize = 4;

impl Rules<'_> {
    /// Sources and interrupts that wake the device often.
    pub fn wakers(&self) -> Vec<Finding> {
        let slept = self.with_outcome(Outcome::Slept);
        let mut wakes = BTreeMap::<(Option<&[u8]>, Option<u32>), Vec<&Attempt>>::new();
        for &attempt in &slept {
            let key = match attempt.woken_by() {
                Some(Culprit::Source(instance)) => (Some(self.name(instance)), None),
                Some(Culprit::Interrupt(irq)) => (None, Some(irq)),
                Some(Culprit::Device(_)) | None => continue,
            };
            wakes.entry(key).or_default().push(attempt);
        }
        let often = |woken: &[&Attempt]| woken.len() >= AGAIN.max(slept.len() / RARELY as usize);
        let frequent = wakes.into_iter().filter(|(_, woken)| often(woken));
        let mut findings: Vec<_> = frequent
            .map(|((source, irq), woken)| {
                let after_ns = woken.iter().map(|attempt| attempt.after_wake_ns).sum();
                let resume_ns = woken.iter().map(|attempt| attempt.resume_ns).sum();
                let proven = woken.iter().filter_map(|attempt| attempt.wake.as_ref());
                let proven = proven.filter(|wake| wake.evidence == Evidence::Proven).count() as u64;
                let every_ns = interval(&woken);
                let least = if every_ns.is_some() { Severity::Medium } else { Severity::Low };
                let by = match source {
                    Some(name) => Waker::Source { source: Name::new(name), proven },
                    None => self.interrupt(irq.unwrap_or_default()),
                };
                let (wakes, slept) = (woken.len() as u64, slept.len() as u64);
                let held_ns = source.and_then(|name| Some(self.sources.get(name)?.sum.held_ns));
                Finding {
                    severity: self.severity(after_ns + resume_ns).min(least),
                    kind: FindingKind::Waker {
                        by,
                        wakes,
                        slept,
                        every_ns,
                        resume_ns,
                        after_ns,
                        held_ns,
                    },
                    gain_ns: Some(after_ns + resume_ns),
                }
            })
            .collect();
        findings.sort_by_key(|finding| (finding.severity, Reverse(finding.gain_ns)));
        findings.truncate(3);
        findings
    }

    fn interrupt(&self, irq: u32) -> Waker {
        let model = &self.analysis.model;
        let name = model.irqs.get(&irq).map_or(&[][..], |known| model.text(known.name));
        Waker::Interrupt { irq, name: Name::new(name) }
    }
}

/// The interval of regular wakes: three of four are within a tenth of the median.
fn interval(woken: &[&Attempt]) -> Option<u64> {
    if woken.len() < PATTERN {
        return None;
    }
    let mut steps: Vec<u64> =
        woken.windows(2).map(|pair| pair[1].end_ns.since(pair[0].end_ns)).collect();
    steps.sort_unstable();
    let median = steps[steps.len() / 2];
    let near = steps.iter().filter(|step| step.abs_diff(median) <= median / 10).count();
    (median > 0 && near * 4 >= steps.len() * 3).then_some(median)
}
