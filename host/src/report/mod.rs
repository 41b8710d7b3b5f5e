//! The report as a type. Its fields are the keys of `sleepwalk report --format json`, which others
//! script against: none is renamed or removed under one `schema`. A value that the capture does not
//! have is null. Times are nanoseconds, stamps CLOCK_BOOTTIME.

/// Displays enums by their keys in JSON.
macro_rules! displays_key {
    ($($type:ty),+) => {$(
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                serde::Serialize::serialize(self, f)
            }
        }
    )+};
}

mod activators;
mod attempt;
mod build;
mod candidates;
mod device;
mod finding;
mod known;
mod ledger;
mod name;
mod sources;
mod traced;
mod user_space;
mod warnings;

use serde::{Serialize, Serializer};
use sleepwalk_trace::time::{BootNanos, RealNanos};

pub use crate::session::hooks::HookState;
pub use activators::{Activator, Level};
pub use attempt::{
    Attempt, Blocker, Cause, Culprit, Evidence, FailedStep, Mode, Outcome, Stage, Step, Tie, Wait,
    Wake, WakeSource,
};
pub use build::{build, by_name};
pub use candidates::Candidate;
pub use device::Device;
pub use finding::{
    Finding, FindingKind, Held, Losses, Severity, Storms, Unattributed, Unslept, Waker, When,
};
pub use known::Known;
pub use ledger::{Ledger, Line};
pub use name::{Name, hex};
pub use sources::{Source, SourceKind, Sum, rank};
pub use traced::Traced;
pub use user_space::{
    AlarmRise, Evidence as HoldEvidence, FOR_APPS, FOR_SCREEN, Question, Status, UserHold,
    UserSpace, Wakelock,
};
pub use warnings::Warning;

/// Names the keys and their meaning.
pub const SCHEMA: &str = "sleepwalk.report/2";

/// How sources are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Sources of one name as one.
    Name,
    /// Each on its own.
    Instance,
}

/// Everything that a trace comes to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Where and how the trace was taken.
    pub session: Session,
    /// Where the time went.
    pub ledger: Ledger,
    /// Every suspend attempt.
    pub attempts: Vec<Attempt>,
    /// Times in which user space waited to suspend and an active source blocked it, sorted by start.
    pub waits: Vec<Wait>,
    /// The sources, the most costly first.
    pub sources: Vec<Source>,
    /// Sources that `--top` left out of `sources`.
    pub sources_left_out: u64,
    /// Wakelocks of processes and apps, and alarms; null where no service of Android was asked.
    pub user_space: Option<UserSpace>,
    /// The batteries and chargers.
    pub power: Power,
    /// The cost of the capture itself; null where the trace ends before that was recorded.
    pub overhead: Option<Overhead>,
    /// Conclusions, the most important first. `render::json` writes them with their words.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many attempts had this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.attempts.iter().filter(|attempt| attempt.outcome == outcome).count() as u64
    }
}

/// A reading of two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// CLOCK_BOOTTIME.
    #[serde(serialize_with = "stamp")]
    pub at_ns: BootNanos,
    /// CLOCK_REALTIME.
    #[serde(serialize_with = "wall_clock")]
    pub realtime_ns: RealNanos,
}

/// Where and how the trace was taken, and how far it can be trusted.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// First stamp.
    #[serde(serialize_with = "stamp")]
    pub start_ns: BootNanos,
    /// Last stamp.
    #[serde(serialize_with = "stamp")]
    pub end_ns: BootNanos,
    /// From the first to the last.
    pub duration_ns: u64,
    /// CLOCK_REALTIME at the start, by `clock`.
    #[serde(serialize_with = "wall_clock")]
    pub start_realtime_ns: RealNanos,
    /// The last reading of CLOCK_REALTIME; null where it was never set, and the date is wrong.
    pub clock: Option<Clock>,
    /// Model of the device; empty where it is unknown.
    pub device: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub machine: String,
    /// Changes with every boot.
    pub boot_id: String,
    /// Android's build fingerprint; empty elsewhere.
    pub fingerprint: String,
    /// Android's serial number; empty elsewhere.
    pub serial: String,
    /// The agent's version and build.
    pub agent: String,
    /// Where snapshots come from.
    pub source: String,
    /// The agent found or did this on the device.
    pub notes: Vec<Note>,
    /// The events that were watched, and how.
    pub hooks: Vec<Hook>,
    /// Whether individual activations were recorded.
    pub edges: bool,
    /// Snapshots read.
    pub snapshots: u64,
    /// Records read.
    pub records: u64,
    /// Events that the probe dropped.
    pub lost_events: u64,
    /// Chunks that the agent dropped to keep the trace small: the session starts after them.
    pub dropped_chunks: u64,
    /// Snapshots that did not hold every source.
    pub truncated_snapshots: u64,
    /// Snapshots that build on a lost one.
    pub orphaned_snapshots: u64,
    /// Attempts whose first snapshot came after the freeze had begun.
    pub late_snapshots: u64,
    /// Source states whose fields contradicted each other.
    pub torn_states: u64,
    /// Sleep that the growth of CLOCK_BOOTTIME − CLOCK_MONOTONIC shows and no suspend phase does.
    pub clock_conflict_ns: u64,
    /// Bytes of the file that could not be read.
    pub damaged_bytes: u64,
    /// Chunks of the file that are missing.
    pub missing_chunks: u64,
    /// Records that could not be decoded.
    pub bad_records: u64,
    /// Records of kinds that a newer version writes.
    pub unknown_records: u64,
    /// Why the capture ended; null where it did not end cleanly.
    pub end_reason: Option<String>,
    /// The kernel's counts of attempts beside the returns in the trace, where both are complete; null where
    /// the kernel has no counts.
    pub attempt_counts: Option<Counted>,
    /// It ended cleanly, and nothing is missing.
    pub complete: bool,
}

impl Session {
    /// Whether this was watched, and the events are in the trace.
    pub fn watched(&self, kind: &HookKind) -> bool {
        self.hooks.iter().any(|hook| hook.what == *kind && hook.state == HookState::Recorded)
    }
}

/// Attempts as the kernel counted them (`suspend_stats`), and as the trace has their returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// By the kernel, with success.
    pub kernel_success: u64,
    /// By the kernel, without.
    pub kernel_fail: u64,
    /// Returns of 0 in the trace.
    pub returned_success: u64,
    /// Other returns.
    pub returned_fail: u64,
}

impl Counted {
    /// Whether both are alike.
    pub fn agree(&self) -> bool {
        (self.kernel_success, self.kernel_fail) == (self.returned_success, self.returned_fail)
    }
}

/// Events that can be watched on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookKind {
    /// Suspend phases.
    Phase,
    /// `pm_suspend`'s return.
    Return,
    /// Activations and deactivations of sources.
    Edge,
    /// Blocking reads of wakeup_count.
    Wait,
    /// Writes of wakeup_count, `pm_save_wakeup_count`.
    CountWrite,
    /// Interrupts that wake the system.
    Wake,
    /// A kind that a newer version records.
    #[serde(untagged)]
    Other(String),
}

displays_key!(HookKind);

impl From<String> for HookKind {
    fn from(name: String) -> Self {
        match name.as_str() {
            "phase" => Self::Phase,
            "return" => Self::Return,
            "edge" => Self::Edge,
            "wait" => Self::Wait,
            "save" => Self::CountWrite,
            "wake" => Self::Wake,
            _ => Self::Other(name),
        }
    }
}

/// The agent found or did this on the device.
#[derive(Clone, Debug, Serialize)]
pub struct Note {
    /// The part of the capture.
    pub about: String,
    /// A sentence without an end mark.
    pub text: String,
}

/// How events of one kind were watched.
#[derive(Clone, Debug, Serialize)]
pub struct Hook {
    /// The events.
    pub what: HookKind,
    /// `tp_btf`, `fexit`, …; empty where it was not watched.
    pub how: String,
    /// Why not in the best way; else empty.
    pub why: String,
    /// Whether the trace has its events.
    pub state: HookState,
    /// Events that the kernel did not hand to it, because the same program, or for a kprobe any BPF program, was
    /// running on the same CPU; `None` where that is not known.
    pub missed: Option<u64>,
}

/// The batteries and chargers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Power {
    /// Every reading.
    pub readings: Vec<Reading>,
    /// Time between two readings that both show a charger online or a battery charging. A device on a
    /// charger behaves differently from one off it. Null where nothing was read.
    pub charger_ns: Option<u64>,
    /// When that was, for a drawing; not part of the JSON.
    #[serde(skip)]
    pub charger: Vec<Span>,
    /// How fast the battery drained, off the charger; null where that is unknown.
    pub drain: Option<Drain>,
}

/// A power supply at one instant.
#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    /// When.
    #[serde(serialize_with = "stamp")]
    pub at_ns: BootNanos,
    /// The power supply's name.
    #[serde(flatten)]
    pub name: Name,
    /// Its `type`: `Battery`, `Mains`, `USB`, …
    pub kind: String,
    /// Its `status`; empty where it has none.
    pub status: String,
    /// Per cent.
    pub capacity: Option<i64>,
    /// `charge_counter`, µAh.
    pub charge_uah: Option<i64>,
    /// `current_now`, µA, with the driver's sign.
    pub current_ua: Option<i64>,
    /// It delivers.
    pub online: Option<bool>,
}

/// Charge that left the battery, split by what the device did meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drain {
    /// Time between readings of which the device slept more than half.
    pub asleep_ns: u64,
    /// Charge used in it, µAh.
    pub asleep_uah: i64,
    /// The rest of the time off the charger.
    pub awake_ns: u64,
    /// Charge used in it, µAh.
    pub awake_uah: i64,
}

/// From one instant to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From.
    pub start_ns: BootNanos,
    /// To.
    pub end_ns: BootNanos,
}

impl Span {
    /// Joins those of `spans`, sorted by start, that are at most `grain_ns` apart.
    pub fn join(spans: &mut Vec<Self>, grain_ns: u64) {
        spans.dedup_by(|next, kept| {
            let near = next.start_ns.since(kept.end_ns) <= grain_ns;
            if near {
                kept.end_ns = kept.end_ns.max(next.end_ns);
            }
            near
        });
    }
}

/// The cost of the capture itself.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Overhead {
    /// CPU time of the agent, in all.
    pub agent_cpu_ns: u64,
    /// The part of it before the capture began: loading the probe, mostly.
    pub agent_start_cpu_ns: u64,
    /// Its walks.
    pub snapshots: Walks,
    /// Bytes of the trace.
    pub bytes_written: u64,
}

/// Snapshots taken.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Walks {
    /// How many.
    pub count: u64,
    /// Their time.
    pub total_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// A stamp in JSON: its nanoseconds.
fn stamp<S: Serializer>(at: &BootNanos, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(at.0)
}

fn stamp_or_null<S: Serializer>(at: &Option<BootNanos>, to: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.0).serialize(to)
}

fn wall_clock<S: Serializer>(at: &RealNanos, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_i64(at.0)
}

/// Adds a value to a sum; what neither knows stays `None`.
pub fn add_known(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0).saturating_add(more));
    }
}
