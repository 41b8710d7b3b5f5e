//! `sleepwalk dump`.

use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::render::records;
use crate::session::decode::{self, TraceError};

/// Options of `dump`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The trace
    trace: PathBuf,
}

/// Prints every record of a saved trace.
pub fn run(args: &Args) -> Result<ExitCode> {
    let bytes = decode::load(&args.trace)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let read = records::write(&bytes, &mut out).context("standard output")?;
    out.flush().context("standard output")?;
    let damage = read.map_err(|why| TraceError { path: args.trace.clone(), why })?;
    // How it ended is among what was printed.
    super::warn_of_damage(&args.trace, &damage, true);
    Ok(ExitCode::SUCCESS)
}
