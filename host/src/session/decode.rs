//! A decoded session: what the trace says, in order, with names resolved.
//!
//! [`Model::read`] walks the trace once and hands each event to a sink, so that memory grows with
//! sources and texts, and not with the length of the capture. What stands once per trace is left in
//! the [`Model`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use sleepwalk_trace::read::{Damage, Item, OpenError, Reader};
use sleepwalk_trace::record::{
    CountWrite, EDGE_ACTIVE, EDGE_SHARED, Edge, End, IrqDef, Lost, Overhead, Phase, PowerSupply,
    Record, Session, Snapshot, SourceDef, Stamped, SuspendStats, WaitBegin, WaitEnd, Wake,
};
use sleepwalk_trace::snapshot::{DeltaDecoder, SourceState};
use sleepwalk_trace::time::{BootNanos, Clocks, MonoNanos, RealNanos};
use thiserror::Error;

/// A file that no session can be read from; exit code 5.
#[derive(Debug, Error)]
#[error("{path}: {why}", path = path.display())]
pub struct TraceError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
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

/// A whole file. A capture is no longer than its `--max-size`, so that it fits into memory; and of a
/// copy no other program can take a part away meanwhile, as it could of a mapping. Of a trace that is
/// being written this is what it holds now; what its last chunk lacks is passed over like any damage.
pub fn load(path: &Path) -> Result<Vec<u8>, TraceError> {
    std::fs::read(path).map_err(|error| TraceError { path: path.to_owned(), why: error.into() })
}

/// What happened, in the order of the file. That is nearly the order of the stamps: events that
/// piled up during a snapshot follow it.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// All sources at one instant.
    Snapshot(View<'a>),
    /// A suspend phase began or ended.
    Phase {
        /// When.
        at: BootNanos,
        /// `suspend_enter`, …; empty where its text was lost.
        action: &'a [u8],
        /// The event's `val`.
        value: i32,
        /// Begin, else end.
        begin: bool,
    },
    /// `pm_suspend` returned.
    Return {
        /// When.
        at: BootNanos,
        /// 0 or a negative errno; `None` where it failed and no errno could be had.
        errno: Option<i32>,
    },
    /// A source was activated or deactivated.
    Edge {
        /// When.
        at: BootNanos,
        /// The source's instance.
        source: u32,
        /// Activated, else deactivated.
        active: bool,
        /// Several living sources had the pointer by which the kernel told it; `source` is the lowest.
        shared: bool,
    },
    /// A thread asked for the wakeup count and waits while any source is active.
    WaitBegin {
        /// When.
        at: BootNanos,
        /// Its id.
        thread: u32,
    },
    /// It has its answer. One that waited since before the trace has no begin.
    WaitEnd {
        /// When.
        at: BootNanos,
        /// Its id.
        thread: u32,
        /// No source was active; else the wait was broken off.
        idle: bool,
    },
    /// A thread wrote the wakeup count back.
    Save {
        /// When.
        at: BootNanos,
        /// Its id.
        thread: u32,
        /// Taken; else an event had come since the count was read.
        saved: bool,
    },
    /// An interrupt woke the system.
    Wake {
        /// When.
        at: BootNanos,
        /// Its number, a key of [`Model::irqs`].
        irq: u32,
    },
    /// A power supply was read.
    Supply {
        /// When.
        at: BootNanos,
        /// What it said; its texts are numbers in [`Model::texts`].
        supply: &'a PowerSupply,
    },
    /// `/sys/power/suspend_stats` was read.
    SuspendStats {
        /// When.
        at: BootNanos,
        /// What changed of it.
        stats: &'a SuspendStats,
    },
    /// Events that the probe could not hand over, at some time since the last edge.
    Lost {
        /// When it was noticed.
        at: BootNanos,
        /// How many.
        events: u64,
    },
    /// What came before is repeated and not recorded: the writer dropped it to keep the trace small.
    /// Edges since the repeated snapshot are among what is missing.
    Recap {
        /// From here on everything is recorded.
        at: BootNanos,
    },
    /// Something is missing here.
    Gap,
}

/// A snapshot with its sources' absolute states.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The walk's begin.
    pub at: BootNanos,
    /// The same instant as the kernel's times inside the sources count it.
    pub now: MonoNanos,
    /// The record.
    pub record: &'a Snapshot,
    /// Every source after it, by instance.
    pub states: &'a BTreeMap<u32, SourceState>,
}

impl View<'_> {
    /// Whether it saw every source.
    pub fn whole(&self) -> bool {
        !self.record.broken && self.record.seen == self.record.stored
    }
}

/// What stands once per trace, and counts over all of it.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Where and how the trace was taken; `None` where that record was lost.
    pub session: Option<Session>,
    /// First stamp.
    pub start: BootNanos,
    /// Last stamp.
    pub end: BootNanos,
    /// A reading of the three clocks, the first of the trace.
    pub clocks: Clocks,
    /// Strings by number.
    pub texts: BTreeMap<u32, Vec<u8>>,
    /// Sources by instance.
    pub sources: BTreeMap<u32, SourceDef>,
    /// Interrupts by number.
    pub irqs: BTreeMap<u32, IrqDef>,
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
    /// Snapshots that build on a lost one, and tell nothing.
    pub orphaned_snapshots: u64,
    /// Events that the probe could not hand over.
    pub lost_events: u64,
    /// What the capture had cost when it began: loading the probe, mostly.
    pub started: Option<Overhead>,
    /// The last word on what the capture cost.
    pub overhead: Option<Overhead>,
    /// How the capture ended; `None` where it did not end in order.
    pub finish: Option<End>,
    /// What could not be read.
    pub damage: Damage,
}

impl Model {
    /// Decodes the trace in `bytes` and hands each event to `sink`.
    pub fn read(bytes: &[u8], mut sink: impl FnMut(&Event<'_>)) -> Result<Self, Unreadable> {
        Self::read_along(bytes, |_, event| sink(event))
    }

    /// As [`Model::read`], for a sink that looks up what the trace has said so far.
    pub fn read_along(
        bytes: &[u8],
        mut sink: impl FnMut(&Self, &Event<'_>),
    ) -> Result<Self, Unreadable> {
        let mut reader = Reader::open(bytes)?;
        let mut model = Self::default();
        let mut replay = DeltaDecoder::default();
        let (mut started, mut recap) = (false, false);
        while let Some(item) = reader.next() {
            match item {
                Item::Chunk(header) => {
                    if !started {
                        model.clocks = header.clocks;
                    }
                    started = true;
                    if recap {
                        sink(&model, &Event::Recap { at: header.base });
                    }
                    recap = reader.in_prologue();
                }
                Item::Gap => {
                    replay.forget();
                    sink(&model, &Event::Gap);
                }
                Item::Record(stamped) => model.record(stamped, &mut replay, &mut sink),
            }
        }
        model.damage = reader.damage();
        model.dropped_chunks = reader.dropped_chunks();
        if model.records == 0 {
            return Err(Unreadable::NoRecords(model.damage.bytes));
        }
        Ok(model)
    }

    fn record(
        &mut self,
        Stamped { at, record }: Stamped,
        replay: &mut DeltaDecoder,
        sink: &mut impl FnMut(&Self, &Event<'_>),
    ) {
        let first = self.records == 0;
        self.start = if first { at } else { self.start.min(at) };
        self.end = self.end.max(at);
        self.records += 1;
        match record {
            Record::Session(session) => self.session = self.session.take().or(Some(session)),
            Record::String(text) => {
                self.texts.insert(text.id, text.bytes);
            }
            Record::Source(source) => {
                self.sources.insert(source.instance, source);
            }
            Record::Snapshot(record) => {
                self.snapshots += 1;
                let Ok(states) = replay.apply(at, &record) else {
                    self.orphaned_snapshots += 1;
                    return;
                };
                let view = View { at, now: record.mono, record: &record, states };
                self.truncated_snapshots += u64::from(!view.whole());
                sink(self, &Event::Snapshot(view));
            }
            Record::Phase(Phase { action, value, begin }) => {
                let action = self.texts.get(&action).map_or(&[][..], Vec::as_slice);
                sink(self, &Event::Phase { at, action, value, begin });
            }
            Record::Return(returned) => {
                let errno = returned.errno;
                sink(self, &Event::Return { at, errno });
            }
            Record::Lost(Lost { events }) => {
                self.lost_events = self.lost_events.saturating_add(events);
                sink(self, &Event::Lost { at, events });
            }
            Record::Overhead(overhead) => {
                self.started = self.started.or(Some(overhead));
                self.overhead = Some(overhead);
            }
            Record::End(end) => self.finish = Some(end),
            Record::Edge(Edge { source, flags, .. }) => {
                self.edges += 1;
                let (active, shared) = (flags & EDGE_ACTIVE != 0, flags & EDGE_SHARED != 0);
                sink(self, &Event::Edge { at, source, active, shared });
            }
            Record::WaitBegin(WaitBegin { thread }) => sink(self, &Event::WaitBegin { at, thread }),
            Record::WaitEnd(WaitEnd { thread, idle }) => {
                sink(self, &Event::WaitEnd { at, thread, idle });
            }
            Record::CountWrite(CountWrite { thread, saved }) => {
                sink(self, &Event::Save { at, thread, saved });
            }
            Record::Irq(irq) => {
                self.irqs.insert(irq.number, irq);
            }
            Record::Wake(Wake { irq }) => sink(self, &Event::Wake { at, irq }),
            Record::PowerSupply(supply) => sink(self, &Event::Supply { at, supply: &supply }),
            Record::SuspendStats(stats) => sink(self, &Event::SuspendStats { at, stats: &stats }),
            // Only `dump` shows them.
            Record::Waiters(_) => {}
        }
    }

    /// Length of the session.
    pub fn duration_ns(&self) -> u64 {
        self.end.since(self.start)
    }

    /// CLOCK_REALTIME at the session's start.
    pub fn start_real(&self) -> RealNanos {
        self.clocks.real_at(self.start)
    }

    /// A string by its number; empty where it was lost.
    pub fn text(&self, id: u32) -> &[u8] {
        self.texts.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The name of a source; empty where it was lost with a damaged chunk.
    pub fn name(&self, instance: u32) -> &[u8] {
        self.sources.get(&instance).map_or(&[], |source| self.text(source.name))
    }

    /// Whether nothing is missing: it ended in order, nothing is damaged, nothing was lost.
    pub fn complete(&self) -> bool {
        self.finish.is_some()
            && self.damage == Damage::default()
            && self.lost_events == 0
            && self.truncated_snapshots == 0
            && self.orphaned_snapshots == 0
    }
}
