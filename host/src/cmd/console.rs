//! Standard output and standard error.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};

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

/// Whether standard output takes colours.
pub fn color() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal()
        && !set("NO_COLOR")
        && env::var_os("TERM").is_none_or(|t| t != "dumb")
}
