//! `sleepwalk dump`.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::input;
use super::output::OutputArgs;
use crate::render::records;
use crate::session::decode::TraceError;

/// Options of `dump`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Trace file; `-` reads standard input
    trace: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints every record of a trace.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut output = args.output.open([&args.trace])?;
    let bytes = input::load(&args.trace)?;
    let name = output.name().to_owned();
    let mut out = BufWriter::new(&mut output);
    let read = records::write(&bytes, &mut out).with_context(|| name.clone())?;
    out.flush().context(name)?;
    drop(out);
    let path = input::name(&args.trace);
    let damage = read.map_err(|why| TraceError { path: path.to_owned(), why })?;
    output.finish()?;
    // The dump itself shows whether the trace has an end.
    input::warn_of_damage(path, &damage, true);
    Ok(ExitCode::SUCCESS)
}
