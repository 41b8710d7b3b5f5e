//! A trace for other programs: [`perfetto`] for ui.perfetto.dev, [`jsonl`] for scripts.
//!
//! Both are pure, and both go over the trace twice: once to analyze it, and once to write event by
//! event, so that memory grows with sources and attempts, and not with edges. The second time, one thread
//! decodes [`ahead`], one formats, and one writes.

mod ahead;
pub mod jsonl;
pub mod perfetto;
mod pipe;

use std::io;

use sleepwalk_trace::time::BootNanos;
use thiserror::Error;

use crate::session::decode::{Event, Unreadable};
use crate::session::stretch::Hold;

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
    /// Something happened; `holds` became final by it.
    fn event(&mut self, at: BootNanos, event: &Event, holds: &[Hold]) -> io::Result<()>;

    /// The trace is over.
    fn finish(self, holds: &[Hold]) -> io::Result<()>;
}

/// Hands the events of the trace in `bytes` to `sink` in order, up to its first error.
fn stream(bytes: &[u8], mut sink: impl Sink) -> Result<(), ExportError> {
    let last = ahead::read(bytes, |(at, event, holds)| sink.event(at, event, holds))?;
    Ok(sink.finish(&last)?)
}
