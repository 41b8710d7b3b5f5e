//! Storms: attempts in a row that did not sleep, each as soon as user space tried again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Rules;
use super::claims::{ALL, Claims};
use crate::report::{Attempt, Finding, FindingKind, Name, Outcome, Severity, Storms};

/// The least number of attempts in a storm.
const STORM: usize = 5;
/// The longest time between two attempts of one storm, without the back-off.
const SOON_NS: u64 = 2_000_000_000;

impl Rules<'_> {
    /// Attempts in a row that did not sleep. User space backs off for longer after each, and that ends no
    /// storm.
    pub fn storms(&self, claims: &mut Claims) -> Option<Finding> {
        let alike = |a: &Attempt, b: &Attempt| {
            let awake = a.outcome != Outcome::Slept && b.outcome != Outcome::Slept;
            awake && b.start_ns.since(a.end_ns).saturating_sub(a.after_abort_ns) <= SOON_NS
        };
        let rows = self.analysis.attempts.chunk_by(alike);
        let storms: Vec<&[Attempt]> = rows.filter(|storm| storm.len() >= STORM).collect();
        let span = |storm: &[Attempt]| match storm {
            [first, .., last] => last.end_ns.since(first.start_ns),
            _ => 0,
        };
        let largest = storms.iter().max_by_key(|storm| (storm.len(), span(storm)))?;
        let lasted_ns = storms.iter().map(|storm| span(storm)).sum();
        let mut blamed = BTreeMap::<&[u8], u64>::new();
        for attempt in storms.iter().copied().flatten() {
            let names = attempt.causes.iter().map(|cause| self.name(cause.instance));
            for name in names.collect::<BTreeSet<_>>() {
                *blamed.entry(name).or_default() += 1;
            }
        }
        let most = blamed.into_iter().max_by_key(|(name, times)| (*times, Reverse(*name)));
        let gain_ns =
            storms.iter().copied().flatten().map(|attempt| claims.attempt(attempt, ALL)).sum();
        Some(Finding {
            severity: self.severity(lasted_ns).min(Severity::Medium),
            kind: FindingKind::Storm(Storms {
                storms: storms.len() as u64,
                attempts: storms.iter().map(|storm| storm.len() as u64).sum(),
                lasted_ns,
                largest: largest.len() as u64,
                largest_ns: span(largest),
                blamed: most.map(|(name, times)| (Name::new(name), times)),
            }),
            gain_ns: Some(gain_ns),
        })
    }
}
