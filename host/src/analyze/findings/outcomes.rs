//! Attempts that did not sleep: what ended them.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::claims::{ALL, Claims};
use super::{AGAIN, RARELY, Rules};
use crate::report::{
    Attempt, Cause, Evidence, Finding, FindingKind, Name, Outcome, Severity, Source, SourceKind,
    Sum, Unslept,
};

/// Names in a finding on many.
const NAMES: usize = 3;

impl<'a> Rules<'a> {
    /// Whether so many attempts are a habit: a twentieth of all, or a third of few.
    fn habit(&self, times: u64) -> bool {
        let all = self.analysis.attempts.len() as u64;
        times >= AGAIN as u64 && times >= all / RARELY || times > 0 && times * 3 >= all
    }

    /// By the part of the attempts that are concerned, and by the time: a third of them is as much as a tenth
    /// of the session.
    fn attempts_severity(&self, times: u64, ns: u64) -> Severity {
        let many = times >= AGAIN as u64 && times * 3 >= self.analysis.attempts.len() as u64;
        let least = if many { Severity::High } else { Severity::Medium };
        self.severity(ns).min(least)
    }

    /// Whether a device or the platform failed so many attempts that it is no accident: it should never.
    fn fails(&self, times: u64) -> bool {
        times >= AGAIN as u64 || self.habit(times)
    }

    /// Attempts of one outcome.
    pub fn with_outcome(&self, outcome: Outcome) -> Vec<&'a Attempt> {
        self.analysis.attempts.iter().filter(|attempt| attempt.outcome == outcome).collect()
    }

    /// Sources and interrupts that abort attempts again and again.
    pub fn aborters(&self, claims: &mut Claims) -> Vec<Finding> {
        let rows = self.by_name.iter().filter(|row| row.kind != SourceKind::Device);
        let mut again: Vec<_> = rows.filter(|row| self.habit(row.sum.aborts)).collect();
        again.sort_by_key(|row| (Reverse(row.sum.aborts), row.kind, &row.name));
        again.into_iter().take(NAMES).map(|row| self.aborter(row, claims)).collect()
    }

    fn aborter(&self, row: &Source, claims: &mut Claims) -> Finding {
        let name = &row.name.bytes[..];
        let is_it = |cause: &&Cause| self.name(cause.instance) == name;
        let part =
            |causes: &[Cause]| (causes.iter().filter(is_it).count() as u64, causes.len() as u64);
        let (mut proven, mut gain_ns) = (0, 0);
        for attempt in &self.analysis.attempts {
            if row.kind == SourceKind::Interrupt {
                let its = self.interrupt_of(attempt).is_some_and(|irq| *irq == *name);
                proven += u64::from(its);
                gain_ns += if its { claims.attempt(attempt, ALL) } else { 0 };
                continue;
            }
            let mut its = attempt.causes.iter().filter(is_it);
            proven += u64::from(its.any(|cause| cause.evidence == Evidence::Proven));
            gain_ns += claims.attempt(attempt, part(&attempt.causes));
        }
        for (place, refusal) in self.analysis.refusals.iter().enumerate() {
            gain_ns += claims.refusal(place, refusal, part(&refusal.causes));
        }
        let Sum { aborts, abort_ns, after_abort_ns, .. } = row.sum;
        Finding {
            severity: self.attempts_severity(aborts, abort_ns + after_abort_ns),
            kind: FindingKind::Aborter {
                source: row.name.clone(),
                aborts,
                proven,
                attempts: self.analysis.attempts.len() as u64,
                abort_ns,
                after_abort_ns,
            },
            gain_ns: Some(gain_ns),
        }
    }

    /// Attempts that the kernel reported as a success and that never slept.
    pub fn no_sleep(&self, claims: &mut Claims) -> Option<Finding> {
        let none = self.with_outcome(Outcome::NoSleep);
        let causes = none.iter().flat_map(|attempt| &attempt.causes);
        let names: BTreeSet<_> = causes.map(|cause| self.name(cause.instance)).collect();
        let wasted_ns = wasted_ns(&none);
        (!none.is_empty()).then(|| Finding {
            severity: self.attempts_severity(none.len() as u64, wasted_ns),
            kind: FindingKind::NoSleep {
                sources: names.into_iter().map(Name::new).collect(),
                attempts: none.len() as u64,
                wasted_ns,
            },
            gain_ns: Some(claim(claims, &none)),
        })
    }

    /// Devices that failed attempts.
    pub fn devices_failed(&self, claims: &mut Claims) -> Vec<Finding> {
        let mut devices = BTreeMap::<&str, Vec<&Attempt>>::new();
        for attempt in self.with_outcome(Outcome::Failed) {
            if let Some(device) = &attempt.failed_device {
                devices.entry(device).or_default().push(attempt);
            }
        }
        let mut devices: Vec<_> =
            devices.into_iter().filter(|(_, failed)| self.fails(failed.len() as u64)).collect();
        devices.sort_by_key(|(device, failed)| (Reverse(failed.len()), *device));
        let finding = |(device, failed): (&str, Vec<&Attempt>)| {
            let wasted_ns = wasted_ns(&failed);
            Finding {
                severity: self.attempts_severity(failed.len() as u64, wasted_ns),
                kind: FindingKind::DeviceFailed {
                    device: Name::new(device.as_bytes()),
                    step: most(failed.iter().filter_map(|a| a.failed_step)).map(|(step, _)| step),
                    failed: failed.len() as u64,
                    attempts: self.analysis.attempts.len() as u64,
                    errno: most(failed.iter().filter_map(|a| a.errno)).map(|(errno, _)| errno),
                    wasted_ns,
                },
                gain_ns: Some(claim(claims, &failed)),
            }
        };
        devices.into_iter().take(NAMES).map(finding).collect()
    }

    /// Tasks that did not freeze.
    pub fn freeze_timeout(&self, claims: &mut Claims) -> Option<Finding> {
        let mut failed = self.with_outcome(Outcome::Failed);
        failed.retain(|attempt| attempt.freeze_timeout);
        let wasted_ns = wasted_ns(&failed);
        (!failed.is_empty()).then(|| Finding {
            severity: self.attempts_severity(failed.len() as u64, wasted_ns),
            kind: FindingKind::FreezeTimeout {
                failed: failed.len() as u64,
                attempts: self.analysis.attempts.len() as u64,
                wasted_ns,
            },
            gain_ns: Some(claim(claims, &failed)),
        })
    }

    /// Attempts that failed for another reason than a wakeup, by no known device.
    pub fn failed(&self, claims: &mut Claims) -> Option<Finding> {
        let mut failed = self.with_outcome(Outcome::Failed);
        failed.retain(|attempt| !attempt.freeze_timeout && attempt.failed_device.is_none());
        let wasted_ns = wasted_ns(&failed);
        self.fails(failed.len() as u64).then(|| Finding {
            severity: self.attempts_severity(failed.len() as u64, wasted_ns),
            kind: FindingKind::Failed {
                attempts: failed.len() as u64,
                errno: most(failed.iter().filter_map(|attempt| attempt.errno)),
                wasted_ns,
            },
            gain_ns: Some(claim(claims, &failed)),
        })
    }

    /// The attempts that none of `found` is about, if they are many: no source or device stands out.
    pub fn unslept(&self, claims: &mut Claims, found: &[Finding]) -> Option<Finding> {
        let mut rest: Vec<_> = self.analysis.attempts.iter().collect();
        rest.retain(|attempt| {
            attempt.outcome != Outcome::Slept
                && !found.iter().any(|finding| self.covers(&finding.kind, attempt))
        });
        let mut blamed = BTreeMap::<Cow<'_, [u8]>, u64>::new();
        for attempt in &rest {
            for name in self.blamed(attempt) {
                *blamed.entry(name).or_default() += 1;
            }
        }
        let mut most: Vec<_> = blamed.iter().map(|(name, times)| (*times, name)).collect();
        most.sort_by_key(|(times, name)| (Reverse(*times), *name));
        let count = |outcome| rest.iter().filter(|attempt| attempt.outcome == outcome).count();
        let outcomes = Outcome::ALL.into_iter().map(|outcome| (outcome, count(outcome) as u64));
        let unknown = rest.iter().filter(|attempt| attempt.is_unexplained()).count();
        let wasted_ns = wasted_ns(&rest);
        self.habit(rest.len() as u64).then(|| Finding {
            severity: self.attempts_severity(rest.len() as u64, wasted_ns),
            kind: FindingKind::Unslept(Unslept {
                attempts: rest.len() as u64,
                all: self.analysis.attempts.len() as u64,
                outcomes: outcomes.filter(|(_, count)| *count > 0).collect(),
                sources: blamed.len() as u64,
                most: most.into_iter().take(NAMES).map(|(n, name)| (Name::new(name), n)).collect(),
                unknown: unknown as u64,
                wasted_ns,
            }),
            gain_ns: Some(claim(claims, &rest)),
        })
    }

    /// Whether a finding says why this attempt did not sleep.
    fn covers(&self, kind: &FindingKind, attempt: &Attempt) -> bool {
        match kind {
            FindingKind::Aborter { source, .. } => self.blamed(attempt).contains(&source.bytes[..]),
            FindingKind::DeviceFailed { device, .. } => {
                let failed = attempt.failed_device.as_ref();
                failed.is_some_and(|failed| failed.as_bytes() == &device.bytes[..])
            }
            FindingKind::FreezeTimeout { .. } => attempt.freeze_timeout,
            FindingKind::NoSleep { .. } => attempt.outcome == Outcome::NoSleep,
            FindingKind::Failed { .. } => {
                let known = attempt.freeze_timeout || attempt.failed_device.is_some();
                attempt.outcome == Outcome::Failed && !known
            }
            _ => false,
        }
    }

    /// The trace ends within an attempt.
    pub fn died_suspending(&self) -> Option<Finding> {
        let model = &self.analysis.model;
        let last = self.analysis.attempts.last()?;
        let open = last.errno.is_none() && last.end_ns >= model.end && model.finish.is_none();
        open.then(|| {
            let step = last.steps.iter().rev().find(|step| step.end_ns.is_none());
            Finding {
                severity: Severity::High,
                kind: FindingKind::DiedSuspending {
                    stage: last.stage,
                    step: step.map(|step| step.step),
                    from: self.when(last.start_ns),
                    after_ns: last.duration_ns(),
                },
                gain_ns: None,
            }
        })
    }
}

fn claim(claims: &mut Claims, attempts: &[&Attempt]) -> u64 {
    attempts.iter().map(|attempt| claims.attempt(attempt, ALL)).sum()
}

/// How long attempts took that did not sleep, and the back-off after them.
fn wasted_ns(attempts: &[&Attempt]) -> u64 {
    attempts.iter().map(|attempt| attempt.duration_ns() + attempt.after_abort_ns).sum()
}

/// The most frequent of `values`, and how often it is there.
fn most<T: Ord>(values: impl Iterator<Item = T>) -> Option<(T, u64)> {
    let mut times = BTreeMap::new();
    values.for_each(|value| *times.entry(value).or_default() += 1);
    times.into_iter().max_by_key(|(_, times)| *times)
}
