//! Events in the order of their stamps.
//!
//! In the file, what lay in the agent's ring buffer follows the snapshot that was taken meanwhile. So
//! events are held back until more than a ring's worth came after them. Where a trace is out of order
//! by more than that, so is what comes out.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io;

use sleepwalk_trace::record::{PowerSupply, Reason};
use sleepwalk_trace::snapshot::SourceState;
use sleepwalk_trace::time::{BootNanos, MonoNanos};

use super::ExportError;
use crate::session::decode::{Event, Model, View};

/// Events held back: twice the edges that the ring has room for (`RING_BYTES`, 32 bytes each).
const WINDOW: usize = 1 << 16;

/// An event that outlives the record it is from.
#[derive(Debug)]
pub struct Timed {
    /// When; of what has no stamp, that of the event before it.
    pub at: BootNanos,
    /// What.
    pub what: What,
}

/// What happened; see [`Event`].
#[derive(Debug)]
pub enum What {
    /// The sources that changed.
    Snapshot(Box<Changes>),
    /// A suspend phase began or ended.
    Phase { action: Box<[u8]>, value: i32, begin: bool },
    /// `pm_suspend` returned.
    Return { errno: Option<i32> },
    /// A source was activated or deactivated.
    Edge { source: u32, active: bool, shared: bool },
    /// A thread waits for the wakeup count.
    WaitBegin { thread: u32 },
    /// It waits no more.
    WaitEnd { thread: u32, idle: bool },
    /// It wrote the count back.
    Save { thread: u32, saved: bool },
    /// An interrupt woke the system.
    Wake { irq: u32 },
    /// A power supply was read.
    Supply(Box<PowerSupply>),
    /// Events are missing.
    Lost { events: u64 },
    /// Records are missing.
    Gap,
}

/// A snapshot, less what did not change.
#[derive(Debug)]
pub struct Changes {
    /// Why it was taken.
    pub reason: Reason,
    /// Its stamp by CLOCK_MONOTONIC.
    pub now: MonoNanos,
    /// How long the walk took, ns.
    pub took_ns: u64,
    /// It saw every source.
    pub whole: bool,
    /// It has the sources that did not change too.
    pub full: bool,
    /// The sources that changed, by instance.
    pub changed: Vec<(u32, SourceState)>,
    /// The instances that are no more.
    pub gone: Vec<u32>,
}

impl Changes {
    fn of(view: &View<'_>) -> Self {
        let record = view.record;
        let changed = record.changed.iter();
        Self {
            reason: record.reason,
            now: view.now,
            took_ns: record.took_ns,
            whole: view.whole(),
            full: record.full,
            changed: changed
                .filter_map(|delta| Some((delta.instance, *view.states.get(&delta.instance)?)))
                .collect(),
            gone: record.gone.clone(),
        }
    }
}

/// Hands the events of the trace in `bytes` to `sink` in order. After its first error it gets no more.
pub fn in_order(
    bytes: &[u8],
    mut sink: impl FnMut(Timed) -> io::Result<()>,
) -> Result<(), ExportError> {
    let mut held = BinaryHeap::new();
    let mut result = Ok(());
    let (mut at, mut number) = (BootNanos(0), 0u64);
    Model::read(bytes, |event| {
        let Some((stamp, what)) = own(event, at) else { return };
        at = stamp;
        held.push(Held { number, event: Timed { at, what } });
        number += 1;
        if held.len() > WINDOW
            && let Some(first) = held.pop()
            && result.is_ok()
        {
            result = sink(first.event);
        }
    })?;
    result?;
    while let Some(first) = held.pop() {
        sink(first.event)?;
    }
    Ok(())
}

/// None for what no export has.
fn own(event: &Event<'_>, before: BootNanos) -> Option<(BootNanos, What)> {
    Some(match *event {
        Event::Snapshot(view) => (view.at, What::Snapshot(Box::new(Changes::of(&view)))),
        Event::Phase { at, action, value, begin } => {
            (at, What::Phase { action: action.into(), value, begin })
        }
        Event::Return { at, errno } => (at, What::Return { errno }),
        Event::Edge { at, source, active, shared } => (at, What::Edge { source, active, shared }),
        Event::WaitBegin { at, thread } => (at, What::WaitBegin { thread }),
        Event::WaitEnd { at, thread, idle } => (at, What::WaitEnd { thread, idle }),
        Event::Save { at, thread, saved } => (at, What::Save { thread, saved }),
        Event::Wake { at, irq } => (at, What::Wake { irq }),
        Event::Supply { at, supply } => (at, What::Supply(Box::new(*supply))),
        Event::Lost { at, events } => (at, What::Lost { events }),
        Event::Recap { at } => (at, What::Gap),
        Event::Gap => (before, What::Gap),
        Event::SuspendStats { .. } => return None,
    })
}

/// An event held back; the greatest of them is the first to go: the earliest, and of equals that
/// which came first.
struct Held {
    number: u64,
    event: Timed,
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |held: &Self| (held.event.at, held.number);
        key(other).cmp(&key(self))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Held {}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::chunk::file_header;
    use sleepwalk_trace::record::{Record, Wake};
    use sleepwalk_trace::time::Clocks;
    use sleepwalk_trace::write::ChunkWriter;

    use super::*;

    fn trace(stamps: impl Iterator<Item = u64>) -> Vec<u8> {
        let mut writer = ChunkWriter::default();
        for (number, at) in stamps.enumerate() {
            writer.push(BootNanos(at), &Record::Wake(Wake { irq: number as u32 }));
        }
        let chunk = writer.seal(Clocks::default()).expect("records");
        [&file_header(0)[..], &chunk].concat()
    }

    #[test]
    fn a_ring_s_worth_comes_in_order_and_equals_as_they_were() {
        let ring = 1u64 << 15;
        // A snapshot's worth later than all that lay in the ring meanwhile, twice.
        let stamps = [ring].into_iter().chain(0..ring).chain([2 * ring]).chain(ring..2 * ring);
        let mut last = (BootNanos(0), 0);
        let mut count = 0;
        let result = in_order(&trace(stamps), |event| {
            let What::Wake { irq } = event.what else { panic!("{event:?}") };
            assert!((event.at, irq) >= last, "{event:?} after {last:?}");
            last = (event.at, irq);
            count += 1;
            Ok(())
        });
        assert!(result.is_ok());
        assert_eq!(count, 2 * ring + 2);
    }

    #[test]
    fn nothing_more_is_told_after_an_error() {
        let mut told = 0;
        let result = in_order(&trace(0..3), |_| {
            told += 1;
            Err(io::Error::other("full"))
        });
        assert!(matches!(result, Err(ExportError::Write(_))));
        assert_eq!(told, 1);
    }
}
