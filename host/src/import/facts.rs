//! The facts of a file, as they are written to JSON (docs/import.schema.json).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::Path;

use serde::Serialize;
use sleepwalk_trace::time::BootNanos;

/// The facts of a file, or the difference of two.
#[derive(Debug, Clone, Serialize)]
pub struct Import {
    /// `sleepwalk.import/1`.
    pub schema: &'static str,
    /// The files: one, or the two of a difference.
    pub files: Vec<String>,
    /// The device.
    pub device: Device,
    /// Who held it awake. Rows of different origins count the same holds, and are never added up.
    pub holders: Vec<Holder>,
    /// The app wakelocks held when `dumpsys power` ran.
    pub held: Vec<AppWakelock>,
    /// The framework's suspend blockers then. Each is one native wakelock.
    pub blockers: Vec<Blocker>,
    /// Counts of suspend attempts, by each that counts.
    pub suspends: Vec<SuspendCounts>,
    /// Why it woke, and why suspend was aborted.
    pub reasons: Vec<Reason>,
    /// Sources that the kernel's log names where a suspend was aborted.
    pub aborts: Vec<Abort>,
    /// Alarms by package and tag.
    pub alarms: Vec<Alarm>,
    /// The parts that were read, and how many of their lines were understood.
    pub parts: Vec<Part>,
    /// The facts that these files lack.
    pub unknown: Vec<Unknown>,
    /// App wakelocks with stamps, out of a Perfetto trace.
    #[serde(skip)]
    pub app_holds: AppHolds,
}

/// The device, as the head of a bug report gives it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// `ro.build.fingerprint`.
    pub fingerprint: Option<String>,
    /// The kernel's version.
    pub kernel: Option<String>,
    /// The wall clock, without a zone.
    pub taken: Option<String>,
    /// From boot to then, in ns, with suspend; to the minute.
    pub uptime_ns: Option<u64>,
}

/// A hold of an app's wakelock, in CLOCK_BOOTTIME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppHold {
    /// Its acquire.
    pub start_ns: BootNanos,
    /// Its release.
    pub end_ns: BootNanos,
    /// The tag.
    pub tag: String,
    /// The process.
    pub pid: Option<u32>,
    /// The user id that is charged.
    pub uid: Option<u32>,
}

/// Each hold within an extent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppHolds {
    /// From then on, in ns of CLOCK_BOOTTIME.
    pub from_ns: u64,
    /// Until then.
    pub to_ns: u64,
    /// The holds, by their start.
    pub holds: Vec<AppHold>,
    /// CLOCK_REALTIME minus CLOCK_BOOTTIME, if it is known.
    pub real_at_boot_ns: Option<i128>,
}

/// Where a hold was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// A wakeup source of the kernel.
    Kernel,
    /// A wakelock that a process of user space holds at SystemSuspend.
    Native,
    /// One of these two: batterystats does not say which.
    KernelOrNative,
    /// A partial wakelock of an app, which PowerManagerService holds for it.
    App,
}

/// The counter that a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `dumpsys suspend_control_internal`: native wakelocks since the service started, sources since they were
    /// registered.
    SuspendControl,
    /// The kernel's `wakeup_sources` in debugfs: since the source was registered.
    WakeupSources,
    /// The kernel's `suspend_stats`: since boot.
    SuspendStats,
    /// `dumpsys batterystats -c`: on battery alone, since it was charged.
    Batterystats,
    /// Perfetto's `android.app_wakelocks`: each acquire and release, in ns, within that trace.
    AppWakelocks,
    /// The kernel's `last_resume_reason`: the last wake, or the last abort.
    LastResumeReason,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SuspendControl => "suspend_control",
            Self::WakeupSources => "wakeup_sources",
            Self::SuspendStats => "suspend_stats",
            Self::Batterystats => "batterystats",
            Self::AppWakelocks => "app_wakelocks",
            Self::LastResumeReason => "last_resume_reason",
        })
    }
}

/// The totals of a wakeup source or wakelock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Where it was held.
    pub layer: Layer,
    /// The source's name, or the wakelock's tag; `None` for all partial wakelocks of an app together.
    pub name: Option<String>,
    /// The process of a native wakelock.
    pub pid: Option<u32>,
    /// The app's user id.
    pub uid: Option<u32>,
    /// The packages with this user id.
    pub packages: Vec<String>,
    /// How many sources have this name.
    pub instances: u32,
    /// How long it was held, in ns; the text has ms. `None` where it is unknown.
    pub held_ns: Option<u64>,
    /// How long an app's wakelock was held while the app was in the background, in ns.
    pub background_ns: Option<u64>,
    /// The longest hold, in ns.
    pub longest_ns: Option<u64>,
    /// How many holds there were.
    pub holds: Option<u64>,
    /// How many suspends the kernel charges to it: `wakeup_count`.
    pub wakeups: Option<u64>,
    /// Whether one is held now.
    pub active: Option<bool>,
    /// The counter that the row is of.
    pub origin: Origin,
}

/// An app's wakelock that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppWakelock {
    /// `PARTIAL_WAKE_LOCK` and others.
    pub level: String,
    /// The tag.
    pub tag: String,
    /// The user id that is charged: of the work source if there is one, else of the holder.
    pub uid: Option<u32>,
    /// The holder's user id.
    pub holder_uid: Option<u32>,
    /// The holder's process.
    pub pid: Option<u32>,
    /// The packages of the work source, or else with the user id.
    pub packages: Vec<String>,
    /// For how long, in ns of CLOCK_MONOTONIC.
    pub since_ns: Option<u64>,
    /// The framework ignores it, as in Doze.
    pub disabled: bool,
}

/// A suspend blocker of the framework.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocker {
    /// `PowerManagerService.WakeLocks` and others; also the native wakelock's name.
    pub name: String,
    /// How many hold it; 0 if it is released.
    pub holders: u64,
}

/// Counts of suspend attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuspendCounts {
    /// Who counts.
    pub origin: Origin,
    /// The counters and the last failures by the names that the text gives them.
    pub values: Vec<Setting>,
}

/// A name and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// As in the text.
    pub name: String,
    /// As in the text, with its unit.
    pub value: String,
}

/// A wake reason, or the reason of an abort.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The text of `last_resume_reason`.
    pub text: String,
    /// Whether it is the reason of an abort.
    pub abort: bool,
    /// How often.
    pub count: Option<u64>,
    /// How long the device was awake for it, in ns.
    pub awake_ns: Option<u64>,
    /// Who counts.
    pub origin: Origin,
}

/// A message of the kernel's log on an aborted suspend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Abort {
    /// The message without its stamp and source.
    pub message: String,
    /// The source that it names.
    pub source: Option<String>,
    /// How often; null where the log lost some.
    pub count: Option<u64>,
    /// The last one's stamp in ns of the log's clock, which stops in suspend.
    pub last_ns: Option<u64>,
}

/// An alarm by its package and tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// The user id.
    pub uid: Option<u32>,
    /// The package.
    pub package: String,
    /// `*walarm*:…` or `*alarm*:…`; `None` for all of the package.
    pub tag: Option<String>,
    /// How many came as wakeup alarms.
    pub wakeups: Option<u64>,
    /// How many came.
    pub alarms: Option<u64>,
    /// How long their receivers ran, in ns.
    pub running_ns: Option<u64>,
}

/// A part of a file, and how many of its lines were used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The file.
    pub file: String,
    /// The section, or the file again.
    pub name: String,
    /// Lines that were used, with headings and blank lines among them.
    pub used: u64,
    /// Lines that should have been used, and were not understood.
    pub not_understood: u64,
    /// Lines of which Sleepwalk has no use.
    pub not_read: u64,
    /// The first line that was not understood.
    pub example: Option<String>,
}

/// Something that cannot be known from these files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The fact that is unknown.
    pub what: &'static str,
    /// Why.
    pub why: &'static str,
}

/// An [`Import`] in the making.
#[derive(Debug, Default)]
pub struct Facts {
    pub device: Device,
    /// Rows by their counter.
    holders: BTreeMap<Origin, Rows>,
    pub held: Vec<AppWakelock>,
    pub blockers: Vec<Blocker>,
    pub suspends: Vec<SuspendCounts>,
    pub reasons: Vec<Reason>,
    pub aborts: Vec<Abort>,
    pub alarms: Vec<Alarm>,
    pub parts: Vec<Part>,
    pub app_holds: Vec<AppHold>,
    /// The extent of a Perfetto trace, in ns of CLOCK_BOOTTIME.
    pub traced_from: u64,
    pub traced_to: u64,
    pub real_at_boot_ns: Option<i128>,
    /// Packages by user id.
    pub packages: BTreeMap<u32, BTreeSet<String>>,
}

/// Rows, and where that of a key is.
#[derive(Debug, Default)]
struct Rows {
    all: Vec<Holder>,
    of: HashMap<Key, usize>,
}

impl Facts {
    /// Whether no line was used.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.used == 0)
    }

    /// Adds a row; rows of one name, process and origin become one.
    pub fn hold(&mut self, new: Holder) {
        let rows = self.holders.entry(new.origin).or_default();
        let row = *rows.of.entry(new.key()).or_insert(rows.all.len());
        let Some(old) = rows.all.get_mut(row) else { return rows.all.push(new) };
        old.instances = old.instances.saturating_add(1);
        old.held_ns = sum(old.held_ns, new.held_ns);
        old.background_ns = sum(old.background_ns, new.background_ns);
        old.holds = sum(old.holds, new.holds);
        old.wakeups = sum(old.wakeups, new.wakeups);
        old.longest_ns = old.longest_ns.max(new.longest_ns);
        old.active = if old.active == Some(true) { old.active } else { new.active };
    }

    /// The table of `origin` starts: of two in one text the last one counts.
    pub fn restart(&mut self, origin: Origin) {
        self.holders.remove(&origin);
    }

    /// A counter of `origin`, as the text has it.
    pub fn suspend(&mut self, origin: Origin, name: &str, value: &str) {
        let setting = Setting { name: name.to_owned(), value: value.to_owned() };
        match self.suspends.iter_mut().find(|counts| counts.origin == origin) {
            Some(counts) => counts.values.push(setting),
            None => self.suspends.push(SuspendCounts { origin, values: vec![setting] }),
        }
    }

    /// The result, sorted, with what is missing.
    pub fn import(mut self, path: &Path) -> Import {
        let rows = std::mem::take(&mut self.holders).into_values();
        let mut holders: Vec<Holder> = rows.flat_map(|rows| rows.all).collect();
        for holder in &mut holders {
            let packages = holder.uid.and_then(|uid| self.packages.get(&uid));
            holder.packages = packages.into_iter().flatten().cloned().collect();
        }
        for one in self.held.iter_mut().filter(|one| one.packages.is_empty()) {
            let packages = one.uid.and_then(|uid| self.packages.get(&uid));
            one.packages = packages.into_iter().flatten().cloned().collect();
        }
        holders.sort_by(|a, b| (a.layer, b.held_ns, &a.name).cmp(&(b.layer, a.held_ns, &b.name)));
        self.reasons.sort_by(|a, b| (b.count, &a.text).cmp(&(a.count, &b.text)));
        self.alarms.sort_by(|a, b| (b.wakeups, &a.package).cmp(&(a.wakeups, &b.package)));
        let mut import = Import {
            schema: "sleepwalk.import/1",
            files: vec![path.display().to_string()],
            device: self.device,
            holders,
            held: self.held,
            blockers: self.blockers,
            suspends: self.suspends,
            reasons: self.reasons,
            aborts: self.aborts,
            alarms: self.alarms,
            parts: self.parts,
            unknown: Vec::new(),
            app_holds: AppHolds {
                from_ns: self.traced_from,
                to_ns: self.traced_to,
                holds: self.app_holds,
                real_at_boot_ns: self.real_at_boot_ns,
            },
        };
        import.app_holds.holds.sort_by_key(|hold| hold.start_ns);
        import.unknown = super::unknown::unknown(&import);
        import
    }
}

/// The wakelock or source, and the counter, that a row is of.
pub type Key = (Layer, Option<String>, Option<u32>, Option<u32>, Origin);

impl Holder {
    /// The wakelock or source, and the counter, that the row is of.
    pub fn key(&self) -> Key {
        (self.layer, self.name.clone(), self.pid, self.uid, self.origin)
    }

    /// A row of the same wakelock or source, of which nothing more is known.
    pub fn like(row: &Self) -> Self {
        let Self { layer, origin, pid, uid, instances, .. } = *row;
        Self { pid, uid, instances, ..Self::new(layer, row.name.as_deref(), origin) }
    }

    /// A row of which nothing more is known.
    pub fn new(layer: Layer, name: Option<&str>, origin: Origin) -> Self {
        Self {
            layer,
            name: name.map(str::to_owned),
            pid: None,
            uid: None,
            packages: Vec::new(),
            instances: 1,
            held_ns: None,
            background_ns: None,
            longest_ns: None,
            holds: None,
            wakeups: None,
            active: None,
            origin,
        }
    }
}

/// The sum, if both are known.
fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    Some(a?.saturating_add(b?))
}
