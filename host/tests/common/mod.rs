//! Traces made for tests, record by record.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod activated;
pub mod fake;
pub mod full;
pub mod inverse;
pub mod nights;
pub mod packets;
pub mod schema;
pub mod worded;

#[allow(unused_imports, reason = "each test program uses a part of it")]
pub use nights::{everyday, night};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sleepwalk_trace::chunk::file_header;
use sleepwalk_trace::record::{
    CountWrite, EDGE_ACTIVE, EDGE_SHARED, Edge, End, HOOKS, Hook, IrqDef, Lost, Overhead, Phase,
    PowerSupply, Reason, Record, STATE_ACTIVE, Session, Snapshot, SourceDef, StringDef,
    SuspendReturn, WaitBegin, WaitEnd, Wake,
};
use sleepwalk_trace::snapshot::{Counters, DeltaEncoder, SourceState};
use sleepwalk_trace::time::{BootNanos, Clocks, MonoNanos, RealNanos};
use sleepwalk_trace::write::ChunkWriter;

pub const MS: u64 = 1_000_000;
pub const S: u64 = 1_000 * MS;
/// When the made traces begin, CLOCK_BOOTTIME.
pub const T0: u64 = 5_000 * S;
/// The same by CLOCK_REALTIME: 2026-03-01 10:00:11 UTC.
pub const REAL: i64 = 1_772_359_211 * S as i64;

/// The thread that writes the count before each attempt, where a test does not care who does.
pub const SUSPENDER: u32 = 900;

/// Builds a trace: a clock that is moved on, sources that are changed, and what happens.
pub struct Maker {
    pub bytes: Vec<u8>,
    writer: ChunkWriter,
    differ: DeltaEncoder,
    /// CLOCK_BOOTTIME.
    pub now: u64,
    /// How much of it was slept with the clock stopped.
    pub suspended: u64,
    /// CLOCK_REALTIME at [`T0`].
    pub real: i64,
    strings: BTreeMap<Vec<u8>, u32>,
    states: BTreeMap<u32, SourceState>,
    snapshots: u64,
    /// Activations and deactivations are recorded.
    pub edges: bool,
    /// A write of the count comes before each attempt.
    pub arms: bool,
    /// There has been one.
    saved: bool,
    /// Somebody has waited.
    waited: bool,
}

impl Maker {
    /// With snapshots and attempts alone.
    pub fn new() -> Self {
        Self::hooked(&[("phase", "tp_btf"), ("return", "fexit")])
    }

    /// With all that can be hooked.
    pub fn full() -> Self {
        Self::hooked(&HOOKS.map(|what| (what, "fexit")))
    }

    pub fn hooked(hooks: &[(&str, &str)]) -> Self {
        Self::at(T0, hooks)
    }

    /// A trace that begins then.
    pub fn at(now: u64, hooks: &[(&str, &str)]) -> Self {
        let edges = hooks.iter().any(|(what, _)| *what == "edge");
        let mut maker = Self {
            bytes: file_header(0).to_vec(),
            writer: ChunkWriter::default(),
            differ: DeltaEncoder::default(),
            now,
            suspended: 300 * S,
            real: REAL,
            strings: BTreeMap::new(),
            states: BTreeMap::new(),
            snapshots: 0,
            edges,
            arms: edges,
            saved: false,
            waited: false,
        };
        maker.push(Record::Session(Session {
            agent: "0.1.0".to_owned(),
            device: "Pixel 6".to_owned(),
            kernel: "6.12.23-android16-5".to_owned(),
            machine: "aarch64".to_owned(),
            page_size: 4096,
            boot_id: "d7f7e2a0-0000-4000-8000-5a1e3b1c9d10".to_owned(),
            fingerprint: String::new(),
            source: "kfunc".to_owned(),
            hooks: hooks
                .iter()
                .map(|&(what, how)| Hook { what: what.into(), how: how.into(), why: String::new() })
                .collect(),
            interval_ns: 60 * S,
            edges,
            serial: String::new(),
        }));
        maker
    }

    pub fn push(&mut self, record: Record) {
        self.writer.push(BootNanos(self.now), &record);
    }

    pub fn wait(&mut self, ns: u64) -> &mut Self {
        self.now += ns;
        self
    }

    pub fn text(&mut self, bytes: &[u8]) -> u32 {
        let next = self.strings.len() as u32;
        if let Some(id) = self.strings.get(bytes) {
            return *id;
        }
        self.strings.insert(bytes.to_vec(), next);
        self.push(Record::String(StringDef { id: next, bytes: bytes.to_vec() }));
        next
    }

    /// A source of this name; its past is `count` activations of 10 ms.
    pub fn source(&mut self, name: &[u8], count: u64) -> u32 {
        let instance = self.states.len() as u32;
        let name = self.text(name);
        self.push(Record::Source(SourceDef {
            instance,
            name,
            name_cut: false,
            id: Some(instance + 10),
            address: 0xffff_0000_1234_0000 + u64::from(instance) * 192,
            name_pointer: 0xffff_0000_5678_0000 + u64::from(instance) * 64,
        }));
        let counters = Counters {
            active_count: count,
            event_count: count,
            relax_count: count,
            total_ns: count * 10 * MS,
            ..Counters::default()
        };
        self.states.insert(instance, SourceState { state: 0, counters });
        instance
    }

    pub fn remove(&mut self, instance: u32) {
        self.states.remove(&instance);
    }

    fn mono(&self) -> u64 {
        self.now - self.suspended
    }

    pub fn activate(&mut self, instance: u32) -> &mut Self {
        let mono = self.mono();
        if let Some(source) = self.states.get_mut(&instance) {
            source.state |= STATE_ACTIVE;
            source.counters.active_count += 1;
            source.counters.event_count += 1;
            source.counters.last_ns = mono;
        }
        self.edge(instance, true, false)
    }

    /// An edge, whatever the counters say.
    pub fn edge(&mut self, source: u32, active: bool, shared: bool) -> &mut Self {
        if self.edges {
            let bits = [(active, EDGE_ACTIVE), (shared, EDGE_SHARED)];
            let flags = bits.iter().filter(|(is, _)| *is).map(|(_, bit)| bit).sum();
            self.push(Record::Edge(Edge { source, flags, state: Some(0) }));
        }
        self
    }

    /// One of several that share a pointer changes; the edge names the lowest of them.
    pub fn shared(&mut self, instance: u32, lowest: u32, active: bool) -> &mut Self {
        let edges = std::mem::replace(&mut self.edges, false);
        if active {
            self.activate(instance);
        } else {
            self.relax(instance);
        }
        self.edges = edges;
        self.edge(lowest, active, true)
    }

    pub fn wait_begin(&mut self, thread: u32) -> &mut Self {
        self.waited = true;
        self.push(Record::WaitBegin(WaitBegin { thread }));
        self
    }

    pub fn wait_end(&mut self, thread: u32) -> &mut Self {
        self.push(Record::WaitEnd(WaitEnd { thread, idle: true }));
        self
    }

    pub fn save(&mut self, saved: bool) -> &mut Self {
        self.save_by(1, saved)
    }

    pub fn save_by(&mut self, thread: u32, saved: bool) -> &mut Self {
        self.saved = saved;
        self.push(Record::CountWrite(CountWrite { thread, saved }));
        self
    }

    pub fn woken_by(&mut self, number: u32, name: &str) -> &mut Self {
        let (name, chip) = (self.text(name.as_bytes()), self.text(b"GICv3"));
        self.push(Record::Irq(IrqDef { number, name, chip }));
        self.push(Record::Wake(Wake { irq: number }));
        self
    }

    /// A battery, or with `online` a charger.
    pub fn supply(&mut self, status: &str, charge_uah: Option<i64>, online: Option<i64>) {
        let (name, kind) = if online.is_some() { ("usb", "USB") } else { ("battery", "Battery") };
        let [name, kind, status] = [name, kind, status].map(|text| self.text(text.as_bytes()));
        let capacity = charge_uah.map(|uah| uah / 40_000);
        self.push(Record::PowerSupply(PowerSupply {
            name,
            kind,
            status,
            capacity,
            charge_uah,
            current_ua: None,
            online,
        }));
    }

    pub fn relax(&mut self, instance: u32) -> &mut Self {
        let mono = self.mono();
        if let Some(source) = self.states.get_mut(&instance) {
            source.state &= !STATE_ACTIVE;
            source.counters.relax_count += 1;
            source.counters.total_ns += mono - source.counters.last_ns;
            source.counters.last_ns = mono;
        }
        self.edge(instance, false, false)
    }

    pub fn snapshot(&mut self, reason: Reason) -> &mut Self {
        let stored = self.states.len() as u32;
        let mut snapshot = Snapshot {
            reason,
            mono: MonoNanos(self.mono()),
            took_ns: 250_000,
            seen: stored,
            stored,
            broken: false,
            late: false,
            full: false,
            changed: Vec::new(),
            gone: Vec::new(),
        };
        self.differ.encode(&mut snapshot, &self.states, self.snapshots == 0);
        self.snapshots += 1;
        self.push(Record::Snapshot(snapshot));
        self
    }

    pub fn phase(&mut self, action: &str, value: i32, begin: bool) -> &mut Self {
        if (action, begin) == ("suspend_enter", true)
            && !std::mem::take(&mut self.saved)
            && self.arms
        {
            // A hook of waits that never fired would be dead.
            if !std::mem::replace(&mut self.waited, true) {
                self.wait_begin(SUSPENDER).wait_end(SUSPENDER);
            }
            self.push(Record::CountWrite(CountWrite { thread: SUSPENDER, saved: true }));
        }
        let action = self.text(action.as_bytes());
        self.push(Record::Phase(Phase { action, value, begin }));
        self
    }

    pub fn returned(&mut self, errno: i32) -> &mut Self {
        self.push(Record::Return(SuspendReturn { errno: Some(errno) }));
        self
    }

    pub fn lost(&mut self, events: u64) -> &mut Self {
        self.push(Record::Lost(Lost { events }));
        self
    }

    /// An attempt begins and syncs the file systems, where it looks at wakeups for the first time.
    pub fn entered_sync(&mut self, mode: i32) -> &mut Self {
        self.phase("suspend_enter", mode, true).phase("sync_filesystems", 0, true)
    }

    /// The phases of a way down into s2idle, 1 ms each, up to and without `last`.
    pub fn down(&mut self, mode: i32, last: &str) -> &mut Self {
        let steps = [
            ("suspend_enter", true),
            ("sync_filesystems", true),
            ("sync_filesystems", false),
            ("freeze_processes", true),
            ("freeze_processes", false),
            ("suspend_enter", false),
            ("dpm_prepare", true),
            ("dpm_prepare", false),
            ("dpm_suspend", true),
            ("dpm_suspend", false),
            ("dpm_suspend_late", true),
            ("dpm_suspend_late", false),
            ("dpm_suspend_noirq", true),
            ("dpm_suspend_noirq", false),
        ];
        for (action, begin) in steps {
            if action == last {
                break;
            }
            let value = match action {
                "suspend_enter" => mode,
                _ => 2,
            };
            self.phase(action, value, begin);
            if (action, begin) == ("suspend_enter", true) {
                self.wait(MS).snapshot(Reason::AttemptBegin);
            }
            self.wait(MS);
        }
        self
    }

    /// The way up.
    pub fn up(&mut self) -> &mut Self {
        for action in ["dpm_resume_noirq", "dpm_resume_early", "dpm_resume", "dpm_complete"] {
            self.phase(action, 16, true).wait(MS).phase(action, 16, false);
        }
        self.phase("thaw_processes", 0, true).wait(MS).phase("thaw_processes", 0, false)
    }

    /// A sleep in s2idle that `waker` ends.
    pub fn sleep(&mut self, ns: u64, waker: Option<u32>) -> &mut Self {
        self.down(1, "").phase("machine_suspend", 1, true).wait(ns);
        if let Some(waker) = waker {
            self.activate(waker);
        }
        self.phase("machine_suspend", 1, false).up().wait(MS).returned(0);
        self.wait(MS).snapshot(Reason::AttemptEnd).commit()
    }

    /// An attempt that `culprit` aborts in the sync.
    pub fn aborted_in_sync(&mut self, culprit: u32, ns: u64) -> &mut Self {
        self.activate(culprit);
        self.phase("suspend_enter", 1, true).wait(MS).snapshot(Reason::AttemptBegin);
        self.phase("sync_filesystems", 0, true).wait(ns).returned(-16);
        self.wait(MS).relax(culprit);
        self.wait(MS).snapshot(Reason::AttemptEnd).commit()
    }

    pub fn clocks(&self) -> Clocks {
        Clocks {
            boot: BootNanos(self.now),
            suspended_ns: self.suspended,
            real: RealNanos(self.real + (self.now - T0) as i64),
        }
    }

    pub fn commit(&mut self) -> &mut Self {
        let clocks = self.clocks();
        self.bytes.extend(self.writer.seal(clocks).unwrap_or_default());
        self
    }

    /// The trace so far, cut off.
    pub fn cut(&mut self) -> Vec<u8> {
        self.commit();
        self.bytes.clone()
    }

    /// The whole trace.
    pub fn finish(&mut self) -> Vec<u8> {
        self.snapshot(Reason::End);
        self.push(Record::Overhead(Overhead {
            cpu_ns: 41 * MS,
            snapshots: self.snapshots,
            snapshots_ns: self.snapshots * 260_000,
            snapshot_max_ns: 410_000,
            bytes_written: self.bytes.len() as u64,
        }));
        self.push(Record::End(End { reason: "duration".to_owned() }));
        self.commit();
        self.bytes.clone()
    }
}

pub fn sleepwalk() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sleepwalk"));
    command.env_remove("ANDROID_SERIAL").env_remove("NO_COLOR").env("ADB", "/nonexistent/adb");
    command
}

pub fn run(args: &[&str]) -> Output {
    sleepwalk().args(args).output().expect("the program starts")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("errors are UTF-8")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is UTF-8")
}

/// The one error or warning on standard error, with its `fix: …` line if there is one.
pub fn complaint(output: &Output) -> String {
    let text = stderr(output);
    let lines: Vec<&str> = text.lines().collect();
    let is_fix = |line: &&str| line.starts_with("fix: ");
    assert!(text.starts_with("sleepwalk: "), "{text:?}");
    assert!(lines.len() == 1 || lines.len() == 2 && lines.last().is_some_and(is_fix), "{text:?}");
    text.trim_end().to_owned()
}

/// Compares with a file under `tests/golden`; `SLEEPWALK_BLESS=1` updates it.
pub fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("SLEEPWALK_BLESS").is_some() {
        std::fs::write(&path, text).expect("the golden file is written");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        wanted == text,
        "{name} differs; SLEEPWALK_BLESS=1 updates it. Now:\n{text}\nThen:\n{wanted}"
    );
}

/// A file in a folder of its own.
pub fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("t.swk");
    std::fs::write(&path, bytes).expect("a file");
    (dir, path)
}
