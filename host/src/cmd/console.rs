//! Standard output and standard error.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};

use crate::text::one_line;

/// Writes a line to standard error.
pub fn say(message: &str) {
    // If standard error is closed, the message is lost.
    let _ = writeln!(io::stderr(), "sleepwalk: {}", one_line(message));
}

/// Writes to standard output, and flushes it.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output")
}
