//! What happened, as records: the chunk under way, and what the trace has been told of.

use sleepwalk_trace::record::{
    Edge, IrqDef, Phase, Record, SaveCount, SuspendReturn, WaitBegin, WaitEnd, Wake, next_state,
};
use sleepwalk_trace::time::BootNanos;
use sleepwalk_trace::write::ChunkWriter;

use crate::clock;
use crate::context::irqs::Irqs;
use crate::instances::Instances;
use crate::probe::events::{ProbeEvent, What};

/// The phase that opens an attempt (`enter_state`, `kernel/power/suspend.c`, 7.3).
const ATTEMPT: &[u8] = b"suspend_enter";

/// The phase at whose end user space stands still (`suspend_prepare`, same file).
const FROZEN: &[u8] = b"freeze_processes";

/// Records on their way into the trace.
#[derive(Debug, Default)]
pub struct Journal {
    writer: ChunkWriter,
    /// Which source is which.
    pub instances: Instances,
    /// What the last edge of this chunk left.
    state: Option<u32>,
    irqs: Irqs,
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
    /// Adds a record.
    pub fn push(&mut self, at: BootNanos, record: &Record) {
        self.writer.push(at, record);
    }

    /// Adds a record of this moment.
    pub fn push_now(&mut self, record: &Record) {
        self.push(clock::now().boot, record);
    }

    /// Bytes that wait for [`Journal::seal`].
    pub fn pending(&self) -> usize {
        self.writer.pending()
    }

    /// Closes the chunk, if there is anything in it.
    pub fn seal(&mut self) -> Option<Vec<u8>> {
        self.state = None;
        self.writer.seal(clock::now())
    }

    /// The number of a string.
    pub fn text(&mut self, at: BootNanos, bytes: &[u8]) -> u32 {
        let writer = &mut self.writer;
        self.instances.text(bytes, &mut |record| writer.push(at, &record))
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
                let writer = &mut self.writer;
                let mut tell = |record| writer.push(at, &record);
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
                let writer = &mut self.writer;
                let mut tell = |record| writer.push(at, &record);
                self.instances.name_pointer(name_pointer, name.bytes(), cut, &mut tell);
                return None;
            }
            What::WaitBegin { thread } => Record::WaitBegin(WaitBegin { thread }),
            What::WaitEnd { thread, idle } => Record::WaitEnd(WaitEnd { thread, idle }),
            What::Save { thread, saved } => Record::SaveCount(SaveCount { thread, saved }),
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
