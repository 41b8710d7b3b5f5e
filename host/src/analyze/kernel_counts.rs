//! The kernel's own counts of attempts (`suspend_stats`), held against the returns in the trace.
//!
//! The agent reads the counts after each attempt, and sometimes after several. A reading belongs to the
//! returns before it as soon as both have grown alike. Then the counts show at which step those attempts
//! failed, and the name of a device belongs to one of them. `docs/attribution.md` has the rules and the
//! kernel's functions behind them.

use sleepwalk_trace::record::SuspendStats;
use sleepwalk_trace::time::BootNanos;

use crate::report::{Attempt, Counted, FailedStep, Outcome, Stage};
use crate::session::decode::Model;
use crate::session::hooks::{self, Proofs, has};

/// `-EBUSY`: what a pending wakeup returns, and some drivers.
const EBUSY: i32 = -16;

/// The most attempts of one reading.
const RETURNS: usize = 4_096;

/// The agent ends a capture so soon after an attempt's last event at the earliest, and reads the counts then.
const END_NS: u64 = 5_000_000_000;

const SUCCESS: usize = 0;
const FAIL: usize = 1;
/// The place of the first of [`FailedStep::ALL`].
const STEPS: usize = 2;
/// `success`, `fail`, and the failures of each step.
const COUNTERS: usize = STEPS + FailedStep::ALL.len();

/// A return that no reading has settled.
#[derive(Clone, Copy, Debug)]
struct Returned {
    at: BootNanos,
    /// Its attempt's place among all; `None` where the attempt is not in the trace.
    attempt: Option<usize>,
    errno: Option<i32>,
    /// See [`KernelCounts::returned`].
    wakeup: Wakeup,
}

impl Returned {
    fn failed(&self) -> bool {
        self.errno != Some(0)
    }
}

/// Whether a pending wakeup may have ended an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wakeup {
    /// An event may have been pending, whether or not sources counted.
    pub event: bool,
    /// A source was active, which counts if user space wrote the wakeup count.
    pub active: bool,
    /// User space wrote the wakeup count before it.
    pub armed: bool,
}

/// An attempt that a device failed, unless a wakeup ended it that a dead hook did not see.
#[derive(Debug)]
struct Unless {
    attempt: usize,
    device: Option<String>,
    wakeup: Wakeup,
}

/// Follows readings and returns.
#[derive(Debug, Default)]
pub struct KernelCounts {
    values: [Option<u64>; COUNTERS],
    /// The growth of each since returns were last settled; `None` where that is not known.
    grown: [Option<u64>; COUNTERS],
    /// There is a reading after which nothing is missing.
    synced: bool,
    /// When the counts were last read.
    read_at: BootNanos,
    returned: Vec<Returned>,
    /// The name that the kernel had when returns were last settled, empty for none; and now.
    device_before: Option<String>,
    device: Option<String>,
    /// How much more than the returns the counts had grown at the last reading.
    ahead: [i64; 2],
    unless: Vec<Unless>,
    counted: Option<Counted>,
}

impl KernelCounts {
    /// Something is missing here. `counters`: readings as well.
    pub fn gap(&mut self, counters: bool) {
        self.synced = false;
        if counters {
            self.values = [None; COUNTERS];
            self.device = None;
        }
    }

    /// `pm_suspend` returned.
    pub fn returned(
        &mut self,
        at: BootNanos,
        errno: Option<i32>,
        attempt: Option<usize>,
        wakeup: Wakeup,
        attempts: &mut [Attempt],
    ) {
        if !self.synced {
            return;
        }
        if self.returned.len() == RETURNS {
            self.restart();
        }
        self.returned.push(Returned { at, attempt, errno, wakeup });
        self.settle(attempts);
    }

    /// The counts were read.
    pub fn read(
        &mut self,
        model: &Model,
        at: BootNanos,
        stats: &SuspendStats,
        all: &mut [Attempt],
    ) {
        let first = self.values.iter().all(Option::is_none);
        let mut step_failed = false;
        self.read_at = at;
        for &(name, value) in &stats.counters {
            let Some(place) = place(model.text(name)) else { continue };
            let before = self.values[place].replace(value);
            let more = before.map(|before| value.saturating_sub(before));
            let grown = &mut self.grown[place];
            *grown = grown.zip(more).map(|(grown, more)| grown.saturating_add(more));
            step_failed |= place >= STEPS;
        }
        let device = model.strings.get(&stats.last_device);
        let device = device.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        if !self.synced {
            let device = device.filter(|name| !name.is_empty());
            // No device has a name yet where no step has ever failed.
            let none = (first && self.never_failed()).then(String::new);
            self.device = device.or(none).or(self.device.take());
            self.restart();
            return;
        }
        if step_failed {
            self.device = device;
        }
        let ahead = [self.ahead(SUCCESS), self.ahead(FAIL)];
        if !self.settle(all) {
            self.write_off(ahead);
        }
    }

    /// From here on both count from 0.
    fn restart(&mut self) {
        self.synced = true;
        self.returned.clear();
        self.grown = [Some(0); COUNTERS];
        self.device_before.clone_from(&self.device);
        self.ahead = [0; 2];
    }

    fn never_failed(&self) -> bool {
        let known = self.values[STEPS..].iter().flatten();
        known.clone().count() > 0 && known.copied().all(|value| value == 0)
    }

    /// How many of `SUCCESS` or `FAIL` the counts have grown by, beyond the returns.
    fn ahead(&self, of: usize) -> i64 {
        let returns = self.returned.iter().filter(|r| r.failed() == (of == FAIL)).count();
        let grown = self.grown[of].map(|grown| i64::try_from(grown).unwrap_or(i64::MAX));
        grown.map_or(0, |grown| grown.saturating_sub(returns as i64))
    }

    /// Settles the returns so far, if the counts have grown as they have.
    fn settle(&mut self, attempts: &mut [Attempt]) -> bool {
        let known = self.grown[SUCCESS].is_some() && self.grown[FAIL].is_some();
        if !known || self.ahead(SUCCESS) != 0 || self.ahead(FAIL) != 0 {
            if !known {
                self.restart();
            }
            return false;
        }
        if !self.returned.is_empty() {
            self.count(0);
            let returned = std::mem::take(&mut self.returned);
            self.steps(&returned, attempts);
            self.restart();
        }
        true
    }

    /// A difference that two readings show is not one of a return on its way into the trace.
    fn write_off(&mut self, ahead: [i64; 2]) {
        let lasts = |of: usize| ahead[of].signum() == self.ahead[of].signum() && ahead[of] != 0;
        if lasts(SUCCESS) || lasts(FAIL) {
            self.count(0);
            self.restart();
        } else {
            self.ahead = ahead;
        }
    }

    /// Adds what has grown to the sums, except returns after `until`, if that is not 0.
    fn count(&mut self, until: u64) {
        let of = |failed| {
            let returned = self.returned.iter().filter(|r| until == 0 || r.at.0 <= until);
            returned.filter(|r| r.failed() == failed).count() as u64
        };
        let (success, fail) = (of(false), of(true));
        let counted = self.counted.get_or_insert_default();
        for (sum, more) in [
            (&mut counted.kernel_success, self.grown[SUCCESS].unwrap_or(success)),
            (&mut counted.kernel_fail, self.grown[FAIL].unwrap_or(fail)),
            (&mut counted.returned_success, success),
            (&mut counted.returned_fail, fail),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// Gives each attempt the step that it failed at.
    fn steps(&mut self, returned: &[Returned], attempts: &mut [Attempt]) {
        let failed: Vec<_> = returned.iter().filter(|r| r.failed()).collect();
        let grown = |step: FailedStep| self.grown[STEPS + step as usize].unwrap_or(u64::MAX);
        let down =
            || FailedStep::ALL.into_iter().take_while(|step| *step < FailedStep::ResumeNoirq);
        for step in down().filter(|step| grown(*step) > 0) {
            let at = |r: &&&Returned| {
                r.attempt.is_some_and(|i| Some(attempts[i].stage) == stage_of(step))
            };
            let mut those: Vec<_> = failed.iter().filter(at).copied().collect();
            let sum = down().map(grown).fold(0, u64::saturating_add);
            if let ([only], 1, true) = (&failed[..], sum, those.is_empty()) {
                // Its phases are not in the trace.
                those.push(only);
            }
            if those.len() as u64 == grown(step) {
                those.iter().filter_map(|r| r.attempt).for_each(|i| {
                    attempts[i].failed_step = Some(step);
                    if step == FailedStep::Prepare {
                        fail(&mut attempts[i]);
                    }
                });
            }
        }
        let up = FailedStep::ALL.into_iter().filter(|step| *step >= FailedStep::ResumeNoirq);
        let up: Vec<_> = up.filter(|step| grown(*step) > 0).collect();
        if up.is_empty() {
            self.devices(&failed, attempts);
        } else if let ([one], [step]) = (returned, &up[..])
            && let Some(attempt) = one.attempt.map(|i| &mut attempts[i])
            && attempt.failed_step.is_none()
        {
            attempt.failed_step = Some(*step);
            attempt.failed_device = self.device.clone().filter(|name| !name.is_empty());
        }
    }

    /// Gives the device's name to the attempt that it failed. Only the last failure has one, and a wakeup
    /// leaves the name of an earlier failure.
    fn devices(&mut self, failed: &[&Returned], attempts: &mut [Attempt]) {
        let steps = [FailedStep::Suspend, FailedStep::SuspendLate, FailedStep::SuspendNoirq];
        let saved = |r: &&&Returned| {
            r.attempt.and_then(|i| attempts[i].failed_step).is_some_and(|s| steps.contains(&s))
        };
        let saved: Vec<Returned> = failed.iter().filter(saved).map(|r| **r).collect();
        let Some(name) = self.device.clone().filter(|name| !name.is_empty()) else { return };
        let new = self.device_before.as_ref().is_some_and(|before| *before != name);
        for (nth, one) in saved.iter().enumerate() {
            let Some(attempt) = one.attempt else { continue };
            let device = (nth + 1 == saved.len()).then(|| name.clone());
            if one.errno.is_some_and(|errno| errno != EBUSY) || new && saved.len() == 1 {
                attempts[attempt].failed_device = device;
                fail(&mut attempts[attempt]);
            } else if one.errno.is_some() {
                self.unless.push(Unless { attempt, device, wakeup: one.wakeup });
            }
        }
    }

    /// The trace is over, and it is known which hooks are dead: names the devices that remain.
    pub fn finish(self, model: &Model, attempts: &mut [Attempt]) {
        let (armed_known, events_known) = (has(model, "save"), has(model, "wake"));
        for Unless { attempt, device, wakeup } in self.unless {
            let active = wakeup.active && (wakeup.armed || !armed_known);
            if events_known && !wakeup.event && !active {
                attempts[attempt].failed_device = device;
                fail(&mut attempts[attempt]);
            }
        }
    }

    /// The trace is over: the sums, where the kernel has counts.
    pub fn sums(&mut self, model: &Model, attempts: &[Attempt]) -> Option<Counted> {
        // The return of an attempt right before the end may have been counted and not recorded.
        let open = attempts.last().is_some_and(|attempt| {
            let near = model.end.since(attempt.end_ns) < END_NS;
            near && attempt.outcome == Outcome::Unfinished
        });
        if self.synced && !open {
            // Without an end the last returns may be newer than the last reading.
            self.count(if model.finish.is_some() { 0 } else { self.read_at.0.max(1) });
        }
        self.counted
    }
}

/// Finds the hooks that never fired although they must have. Without phases it is unknown which attempts
/// slept.
pub fn find_dead_hooks(
    model: &mut Model,
    proofs: Proofs,
    counted: Option<Counted>,
    attempts: &mut [Attempt],
) {
    let unreturned = attempts.iter().rev().skip(1).filter(|a| a.outcome == Outcome::Unfinished);
    let proofs = Proofs {
        counted: counted.map_or(0, |c| c.kernel_success.saturating_add(c.kernel_fail)),
        unreturned: unreturned.count() as u64,
        ..proofs
    };
    model.dead_hooks = hooks::dead(model, &proofs);
    if !has(model, "phase") {
        for attempt in attempts.iter_mut().filter(|a| a.outcome == Outcome::NoSleep) {
            attempt.outcome = Outcome::Unfinished;
            attempt.causes.clear();
        }
    }
}

/// A device failed it: no source is to blame.
fn fail(attempt: &mut Attempt) {
    if matches!(attempt.outcome, Outcome::Aborted | Outcome::Failed) {
        attempt.outcome = Outcome::Failed;
        attempt.causes.clear();
    }
}

/// The place of a counter.
fn place(name: &[u8]) -> Option<usize> {
    match name {
        b"success" => return Some(SUCCESS),
        b"fail" => return Some(FAIL),
        _ => {}
    }
    let step = std::str::from_utf8(name.strip_prefix(b"failed_")?).ok()?;
    let place = FailedStep::ALL.into_iter().position(|known| known.to_string() == step)?;
    Some(STEPS + place)
}

/// The stage of an attempt that failed at a step of the way down.
fn stage_of(step: FailedStep) -> Option<Stage> {
    Some(match step {
        FailedStep::Freeze => Stage::Freeze,
        FailedStep::Prepare => Stage::DpmPrepare,
        FailedStep::Suspend => Stage::Suspend,
        FailedStep::SuspendLate => Stage::SuspendLate,
        FailedStep::SuspendNoirq => Stage::SuspendNoirq,
        _ => return None,
    })
}
