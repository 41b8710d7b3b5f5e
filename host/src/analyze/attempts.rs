//! Suspend attempts, from suspend phases and `pm_suspend`'s returns.
//!
//! The phases come in the order of `enter_state`, `suspend_prepare`, `suspend_devices_and_enter`
//! and `suspend_enter` in `kernel/power/suspend.c`, 7.3:
//!
//! `suspend_enter` start · `sync_filesystems` start, end (not where `sync_on_suspend` is off) ·
//! notifiers · `freeze_processes` start, end · `suspend_enter` end · `dpm_prepare` · `dpm_suspend` ·
//! `dpm_suspend_late` · `dpm_suspend_noirq` · (not for s2idle: `CPU_OFF`, `syscore_suspend`) ·
//! `machine_suspend` · the same back up to `thaw_processes`.
//!
//! The kernel never ends most steps of an aborted attempt, so the last phase that started on the way
//! down is the stage where the attempt ended. `freeze_processes` and the steps of `dpm_*` end however
//! they went.

mod builder;

use sleepwalk_trace::time::BootNanos;

use crate::report::{Attempt, Mode, Outcome};

pub use builder::AttemptBuilder;

/// The shortest `machine_suspend` that counts as sleep.
///
/// With a wakeup pending, s2idle passes through `machine_suspend` in microseconds (`s2idle_enter`),
/// which is no sleep. A real entry parks all CPUs and waits for an interrupt, which takes longer.
pub const STAYED_NS: u64 = 1_000_000;

/// The shortest wait of `pm_test` that is not 0: `pm_test_delay` is in whole seconds, 5 by default.
const PM_TEST_NS: u64 = 1_000_000_000;

/// The kernel's names of the steps (callers of `trace_suspend_resume`, 7.3 and before), in the order
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

/// A step's name as a constant; empty where this version does not know it.
pub fn step_name(action: &[u8]) -> &'static str {
    STEP_NAMES.into_iter().find(|name| name.as_bytes() == action).unwrap_or("")
}

/// A source that was activated between the last `machine_suspend` and the thaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activated {
    /// Which.
    pub instance: u32,
    /// It may be another one of its name.
    pub shared: bool,
    /// Before `dpm_resume` began. From there on devices resume one after the other, and their order
    /// decides which source comes first (`dpm_resume` in `drivers/base/power/main.c`).
    pub early: bool,
}

/// Facts that decide an attempt's causes, beside the attempt itself.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// First entry into `machine_suspend`.
    pub first_entry: Option<BootNanos>,
    /// User space was frozen; a snapshot taken later shows the attempt in progress.
    pub frozen: Option<BootNanos>,
    /// A wakeup source may have kept it from sleeping.
    pub blames_sources: bool,
    /// The freezer gave up at its limit, or a wakeup event came right before that.
    pub at_freeze_limit: bool,
    /// The freeze failed, and a wakeup event that was pending would have ended it sooner.
    pub froze_too_long: bool,
    /// An interrupt woke the system within it.
    pub interrupted: bool,
    /// Activations were recorded, so snapshots have nothing to add.
    pub by_edges: bool,
    /// The sources that may have woken the device, in the order of their activations.
    pub activated: Vec<Activated>,
}

/// `freeze_timeout_msecs` unless it was changed (`kernel/power/process.c`, 7.1 and before).
pub const FREEZE_LIMIT_NS: u64 = 20_000_000_000;

/// How soon a pending wakeup ends the freeze. The freezer looks at least every 8 ms, and walks all
/// tasks each time (`try_to_freeze_tasks`, `kernel/power/process.c`).
const FREEZE_LOOK_NS: u64 = 250_000_000;

/// Whether a wakeup source can have kept an attempt from sleeping: not where a driver refused, or
/// where `pm_test` turned around. `entries`: how often `machine_suspend` was entered.
///
/// From the end of the freeze to `dpm_suspend` nothing looks at wakeups: a device or the platform refused
/// (`suspend_devices_and_enter`, `dpm_prepare`; 5.10 to 7.1).
fn blames_sources(attempt: &Attempt, entries: u64) -> bool {
    match attempt.outcome {
        Outcome::Aborted => true,
        Outcome::NoSleep => entries > 0 || left_at_once(attempt),
        Outcome::Slept | Outcome::Failed | Outcome::Unfinished => false,
    }
}

/// Whether s2idle found a wakeup pending before it entered the machine even once: `s2idle_loop`
/// leaves then without a trace and without an error. `pm_test` stays there for some seconds.
fn left_at_once(attempt: &Attempt) -> bool {
    let step = |name| attempt.steps.iter().find(|step| step.step == name);
    let down = step("dpm_suspend_noirq").and_then(|step| step.end_ns);
    let up = step("dpm_resume_noirq").map(|step| step.start_ns);
    let stay = down.zip(up).map(|(down, up)| up.since(down));
    attempt.mode == Mode::S2idle && stay.is_some_and(|ns| ns < PM_TEST_NS)
}
