//! Awake time outside attempts, as far as no source is blamed for it: what user space did meanwhile.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Rules;
use super::claims::{ALL, Claims};
use crate::analyze::suspend_loop::Refusal;
use crate::report::{Finding, FindingKind, Name, Severity};

impl Rules<'_> {
    /// The kernel was ready to suspend, and user space was not.
    pub fn user_space(&self) -> Option<Finding> {
        let user_space_ns = self.analysis.ledger.user_space_ns?;
        let severity = self.severity(user_space_ns);
        (severity != Severity::Low).then_some(Finding {
            severity,
            kind: FindingKind::UserSpace { user_space_ns },
            gain_ns: Some(user_space_ns),
        })
    }

    /// User space paused after attempts and refused writes. `after_wakes_ns`: what findings on wakes gain of
    /// the time after sleeps. Returns how much of that is back-off, too.
    pub fn backoff(&self, claims: &mut Claims, after_wakes_ns: u64) -> (Option<Finding>, u64) {
        let Some(backoff_ns) = self.analysis.ledger.backoff_ns else { return (None, 0) };
        let attempts = &self.analysis.attempts;
        let aborts_ns: u64 = attempts.iter().map(|attempt| attempt.after_abort_ns).sum();
        let refused_ns = self.analysis.refusals.iter().map(|refusal| refusal.after_abort_ns).sum();
        let after_sleeps_ns = backoff_ns.saturating_sub(aborts_ns).saturating_sub(refused_ns);
        let claimed_ns = after_wakes_ns.min(after_sleeps_ns);
        let severity = self.severity(backoff_ns);
        if severity == Severity::Low {
            return (None, claimed_ns);
        }
        let mut by: Vec<_> =
            self.by_name.iter().map(|row| (row.sum.after_abort_ns, &row.name)).collect();
        by.retain(|(ns, _)| *ns > 0);
        by.sort_by_key(|(ns, name)| (Reverse(*ns), *name));
        let finding = Finding {
            severity,
            kind: FindingKind::Backoff {
                backoff_ns,
                aborts_ns,
                refused_ns,
                after_sleeps_ns,
                by: by.into_iter().take(3).map(|(ns, name)| (name.clone(), ns)).collect(),
            },
            gain_ns: Some(claims.backoff() + after_sleeps_ns - claimed_ns),
        };
        (Some(finding), claimed_ns)
    }

    /// The kernel refused writes of the count, as an event had come since the read.
    pub fn count_refused(&self, claims: &mut Claims) -> Option<Finding> {
        let refusals = &self.analysis.refusals;
        if refusals.len() < super::AGAIN {
            return None;
        }
        let mut blamed = BTreeMap::<&[u8], u64>::new();
        for refusal in refusals {
            for name in self.names(&refusal.causes) {
                *blamed.entry(name).or_default() += 1;
            }
        }
        let most = blamed.into_iter().max_by_key(|(name, times)| (*times, Reverse(*name)));
        let backoff_ns: u64 = refusals.iter().map(|refusal| refusal.after_abort_ns).sum();
        let claim = |(place, refusal): (usize, &Refusal)| claims.refusal(place, refusal, ALL);
        Some(Finding {
            severity: self.severity(backoff_ns).min(Severity::Medium),
            kind: FindingKind::CountRefused {
                refused: refusals.len() as u64,
                backoff_ns,
                most: most.map(|(name, times)| (Name::new(name), times)),
            },
            gain_ns: Some(refusals.iter().enumerate().map(claim).sum()),
        })
    }

    /// Nothing tried to suspend. `after_wakes_ns`: the part of it that findings on wakes gain.
    pub fn not_trying(&self, after_wakes_ns: u64) -> Option<Finding> {
        let analysis = self.analysis;
        let not_trying_ns = analysis.ledger.not_trying_ns?;
        let severity = self.severity(not_trying_ns);
        let after_wakes_ns = after_wakes_ns.min(not_trying_ns);
        (severity != Severity::Low).then(|| Finding {
            severity,
            kind: FindingKind::NotTrying {
                not_trying_ns,
                after_wakes_ns,
                tried: !analysis.attempts.is_empty() || !analysis.waits.is_empty(),
            },
            gain_ns: Some(not_trying_ns - after_wakes_ns),
        })
    }
}
