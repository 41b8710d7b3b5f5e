//! A trace for other programs: [`perfetto`] for ui.perfetto.dev, [`jsonl`] for scripts.
//!
//! Both are pure, and both go over the trace twice: once to analyze it, and once to write event by
//! event, so that memory grows with sources and attempts, and not with edges.

pub mod jsonl;
pub mod perfetto;
mod pipe;

use std::io;

use sleepwalk_trace::time::BootNanos;
use thiserror::Error;

use crate::session::decode::{Event, Unreadable};
use crate::session::held::Held;
use crate::session::order;

/// Why an export failed.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The output took no more.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// The trace cannot be read.
    #[error(transparent)]
    Read(#[from] Unreadable),
}

/// An export in progress.
trait Sink {
    /// Something happened. `held` has the holds that became final by it.
    fn event(&mut self, at: BootNanos, event: &Event, held: &mut Held) -> io::Result<()>;

    /// The trace is over.
    fn finish(self, held: &mut Held) -> io::Result<()>;
}

/// Hands the events of the trace in `bytes` to `sink` in order, up to its first error.
fn stream(bytes: &[u8], mut sink: impl Sink) -> Result<(), ExportError> {
    let mut held = Held::default();
    let mut result = Ok(());
    let model = order::read(bytes, |model, at, event| {
        // No form shows readings of the clocks alone.
        if result.is_ok() && !matches!(event, Event::Clocks { .. }) {
            held.event(model, at, &event);
            result = sink.event(at, &event, &mut held);
        }
    })?;
    result?;
    held.finish(&model, model.end);
    Ok(sink.finish(&mut held)?)
}
