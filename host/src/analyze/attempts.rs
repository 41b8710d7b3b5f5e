//! Attempts to suspend, out of suspend phases and `pm_suspend`'s returns.
//!
//! The order of the phases is that of `enter_state`, `suspend_prepare`, `suspend_devices_and_enter`
//! and `suspend_enter` in `kernel/power/suspend.c`, 7.3:
//!
//! `suspend_enter` begin · `sync_filesystems` begin, end (not where `sync_on_suspend` is off) ·
//! notifiers · `freeze_processes` begin, end · `suspend_enter` end · `dpm_prepare` · `dpm_suspend` ·
//! `dpm_suspend_late` · `dpm_suspend_noirq` · (not for s2idle: `CPU_OFF`, `syscore_suspend`) ·
//! `machine_suspend` · the same back up to `thaw_processes`.
//!
//! An attempt that is aborted never ends what it began, so the stage where it ended is told by the
//! last phase that began on the way down.

mod tracker;

use sleepwalk_trace::time::BootNanos;

pub use tracker::Tracker;

/// From how long on a `machine_suspend` counts as sleep.
///
/// s2idle goes through `machine_suspend` and out again when a wakeup is pending already
/// (`s2idle_enter`): that takes microseconds and is no sleep. A real entry parks all CPUs and is
/// woken by an interrupt, which takes longer than this on any machine that is worth measuring; and
/// if it did not, such a sleep would gain nothing.
pub const STAYED_NS: u64 = 1_000_000;

/// The least that `pm_test` waits before it turns around, unless it is told not to wait
/// (`pm_test_delay`, which is 5 s if not changed, and in whole seconds).
const PM_TEST_NS: u64 = 1_000_000_000;

/// The kernel's names of the steps (callers of `trace_suspend_resume`, 7.3 and before it), in the order
/// of an attempt.
pub const STEP_NAMES: [&str; 23] = [
    "suspend_enter",
    "sync_filesystems",
    "freeze_processes",
    "suspend_console",
    "console_suspend_all",
    "dpm_prepare",
    "dpm_suspend",
    "dpm_suspend_late",
    "dpm_suspend_noirq",
    "CPU_OFF",
    "syscore_suspend",
    "timekeeping_freeze",
    "machine_suspend",
    "acpi_suspend",
    "syscore_resume",
    "CPU_ON",
    "dpm_resume_noirq",
    "dpm_resume_early",
    "dpm_resume",
    "dpm_complete",
    "resume_console",
    "console_resume_all",
    "thaw_processes",
];

/// A step's name, kept once; empty where this version does not know it.
pub fn step_name(action: &[u8]) -> &'static str {
    STEP_NAMES.into_iter().find(|name| name.as_bytes() == action).unwrap_or("")
}

/// How deep an attempt meant to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Suspend to idle, `PM_SUSPEND_TO_IDLE`.
    S2idle,
    /// `PM_SUSPEND_STANDBY`.
    Standby,
    /// Suspend to RAM, `PM_SUSPEND_MEM`.
    Deep,
    /// The begin was not seen, or names a state that this version does not know.
    Unknown,
}

/// How an attempt came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It reached `machine_suspend` and stayed there.
    Slept,
    /// The kernel says success, and nothing slept.
    NoSleep,
    /// A wakeup was pending.
    Aborted,
    /// Any other error.
    Failed,
    /// It did not sleep, and what it returned is not in the trace.
    Unknown,
}

/// The step in which an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Before anything was done.
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

/// How it is known who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// It was activated meanwhile, by an edge that means no other; or no other source was active.
    Proven,
    /// Only counters differ between the snapshots around it, or others were active as well.
    Likely,
    /// Nobody is known.
    Unknown,
}

/// A source that an attempt's end is blamed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The source.
    pub instance: u32,
    /// How that is known.
    pub evidence: Evidence,
}

/// A step of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The kernel's name of it.
    pub name: &'static str,
    /// It began.
    pub start: BootNanos,
    /// It ended; `None` where it was broken off.
    pub end: Option<BootNanos>,
}

/// One call of `pm_suspend`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// `suspend_enter` begin.
    pub start: BootNanos,
    /// Its return, or the last that is known of it.
    pub end: BootNanos,
    /// How deep it meant to sleep.
    pub mode: Mode,
    /// How it came out.
    pub outcome: Outcome,
    /// Where it ended.
    pub stage: Stage,
    /// What `pm_suspend` returned; `None` where the trace does not say.
    pub errno: Option<i32>,
    /// How often `machine_suspend` was entered.
    pub entries: u64,
    /// Time within `machine_suspend`, over all entries.
    pub stayed_ns: u64,
    /// First entry into `machine_suspend`.
    pub first_entry: Option<BootNanos>,
    /// When user space was frozen: what was walked later shows an attempt under way.
    pub frozen: Option<BootNanos>,
    /// Who kept it from sleeping.
    pub causes: Vec<Cause>,
    /// What ended the sleep: the first source to be activated, as far as is known.
    pub wake: Option<Cause>,
    /// The interrupt that ended it.
    pub irq: Option<u32>,
    /// Edges tell whom to blame, and snapshots need not be asked.
    pub by_edges: bool,
    /// Awake time after the sleep, until the next attempt or wait began.
    pub after_ns: u64,
    /// Its steps, in the order of their begins; of very many only the first.
    pub steps: Vec<Step>,
}

impl Attempt {
    /// From begin to return.
    pub fn duration_ns(&self) -> u64 {
        self.end.since(self.start)
    }

    /// How long it really slept.
    pub fn slept_ns(&self) -> u64 {
        if self.outcome == Outcome::Slept { self.stayed_ns } else { 0 }
    }

    /// From its begin to the first `machine_suspend`, if it slept.
    pub fn suspending_ns(&self) -> u64 {
        let first = self.first_entry.filter(|_| self.outcome == Outcome::Slept);
        first.map_or(0, |first| first.since(self.start))
    }

    /// From there to its return, but for the sleep, if it slept.
    pub fn resuming_ns(&self) -> u64 {
        let slept = self.outcome == Outcome::Slept;
        let rest = self.duration_ns().saturating_sub(self.suspending_ns());
        if slept { rest.saturating_sub(self.stayed_ns) } else { 0 }
    }

    /// Whether a wakeup source can have kept it from sleeping: not where a driver refused, or where
    /// `pm_test` turned around.
    pub fn blames_sources(&self) -> bool {
        match self.outcome {
            Outcome::Aborted => true,
            Outcome::NoSleep => self.entries > 0 || self.left_at_once(),
            Outcome::Slept | Outcome::Failed | Outcome::Unknown => false,
        }
    }

    /// Whether s2idle found a wakeup pending before it entered the machine even once: `s2idle_loop`
    /// leaves then without a trace and without an error. `pm_test` stays there for some seconds.
    fn left_at_once(&self) -> bool {
        let step = |name| self.steps.iter().find(|step| step.name == name);
        let down = step("dpm_suspend_noirq").and_then(|step| step.end);
        let up = step("dpm_resume_noirq").map(|step| step.start);
        let stay = down.zip(up).map(|(down, up)| up.since(down));
        self.mode == Mode::S2idle && stay.is_some_and(|ns| ns < PM_TEST_NS)
    }
}
