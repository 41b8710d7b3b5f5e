//! Decodes on a thread of its own, ahead of the one that formats.

use std::panic::resume_unwind;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::{io, mem, thread};

use sleepwalk_trace::time::BootNanos;

use super::ExportError;
use crate::session::decode::{Event, Unreadable};
use crate::session::held::Held;
use crate::session::order;
use crate::session::stretch::Hold;

/// A batch is handed over when it has as many events and states of sources.
const BATCH: usize = 1 << 10;

/// Batches that wait to be formatted.
const AHEAD: usize = 8;

/// An event, and the holds that became final by it.
type Step<'a> = (BootNanos, &'a Event, &'a [Hold]);

/// Hands the events of the trace in `bytes` to `format` in order, up to its first error. Returns the
/// holds that became final only when the trace was over.
pub fn read(
    bytes: &[u8],
    mut format: impl FnMut(Step<'_>) -> io::Result<()>,
) -> Result<Vec<Hold>, ExportError> {
    let (full, batches) = mpsc::sync_channel(AHEAD);
    thread::scope(|scope| {
        let decoder = scope.spawn(move || decode(bytes, &full));
        let result = format_all(batches, &mut format);
        let decoded = decoder.join().unwrap_or_else(|panic| resume_unwind(panic));
        result?;
        Ok(decoded?)
    })
}

#[expect(clippy::needless_pass_by_value, reason = "nothing is decoded in vain once it returns")]
fn format_all(
    batches: Receiver<Batch>,
    mut format: impl FnMut(Step<'_>) -> io::Result<()>,
) -> io::Result<()> {
    for batch in &batches {
        let mut holds = batch.holds.as_slice();
        for (at, event, count) in &batch.events {
            let (now, later) = holds.split_at(*count);
            holds = later;
            format((*at, event, now))?;
        }
    }
    Ok(())
}

fn decode(bytes: &[u8], full: &SyncSender<Batch>) -> Result<Vec<Hold>, Unreadable> {
    let (mut held, mut batch, mut wanted) = (Held::default(), Batch::new(), true);
    let model = order::read(bytes, |model, at, event| {
        // No form shows readings of the clocks alone.
        if !wanted || matches!(event, Event::Clocks { .. }) {
            return;
        }
        held.event(model, at, &event);
        batch.push(at, event, held.holds());
        if batch.size >= BATCH {
            wanted = full.send(mem::replace(&mut batch, Batch::new())).is_ok();
        }
    })?;
    // An error of the formatter is returned anyway.
    let _ = full.send(batch);
    held.finish(&model, model.end);
    Ok(mem::take(held.holds()))
}

/// Events in a row.
struct Batch {
    /// Each with the number of holds that became final by it.
    events: Vec<(BootNanos, Event, usize)>,
    holds: Vec<Hold>,
    /// Events and states of sources.
    size: usize,
}

impl Batch {
    fn new() -> Self {
        Self { events: Vec::with_capacity(BATCH), holds: Vec::new(), size: 0 }
    }

    fn push(&mut self, at: BootNanos, event: Event, holds: &mut Vec<Hold>) {
        self.size += match &event {
            Event::Snapshot(view) => 1 + view.states.len(),
            _ => 1,
        };
        self.events.push((at, event, holds.len()));
        self.holds.append(holds);
    }
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::chunk::file_header;
    use sleepwalk_trace::record::{Record, Wake};
    use sleepwalk_trace::time::Clocks;
    use sleepwalk_trace::write::ChunkWriter;

    use super::*;

    /// More batches than may wait.
    const WAKES: u32 = (2 * AHEAD * BATCH) as u32;

    fn trace() -> Vec<u8> {
        let mut writer = ChunkWriter::default();
        for irq in 0..WAKES {
            writer.push(BootNanos(irq.into()), &Record::Wake(Wake { irq }));
        }
        let chunk = writer.seal(Clocks::default()).expect("records");
        [&file_header(0)[..], &chunk].concat()
    }

    #[test]
    fn all_events_come_in_their_order() {
        let mut irqs = Vec::new();
        let read = read(&trace(), |(_, event, _)| {
            irqs.extend(if let Event::Wake { irq } = event { Some(*irq) } else { None });
            Ok(())
        });
        assert!(read.is_ok());
        assert!(irqs.into_iter().eq(0..WAKES));
    }

    #[test]
    fn nothing_comes_after_the_first_error() {
        let mut events = 0;
        let read = read(&trace(), |_| {
            events += 1;
            Err(io::ErrorKind::WriteZero.into())
        });
        assert!(
            matches!(read, Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::WriteZero)
        );
        assert_eq!(events, 1);
    }
}
