//! What happened, as records: the chunk under way, and what the trace has been told of.

use anyhow::Result;
use sleepwalk_trace::chunk::chunk_len;
use sleepwalk_trace::record::{
    CountWrite, Edge, IrqDef, Lost, Phase, Record, SuspendReturn, WaitBegin, WaitEnd, Wake,
    next_state,
};
use sleepwalk_trace::time::BootNanos;
use sleepwalk_trace::write::ChunkWriter;

use crate::clock;
use crate::context::irqs::Irqs;
use crate::instances::Instances;
use crate::probe::events::{ProbeEvent, What};
use crate::recap::Recap;
use crate::store::{Disk, Store};

/// The phase that opens an attempt (`enter_state`, `kernel/power/suspend.c`, 7.3).
const ATTEMPT: &[u8] = b"suspend_enter";

/// The phase at whose end user space stands still (`suspend_prepare`, same file).
const FROZEN: &[u8] = b"freeze_processes";

/// Records on their way into the trace.
#[derive(Debug, Default)]
pub struct Journal {
    out: Out,
    /// Which source is which.
    pub instances: Instances,
    /// What the last edge of this chunk left.
    state: Option<u32>,
    irqs: Irqs,
    /// Events in this chunk.
    events: u64,
}

/// Where records go.
#[derive(Debug, Default)]
struct Out {
    writer: ChunkWriter,
    /// Only a ring needs it.
    recap: Option<Recap>,
}

impl Out {
    fn push(&mut self, at: BootNanos, record: &Record) {
        self.writer.push(at, record);
        if let Some(recap) = &mut self.recap {
            recap.push(at, record);
        }
    }
}

/// What an event means for the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// An attempt begins.
    Begin,
    /// An attempt is over.
    End,
    /// A name has to be looked up, and the event offered again.
    Unnamed,
}

impl Journal {
    /// A journal; of a ring, one that can write prologues.
    pub fn new(ring: bool) -> Self {
        let out = Out { recap: ring.then(Recap::default), ..Out::default() };
        Self { out, ..Self::default() }
    }

    /// Adds a record.
    pub fn push(&mut self, at: BootNanos, record: &Record) {
        self.out.push(at, record);
    }

    /// Adds a record of this moment.
    pub fn push_now(&mut self, record: &Record) {
        self.push(clock::now().boot, record);
    }

    /// Bytes that wait for [`Journal::commit`].
    pub fn pending(&self) -> usize {
        self.out.writer.pending()
    }

    /// Makes what waits part of the file, in a new region where the one under way has no room; says
    /// whether it went there. `keep` bytes are to be left for what must follow, see
    /// [`Store::make_room`].
    pub fn commit<D: Disk>(&mut self, store: &mut Store<D>, keep: u64) -> Result<bool> {
        if self.pending() == 0 {
            return Ok(false);
        }
        let length = chunk_len(self.pending());
        let prologue = if store.fits(length) { None } else { self.prologue() };
        let moved = prologue.is_some();
        if let Some(prologue) = prologue {
            store.next_region(chunk_len(prologue.pending()) + length)?;
            if let Some(chunk) = self.out.writer.seal_before(prologue, clock::now()) {
                store.append(&chunk)?;
            }
        }
        store.make_room(length, Some(keep))?;
        self.seal(store)?;
        Ok(moved)
    }

    /// Makes `last` the last record, and what waits part of the file if there is room for it.
    pub fn close<D: Disk>(&mut self, store: &mut Store<D>, last: &Record) -> Result<()> {
        if let Err(error) = self.commit(store, 0) {
            log::debug!("what was pending could not be written: {error:#}");
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
        self.state = None;
        self.events = 0;
        if let Some(recap) = &mut self.out.recap {
            let known = self.instances.known_texts();
            recap.commit(|text| known.contains(&text));
        }
        match self.out.writer.seal(clock::now()) {
            Some(chunk) => store.append(&chunk),
            None => Ok(()),
        }
    }

    /// What waits, as it would be written.
    #[cfg(test)]
    pub fn take_chunk(&mut self) -> Option<Vec<u8>> {
        self.out.writer.seal(clock::now())
    }

    /// Drops what waits, as if it had never been; returns how many events that were.
    fn discard(&mut self) -> u64 {
        self.state = None;
        self.out.writer.discard();
        if let Some(recap) = &mut self.out.recap {
            recap.discard();
        }
        std::mem::take(&mut self.events)
    }

    /// What a region begins with, before the chunk that waits; `None` where there is one region only.
    fn prologue(&self) -> Option<ChunkWriter> {
        let (at, records) = self.out.recap.as_ref()?.records();
        let mut prologue = ChunkWriter::default();
        for record in &records {
            prologue.push(at, record);
        }
        Some(prologue)
    }

    /// The number of a string, for good: it is never forgotten.
    pub fn text(&mut self, at: BootNanos, bytes: &[u8]) -> u32 {
        let out = &mut self.out;
        self.instances.lasting_text(bytes, &mut |record| out.push(at, &record))
    }

    /// Says what an interrupt is called, if that is news.
    fn irq(&mut self, at: BootNanos, number: u32) {
        if let Some(irq) = self.irqs.news(number) {
            let (name, chip) = (self.text(at, &irq.name), self.text(at, &irq.chip));
            self.push(at, &Record::Irq(IrqDef { number, name, chip }));
        }
    }

    /// Records one event. An edge whose source's name is `lost` for good is recorded without.
    pub fn event(&mut self, event: &ProbeEvent, lost: bool) -> Option<Turn> {
        let at = event.at;
        self.events += 1;
        let record = match event.what {
            What::Phase { ref action, value, begin } => {
                let phase = Phase { action: self.text(at, action.bytes()), value, begin };
                self.push(at, &Record::Phase(phase));
                return begins_attempt(event).then_some(Turn::Begin);
            }
            What::Return { errno } => {
                self.push(at, &Record::Return(SuspendReturn { errno: Some(errno) }));
                return Some(Turn::End);
            }
            What::Edge { name_pointer, state, active } => {
                let out = &mut self.out;
                let mut tell = |record| out.push(at, &record);
                let known = self.instances.edge(name_pointer, active, at, &mut tell);
                let edge = match known {
                    None if lost => self.instances.nameless_edge(name_pointer, active, &mut tell),
                    None => return Some(Turn::Unnamed),
                    Some(edge) => edge,
                };
                let follows = self.state.map(|before| next_state(before, active));
                self.state = Some(state);
                Record::Edge(Edge { state: (follows != Some(state)).then_some(state), ..edge })
            }
            What::Name { name_pointer, ref name, cut } => {
                let out = &mut self.out;
                let mut tell = |record| out.push(at, &record);
                self.instances.name_pointer(name_pointer, name.bytes(), cut, &mut tell);
                return None;
            }
            What::WaitBegin { thread } => Record::WaitBegin(WaitBegin { thread }),
            What::WaitEnd { thread, idle } => Record::WaitEnd(WaitEnd { thread, idle }),
            What::Save { thread, saved } => Record::CountWrite(CountWrite { thread, saved }),
            What::Wake { irq } => {
                self.irq(at, irq);
                Record::Wake(Wake { irq })
            }
        };
        self.push(at, &record);
        None
    }
}

/// Whether an attempt begins with this event.
pub fn begins_attempt(event: &ProbeEvent) -> bool {
    matches!(&event.what, What::Phase { action, begin: true, .. } if action.bytes() == ATTEMPT)
}

/// Whether user space stood still at this event, so that a snapshot taken after it does not show an
/// attempt's begin.
pub fn frozen(event: &ProbeEvent) -> bool {
    match &event.what {
        What::Phase { action, begin, .. } => !begin && action.bytes() == FROZEN,
        _ => false,
    }
}
