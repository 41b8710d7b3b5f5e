//! Reasons to doubt the report, and time that it charges to no source.

use super::Rules;
use crate::report::{Finding, FindingKind, Held, Losses, Outcome, Severity, Sum, Unattributed};

impl Rules<'_> {
    /// The source that was held the longest in all.
    fn held_longest(&self) -> Option<Held> {
        let longest = self.sources.values().max_by_key(|source| source.sum.held_ns)?;
        let Sum { held_ns, held_at_least: at_least, .. } = longest.sum;
        (held_ns > 0).then(|| Held { source: longest.name.clone(), held_ns, at_least })
    }

    /// A part of the session that could have been charged to a source, and was not.
    pub fn unattributed(&self) -> Option<Finding> {
        let analysis = self.analysis;
        let shares = self.sources.values().filter_map(|source| source.sum.blocked_share_ns);
        let blocked_ns = analysis.ledger.blocked_ns.unwrap_or(0).saturating_sub(shares.sum());
        let mut parts = Unattributed { blocked_ns, ..Unattributed::default() };
        for attempt in &analysis.attempts {
            let wake = attempt.wake.as_ref();
            match attempt.outcome {
                // No source is to blame.
                Outcome::Failed => {}
                Outcome::Slept if wake.is_none_or(|wake| !wake.is_known()) => {
                    parts.wakes += 1;
                    parts.wakes_ns += attempt.resume_ns;
                }
                Outcome::Slept => {}
                _ if attempt.is_unexplained() => {
                    parts.attempts += 1;
                    parts.attempts_ns += attempt.duration_ns() + attempt.after_abort_ns;
                }
                _ => {}
            }
        }
        let severity = self.severity(parts.total_ns());
        (severity != Severity::Low).then_some(Finding {
            severity,
            kind: FindingKind::Unattributed(parts),
            gain_ns: None,
        })
    }

    /// Awake time that may have been blocked.
    pub fn blocked_unknown(&self) -> Option<Finding> {
        let ledger = &self.analysis.ledger;
        let unrecorded = !ledger.knows_blocked();
        let unknown_ns =
            if unrecorded { ledger.unknown_ns } else { self.analysis.maybe_blocked_ns };
        let severity = self.severity(unknown_ns);
        let longest = self.held_longest();
        let shown = if unrecorded { unknown_ns > 0 } else { severity != Severity::Low };
        shown.then(|| Finding {
            severity: if unrecorded { severity.max(Severity::Medium) } else { severity },
            kind: FindingKind::BlockedUnknown { unrecorded, unknown_ns, longest },
            gain_ns: None,
        })
    }

    /// Hooks that were attached and never fired, although they must have.
    pub fn dead_hooks(&self) -> Option<Finding> {
        let hooks = &self.analysis.model.dead_hooks;
        (!hooks.is_empty()).then(|| Finding {
            severity: Severity::High,
            kind: FindingKind::DeadHook { hooks: hooks.clone() },
            gain_ns: None,
        })
    }

    /// The device was on a charger.
    pub fn charger(&self) -> Option<Finding> {
        let power = &self.analysis.power;
        let charger_ns = power.charger_ns.filter(|ns| *ns > 0)?;
        let start = self.analysis.model.start;
        let spans = power.charger.iter().take(2);
        let spans = spans.map(|span| (span.start_ns.since(start), span.end_ns.since(start)));
        Some(Finding {
            severity: self.severity(charger_ns),
            kind: FindingKind::Charger {
                charger_ns,
                spans: spans.collect(),
                more: power.charger.len() > 2,
            },
            gain_ns: None,
        })
    }

    /// Missing records, and the time that they put in doubt.
    pub fn lost(&self) -> Option<Finding> {
        let damage = &self.analysis.model.damage;
        let losses = Losses {
            events: self.analysis.model.lost_events,
            chunks: damage.missing_chunks,
            records: damage.bad_records,
            contradictions: self.analysis.contradictions,
            doubtful_ns: self.analysis.doubtful_ns,
        };
        let Losses { events, chunks, records, contradictions, doubtful_ns } = losses;
        let any = events | chunks | records | contradictions > 0;
        any.then_some(Finding {
            severity: self.severity(doubtful_ns).min(Severity::Medium),
            kind: FindingKind::Lost(losses),
            gain_ns: None,
        })
    }

    /// Snapshots that came too late for their attempt.
    pub fn late_snapshots(&self) -> Option<Finding> {
        let (late, attempts) = (self.analysis.late_snapshots, self.analysis.attempts.len() as u64);
        let edges = self.analysis.ledger.knows_blocked();
        (late > 0).then_some(Finding {
            severity: if edges { Severity::Low } else { Severity::Medium },
            kind: FindingKind::LateSnapshots { late, attempts, edges },
            gain_ns: None,
        })
    }
}
