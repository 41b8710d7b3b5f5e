//! The report as a type. Its fields are the keys of `sleepwalk report --format json`, which others
//! script against: none is renamed or removed under one `schema`. What a capture can't tell is
//! null. Times are nanoseconds, stamps CLOCK_BOOTTIME.

mod build;

use serde::Serialize;

pub use build::build;

/// Names the keys and their meaning.
pub const SCHEMA: &str = "sleepwalk.report/1";

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
    /// Every attempt to suspend.
    pub attempts: Vec<Attempt>,
    /// Times in which user space wanted to suspend and a source forbade it, by their begin.
    pub waits: Vec<Wait>,
    /// The sources, the most costly first.
    pub sources: Vec<Source>,
    /// Sources that `--top` left out of `sources`.
    pub sources_left_out: u64,
    /// The batteries and chargers.
    pub power: Power,
    /// What the capture itself cost; null where the trace broke off before it was said.
    pub overhead: Option<Overhead>,
    /// Conclusions in words, the most important first.
    pub findings: Vec<Finding>,
}

/// Where and how the trace was taken, and how far it can be trusted.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// First stamp.
    pub start_ns: u64,
    /// Last stamp.
    pub end_ns: u64,
    /// From the one to the other.
    pub duration_ns: u64,
    /// CLOCK_REALTIME at the start.
    pub start_realtime_ns: i64,
    /// Model of the device; empty where it does not say.
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
    /// What was seen, and how.
    pub hooks: Vec<Hook>,
    /// Whether activations were recorded one by one.
    pub edges: bool,
    /// Snapshots read.
    pub snapshots: u64,
    /// Records read.
    pub records: u64,
    /// Events that the probe could not hand over.
    pub lost_events: u64,
    /// Chunks that the agent dropped to keep the trace small: the session begins after them.
    pub dropped_chunks: u64,
    /// Snapshots that did not hold every source.
    pub truncated_snapshots: u64,
    /// Snapshots that build on a lost one.
    pub orphaned_snapshots: u64,
    /// Attempts whose first snapshot came after the freeze had begun.
    pub late_snapshots: u64,
    /// Source states whose fields contradicted each other.
    pub torn_states: u64,
    /// Bytes of the file that could not be read.
    pub damaged_bytes: u64,
    /// Chunks of the file that are missing.
    pub missing_chunks: u64,
    /// Records that could not be decoded.
    pub bad_records: u64,
    /// Records of kinds that a newer version writes.
    pub unknown_records: u64,
    /// Why the capture ended; null where it did not end in order.
    pub end_reason: Option<String>,
    /// It ended in order, and nothing is missing.
    pub complete: bool,
}

/// What was seen, and how.
#[derive(Clone, Debug, Serialize)]
pub struct Hook {
    /// `phase`, `return`, `edge`, `wait`, `save` or `wake`.
    pub what: String,
    /// `tp_btf`, `fexit`, …; empty where it was not seen.
    pub how: String,
    /// Why not in the best way; else empty.
    pub why: String,
}

/// Where the time went. The lines that are not null, without `unattributed_ns`, sum to
/// `session.duration_ns` exactly.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ledger {
    /// Asleep.
    pub asleep_ns: u64,
    /// Going to sleep.
    pub suspending_ns: u64,
    /// Waking up.
    pub resuming_ns: u64,
    /// Attempts that did not sleep.
    pub aborted_ns: u64,
    /// User space wanted to suspend and was blocked; null without edges and waits.
    pub blocked_ns: Option<u64>,
    /// Nobody asked to suspend; null without edges and waits.
    pub not_trying_ns: Option<u64>,
    /// What can't be told apart of the two above: both as one without edges and waits; else what is
    /// missing in the trace, or null where nothing is.
    pub untold_ns: Option<u64>,
    /// The part of the lines above that could not be charged to anybody.
    pub unattributed_ns: u64,
}

/// One call of `pm_suspend`.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    /// From 0.
    pub index: u64,
    /// `suspend_enter` begin.
    pub start_ns: u64,
    /// Its return.
    pub end_ns: u64,
    /// `s2idle`, `standby`, `deep` or `unknown`.
    pub mode: &'static str,
    /// `slept`, `no_sleep`, `aborted`, `failed` or `unknown`.
    pub outcome: &'static str,
    /// Where it ended.
    pub stage: &'static str,
    /// What it returned; null where that is not in the trace.
    pub errno: Option<i32>,
    /// How long it slept.
    pub slept_ns: u64,
    /// Its steps, in the order of their begins; of more than 512 the first.
    pub steps: Vec<Step>,
    /// How often s2idle was entered; 0 in other modes.
    pub s2idle_entries: u64,
    /// Who kept it from sleeping.
    pub causes: Vec<Cause>,
    /// What ended the sleep; null where it did not sleep.
    pub wake: Option<Wake>,
}

/// One step of an attempt: a `power:suspend_resume` pair.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step {
    /// The kernel's name of it: `freeze_processes`, `dpm_suspend`, `machine_suspend`, …
    pub step: &'static str,
    /// It began.
    pub start_ns: u64,
    /// It ended; null where the attempt was aborted within it.
    pub end_ns: Option<u64>,
}

/// A source to blame.
#[derive(Clone, Debug, Serialize)]
pub struct Cause {
    /// Its name.
    #[serde(flatten)]
    pub name: Name,
    /// Its number in the trace.
    pub instance: u32,
    /// `proven` or `likely`.
    pub evidence: &'static str,
}

/// What ended a sleep.
#[derive(Clone, Debug, Serialize)]
pub struct Wake {
    /// The interrupt that came first after the last `machine_suspend` had begun.
    pub irq: Option<u32>,
    /// Its name.
    pub irq_name: Option<String>,
    /// The source that was first activated.
    pub source: Option<WakeSource>,
    /// How the source is known: `proven`, `likely` or `unknown`.
    pub evidence: &'static str,
}

/// The source that ended a sleep.
#[derive(Clone, Debug, Serialize)]
pub struct WakeSource {
    /// Its name.
    #[serde(flatten)]
    pub name: Name,
    /// Its number in the trace.
    pub instance: u32,
}

/// A blocking read of wakeup_count.
#[derive(Clone, Debug, Serialize)]
pub struct Wait {
    /// It began, or the session did.
    pub start_ns: u64,
    /// It returned, or the session ended.
    pub end_ns: u64,
    /// The thread's id.
    pub thread: u32,
    /// What it returned: no source was active; null where it had not returned.
    pub idle: Option<bool>,
    /// The sources active in it, the longest share first; of more than 8 the first.
    pub blockers: Vec<Blocker>,
}

/// A source that a wait waited for.
#[derive(Clone, Debug, Serialize)]
pub struct Blocker {
    /// Its name.
    #[serde(flatten)]
    pub name: Name,
    /// Its number in the trace.
    pub instance: u32,
    /// Its split of the wait.
    pub share_ns: u64,
}

/// The batteries and chargers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Power {
    /// Every reading.
    pub readings: Vec<Reading>,
    /// Time between readings at both of which a charger was online or a battery charging: what the
    /// device does on a charger tells little of what it does off it. Null where nothing was read.
    pub charger_ns: Option<u64>,
    /// When that was; to be drawn, and not part of the JSON.
    #[serde(skip)]
    pub charger: Vec<Span>,
    /// How fast the battery drained, off the charger; null where it can't be told.
    pub drain: Option<Drain>,
}

/// A power supply at one instant.
#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    /// When.
    pub at_ns: u64,
    /// The supply's name.
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

/// Charge that left the battery, told apart by what the device did meanwhile.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Drain {
    /// Time between readings of which the device slept more than half.
    pub asleep_ns: u64,
    /// Charge that went in it, µAh.
    pub asleep_uah: i64,
    /// The rest of the time off the charger.
    pub awake_ns: u64,
    /// Charge that went in it, µAh.
    pub awake_uah: i64,
}

/// From one instant to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// From.
    pub start_ns: u64,
    /// To.
    pub end_ns: u64,
}

/// The name of a source: bytes from the kernel, as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Name {
    /// As text; what is not UTF-8 is replaced.
    pub name: String,
    /// All of its bytes in hex, only where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_hex: Option<String>,
    /// The bytes themselves.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

impl Name {
    /// From the kernel's bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes);
        Self {
            name: String::from_utf8_lossy(bytes).into_owned(),
            name_hex: text.is_err().then(|| hex(bytes)),
            bytes: bytes.to_vec(),
        }
    }
}

/// `bytes` in hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One source, or all sources of one name.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// Its name.
    #[serde(flatten)]
    pub name: Name,
    /// The name goes on beyond what was copied.
    pub name_cut: bool,
    /// Its number in the trace; null by name.
    pub instance: Option<u32>,
    /// How many sources this line stands for.
    pub instances: u64,
    /// Equal for sources that lived at one kernel address, which itself is kept secret; null by name.
    pub address_id: Option<u32>,
    /// First snapshot that has it.
    pub first_ns: u64,
    /// Last snapshot that has it.
    pub last_ns: u64,
    /// Registered within the session.
    pub born: bool,
    /// Removed within the session.
    pub died: bool,
    /// Time active.
    pub held_ns: u64,
    /// Its split of `blocked`; null without edges and waits.
    pub blocked_share_ns: Option<u64>,
    /// Blocked time in which it alone was active, which is what mending it alone would gain; null
    /// without edges and waits.
    pub blocked_sole_ns: Option<u64>,
    /// Attempts that it kept from sleeping, alone or with others.
    pub aborts: u64,
    /// Its share of their time.
    pub abort_ns: u64,
    /// Sleeps that it ended.
    pub wakes: u64,
    /// Awake time after those, until the next attempt or wait.
    pub after_wake_ns: u64,
    /// What is known of its cost: `blocked_share_ns`, `abort_ns` and `after_wake_ns` together.
    pub cost_ns: u64,
    /// Inactive → active.
    pub activations: u64,
    /// Events reported.
    pub events: u64,
    /// Activations that a timer ended.
    pub expiries: u64,
    /// Active when last seen.
    pub active_at_end: bool,
    /// When it was held; only where the report was built to be drawn, and not part of the JSON. Spans
    /// that are nearer to each other than a pixel can show are one.
    #[serde(skip)]
    pub spans: Vec<Span>,
}

/// What the capture itself cost.
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

/// A conclusion in words.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// How much it matters: `high`, `medium` or `low`.
    pub severity: &'static str,
    /// The words, with a number.
    pub text: String,
    /// The sources concerned.
    pub sources: Vec<String>,
    /// What mending it would gain.
    pub gain_ns: Option<u64>,
}
