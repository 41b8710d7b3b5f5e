//! Suspend attempts, and the waits before them.

use serde::Serialize;
use sleepwalk_trace::time::BootNanos;

use super::{Name, stamp, stamp_or_null};

/// How deep an attempt meant to sleep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Suspend to idle, `PM_SUSPEND_TO_IDLE`.
    S2idle,
    /// `PM_SUSPEND_STANDBY`.
    Standby,
    /// Suspend to RAM, `PM_SUSPEND_MEM`.
    Deep,
    /// The start is not in the trace, or names a state that this version does not know.
    #[default]
    Unknown,
}

/// The result of an attempt, in the order in which reports list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It reached `machine_suspend` and stayed there.
    Slept,
    /// The kernel reported success, but nothing slept.
    NoSleep,
    /// A wakeup was pending.
    Aborted,
    /// Any other error.
    Failed,
    /// It did not sleep, and its return value is not in the trace.
    Unfinished,
}

impl Outcome {
    /// Every outcome, in order.
    pub const ALL: [Self; 5] =
        [Self::Slept, Self::NoSleep, Self::Aborted, Self::Failed, Self::Unfinished];
}

/// The step in which an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Before anything was done.
    #[default]
    Entry,
    /// Syncing the file systems.
    Sync,
    /// Suspend notifiers.
    Prepare,
    /// Freezing user space.
    Freeze,
    /// Preparing the devices.
    DpmPrepare,
    /// Suspending the devices.
    Suspend,
    /// Suspending them, late.
    SuspendLate,
    /// Suspending them, interrupts off.
    SuspendNoirq,
    /// The machine itself.
    Machine,
}

/// How sure the blame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// An activation that can mean no other source, or no other source was active.
    Proven,
    /// Only the counters differ between the snapshots around it, or others were active as well.
    Likely,
    /// No source is known.
    Unknown,
}

/// A step that `suspend_stats` counts failures of (`enum suspend_stat_step`, `include/linux/suspend.h`,
/// 7.1 and before).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedStep {
    /// Freezing tasks.
    Freeze,
    /// A device's `prepare` callback.
    Prepare,
    /// Its `suspend` callback.
    Suspend,
    /// Its `suspend_late` callback.
    SuspendLate,
    /// Its `suspend_noirq` callback.
    SuspendNoirq,
    /// Its `resume_noirq` callback.
    ResumeNoirq,
    /// Its `resume_early` callback.
    ResumeEarly,
    /// Its `resume` callback.
    Resume,
}

impl FailedStep {
    /// Every step, in the order of an attempt.
    pub const ALL: [Self; 8] = [
        Self::Freeze,
        Self::Prepare,
        Self::Suspend,
        Self::SuspendLate,
        Self::SuspendNoirq,
        Self::ResumeNoirq,
        Self::ResumeEarly,
        Self::Resume,
    ];
}

displays_key!(Mode, Outcome, Stage, Evidence, FailedStep, Tie);

/// One call of `pm_suspend`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// From 0.
    pub index: u64,
    /// `suspend_enter` started.
    #[serde(serialize_with = "stamp")]
    pub start_ns: BootNanos,
    /// Its return, or the last event that is known of it.
    #[serde(serialize_with = "stamp")]
    pub end_ns: BootNanos,
    /// How deep it meant to sleep.
    pub mode: Mode,
    /// Its result.
    pub outcome: Outcome,
    /// The step in which it ended.
    pub stage: Stage,
    /// The return value of `pm_suspend`; `None` where that is not in the trace.
    pub errno: Option<i32>,
    /// The device whose callback failed, by `last_failed_dev` of `suspend_stats`; `None` where none is
    /// known. Where `failed_step` is a step of the way back, the attempt did not fail by it.
    pub failed_device: Option<String>,
    /// The step that `suspend_stats` counted as failed; `None` where none is known.
    pub failed_step: Option<FailedStep>,
    /// Tasks did not freeze within the kernel's limit.
    pub freeze_timeout: bool,
    /// Why the system resumed, or the attempt aborted, by `last_resume_reason` of Android's kernels; `None`
    /// elsewhere.
    pub resume_reason: Option<String>,
    /// Time within `machine_suspend`, over all entries; 0 unless it slept.
    pub slept_ns: u64,
    /// Its steps, sorted by start; the first 512 if there are more.
    pub steps: Vec<Step>,
    /// How often s2idle was entered; 0 in other modes.
    pub s2idle_entries: u64,
    /// Whether wakeup_count was written for it; only then does the kernel look at the sources. Null where
    /// that is not known.
    pub armed: Option<bool>,
    /// Writes of wakeup_count that were refused since the attempt before.
    pub save_refused: u64,
    /// The first wake interrupt in it, or after its last `machine_suspend` started. It aborts an attempt
    /// that is not armed, too (`pm_system_irq_wakeup`, `drivers/base/power/wakeup.c`, 5.10 to 7.3).
    pub irq: Option<u32>,
    /// Its name.
    pub irq_name: Option<String>,
    /// The sources that kept it from sleeping.
    pub causes: Vec<Cause>,
    /// The end of the sleep; `None` where it did not sleep.
    pub wake: Option<Wake>,
    /// From its start to the first `machine_suspend`; 0 unless it slept. Not in the JSON.
    #[serde(skip)]
    pub suspending_ns: u64,
    /// Its way back, and the way down of the next one that slept: what its wake cost. Not in the JSON.
    #[serde(skip)]
    pub resume_ns: u64,
    /// The back-off after it, if it did not sleep. Not in the JSON.
    #[serde(skip)]
    pub after_abort_ns: u64,
    /// Awake time after the sleep, until the next attempt or wait. Not in the JSON.
    #[serde(skip)]
    pub after_wake_ns: u64,
}

impl Attempt {
    /// From start to return.
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.since(self.start_ns)
    }

    /// The way back from `machine_suspend` to its return, if it slept.
    pub fn resuming_ns(&self) -> u64 {
        let rest = self.duration_ns().saturating_sub(self.suspending_ns);
        if self.outcome == Outcome::Slept { rest.saturating_sub(self.slept_ns) } else { 0 }
    }

    /// The source that ended its sleep, if one is known or likely.
    pub fn waker(&self) -> Option<&WakeSource> {
        self.wake.as_ref()?.source.as_ref()
    }

    /// Who bears the cost of its wake, if it slept.
    pub fn woken_by(&self) -> Option<Culprit<'_>> {
        self.wake.as_ref()?.charged()
    }

    /// The device that failed it; or the wake interrupt that aborted it, where no source is to blame.
    pub fn ended_by(&self) -> Option<Culprit<'_>> {
        match self.outcome {
            Outcome::Failed => self.failed_device.as_deref().map(Culprit::Device),
            Outcome::Aborted | Outcome::NoSleep => {
                self.irq.filter(|_| self.causes.is_empty()).map(Culprit::Interrupt)
            }
            _ => None,
        }
    }

    /// Whether nothing is known of why it did not sleep.
    pub fn is_unexplained(&self) -> bool {
        self.causes.is_empty() && self.ended_by().is_none()
    }
}

/// One step of an attempt: a `power:suspend_resume` pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The kernel's name of it: `freeze_processes`, `dpm_suspend`, `machine_suspend`, …
    pub step: &'static str,
    /// Its start.
    #[serde(serialize_with = "stamp")]
    pub start_ns: BootNanos,
    /// Its end; `None` where the attempt was aborted within it.
    #[serde(serialize_with = "stamp_or_null")]
    pub end_ns: Option<BootNanos>,
}

/// A source that an attempt's end is blamed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Its name.
    #[serde(flatten)]
    pub name: Name,
    /// Its number in the trace.
    pub instance: u32,
    /// Proven or likely.
    pub evidence: Evidence,
    /// It settled the attempt: from its activation on the kernel was bound to abort it.
    pub first: bool,
}

impl Cause {
    /// A source by its number alone; the name is resolved later.
    pub fn new(instance: u32, evidence: Evidence) -> Self {
        Self { name: Name::default(), instance, evidence, first: false }
    }
}

/// Who bears a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Culprit<'a> {
    /// A source, by its number in the trace.
    Source(u32),
    /// An interrupt, by its number.
    Interrupt(u32),
    /// A device, by its name.
    Device(&'a str),
}

impl Culprit<'_> {
    /// The source's number in the trace.
    pub fn source(self) -> Option<u32> {
        if let Self::Source(instance) = self { Some(instance) } else { None }
    }
}

/// Why a source and the interrupt that woke the device belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tie {
    /// A handler of the interrupt has the source's name.
    Name,
    /// The source was activated in most wakes by this interrupt, and in few by others.
    Learnt,
}

/// The end of a sleep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wake {
    /// The first interrupt after the last `machine_suspend` had started.
    pub irq: Option<u32>,
    /// Its name.
    pub irq_name: Option<String>,
    /// The source tied to the interrupt, else the one that was activated first.
    pub source: Option<WakeSource>,
    /// How sure the source is.
    pub evidence: Evidence,
    /// Why the source belongs to the interrupt; null where nothing ties the two.
    pub tie: Option<Tie>,
}

impl Wake {
    /// Whether anything is known of what ended the sleep.
    pub fn is_known(&self) -> bool {
        self.source.is_some() || self.irq.is_some()
    }

    /// By an interrupt, if one is known, and a source, if one is.
    pub fn new(irq: Option<u32>, cause: Option<Cause>) -> Self {
        let evidence = cause.as_ref().map_or(Evidence::Unknown, |cause| cause.evidence);
        let source = cause.map(|Cause { name, instance, .. }| WakeSource { name, instance });
        Self { irq, irq_name: None, source, evidence, tie: None }
    }

    /// Who bears the cost. A source that is only likely bears none where the interrupt is known, and
    /// nothing ties the two: the interrupt is a fact, the source is not.
    pub fn charged(&self) -> Option<Culprit<'static>> {
        let sure = self.evidence == Evidence::Proven || self.tie.is_some() || self.irq.is_none();
        let source = self.source.as_ref().filter(|_| sure);
        let source = source.map(|source| Culprit::Source(source.instance));
        source.or(self.irq.map(Culprit::Interrupt))
    }
}

/// The source that ended a sleep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WakeSource {
    /// Its name.
    #[serde(flatten)]
    pub name: Name,
    /// Its number in the trace.
    pub instance: u32,
}

/// A blocking read of wakeup_count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// Its start, or the session's.
    #[serde(serialize_with = "stamp")]
    pub start_ns: BootNanos,
    /// Its return, or the session's end.
    #[serde(serialize_with = "stamp")]
    pub end_ns: BootNanos,
    /// It began before `start_ns`, when nothing was recorded.
    #[serde(skip)]
    pub before: bool,
    /// The thread's id.
    pub thread: u32,
    /// It returned because no source was active; `None` where it had not returned.
    pub idle: Option<bool>,
    /// The sources active in it, the longest share first; the first 8 if there are more.
    pub blockers: Vec<Blocker>,
}

/// A source that a wait waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocker {
    /// Its name.
    #[serde(flatten)]
    pub name: Name,
    /// Its number in the trace.
    pub instance: u32,
    /// Its share of the wait.
    pub share_ns: u64,
}
