//! Events and readings as records: the current chunk, and the definitions that the trace has.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use anyhow::Result;
use sleepwalk_trace::chunk::chunk_len;
use sleepwalk_trace::record::{
    ActivatedBy, Activator, CountWrite, Edge, EpollWaiter, IrqDef, Lost, Phase, PowerSupply,
    Record, SourceDevice, StringDef, SuspendReturn, SuspendStats, WaitBegin, WaitEnd, Wake,
    WakeReason, next_state,
};
use sleepwalk_trace::snapshot::SourceState;
use sleepwalk_trace::time::BootNanos;
use sleepwalk_trace::write::ChunkWriter;

use super::prologue::Prologue;
use crate::activators::{Activators, Found};
use crate::clock;
use crate::context::epoll_waiters;
use crate::context::irqs::Irqs;
use crate::context::power_supply::PowerSupplyReading;
use crate::context::source_device::SourceDevice as Device;
use crate::context::suspend_stats::Changes;
use crate::identity::instances::{EdgeOf, Instances, Reading};
use crate::identity::name_table::SourceName;
use crate::identity::strings::StringTable;
use crate::probe::events::{EventKind, ProbeEdge, ProbeEvent, Running};
use crate::snapshot::Sample;
use crate::store::{Disk, Store};

/// The phase that starts an attempt (`enter_state`, `kernel/power/suspend.c`, 7.3).
const ATTEMPT: &[u8] = b"suspend_enter";

/// The phase at whose end user space is frozen (`suspend_prepare`, same file).
const FROZEN: &[u8] = b"freeze_processes";

/// Records on their way into the trace.
#[derive(Debug, Default)]
pub struct Journal {
    out: Out,
    strings: StringTable,
    instances: Instances,
    /// The state after the last edge of this chunk.
    state: Option<u32>,
    irqs: Irqs,
    /// `None` if they are not recorded.
    activators: Option<Activators>,
    /// Sources whose device was not looked up yet: instance, id and name.
    new_sources: Vec<(u32, u32, Vec<u8>)>,
    /// Events in this chunk.
    events: u64,
}

/// The destination of records.
#[derive(Debug, Default)]
struct Out {
    writer: ChunkWriter,
    /// Only a ring needs it.
    prologue: Option<Prologue>,
}

impl Out {
    fn push(&mut self, at: BootNanos, record: &Record) {
        self.writer.push(at, record);
        if let Some(prologue) = &mut self.prologue {
            prologue.push(at, record);
        }
    }
}

/// The step that the recorder takes after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// None.
    Nothing,
    /// An attempt began: take a snapshot before the freeze.
    AttemptBegan,
    /// An attempt ended: take a snapshot.
    AttemptEnded,
    /// The edge was not recorded, because the name of its source is not known. A snapshot may show
    /// it; then pass the edge to [`Journal::edge_without_name`].
    NameMissing(ProbeEdge),
}

impl Journal {
    /// A journal; if it is for a ring, one that can write prologues.
    pub fn new(ring: bool) -> Self {
        let out = Out { prologue: ring.then(Prologue::default), ..Out::default() };
        Self { out, ..Self::default() }
    }

    /// From now on, activations have their activators.
    pub fn record_activators(&mut self, activators: Activators) {
        self.activators = Some(activators);
    }

    /// Adds a record.
    pub fn push(&mut self, at: BootNanos, record: &Record) {
        self.out.push(at, record);
    }

    /// Adds a record with the current time.
    pub fn push_now(&mut self, record: &Record) {
        self.push(clock::now().boot, record);
    }

    /// Bytes that wait for [`Journal::commit`].
    pub fn pending(&self) -> usize {
        self.out.writer.pending()
    }

    /// Writes the pending records to the file, in a new region if the current one has no room. Returns
    /// whether it started a new region. `keep` bytes stay free for the records that must follow, see
    /// [`Store::make_room`].
    pub fn commit<D: Disk>(&mut self, store: &mut Store<D>, keep: u64) -> Result<bool> {
        if self.pending() == 0 {
            return Ok(false);
        }
        let length = chunk_len(self.pending());
        let prologue = if store.fits(length) { None } else { self.prologue_chunk() };
        let moved = prologue.is_some();
        if let Some(prologue) = prologue {
            store.next_region(chunk_len(prologue.pending()) + length)?;
            if let Some(chunk) = self.out.writer.seal_before(prologue, clock::now()) {
                store.append(&chunk)?;
            }
        }
        store.make_room(length, Some(keep))?;
        self.seal(store)?;
        if let Some(activators) = self.activators.as_mut().filter(|_| moved) {
            activators.chunk_ended(true);
        }
        Ok(moved)
    }

    /// Ends the trace with the record `last`. The pending records before it are written if there is
    /// room for them.
    pub fn close<D: Disk>(&mut self, store: &mut Store<D>, last: &Record) -> Result<()> {
        if let Err(error) = self.commit(store, 0) {
            log::debug!("the pending records could not be written: {error:#}");
            let events = self.discard();
            if events > 0 {
                self.push_now(&Record::Lost(Lost { events }));
            }
        }
        self.push_now(last);
        store.make_room(chunk_len(self.pending()), None)?;
        self.seal(store)
    }

    /// Closes the chunk and writes it.
    fn seal<D: Disk>(&mut self, store: &mut Store<D>) -> Result<()> {
        self.chunk_ended();
        self.events = 0;
        if let Some(prologue) = &mut self.out.prologue {
            let (strings, sources) = (self.strings.ids(), self.instances.in_use());
            prologue.commit(|string| strings.contains(&string), |one| sources.contains(&one));
        }
        match self.out.writer.seal(clock::now()) {
            Some(chunk) => store.append(&chunk),
            None => Ok(()),
        }
    }

    fn chunk_ended(&mut self) {
        self.state = None;
        if let Some(activators) = &mut self.activators {
            activators.chunk_ended(false);
        }
    }

    /// Drops the pending records, as if they had never been added, and returns how many events they
    /// were.
    fn discard(&mut self) -> u64 {
        self.chunk_ended();
        self.out.writer.discard();
        if let Some(prologue) = &mut self.out.prologue {
            prologue.discard();
        }
        std::mem::take(&mut self.events)
    }

    /// The chunk that a region starts with, before the pending one; `None` if there is only one
    /// region.
    fn prologue_chunk(&self) -> Option<ChunkWriter> {
        let prologue = self.out.prologue.as_ref()?;
        let (at, records) = prologue.records();
        let mut chunk = ChunkWriter::default();
        for record in &records {
            chunk.push(at, record);
        }
        if let Some((at, waiters)) = prologue.waiters() {
            chunk.push(at, &waiters);
        }
        Some(chunk)
    }

    fn define(&mut self, at: BootNanos, (id, definition): (u32, Option<StringDef>)) -> u32 {
        if let Some(definition) = definition {
            self.push(at, &Record::String(definition));
        }
        id
    }

    /// The number of a string that is not only the name of a source.
    fn string(&mut self, at: BootNanos, bytes: &[u8]) -> u32 {
        let string = self.strings.permanent(bytes);
        self.define(at, string)
    }

    /// The number of the name of a source.
    fn source_name(&mut self, at: BootNanos, bytes: &[u8]) -> u32 {
        let string = self.strings.name(bytes);
        self.define(at, string)
    }

    /// Defines the source of a sample, if the trace does not have it. Returns its number and its state.
    pub fn source(&mut self, sample: &Sample<'_>, read: Reading) -> (u32, SourceState) {
        let name = self.source_name(read.boot, sample.name);
        let source = self.instances.identify(sample, name, read);
        if let Some(definition) = source.definition {
            self.push(read.boot, &Record::Source(definition));
            if let Some(id) = definition.id {
                self.new_sources.push((definition.instance, id, sample.name.to_vec()));
            }
        }
        (source.instance, source.state)
    }

    /// The sources that snapshots have shown since the last call: instance, id and name.
    pub fn take_new_sources(&mut self) -> Vec<(u32, u32, Vec<u8>)> {
        std::mem::take(&mut self.new_sources)
    }

    /// Records a process that waits for a file with a source of its own.
    pub fn epoll_waiter(&mut self, at: BootNanos, waiter: &epoll_waiters::EpollWaiter) {
        let record = EpollWaiter {
            name: self.string(at, &waiter.name),
            process: waiter.process,
            uid: waiter.uid,
            comm: self.string(at, &waiter.comm),
        };
        self.push(at, &Record::EpollWaiter(record));
    }

    /// Records the device behind a source.
    pub fn source_device(&mut self, at: BootNanos, source: u32, device: &Device) {
        let record = SourceDevice {
            source,
            path: self.string(at, &device.path),
            driver: self.string(at, &device.driver),
            compatible: self.string(at, &device.compatible),
            irq: device.irq,
        };
        self.push(at, &Record::SourceDevice(record));
    }

    /// How many sources are known from edges alone.
    pub fn only_in_edges(&self) -> usize {
        self.instances.only_in_edges()
    }

    /// Whether a snapshot is due because too many sources are known from edges alone.
    pub fn snapshot_due(&self) -> bool {
        self.instances.snapshot_due()
    }

    /// All samples of the snapshot numbered `snapshot`, which was taken at `at`, were passed to
    /// [`Journal::source`]. If it is whole, the sources that it does not have are gone.
    pub fn snapshot_taken(&mut self, snapshot: u64, at: BootNanos, whole: bool) {
        self.instances.snapshot_taken(snapshot, at, whole);
        if self.strings.has_grown() {
            let mut used = self.instances.names_in_use();
            let activators = self.activators.iter().flat_map(Activators::strings);
            used.extend(activators.filter_map(|string| self.strings.id(string)));
            self.strings.forget_unused(&used);
        }
    }

    /// How many sources a prologue has.
    #[cfg(test)]
    pub fn in_prologue(&self) -> usize {
        self.out.prologue.as_ref().map_or(0, Prologue::remembered)
    }

    /// The sources that a record may still refer to.
    pub fn sources_in_use(&self) -> HashSet<u32> {
        self.instances.in_use()
    }

    /// Records a power supply.
    pub fn power_supply(&mut self, supply: &PowerSupplyReading) {
        let PowerSupplyReading { at, ref name, ref reading } = *supply;
        let record = PowerSupply {
            name: self.string(at, name),
            kind: self.string(at, &reading.kind),
            status: self.string(at, &reading.status),
            capacity: reading.capacity,
            charge_uah: reading.charge_uah,
            current_ua: reading.current_ua,
            online: reading.online,
        };
        self.push(at, &Record::PowerSupply(record));
    }

    /// Records what changed in `suspend_stats`.
    pub fn suspend_stats(&mut self, changes: &Changes) {
        let at = changes.at;
        let counters = changes.counters.iter();
        let record = SuspendStats {
            last_device: self.string(at, &changes.last_device),
            last_errno: changes.last_errno,
            last_step: self.string(at, &changes.last_step),
            counters: counters.map(|(name, n)| (self.string(at, name.as_bytes()), *n)).collect(),
        };
        self.push(at, &Record::SuspendStats(record));
    }

    /// Records the kernel's files about the last attempt.
    pub fn wake_reason(&mut self, at: BootNanos, reason: WakeReason) {
        if let Some(irq) = reason.irq {
            self.irq(at, irq);
        }
        self.push(at, &Record::WakeReason(reason));
    }

    /// Defines an interrupt, if its names are not those that the trace has.
    fn irq(&mut self, at: BootNanos, number: u32) {
        if let Some(irq) = self.irqs.changed(number) {
            let (name, chip) = (self.string(at, &irq.name), self.string(at, &irq.chip));
            self.push(at, &Record::Irq(IrqDef { number, name, chip }));
        }
    }

    /// Records one event.
    pub fn event(&mut self, event: &ProbeEvent) -> NextStep {
        let at = event.at;
        self.events += 1;
        let record = match event.kind {
            EventKind::Phase { ref action, value, begin } => {
                let action = self.string(at, action.bytes());
                self.push(at, &Record::Phase(Phase { action, value, begin }));
                return match begins_attempt(event) {
                    true => NextStep::AttemptBegan,
                    false => NextStep::Nothing,
                };
            }
            EventKind::Return { errno } => {
                self.push(at, &Record::Return(SuspendReturn { errno: Some(errno) }));
                return NextStep::AttemptEnded;
            }
            EventKind::Edge(edge) => {
                return match self.edge(at, edge) {
                    true => NextStep::Nothing,
                    false => NextStep::NameMissing(edge),
                };
            }
            EventKind::Name { name_pointer, ref name, cut } => {
                let string = self.source_name(at, name.bytes());
                self.instances.set_name(name_pointer, SourceName { string, cut });
                return NextStep::Nothing;
            }
            EventKind::WaitBegin { thread } => Record::WaitBegin(WaitBegin { thread }),
            EventKind::WaitEnd { thread, idle } => Record::WaitEnd(WaitEnd { thread, idle }),
            EventKind::CountWrite { thread, saved } => {
                Record::CountWrite(CountWrite { thread, saved })
            }
            EventKind::Wake { irq } => {
                self.irq(at, irq);
                Record::Wake(Wake { irq })
            }
        };
        self.push(at, &record);
        NextStep::Nothing
    }

    /// Records an edge after a snapshot, which may have shown the name of its source. If it has
    /// not, the name is lost, and the edge belongs to a new source without a name.
    pub fn edge_without_name(&mut self, at: BootNanos, edge: ProbeEdge) {
        if !self.edge(at, edge) {
            let name = SourceName { string: self.source_name(at, b""), cut: true };
            let (definition, record) =
                self.instances.new_source(edge.name_pointer, name, edge.active);
            self.push(at, &Record::Source(definition));
            self.push_edge(at, record, edge);
        }
    }

    /// Records an edge; `false` if the name of its source is not known.
    fn edge(&mut self, at: BootNanos, edge: ProbeEdge) -> bool {
        let record = match self.instances.edge(edge.name_pointer, edge.active, at) {
            EdgeOf::Known(record) => record,
            EdgeOf::New(definition, record) => {
                self.push(at, &Record::Source(definition));
                record
            }
            EdgeOf::Unknown => return false,
        };
        self.push_edge(at, record, edge);
        true
    }

    /// Leaves out a state that follows from the edge before.
    fn push_edge(&mut self, at: BootNanos, record: Edge, edge: ProbeEdge) {
        if let Some(running) = &edge.running {
            self.activated_by(at, record.source, running);
        }
        let follows = self.state.map(|before| next_state(before, edge.active));
        self.state = Some(edge.state);
        let state = (follows != Some(edge.state)).then_some(edge.state);
        self.push(at, &Record::Edge(Edge { state, ..record }));
    }

    /// Records what activates a source, where the chunk does not show it yet.
    fn activated_by(&mut self, at: BootNanos, source: u32, running: &Running) {
        let Some(activators) = &mut self.activators else { return };
        let (found, changed) = activators.of(source, running);
        if found.undefined {
            let Found { id, level, running, caller, with_frames, .. } = found;
            let record = Activator {
                id,
                function: self.source_name(at, caller.function.as_bytes()),
                module: self.source_name(at, caller.module.as_bytes()),
                level,
                process: running.process,
                thread: running.thread,
                uid: running.uid,
                comm: self.source_name(at, running.comm.bytes()),
                frames: if with_frames { caller.frames.clone() } else { Vec::new() },
            };
            self.push(at, &Record::Activator(record));
        }
        if changed {
            self.push(at, &Record::ActivatedBy(ActivatedBy { source, activator: found.id }));
        }
    }
}

/// Whether an attempt begins with this event.
pub fn begins_attempt(event: &ProbeEvent) -> bool {
    matches!(&event.kind, EventKind::Phase { action, begin: true, .. } if action.bytes() == ATTEMPT)
}

/// Whether user space is frozen at this event. A snapshot after it does not show the start of an
/// attempt.
pub fn freeze_is_over(event: &ProbeEvent) -> bool {
    matches!(&event.kind, EventKind::Phase { action, begin: false, .. } if action.bytes() == FROZEN)
}
