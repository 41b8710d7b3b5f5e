//! When it was worst: the longest hold, and the hour with the most awake time.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sleepwalk_trace::time::BootNanos;

use super::Rules;
use crate::report::{Finding, FindingKind, Name, Severity, Span, When};
use crate::units::SECOND;

const HOUR_NS: u64 = 3_600 * SECOND;

/// The numbers of whole hours of which one can be the worst: a few, up to a year's.
const HOURS: std::ops::RangeInclusive<usize> = 3..=8_784;

/// The time awake in one hour.
#[derive(Clone, Debug, Default)]
struct Hour<'a> {
    asleep_ns: u64,
    blocked_ns: u64,
    /// By name: its share of the blocked time.
    blockers: BTreeMap<&'a [u8], u64>,
}

impl Rules<'_> {
    /// A moment of the session, for people.
    pub fn when(&self, at: BootNanos) -> When {
        let model = &self.analysis.model;
        let after_ns = at.since(model.start);
        When { after_ns, realtime_ns: model.dated.map(|clocks| clocks.real_at(at)) }
    }

    /// The source that was held the longest without a break.
    pub fn longest_hold(&self) -> Option<Finding> {
        let holds = self.sources.values().filter_map(|source| {
            Some((source.sum.longest_hold_ns, source.longest_hold_at_ns?, &source.name))
        });
        let (held_ns, at, source) = holds.max_by_key(|(ns, at, _)| (*ns, Reverse(*at)))?;
        let severity = self.severity(held_ns);
        (severity != Severity::Low).then(|| Finding {
            // It is no harm of its own.
            severity: Severity::Medium,
            kind: FindingKind::LongestHold { source: source.clone(), held_ns, from: self.when(at) },
            gain_ns: None,
        })
    }

    /// The hour with the most awake time, if it stands out: it is awake for twice the mean, or half of it is.
    pub fn worst_hour(&self) -> Option<Finding> {
        let analysis = self.analysis;
        let (start, end) = (analysis.model.start, analysis.model.end);
        let attempts_ns = analysis.attempts.iter().map(|attempt| attempt.slept_ns).sum::<u64>();
        // Sleep that no attempt has is at no known time.
        if analysis.ledger.asleep_ns != attempts_ns {
            return None;
        }
        let first = self.first_hour(start);
        let hours = usize::try_from(end.since(first) / HOUR_NS).ok();
        let mut hours = vec![Hour::default(); hours.filter(|hours| HOURS.contains(hours))?];
        for attempt in &analysis.attempts {
            let from = BootNanos(attempt.start_ns.0.saturating_add(attempt.suspending_ns));
            let to = BootNanos(from.0.saturating_add(attempt.slept_ns));
            each(first, hours.len(), Span { start_ns: from, end_ns: to }, |hour, ns| {
                hours[hour].asleep_ns += ns;
            });
        }
        for wait in &analysis.waits {
            let span = Span { start_ns: wait.start_ns, end_ns: wait.end_ns };
            let whole_ns = u128::from(wait.end_ns.since(wait.start_ns).max(1));
            each(first, hours.len(), span, |hour, ns| {
                hours[hour].blocked_ns += ns;
                for blocker in &wait.blockers {
                    let share = u128::from(blocker.share_ns) * u128::from(ns) / whole_ns;
                    *hours[hour].blockers.entry(self.name(blocker.instance)).or_default() +=
                        share as u64;
                }
            });
        }
        let awake = |hour: &Hour<'_>| HOUR_NS.saturating_sub(hour.asleep_ns);
        let mean_ns = hours.iter().map(awake).sum::<u64>() / hours.len() as u64;
        let worst = (0..hours.len()).max_by_key(|hour| (awake(&hours[*hour]), Reverse(*hour)))?;
        let awake_ns = awake(&hours[worst]);
        let most = hours[worst].blockers.iter().max_by_key(|(name, ns)| (**ns, Reverse(**name)));
        (awake_ns >= 2 * mean_ns && awake_ns >= HOUR_NS / 100).then(|| Finding {
            severity: self.severity(awake_ns).max(Severity::Medium),
            kind: FindingKind::WorstHour {
                from: self.when(BootNanos(first.0 + worst as u64 * HOUR_NS)),
                awake_ns,
                mean_ns,
                blocked_ns: hours[worst].blocked_ns.min(awake_ns),
                blocker: most.map(|(name, ns)| (Name::new(name), *ns)),
            },
            gain_ns: None,
        })
    }

    /// The first full hour of the clock on the wall, or of the session where the date is unknown.
    fn first_hour(&self, start: BootNanos) -> BootNanos {
        let real = self.analysis.model.dated.map(|clocks| clocks.real_at(start).0);
        let past_ns = real.map_or(0, |real| real.rem_euclid(HOUR_NS as i64) as u64);
        BootNanos(start.0.saturating_add(if past_ns == 0 { 0 } else { HOUR_NS - past_ns }))
    }
}

/// Calls `add` with each of `hours` that the span lies in, and how long.
fn each(first: BootNanos, hours: usize, span: Span, mut add: impl FnMut(usize, u64)) {
    let start = span.start_ns.since(first) / HOUR_NS;
    for hour in start..=span.end_ns.since(first) / HOUR_NS {
        let begin = BootNanos(first.0 + hour * HOUR_NS);
        let end = BootNanos(begin.0 + HOUR_NS);
        let ns = span.end_ns.min(end).since(span.start_ns.max(begin));
        if ns > 0 && (hour as usize) < hours {
            add(hour as usize, ns);
        }
    }
}
