//! The one ordered stream of events: reports and exports read it.
//!
//! The file has events nearly in the order of their stamps. A hook of the probe takes its stamp first, and
//! its place in the ring later, so the events of two CPUs may be swapped. The agent writes its own
//! readings (snapshots, power supplies) before the events that piled up in the ring meanwhile. So an
//! event waits until the probe's stamps are `JITTER_NS` beyond it. Events of one stamp keep the order
//! of the file, and no stamp runs backwards, whatever the file holds.

use std::collections::VecDeque;

use sleepwalk_trace::time::BootNanos;

use super::decode::{Event, Model, Unreadable};

/// The probe's events are at most this far out of order. In a storm of activations on the virtual
/// device, whose CPUs the host may stop in between, 28 ms were seen.
const JITTER_NS: u64 = 50_000_000;

/// The agent's events that wait, where no event of the probe releases them.
const AGENTS: usize = 64;

/// Events that wait: as many as can come within [`JITTER_NS`]. A forged trace may have more.
const ROOM: usize = 1 << 16;

/// Decodes the trace in `bytes` and hands its events to `sink` in order, with what is known so far.
pub fn read(
    bytes: &[u8],
    mut sink: impl FnMut(&Model, BootNanos, Event),
) -> Result<Model, Unreadable> {
    let mut order = Order::default();
    let model = Model::read(bytes, |model, at, event| {
        if matches!(event, Event::Gap) {
            while let Some((at, event)) = order.pop() {
                sink(model, at, event);
            }
            return sink(model, order.last, event);
        }
        if matches!(event, Event::Clocks { .. }) {
            // It is no event: nothing comes before or after it.
            return sink(model, at, event);
        }
        order.push(at, event);
        while let Some((at, event)) = order.pop_due() {
            sink(model, at, event);
        }
    })?;
    while let Some((at, event)) = order.pop() {
        sink(&model, at, event);
    }
    Ok(model)
}

/// Holds events back and puts them in order.
#[derive(Debug, Default)]
struct Order {
    waiting: VecDeque<(BootNanos, Event)>,
    /// How many of `waiting` are the agent's.
    agents: usize,
    /// No event of the probe before this stamp is still to come.
    complete: BootNanos,
    /// The last stamp handed out.
    last: BootNanos,
}

fn is_agents(event: &Event) -> bool {
    matches!(
        event,
        Event::Snapshot(_)
            | Event::PowerSupply(_)
            | Event::SuspendStats(_)
            | Event::WakeReason(_)
            | Event::Waiters { .. }
    )
}

impl Order {
    fn push(&mut self, at: BootNanos, event: Event) {
        if is_agents(&event) {
            self.agents += 1;
        } else if !matches!(event, Event::Lost { .. } | Event::PrologueEnd) {
            self.complete = self.complete.max(BootNanos(at.0.saturating_sub(JITTER_NS)));
        }
        // Nearly always the last.
        if self.waiting.back().is_none_or(|(last, _)| *last <= at) {
            self.waiting.push_back((at, event));
        } else {
            let place = self.waiting.partition_point(|(other, _)| *other <= at);
            self.waiting.insert(place, (at, event));
        }
    }

    /// The next event that no later one can precede.
    fn pop_due(&mut self) -> Option<(BootNanos, Event)> {
        let (at, _) = self.waiting.front()?;
        let due = *at <= self.complete || self.agents > AGENTS || self.waiting.len() > ROOM;
        if due { self.pop() } else { None }
    }

    /// The next event, where nothing more comes.
    fn pop(&mut self) -> Option<(BootNanos, Event)> {
        let (at, event) = self.waiting.pop_front()?;
        self.agents -= usize::from(is_agents(&event));
        self.last = self.last.max(at);
        Some((self.last, event))
    }
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::chunk::file_header;
    use sleepwalk_trace::record::{PowerSupply, Record, Wake};
    use sleepwalk_trace::time::Clocks;
    use sleepwalk_trace::write::ChunkWriter;

    use super::*;

    /// The stamps and numbers of wakes, in the order of the stream.
    fn ordered(stamps: impl IntoIterator<Item = (u64, u32)>) -> Vec<(u64, u32)> {
        let wakes = stamps.into_iter().map(|(at, irq)| (at, Record::Wake(Wake { irq })));
        stream(wakes).into_iter().filter_map(|(at, irq)| Some((at, irq?))).collect()
    }

    fn stream(records: impl Iterator<Item = (u64, Record)>) -> Vec<(u64, Option<u32>)> {
        let mut writer = ChunkWriter::default();
        for (at, record) in records {
            writer.push(BootNanos(at), &record);
        }
        let chunk = writer.seal(Clocks::default()).expect("records");
        let mut out = Vec::new();
        let read = read(&[&file_header(0)[..], &chunk].concat(), |_, at, event| {
            out.push((at.0, if let Event::Wake { irq } = event { Some(irq) } else { None }));
        });
        assert!(read.is_ok());
        out
    }

    #[test]
    fn late_events_move_and_equal_ones_stay() {
        let events = [(10, 0), (12, 1), (11, 2), (12, 3), (5, 4)];
        assert_eq!(ordered(events), [(5, 4), (10, 0), (11, 2), (12, 1), (12, 3)]);
    }

    #[test]
    fn stamps_never_run_backwards() {
        let events = [(0, 0), (5 * JITTER_NS, 1), (3, 2), (6 * JITTER_NS, 3)];
        assert_eq!(ordered(events)[..2], [(0, 0), (3, 2)]);
        let out = ordered([(9 * JITTER_NS, 0), (99 * JITTER_NS, 1), (3, 2)]);
        assert_eq!(out[1].1, 2);
        assert!(out.is_sorted_by_key(|(at, _)| *at));
    }

    #[test]
    fn a_whole_ring_may_follow_what_the_agent_read() {
        let ring = 1u64 << 15;
        let read = |at| (at, Record::PowerSupply(PowerSupply::default()));
        let wakes = |from| (from..from + ring).map(|n| (n * 10_000, Record::Wake(Wake { irq: 0 })));
        let [half, whole] = [ring, 2 * ring].map(|n| n * 10_000);
        let records = [read(half)].into_iter().chain(wakes(0)).chain([read(whole)]);
        let out = stream(records.chain(wakes(ring)));
        assert!(out.is_sorted_by_key(|(at, _)| *at));
        assert_eq!(out.len() as u64, 2 * ring + 2);
    }
}
