//! Decodes a trace: events one by one, and what holds for all of it in the [`Model`].
//!
//! Memory grows with sources and strings, and not with the length of the capture.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use sleepwalk_trace::read::{Damage, Item, OpenError, Reader};
use sleepwalk_trace::record::{
    ActivatedBy, Activator, CountWrite, EDGE_ACTIVE, EDGE_SHARED, Edge, End, EpollWaiter, HookRun,
    IrqDef, Lost, Note, Overhead, Phase, PowerSupply, Reason, Record, Session, Snapshot, SourceDef,
    SourceDevice, Stamped, SuspendStats, WaitBegin, WaitEnd, Waiters, Wake, WakeReason,
};
use sleepwalk_trace::snapshot::{DeltaDecoder, SourceState};
use sleepwalk_trace::time::{BootNanos, Clocks, MonoNanos, RealNanos};
use thiserror::Error;

use super::dumps::Dump;
use super::hooks::Fired;

/// A file that no session can be read from; exit code 5.
#[derive(Debug, Error)]
#[error("{path}: {why}", path = path.display())]
pub struct TraceError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub why: Unreadable,
}

/// Why no session can be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// The file itself.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It could not be read from the disk.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A sound header, and nothing whole behind it.
    #[error("it holds no whole record: {0} bytes are damaged or cut off")]
    NoRecords(u64),
}

/// The release of Linux 3.10, and no device runs an older one. Without a battery, clocks start in 1970
/// (`timekeeping_init`, `kernel/time/timekeeping.c`) or in 2000, as many real-time clocks do.
const OLDEST: RealNanos = RealNanos(1_372_550_400_000_000_000);

/// A whole file. A capture is no longer than its `--max-size`, so that it fits into memory; and a
/// copy stays whole while another program truncates the file, unlike a mapping. If the trace is still
/// being written, its last chunk may be cut off, which counts as damage.
pub fn load(path: &Path) -> Result<Vec<u8>, TraceError> {
    std::fs::read(path).map_err(|error| TraceError { path: path.to_owned(), why: error.into() })
}

/// Something that happened. Names are numbers of strings in the [`Model`].
#[derive(Debug)]
pub enum Event {
    /// All sources at one instant.
    Snapshot(Box<View>),
    /// A suspend phase began or ended.
    Phase {
        /// `suspend_enter`, …, by its string's number.
        action: u32,
        /// The event's `val`.
        value: i32,
        /// Begin, else end.
        begin: bool,
    },
    /// `pm_suspend` returned.
    Return {
        /// 0 or a negative errno; `None` where it failed with an unknown errno.
        errno: Option<i32>,
    },
    /// A source was activated or deactivated.
    Edge {
        /// The source's instance.
        source: u32,
        /// Activated, else deactivated.
        active: bool,
        /// Several living sources have the pointer in the kernel's event; `source` is the lowest.
        shared: bool,
        /// Its activator, a key of [`Model::activators`]; `None` where that is not recorded.
        by: Option<u32>,
    },
    /// A thread reads the wakeup count, and waits while any source is active.
    WaitBegin {
        /// Its id.
        thread: u32,
    },
    /// The read returned. A wait that began before the trace has no begin.
    WaitEnd {
        /// Its id.
        thread: u32,
        /// No source was active; else the wait was interrupted.
        idle: bool,
    },
    /// A thread wrote the wakeup count back.
    CountWrite {
        /// Its id.
        thread: u32,
        /// Accepted; else an event had come since the count was read.
        saved: bool,
    },
    /// An interrupt woke the system.
    Wake {
        /// Its number, a key of [`Model::irqs`].
        irq: u32,
    },
    /// A power supply was read.
    PowerSupply(Box<PowerSupply>),
    /// The kernel's files about the last attempt were read.
    WakeReason(Box<WakeReason>),
    /// The kernel's counts of attempts were read, and some had changed.
    SuspendStats(Box<SuspendStats>),
    /// The probe lost events at some time since the last edge. The stamp is when it was noticed.
    Lost {
        /// How many.
        events: u64,
    },
    /// The prologue of a ring ends: the writer dropped what lies between it and the next event.
    PrologueEnd,
    /// The agent looked for threads that wait.
    Waiters {
        /// They waited where the records of a ring begin, which is where its prologue ends.
        in_prologue: bool,
        /// Their ids.
        threads: Vec<u32>,
        /// No other thread waited.
        all: bool,
    },
    /// The clocks were read, at a time that may be in the future of the events beside it.
    Clocks {
        /// CLOCK_BOOTTIME − CLOCK_MONOTONIC.
        difference_ns: u64,
    },
    /// Records are missing here.
    Gap,
}

/// A snapshot with its sources' absolute states.
#[derive(Debug)]
pub struct View {
    /// The start of the walk.
    pub at: BootNanos,
    /// The same instant by CLOCK_MONOTONIC, the clock of the kernel's times inside the sources.
    pub now: MonoNanos,
    /// Why it was taken.
    pub reason: Reason,
    /// How long the walk took, ns.
    pub took_ns: u64,
    /// It saw every source.
    pub whole: bool,
    /// A source that `states` lacks is gone; else it is unchanged.
    pub full: bool,
    /// The sources that changed, or all, by instance.
    pub states: Vec<(u32, SourceState)>,
    /// The instances that are gone.
    pub gone: Vec<u32>,
}

impl View {
    fn new(at: BootNanos, record: Snapshot, all: &BTreeMap<u32, SourceState>) -> Self {
        let states = if record.full {
            all.iter().map(|(&instance, &state)| (instance, state)).collect()
        } else {
            let changed = record.changed.iter().map(|delta| delta.instance);
            changed.filter_map(|i| Some((i, *all.get(&i)?))).collect()
        };
        Self {
            at,
            now: record.mono,
            reason: record.reason,
            took_ns: record.took_ns,
            whole: !record.broken && record.seen == record.stored,
            full: record.full,
            states,
            gone: record.gone,
        }
    }
}

/// Facts about the whole trace, and counts over all of it.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Where and how the trace was recorded; `None` where that record was lost.
    pub session: Option<Session>,
    /// First stamp.
    pub start: BootNanos,
    /// Last stamp.
    pub end: BootNanos,
    /// A reading of the three clocks, the first of the trace.
    pub clocks: Clocks,
    /// The last reading of the three clocks with CLOCK_REALTIME set; `None` where it never was.
    pub dated: Option<Clocks>,
    /// Strings by number.
    pub strings: BTreeMap<u32, Vec<u8>>,
    /// Sources by instance.
    pub sources: BTreeMap<u32, SourceDef>,
    /// Interrupts by number.
    pub irqs: BTreeMap<u32, IrqDef>,
    /// The devices behind sources, by instance.
    pub devices: BTreeMap<u32, SourceDevice>,
    /// Processes that wait for files with EPOLLWAKEUP, by the number of the file's name.
    pub epoll_waiters: BTreeMap<u32, Vec<EpollWaiter>>,
    /// The output of Android's services, by number.
    pub dumps: BTreeMap<u32, Dump>,
    /// Activators, by number.
    pub activators: BTreeMap<u32, Activator>,
    /// The activator of each source, as the chunk that is being read has it.
    activated_by: HashMap<u32, u32>,
    /// Records read.
    pub records: u64,
    /// Edges read.
    pub edges: u64,
    /// Chunks that the writer dropped to keep the file small.
    pub dropped_chunks: u64,
    /// Snapshots read.
    pub snapshots: u64,
    /// Snapshots that did not hold every source.
    pub truncated_snapshots: u64,
    /// Snapshots that build on a lost one, and show nothing.
    pub orphaned_snapshots: u64,
    /// Events that the probe could not hand over.
    pub lost_events: u64,
    /// The cost of the capture when it began: mostly of loading the probe.
    pub started: Option<Overhead>,
    /// The last word on what the capture cost.
    pub overhead: Option<Overhead>,
    /// How the capture ended; `None` where it did not end cleanly.
    pub finish: Option<End>,
    /// The parts that could not be read.
    pub damage: Damage,
    /// Events of each hook.
    pub fired: Fired,
    /// How often the programs of each hook ran.
    pub hook_runs: Vec<HookRun>,
    /// The agent's notes.
    pub notes: Vec<Note>,
    /// Hooks that never fired although they must have; known at the end of the session.
    pub dead_hooks: Vec<&'static str>,
    /// The chunk being read is a prologue.
    in_prologue: bool,
}

impl Model {
    /// Decodes the trace in `bytes` and hands each event to `sink` with what is known so far. The
    /// events are in the order of the file; a gap has no stamp of its own.
    pub(super) fn read(
        bytes: &[u8],
        mut sink: impl FnMut(&Self, BootNanos, Event),
    ) -> Result<Self, Unreadable> {
        let mut reader = Reader::open(bytes)?;
        let mut model = Self::default();
        let mut deltas = DeltaDecoder::default();
        let mut started = false;
        // The clocks were read when the chunk was complete, after its records.
        let mut clocks = None::<Clocks>;
        while let Some(item) = reader.next() {
            match item {
                Item::Chunk(header) => {
                    model.activated_by.clear();
                    if !started {
                        model.clocks = header.clocks;
                    }
                    started = true;
                    if header.clocks.real >= OLDEST {
                        model.dated = Some(header.clocks);
                    }
                    if let Some(Clocks { boot, suspended_ns, .. }) = clocks.replace(header.clocks) {
                        sink(&model, boot, Event::Clocks { difference_ns: suspended_ns });
                    }
                    if model.in_prologue {
                        sink(&model, header.base, Event::PrologueEnd);
                    }
                    model.in_prologue = reader.in_prologue();
                }
                Item::Gap => {
                    clocks = None;
                    deltas.forget();
                    sink(&model, BootNanos(0), Event::Gap);
                }
                // A record is moved for each call, and most records are edges.
                Item::Record(Stamped { at, record: Record::Edge(edge) }) => {
                    model.stamp(at);
                    let event = model.edge(edge);
                    sink(&model, at, event);
                }
                Item::Record(Stamped { at, record }) => {
                    model.stamp(at);
                    if let Some(event) = model.record(at, record, &mut deltas) {
                        sink(&model, at, event);
                    }
                }
            }
        }
        model.damage = reader.damage();
        model.dropped_chunks = reader.dropped_chunks();
        if model.records == 0 {
            return Err(Unreadable::NoRecords(model.damage.bytes));
        }
        Ok(model)
    }

    fn stamp(&mut self, at: BootNanos) {
        let first = self.records == 0;
        self.start = if first { at } else { self.start.min(at) };
        self.end = self.end.max(at);
        self.records += 1;
    }

    fn edge(&mut self, Edge { source, flags, .. }: Edge) -> Event {
        self.edges += 1;
        let (active, shared) = (flags & EDGE_ACTIVE != 0, flags & EDGE_SHARED != 0);
        let by = if active { self.activated_by.get(&source).copied() } else { None };
        Event::Edge { source, active, shared, by }
    }

    /// Keeps what counts for the whole trace; returns what happened at one instant.
    fn record(
        &mut self,
        at: BootNanos,
        record: Record,
        deltas: &mut DeltaDecoder,
    ) -> Option<Event> {
        self.count(&record);
        Some(match record {
            Record::Snapshot(record) => {
                self.snapshots += 1;
                let Ok(states) = deltas.apply(at, &record) else {
                    self.orphaned_snapshots += 1;
                    return None;
                };
                let view = View::new(at, record, states);
                self.truncated_snapshots += u64::from(!view.whole);
                Event::Snapshot(Box::new(view))
            }
            Record::Phase(Phase { action, value, begin }) => Event::Phase { action, value, begin },
            Record::Return(returned) => Event::Return { errno: returned.errno },
            Record::Lost(Lost { events }) => {
                self.lost_events = self.lost_events.saturating_add(events);
                Event::Lost { events }
            }
            Record::WaitBegin(WaitBegin { thread }) => Event::WaitBegin { thread },
            Record::WaitEnd(WaitEnd { thread, idle }) => Event::WaitEnd { thread, idle },
            Record::CountWrite(CountWrite { thread, saved }) => Event::CountWrite { thread, saved },
            Record::Wake(Wake { irq }) => Event::Wake { irq },
            Record::PowerSupply(supply) => Event::PowerSupply(Box::new(supply)),
            Record::WakeReason(reason) => Event::WakeReason(Box::new(reason)),
            Record::SuspendStats(stats) => Event::SuspendStats(Box::new(stats)),
            Record::Edge(edge) => self.edge(edge),
            Record::Waiters(Waiters { how, why, threads, .. }) => Event::Waiters {
                in_prologue: self.in_prologue,
                all: why.is_empty() && !how.is_empty(),
                threads,
            },
            Record::ServiceDump(part) => {
                self.dumps.entry(part.dump).or_insert_with(|| Dump::new(at)).push(part);
                return None;
            }
            other => {
                self.keep(other);
                return None;
            }
        })
    }

    fn count(&mut self, record: &Record) {
        let fired = &mut self.fired;
        match record {
            Record::Phase(_) => fired.phases += 1,
            Record::Return(_) => fired.returns += 1,
            Record::WaitBegin(_) | Record::WaitEnd(_) => fired.waits += 1,
            Record::CountWrite(CountWrite { saved, .. }) => {
                fired.count_writes += 1;
                fired.accepted += u64::from(*saved);
            }
            Record::Wake(_) => fired.wakes += 1,
            _ => {}
        }
    }

    fn keep(&mut self, record: Record) {
        match record {
            Record::Session(session) => self.session = self.session.take().or(Some(session)),
            Record::String(string) => {
                self.strings.insert(string.id, string.bytes);
            }
            Record::Source(source) => {
                self.sources.insert(source.instance, source);
            }
            Record::Irq(irq) => {
                self.irqs.insert(irq.number, irq);
            }
            Record::Overhead(overhead) => {
                self.started = self.started.or(Some(overhead));
                self.overhead = Some(overhead);
            }
            Record::Activator(activator) => {
                let known = self.activators.entry(activator.id).or_default();
                // One of its definitions has the stack.
                let frames = std::mem::take(&mut known.frames);
                *known = activator;
                if known.frames.is_empty() {
                    known.frames = frames;
                }
            }
            Record::EpollWaiter(waiter) => {
                let all = self.epoll_waiters.entry(waiter.name).or_default();
                // A prologue repeats it.
                if !all.contains(&waiter) {
                    all.push(waiter);
                }
            }
            Record::SourceDevice(device) => {
                self.devices.insert(device.source, device);
            }
            Record::ActivatedBy(ActivatedBy { source, activator }) => {
                self.activated_by.insert(source, activator);
            }
            Record::End(end) => self.finish = Some(end),
            Record::HookRuns(runs) => self.hook_runs = runs.hooks,
            // A prologue repeats it.
            Record::Note(note) if !self.notes.contains(&note) => self.notes.push(note),
            // Events, which `record` handled.
            _ => {}
        }
    }

    /// Length of the session.
    pub fn duration_ns(&self) -> u64 {
        self.end.since(self.start)
    }

    /// CLOCK_REALTIME at the session's start, by the clock as it was set last: where a device gets the
    /// time from a network, the clock is wrong until then.
    pub fn start_real(&self) -> RealNanos {
        self.dated.unwrap_or(self.clocks).real_at(self.start)
    }

    /// A string by its number; empty where it was lost.
    pub fn text(&self, id: u32) -> &[u8] {
        self.strings.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The name of a source; empty where it was lost with a damaged chunk.
    pub fn name(&self, instance: u32) -> &[u8] {
        self.sources.get(&instance).map_or(&[], |source| self.text(source.name))
    }

    /// Whether nothing is missing: it ended cleanly, nothing is damaged, nothing was lost.
    pub fn complete(&self) -> bool {
        self.finish.is_some()
            && self.damage == Damage::default()
            && self.dropped_chunks == 0
            && self.lost_events == 0
            && self.truncated_snapshots == 0
            && self.orphaned_snapshots == 0
    }
}
