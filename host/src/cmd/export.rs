//! `sleepwalk export`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use super::input;
use super::output::OutputArgs;
use crate::export::{ExportError, jsonl, perfetto};
use crate::fix::Fixable;
use crate::session::decode::TraceError;

/// Options of `export`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Trace file; `-` reads standard input
    trace: PathBuf,
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Format,
    #[command(flatten)]
    output: OutputArgs,
}

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A trace for ui.perfetto.dev and trace_processor
    Perfetto,
    /// One JSON object a line, with names, for scripts (docs/jsonl.md)
    Jsonl,
}

/// Converts a trace for other programs.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.to == Format::Perfetto && args.output.is_terminal() {
        bail!(Fixable::new(
            "a Perfetto trace is binary and cannot be shown on a terminal",
            "name a file with -o",
        ));
    }
    let mut output = args.output.open([&args.trace])?;
    let bytes = input::load(&args.trace)?;
    let analysis = input::analyze(&args.trace, &bytes, false)?;
    let written = match args.to {
        Format::Perfetto => perfetto::write(&bytes, &analysis, &mut output),
        Format::Jsonl => jsonl::write(&bytes, &analysis, &mut output),
    };
    match written {
        Err(ExportError::Read(why)) => {
            Err(TraceError { path: input::name(&args.trace).to_owned(), why }.into())
        }
        Err(ExportError::Write(error)) => Err(error).with_context(|| output.name().to_owned()),
        Ok(()) => output.finish().map(|()| ExitCode::SUCCESS),
    }
}
