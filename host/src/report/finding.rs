//! Findings as data: the kind, the evidence and the numbers. `render::findings` words them.

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::{FailedStep, Name};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It concerns at least a tenth of the session.
    High,
    /// At least a hundredth.
    Medium,
    /// Less.
    Low,
}

displays_key!(Severity);

/// A conclusion. In JSON: `kind`, `severity`, `sources`, `gain_ns`, and `text` for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind, with its evidence.
    pub kind: FindingKind,
    /// How much it matters.
    pub severity: Severity,
    /// The time that fixing it would save.
    pub gain_ns: Option<u64>,
}

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
        /// Awake time that followed.
        after_ns: u64,
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
        /// How long the attempts that it failed took.
        wasted_ns: u64,
    },
    /// Tasks did not freeze within the kernel's limit.
    FreezeTimeout {
        /// How many attempts.
        failed: u64,
        /// All attempts.
        attempts: u64,
        /// How long those that failed took.
        wasted_ns: u64,
    },
    /// Attempts that failed for another reason than a wakeup, by no known device.
    Failed {
        /// How many.
        attempts: u64,
        /// The most frequent errno, and how often it was returned.
        errno: Option<(i32, u64)>,
        /// How long they took.
        wasted_ns: u64,
    },
    /// Nothing tried to suspend.
    NotTrying {
        /// For how long.
        not_trying_ns: u64,
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

/// Attempts in quick succession, none of which slept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storms {
    /// How many storms.
    pub storms: u64,
    /// Attempts in all of them.
    pub attempts: u64,
    /// The time of all of them.
    pub wasted_ns: u64,
    /// Attempts in the largest.
    pub largest: u64,
    /// The time of the largest.
    pub largest_ns: u64,
    /// The source blamed most often, and for how many attempts.
    pub blamed: Option<(Name, u64)>,
}

/// Missing records, and their consequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Losses {
    /// Events that the probe dropped.
    pub events: u64,
    /// Chunks of the file that are missing.
    pub chunks: u64,
    /// Records that could not be decoded.
    pub records: u64,
    /// Snapshots and counters that contradict the recorded activations.
    pub contradictions: u64,
    /// Time in which the active sources are in doubt.
    pub doubtful_ns: u64,
}

/// A source or an interrupt that woke the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waker {
    /// A source.
    Source {
        /// Which.
        source: Name,
        /// Wakes for which it is proven.
        proven: u64,
    },
    /// An interrupt without a known source.
    Interrupt {
        /// Its number.
        irq: u32,
        /// Its name; empty where it is unknown.
        name: Name,
    },
}

/// A source and how long it was held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub source: Name,
    /// For how long.
    pub held_ns: u64,
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
            Self::DeviceFailed { .. } => "device_failed",
            Self::FreezeTimeout { .. } => "freeze_timeout",
            Self::Failed { .. } => "failed",
            Self::NotTrying { .. } => "not_trying",
            Self::BlockedUnknown { .. } => "blocked_unknown",
            Self::Charger { .. } => "charger",
            Self::Lost(_) => "lost",
            Self::LateSnapshots { .. } => "late_snapshots",
        }
    }

    /// The sources concerned.
    pub fn sources(&self) -> Vec<&Name> {
        match self {
            Self::Blocker { source, .. } | Self::Aborter { source, .. } => vec![source],
            Self::Waker { by: Waker::Source { source, .. }, .. } => vec![source],
            Self::NoSleep { sources, .. } | Self::BlockingGroup { sources, .. } => {
                sources.iter().collect()
            }
            Self::Storm(storms) => storms.blamed.iter().map(|(source, _)| source).collect(),
            Self::BlockedUnknown { longest, .. } => {
                longest.iter().map(|held| &held.source).collect()
            }
            Self::Waker { .. }
            | Self::DeviceFailed { .. }
            | Self::FreezeTimeout { .. }
            | Self::Failed { .. }
            | Self::NotTrying { .. }
            | Self::Charger { .. }
            | Self::Lost(_)
            | Self::LateSnapshots { .. } => Vec::new(),
        }
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sources = self.kind.sources();
        let sources: Vec<_> = sources.into_iter().map(Name::text).collect();
        let mut finding = serializer.serialize_struct("Finding", 4)?;
        finding.serialize_field("kind", self.kind.key())?;
        finding.serialize_field("severity", &self.severity)?;
        finding.serialize_field("sources", &sources)?;
        finding.serialize_field("gain_ns", &self.gain_ns)?;
        finding.end()
    }
}
