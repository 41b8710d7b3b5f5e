//! The kinds of findings.

use super::{Held, Losses, Storms, Unattributed, Unslept, Waker, When};
use crate::report::{FailedStep, Name, Stage};

/// The kinds of findings, each with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// A source blocked suspend longer than any other.
    Blocker {
        /// Which.
        source: Name,
        /// Its share of the blocked time.
        share_ns: u64,
        /// The part of it with no other source active.
        alone_ns: u64,
        /// All blocked time.
        blocked_ns: u64,
    },
    /// Sources that blocked suspend together: none of them gains much without the others.
    BlockingGroup {
        /// Which.
        sources: Vec<Name>,
        /// Blocked time in which no other source was active.
        gain_ns: u64,
        /// The part of it in which only one of them was active.
        alone_ns: u64,
        /// Blocked time of combinations that were not kept.
        left_out_ns: u64,
    },
    /// A source aborts attempts again and again.
    Aborter {
        /// Which.
        source: Name,
        /// Attempts that it kept from sleeping.
        aborts: u64,
        /// Those of them that are proven.
        proven: u64,
        /// All attempts.
        attempts: u64,
        /// Its share of their time.
        abort_ns: u64,
        /// Its share of the back-off after them, and after writes of wakeup_count that it had refused.
        after_abort_ns: u64,
    },
    /// A source or an interrupt wakes the device often.
    Waker {
        /// The source or the interrupt.
        by: Waker,
        /// Sleeps that it ended.
        wakes: u64,
        /// All sleeps.
        slept: u64,
        /// The interval of regular wakes.
        every_ns: Option<u64>,
        /// The ways back, and the ways down that they made necessary.
        resume_ns: u64,
        /// Awake time that followed.
        after_ns: u64,
        /// How long the source was held in all; `None` for an interrupt.
        held_ns: Option<u64>,
    },
    /// Attempts that the kernel reported as a success and that never slept.
    NoSleep {
        /// The sources blamed for them.
        sources: Vec<Name>,
        /// How many attempts.
        attempts: u64,
        /// How long they took.
        wasted_ns: u64,
    },
    /// Attempts in quick succession, none of which slept.
    Storm(Storms),
    /// Attempts that failed for another reason than a wakeup.
    Failed {
        /// How many.
        attempts: u64,
        /// The most frequent errno, and how often it was returned.
        errno: Option<(i32, u64)>,
        /// How long they took.
        wasted_ns: u64,
    },
    /// A device failed attempts.
    DeviceFailed {
        /// Its name.
        device: Name,
        /// The step at which it failed most of them.
        step: Option<FailedStep>,
        /// How many attempts it failed.
        failed: u64,
        /// All attempts.
        attempts: u64,
        /// The most frequent errno.
        errno: Option<i32>,
        /// How long the attempts that it failed took, with the back-off after them.
        wasted_ns: u64,
    },
    /// Tasks did not freeze within the kernel's limit.
    FreezeTimeout {
        /// How many attempts.
        failed: u64,
        /// All attempts.
        attempts: u64,
        /// How long those that failed took, with the back-off after them.
        wasted_ns: u64,
    },
    /// Attempts that did not sleep and that no other finding is about.
    Unslept(Unslept),
    /// The kernel refused writes of wakeup_count.
    CountRefused {
        /// How many.
        refused: u64,
        /// The back-off after them.
        backoff_ns: u64,
        /// The source blamed most often, and for how many.
        most: Option<(Name, u64)>,
    },
    /// The kernel was ready to suspend, and user space was not.
    UserSpace {
        /// For how long.
        user_space_ns: u64,
    },
    /// User space paused after attempts and refused writes.
    Backoff {
        /// In all.
        backoff_ns: u64,
        /// After attempts that did not sleep.
        aborts_ns: u64,
        /// After refused writes.
        refused_ns: u64,
        /// After sleeps.
        after_sleeps_ns: u64,
        /// The sources charged with most of it.
        by: Vec<(Name, u64)>,
    },
    /// Time that is charged to no source.
    Unattributed(Unattributed),
    /// The trace ends within an attempt.
    DiedSuspending {
        /// The last stage that the trace has.
        stage: Stage,
        /// The kernel's name of the step that was under way.
        step: Option<&'static str>,
        /// Its start.
        from: When,
        /// How long it had taken by then.
        after_ns: u64,
    },
    /// A source was held longer than any other without a break.
    LongestHold {
        /// Which.
        source: Name,
        /// For how long.
        held_ns: u64,
        /// From when.
        from: When,
    },
    /// The hour with the most awake time.
    WorstHour {
        /// Its start.
        from: When,
        /// How long the device was awake in it.
        awake_ns: u64,
        /// The mean of all full hours.
        mean_ns: u64,
        /// The part of it that was blocked.
        blocked_ns: u64,
        /// The source that blocked most of that, and for how long.
        blocker: Option<(Name, u64)>,
    },
    /// Nothing tried to suspend.
    NotTrying {
        /// For how long.
        not_trying_ns: u64,
        /// The part of it that findings on wakes gain.
        after_wakes_ns: u64,
        /// There were attempts or waits all the same.
        tried: bool,
    },
    /// Awake time that may have been blocked, and may not.
    BlockedUnknown {
        /// Activations or waits were not recorded; else a thread may have been waiting since before the
        /// capture, a loss or a gap.
        unrecorded: bool,
        /// Awake time that may have been blocked.
        unknown_ns: u64,
        /// The source held longest.
        longest: Option<Held>,
    },
    /// Hooks were attached and never fired, although other records prove that they must have.
    DeadHook {
        /// Which; see [`sleepwalk_trace::record::HOOKS`].
        hooks: Vec<&'static str>,
    },
    /// The device was on a charger.
    Charger {
        /// For how long.
        charger_ns: u64,
        /// When, from the start of the session; the first two spans.
        spans: Vec<(u64, u64)>,
        /// There are more.
        more: bool,
    },
    /// Records are missing, so the holds of sources are doubtful.
    Lost(Losses),
    /// Snapshots for an attempt that were taken after the freeze.
    LateSnapshots {
        /// How many.
        late: u64,
        /// All attempts.
        attempts: u64,
        /// Activations were recorded, so the active sources are known all the same.
        edges: bool,
    },
}

impl FindingKind {
    /// The identifier for scripts.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Blocker { .. } => "blocker",
            Self::BlockingGroup { .. } => "blocking_group",
            Self::Aborter { .. } => "aborter",
            Self::Waker { .. } => "waker",
            Self::NoSleep { .. } => "no_sleep",
            Self::Storm(_) => "storm",
            Self::Failed { .. } => "failed",
            Self::DeviceFailed { .. } => "device_failed",
            Self::FreezeTimeout { .. } => "freeze_timeout",
            Self::Unslept(_) => "unslept",
            Self::CountRefused { .. } => "count_refused",
            Self::UserSpace { .. } => "user_space",
            Self::Backoff { .. } => "backoff",
            Self::NotTrying { .. } => "not_trying",
            Self::Unattributed(_) => "unattributed",
            Self::DiedSuspending { .. } => "died_suspending",
            Self::LongestHold { .. } => "longest_hold",
            Self::WorstHour { .. } => "worst_hour",
            Self::BlockedUnknown { .. } => "blocked_unknown",
            Self::DeadHook { .. } => "dead_hook",
            Self::Charger { .. } => "charger",
            Self::Lost(_) => "lost",
            Self::LateSnapshots { .. } => "late_snapshots",
        }
    }

    /// The sources concerned.
    pub fn sources(&self) -> Vec<&Name> {
        match self {
            Self::Blocker { source, .. }
            | Self::Aborter { source, .. }
            | Self::LongestHold { source, .. } => vec![source],
            Self::Unslept(Unslept { most: some, .. }) | Self::Backoff { by: some, .. } => {
                some.iter().map(|(source, _)| source).collect()
            }
            Self::CountRefused { most: one, .. } | Self::WorstHour { blocker: one, .. } => {
                one.iter().map(|(source, _)| source).collect()
            }
            Self::Waker { by: Waker::Source { source, .. }, .. } => vec![source],
            Self::NoSleep { sources, .. } | Self::BlockingGroup { sources, .. } => {
                sources.iter().collect()
            }
            Self::Storm(storms) => storms.blamed.iter().map(|(source, _)| source).collect(),
            Self::BlockedUnknown { longest, .. } => {
                longest.iter().map(|held| &held.source).collect()
            }
            Self::Waker { .. }
            | Self::Failed { .. }
            | Self::DeviceFailed { .. }
            | Self::FreezeTimeout { .. }
            | Self::UserSpace { .. }
            | Self::NotTrying { .. }
            | Self::Unattributed(_)
            | Self::DiedSuspending { .. }
            | Self::DeadHook { .. }
            | Self::Charger { .. }
            | Self::Lost(_)
            | Self::LateSnapshots { .. } => Vec::new(),
        }
    }
}
