//! A trace for other programs: [`perfetto`] for ui.perfetto.dev, [`jsonl`] for scripts.
//!
//! Both are pure, and both go over the trace twice: once to analyze it, and once to write event by
//! event, so that memory grows with sources and attempts, and not with edges.

mod held;
pub mod jsonl;
pub mod perfetto;

use std::io;

use sleepwalk_trace::time::BootNanos;
use thiserror::Error;

use crate::session::decode::{Event, Unreadable};
use crate::session::order;

/// Why an export broke off.
#[derive(Debug, Error)]
pub enum ExportError {
    /// What is written to took no more.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// The trace can't be read.
    #[error(transparent)]
    Read(#[from] Unreadable),
}

/// Hands the events of the trace in `bytes` to `sink` in order, up to its first error.
fn stream(
    bytes: &[u8],
    mut sink: impl FnMut(BootNanos, Event) -> io::Result<()>,
) -> Result<(), ExportError> {
    let mut result = Ok(());
    order::read(bytes, |_, at, event| {
        if result.is_ok() {
            result = sink(at, event);
        }
    })?;
    Ok(result?)
}
