//! Findings: conclusions from the analysis, as data. `render::findings` words them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Analysis;
use super::overlaps::Together;
use crate::report::{
    Attempt, Culprit, Evidence, Finding, FindingKind, Held, Losses, Name, Outcome, Severity,
    Storms, Sum, Waker,
};

/// The least number of events that is a habit.
const AGAIN: usize = 3;
/// The least number of attempts in a storm: attempts that did not sleep, in quick succession.
const STORM: usize = 5;
/// A habit concerns at least one in this many attempts or sleeps.
const RARELY: u64 = 20;
/// The longest time between two attempts of one storm.
const SOON_NS: u64 = 2_000_000_000;
/// The least number of wakes that can be regular.
const PATTERN: usize = 4;

/// Every finding, the most important first.
pub fn findings(analysis: &Analysis) -> Vec<Finding> {
    let rules = Rules { analysis, whole_ns: analysis.model.duration_ns() };
    let costs = analysis.costs_by_name();
    let mut findings = Vec::new();
    findings.extend(rules.blocker(&costs));
    findings.extend(rules.blocking_group());
    findings.extend(rules.aborters(&costs));
    findings.extend(rules.wakers());
    findings.extend(rules.no_sleep());
    findings.extend(rules.storms());
    findings.extend(rules.devices_failed());
    findings.extend(rules.freeze_timeout());
    findings.extend(rules.failed());
    findings.extend(rules.not_trying());
    findings.extend(rules.blocked_unknown());
    findings.extend(rules.charger());
    findings.extend(rules.lost());
    findings.extend(rules.late_snapshots());
    // Findings of equal severity by their gain, else in the order above.
    findings.sort_by_key(|finding| (finding.severity, Reverse(finding.gain_ns)));
    findings
}

struct Rules<'a> {
    analysis: &'a Analysis,
    whole_ns: u64,
}

impl Rules<'_> {
    /// By the part of the session that is concerned.
    fn severity(&self, ns: u64) -> Severity {
        match self.whole_ns {
            whole if ns >= whole.div_ceil(10) => Severity::High,
            whole if ns >= whole.div_ceil(100) => Severity::Medium,
            _ => Severity::Low,
        }
    }

    fn name(&self, instance: u32) -> &[u8] {
        self.analysis.model.name(instance)
    }

    /// Attempts of one outcome.
    fn with_outcome(&self, outcome: Outcome) -> Vec<&Attempt> {
        self.analysis.attempts.iter().filter(|attempt| attempt.outcome == outcome).collect()
    }

    fn held_longest(&self) -> Option<Held> {
        let held =
            self.analysis.sources.iter().map(|(instance, source)| (source.sum.held_ns, instance));
        let (held_ns, instance) = held.max_by_key(|(held_ns, _)| *held_ns)?;
        (held_ns > 0).then(|| Held { source: Name::new(self.name(*instance)), held_ns })
    }

    fn blocker(&self, costs: &BTreeMap<&[u8], Sum>) -> Option<Finding> {
        let blocked_ns = self.analysis.ledger.blocked_ns?;
        let yielding = self.analysis.yielding();
        // A source that yields is chosen only where no other has a share.
        let blocked = costs.iter().filter_map(|(name, cost)| {
            let (share_ns, alone_ns) = (cost.blocked_share_ns?, cost.blocked_sole_ns?);
            let named = share_ns > 0 && !yielding.contains(name);
            Some((named, share_ns, alone_ns, Reverse(*name)))
        });
        let (_, share_ns, alone_ns, Reverse(name)) = blocked.max()?;
        (share_ns > 0).then(|| Finding {
            // Many small blockers matter together, and the largest is the one to fix first.
            severity: self.severity(share_ns).min(match self.severity(blocked_ns) {
                Severity::Low => Severity::Low,
                _ => Severity::Medium,
            }),
            kind: FindingKind::Blocker { source: Name::new(name), share_ns, alone_ns, blocked_ns },
            gain_ns: Some(alone_ns),
        })
    }

    /// Sources that blocked suspend together, where fixing all of them gains most.
    fn blocking_group(&self) -> Option<Finding> {
        let blocked_ns = self.analysis.ledger.blocked_ns?;
        let sole_ns = |name: u32| self.analysis.names.get(&name).map_or(0, |facts| facts.sole_ns);
        let overlaps = &self.analysis.overlaps;
        let Together { names, gain_ns } = overlaps.best(sole_ns)?;
        let severity = self.severity(gain_ns);
        let matters = severity != Severity::Low && gain_ns >= blocked_ns / 10;
        matters.then(|| Finding {
            severity,
            kind: FindingKind::BlockingGroup {
                sources: names.iter().map(|n| Name::new(self.analysis.model.text(*n))).collect(),
                gain_ns,
                alone_ns: names.iter().copied().map(sole_ns).sum(),
                left_out_ns: overlaps.left_out_ns,
            },
            gain_ns: Some(gain_ns),
        })
    }

    /// Sources that abort attempts again and again.
    fn aborters(&self, costs: &BTreeMap<&[u8], Sum>) -> Vec<Finding> {
        let attempts = &self.analysis.attempts;
        let habit =
            |aborts: u64| aborts >= AGAIN as u64 && aborts >= attempts.len() as u64 / RARELY;
        let mut again: Vec<_> = costs.iter().filter(|(_, cost)| habit(cost.aborts)).collect();
        again.sort_by_key(|(name, cost)| (Reverse(cost.aborts), **name));
        let finding = |(name, cost): (&&[u8], &Sum)| {
            let proven = attempts.iter().filter(|attempt| {
                let mut causes = attempt.causes.iter();
                causes.any(|c| c.evidence == Evidence::Proven && self.name(c.instance) == *name)
            });
            Finding {
                severity: self.severity(cost.abort_ns).min(Severity::Medium),
                kind: FindingKind::Aborter {
                    source: Name::new(name),
                    aborts: cost.aborts,
                    proven: proven.count() as u64,
                    attempts: attempts.len() as u64,
                    abort_ns: cost.abort_ns,
                },
                gain_ns: Some(cost.abort_ns),
            }
        };
        again.into_iter().take(3).map(finding).collect()
    }

    /// Sources and interrupts that wake the device often.
    fn wakers(&self) -> Vec<Finding> {
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
                let proven = woken.iter().filter_map(|attempt| attempt.wake.as_ref());
                let proven = proven.filter(|wake| wake.evidence == Evidence::Proven).count() as u64;
                let every_ns = interval(&woken);
                let least = if every_ns.is_some() { Severity::Medium } else { Severity::Low };
                let by = match source {
                    Some(name) => Waker::Source { source: Name::new(name), proven },
                    None => self.interrupt(irq.unwrap_or_default()),
                };
                let (wakes, slept) = (woken.len() as u64, slept.len() as u64);
                Finding {
                    severity: self.severity(after_ns).min(least),
                    kind: FindingKind::Waker { by, wakes, slept, every_ns, after_ns },
                    gain_ns: Some(after_ns),
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

    fn no_sleep(&self) -> Option<Finding> {
        let none = self.with_outcome(Outcome::NoSleep);
        let wasted_ns = total_ns(&none);
        let causes = none.iter().flat_map(|attempt| &attempt.causes);
        let names: BTreeSet<_> = causes.map(|cause| self.name(cause.instance)).collect();
        (!none.is_empty()).then(|| Finding {
            severity: self.severity(wasted_ns).min(Severity::Medium),
            kind: FindingKind::NoSleep {
                sources: names.into_iter().map(Name::new).collect(),
                attempts: none.len() as u64,
                wasted_ns,
            },
            gain_ns: Some(wasted_ns),
        })
    }

    /// Attempts in quick succession, none of which slept.
    fn storms(&self) -> Option<Finding> {
        let alike = |a: &Attempt, b: &Attempt| {
            let awake = a.outcome != Outcome::Slept && b.outcome != Outcome::Slept;
            awake && b.start_ns.since(a.end_ns) <= SOON_NS
        };
        let rows = self.analysis.attempts.chunk_by(alike);
        let storms: Vec<&[Attempt]> = rows.filter(|storm| storm.len() >= STORM).collect();
        let span = |storm: &[Attempt]| match storm {
            [first, .., last] => last.end_ns.since(first.start_ns),
            _ => 0,
        };
        let largest = storms.iter().max_by_key(|storm| (storm.len(), span(storm)))?;
        let wasted_ns = storms.iter().map(|storm| span(storm)).sum();
        let mut blamed = BTreeMap::<&[u8], u64>::new();
        for attempt in storms.iter().copied().flatten() {
            let names = attempt.causes.iter().map(|cause| self.name(cause.instance));
            for name in names.collect::<BTreeSet<_>>() {
                *blamed.entry(name).or_default() += 1;
            }
        }
        let most = blamed.into_iter().max_by_key(|(name, times)| (*times, Reverse(*name)));
        Some(Finding {
            severity: self.severity(wasted_ns).min(Severity::Medium),
            kind: FindingKind::Storm(Storms {
                storms: storms.len() as u64,
                attempts: storms.iter().map(|storm| storm.len() as u64).sum(),
                wasted_ns,
                largest: largest.len() as u64,
                largest_ns: span(largest),
                blamed: most.map(|(name, times)| (Name::new(name), times)),
            }),
            gain_ns: Some(wasted_ns),
        })
    }

    /// Whether so many attempts are a habit, or a third of all.
    fn many(&self, failed: usize) -> bool {
        failed >= AGAIN || failed > 0 && failed * 3 >= self.analysis.attempts.len()
    }

    /// Devices that failed attempts.
    fn devices_failed(&self) -> Vec<Finding> {
        let mut devices = BTreeMap::<&str, Vec<&Attempt>>::new();
        for attempt in self.with_outcome(Outcome::Failed) {
            if let Some(device) = &attempt.failed_device {
                devices.entry(device).or_default().push(attempt);
            }
        }
        let mut devices: Vec<_> = devices.into_iter().filter(|(_, a)| self.many(a.len())).collect();
        devices.sort_by_key(|(device, failed)| (Reverse(failed.len()), *device));
        let finding = |(device, failed): (&str, Vec<&Attempt>)| {
            let wasted_ns = total_ns(&failed);
            Finding {
                severity: self.severity(wasted_ns).min(Severity::Medium),
                kind: FindingKind::DeviceFailed {
                    device: Name::new(device.as_bytes()),
                    step: most(failed.iter().filter_map(|a| a.failed_step)).map(|(step, _)| step),
                    failed: failed.len() as u64,
                    attempts: self.analysis.attempts.len() as u64,
                    errno: most(failed.iter().filter_map(|a| a.errno)).map(|(errno, _)| errno),
                    wasted_ns,
                },
                gain_ns: Some(wasted_ns),
            }
        };
        devices.into_iter().take(3).map(finding).collect()
    }

    /// Tasks that did not freeze.
    fn freeze_timeout(&self) -> Option<Finding> {
        let mut failed = self.with_outcome(Outcome::Failed);
        failed.retain(|attempt| attempt.freeze_timeout);
        let wasted_ns = total_ns(&failed);
        (!failed.is_empty()).then(|| Finding {
            severity: self.severity(wasted_ns).min(Severity::Medium),
            kind: FindingKind::FreezeTimeout {
                failed: failed.len() as u64,
                attempts: self.analysis.attempts.len() as u64,
                wasted_ns,
            },
            gain_ns: Some(wasted_ns),
        })
    }

    /// Attempts that failed for another reason than a wakeup, by no known device.
    fn failed(&self) -> Option<Finding> {
        let mut failed = self.with_outcome(Outcome::Failed);
        failed.retain(|attempt| !attempt.freeze_timeout && attempt.failed_device.is_none());
        let wasted_ns = total_ns(&failed);
        self.many(failed.len()).then(|| Finding {
            severity: self.severity(wasted_ns).min(Severity::Medium),
            kind: FindingKind::Failed {
                attempts: failed.len() as u64,
                errno: most(failed.iter().filter_map(|attempt| attempt.errno)),
                wasted_ns,
            },
            gain_ns: Some(wasted_ns),
        })
    }

    fn not_trying(&self) -> Option<Finding> {
        let not_trying_ns = self.analysis.ledger.not_trying_ns?;
        let severity = self.severity(not_trying_ns);
        (severity != Severity::Low).then_some(Finding {
            severity,
            kind: FindingKind::NotTrying {
                not_trying_ns,
                tried: !self.analysis.attempts.is_empty() || !self.analysis.waits.is_empty(),
            },
            gain_ns: Some(not_trying_ns),
        })
    }

    /// Awake time that may have been blocked.
    fn blocked_unknown(&self) -> Option<Finding> {
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

    fn charger(&self) -> Option<Finding> {
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
    fn lost(&self) -> Option<Finding> {
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

    fn late_snapshots(&self) -> Option<Finding> {
        let (late, attempts) = (self.analysis.late_snapshots, self.analysis.attempts.len() as u64);
        let edges = self.analysis.ledger.knows_blocked();
        (late > 0).then_some(Finding {
            severity: if edges { Severity::Low } else { Severity::Medium },
            kind: FindingKind::LateSnapshots { late, attempts, edges },
            gain_ns: None,
        })
    }
}

/// The most frequent of `values`, and how often it is there.
fn most<T: Ord>(values: impl Iterator<Item = T>) -> Option<(T, u64)> {
    let mut times = BTreeMap::new();
    values.for_each(|value| *times.entry(value).or_default() += 1);
    times.into_iter().max_by_key(|(_, times)| *times)
}

fn total_ns(attempts: &[&Attempt]) -> u64 {
    attempts.iter().map(|attempt| attempt.duration_ns()).sum()
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
