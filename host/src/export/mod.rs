//! A trace for other programs: [`perfetto`] for ui.perfetto.dev, [`jsonl`] for scripts.
//!
//! Both are pure, and both go over the trace twice: once to analyze it, and once to write event by
//! event, so that memory grows with sources and attempts, and not with edges.

mod held;
pub mod jsonl;
mod order;
pub mod perfetto;

use std::io;

use thiserror::Error;

use crate::session::decode::Unreadable;

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
