//! The device: it is kept awake, waits, tries to suspend, is woken.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;

use sleepwalk_trace::record::{
    CountWrite, EDGE_ACTIVE, Edge, End, Hook, IrqDef, Overhead, Phase, Reason, Record,
    STATE_ACTIVE, Snapshot, SourceDef, StringDef, SuspendReturn, WaitBegin, WaitEnd, Wake,
    next_state,
};
use sleepwalk_trace::snapshot::{DeltaEncoder, SourceState};
use sleepwalk_trace::time::MonoNanos;

use super::random::Random;
use super::{Size, Trace};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;

/// Between snapshots.
pub const INTERVAL: u64 = 60 * S;
/// One snapshot in as many is full, as the agent writes them.
const FULL_EVERY: u64 = 64;
/// From an activation to the next; drawn up to twice as long.
const GAP: u64 = 20 * MS;
/// How long a source is held at most.
const HOLD: u64 = 200 * MS;
/// From the return of an attempt to the next request, as Android's suspend service waits at first.
const PAUSE: u64 = 100 * MS;
/// The thread that asks to suspend.
const THREAD: u32 = 500;
/// `PM_EVENT_SUSPEND` and `PM_EVENT_RESUME` (`include/linux/pm.h`).
const SUSPEND: i32 = 2;
const RESUME: i32 = 16;
/// `PM_SUSPEND_MEM` (`include/linux/suspend.h`).
const MEM: i32 = 3;
const EBUSY: i32 = -16;

/// `suspend_resume`'s actions; a text's number is the place in here.
const ACTIONS: [&str; 12] = [
    "suspend_enter",
    "sync_filesystems",
    "freeze_processes",
    "dpm_prepare",
    "dpm_suspend",
    "dpm_suspend_late",
    "dpm_suspend_noirq",
    "machine_suspend",
    "dpm_resume_noirq",
    "dpm_resume_early",
    "dpm_resume",
    "dpm_complete",
];
const THAW: u32 = ACTIONS.len() as u32;
const HANDLERS: u32 = THAW + 1;
const CHIP: u32 = THAW + 2;
/// Sources' names follow.
const NAMES: u32 = THAW + 3;
const IRQS: u32 = 4;

/// Everything is seen by the first choice.
pub fn hooks() -> Vec<Hook> {
    let how = ["tp_btf", "fexit", "tp_btf", "fexit", "fexit", "fentry"];
    let hook = |(what, how): (&str, &str)| Hook {
        what: what.to_owned(),
        how: how.to_owned(),
        why: String::new(),
    };
    sleepwalk_trace::record::HOOKS.into_iter().zip(how).map(hook).collect()
}

pub struct Device {
    size: Size,
    random: Random,
    /// CLOCK_BOOTTIME.
    now: u64,
    sources: BTreeMap<u32, SourceState>,
    /// When what is held is released; not the one that blocks for the whole of a wait.
    held: BinaryHeap<Reverse<(u64, u32)>>,
    differ: DeltaEncoder,
    snapshots: u64,
    last_snapshot: u64,
    /// As the tracepoints pass it.
    state: u32,
    /// No edge in this chunk yet.
    fresh: bool,
}

impl Device {
    pub fn new(size: Size) -> Self {
        Self {
            size,
            random: Random::new(size.edges),
            now: 20 * S,
            sources: (0..size.sources).map(|i| (i, SourceState::default())).collect(),
            held: BinaryHeap::new(),
            differ: DeltaEncoder::default(),
            snapshots: 0,
            last_snapshot: 0,
            state: 0,
            fresh: true,
        }
    }

    pub fn run(mut self, trace: &mut Trace) -> io::Result<()> {
        self.begin(trace);
        // One of an attempt's activations blocks before it, one wakes it or aborts it.
        let activations = self.size.edges / 2 - 2 * self.size.attempts;
        for n in 0..self.size.attempts {
            let share = |n| activations * n / self.size.attempts;
            self.awake(trace, share(n + 1) - share(n))?;
            self.attempt(trace, n)?;
            self.commit(trace)?;
        }
        self.now += PAUSE;
        self.release_all(trace)?;
        self.snapshot(trace, Reason::End);
        self.overhead(trace);
        trace.push(self.now, &Record::End(End { reason: "duration".to_owned() }));
        self.commit(trace)
    }

    fn begin(&mut self, trace: &mut Trace) {
        trace.push(self.now, &super::session());
        self.overhead(trace);
        let strings = ACTIONS.into_iter().chain(["thaw_processes", "rtc-pl031,modem", "GICv3"]);
        for (id, text) in (0..).zip(strings) {
            trace.push(self.now, &Record::String(StringDef { id, bytes: text.into() }));
        }
        for number in 0..IRQS {
            let irq = IrqDef { number: 40 + number, name: HANDLERS, chip: CHIP };
            trace.push(self.now, &Record::Irq(irq));
        }
        for instance in 0..self.size.sources {
            let kind = ["wlan", "alarm", "sensor", "modem", "usb"][instance as usize % 5];
            let (id, bytes) = (NAMES + instance, format!("{kind}-{instance}").into_bytes());
            trace.push(self.now, &Record::String(StringDef { id, bytes }));
            let source = SourceDef {
                instance,
                name: id,
                name_cut: false,
                id: Some(instance),
                address: 0xffff_0000_1000_0000 + u64::from(instance) * 192,
                name_pointer: 0xffff_0000_2000_0000 + u64::from(instance) * 16,
            };
            trace.push(self.now, &Record::Source(source));
        }
        self.snapshot(trace, Reason::Start);
    }

    /// A wait begins at once and ends when nothing is held any more.
    fn awake(&mut self, trace: &mut Trace, activations: u64) -> io::Result<()> {
        self.now += PAUSE;
        let blocker = self.choose();
        self.activate(trace, blocker)?;
        self.now += 50 * US;
        trace.push(self.now, &Record::WaitBegin(WaitBegin { thread: THREAD }));
        for _ in 0..activations {
            self.now += 10 * US;
            let next = self.now + self.random.below(2 * GAP);
            self.release_until(trace, next)?;
            self.now = self.now.max(next);
            if self.now - self.last_snapshot > INTERVAL {
                self.snapshot(trace, Reason::Tick);
            }
            let source = self.choose();
            self.activate(trace, source)?;
            let until = self.now + MS + self.random.skewed(HOLD);
            self.held.push(Reverse((until, source)));
        }
        self.held.push(Reverse((self.now + MS, blocker)));
        self.release_all(trace)?;
        self.now += 20 * US;
        trace.push(self.now, &Record::WaitEnd(WaitEnd { thread: THREAD, idle: true }));
        self.now += 100 * US;
        trace.push(self.now, &Record::CountWrite(CountWrite { thread: THREAD, saved: true }));
        self.now += 100 * US;
        Ok(())
    }

    /// Seven of ten sleep, two are aborted in the freeze, one in the suspend of the devices.
    fn attempt(&mut self, trace: &mut Trace, n: u64) -> io::Result<()> {
        self.step(trace, 0, MEM, true, 10 * US);
        self.snapshot(trace, Reason::AttemptBegin);
        self.both(trace, 1, 0, 3 * MS);
        self.step(trace, 2, 0, true, 5 * MS);
        let errno = match n % 10 {
            3 | 7 => {
                self.wake_up(trace)?;
                self.step(trace, 2, 0, false, 300 * US);
                self.step(trace, 0, MEM, false, 10 * US);
                EBUSY
            }
            abort => {
                self.step(trace, 2, 0, false, 300 * US);
                self.step(trace, 0, MEM, false, 10 * US);
                self.both(trace, 3, SUSPEND, MS);
                self.devices(trace, abort == 9)?
            }
        };
        self.both(trace, THAW, 0, 2 * MS);
        trace.push(self.now, &Record::Return(SuspendReturn { errno: Some(errno) }));
        self.snapshot(trace, Reason::AttemptEnd);
        Ok(())
    }

    fn devices(&mut self, trace: &mut Trace, abort: bool) -> io::Result<i32> {
        self.step(trace, 4, SUSPEND, true, 8 * MS);
        if abort {
            self.wake_up(trace)?;
        }
        self.step(trace, 4, SUSPEND, false, MS);
        if !abort {
            self.both(trace, 5, SUSPEND, 2 * MS);
            self.both(trace, 6, SUSPEND, 4 * MS);
            let slept = S + self.random.skewed(60 * S);
            self.step(trace, 7, MEM, true, slept);
            trace.suspended_ns += slept;
            self.step(trace, 7, MEM, false, 50 * US);
            let irq = 40 + self.random.skewed(u64::from(IRQS)) as u32;
            trace.push(self.now, &Record::Wake(Wake { irq }));
            self.wake_up(trace)?;
            self.both(trace, 8, RESUME, 2 * MS);
            self.both(trace, 9, RESUME, MS);
        }
        self.both(trace, 10, RESUME, 6 * MS);
        self.both(trace, 11, RESUME, MS);
        Ok(if abort { EBUSY } else { 0 })
    }

    /// Its event comes while wakeups count.
    fn wake_up(&mut self, trace: &mut Trace) -> io::Result<()> {
        let source = self.choose();
        self.activate(trace, source)?;
        if let Some(state) = self.sources.get_mut(&source) {
            state.counters.wakeup_count += 1;
        }
        // It is released in the pause after the attempt.
        self.held.push(Reverse((self.now + 80 * MS, source)));
        self.now += 10 * US;
        Ok(())
    }

    /// One that is not held, the first ones more often.
    fn choose(&mut self) -> u32 {
        let count = u64::from(self.size.sources);
        let first = self.random.skewed(count) as u32;
        let mut all = (first..self.size.sources).chain(0..first);
        all.find(|source| !self.sources[source].active()).unwrap_or(first)
    }

    fn activate(&mut self, trace: &mut Trace, source: u32) -> io::Result<()> {
        // All are held: the one that is due first makes room.
        if self.sources[&source].active() {
            let due = self.held.iter().find(|Reverse((_, held))| *held == source).copied();
            self.held.retain(|held| Some(*held) != due);
            self.release(trace, source)?;
        }
        let mono = self.now - trace.suspended_ns;
        if let Some(SourceState { state, counters }) = self.sources.get_mut(&source) {
            *state |= STATE_ACTIVE;
            counters.active_count += 1;
            counters.event_count += 1;
            counters.last_ns = mono;
        }
        self.edge(trace, source, true)
    }

    fn release(&mut self, trace: &mut Trace, source: u32) -> io::Result<()> {
        let mono = self.now - trace.suspended_ns;
        if let Some(SourceState { state, counters }) = self.sources.get_mut(&source) {
            *state &= !STATE_ACTIVE;
            counters.relax_count += 1;
            counters.total_ns += mono - counters.last_ns;
            counters.max_ns = counters.max_ns.max(mono - counters.last_ns);
            counters.last_ns = mono;
        }
        self.edge(trace, source, false)
    }

    fn release_until(&mut self, trace: &mut Trace, until: u64) -> io::Result<()> {
        while let Some(&Reverse((at, source))) = self.held.peek() {
            if at > until {
                break;
            }
            self.held.pop();
            self.now = self.now.max(at);
            self.release(trace, source)?;
        }
        Ok(())
    }

    fn release_all(&mut self, trace: &mut Trace) -> io::Result<()> {
        self.release_until(trace, u64::MAX)
    }

    fn edge(&mut self, trace: &mut Trace, source: u32, active: bool) -> io::Result<()> {
        if trace.full() {
            self.commit(trace)?;
        }
        self.state = next_state(self.state, active);
        let edge = Edge {
            source,
            flags: if active { EDGE_ACTIVE } else { 0 },
            state: self.fresh.then_some(self.state),
        };
        self.fresh = false;
        trace.push(self.now, &Record::Edge(edge));
        Ok(())
    }

    fn commit(&mut self, trace: &mut Trace) -> io::Result<()> {
        self.fresh = true;
        trace.commit(self.now)
    }

    fn step(&mut self, trace: &mut Trace, action: u32, value: i32, begin: bool, took: u64) {
        trace.push(self.now, &Record::Phase(Phase { action, value, begin }));
        self.now += took;
    }

    fn both(&mut self, trace: &mut Trace, action: u32, value: i32, took: u64) {
        self.step(trace, action, value, true, took);
        self.step(trace, action, value, false, 10 * US);
    }

    fn snapshot(&mut self, trace: &mut Trace, reason: Reason) {
        let mut snapshot = Snapshot {
            reason,
            mono: MonoNanos(self.now - trace.suspended_ns),
            took_ns: 60 * US,
            seen: self.size.sources,
            stored: self.size.sources,
            broken: false,
            late: false,
            full: false,
            changed: Vec::new(),
            gone: Vec::new(),
        };
        let full = self.snapshots.is_multiple_of(FULL_EVERY);
        self.differ.encode(&mut snapshot, &self.sources, full);
        trace.push(self.now, &Record::Snapshot(snapshot));
        self.snapshots += 1;
        self.last_snapshot = self.now;
        self.now += 60 * US;
    }

    fn overhead(&self, trace: &mut Trace) {
        let overhead = Overhead {
            cpu_ns: self.snapshots * 200 * US,
            snapshots: self.snapshots,
            snapshots_ns: self.snapshots * 60 * US,
            snapshot_max_ns: 60 * US,
            bytes_written: 0,
        };
        trace.push(self.now, &Record::Overhead(overhead));
    }
}
