//! `sleepwalk export`.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::analyze::Analysis;
use crate::export::{ExportError, jsonl, perfetto};
use crate::session::decode::{self, TraceError};

/// Options of `export`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The trace
    trace: PathBuf,
    /// The form
    #[arg(long, value_enum)]
    to: Target,
    /// The file to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// For whom a trace is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    /// For ui.perfetto.dev and trace processor
    Perfetto,
    /// For scripts: one JSON object a line, with names (docs/jsonl.md)
    Jsonl,
}

/// Writes a saved trace for other programs.
pub fn run(args: &Args) -> Result<ExitCode> {
    let file = super::named(args.output.as_deref());
    super::spare(file, [&args.trace])?;
    let bytes = decode::load(&args.trace)?;
    let analysis = super::decode(&args.trace, &bytes)?;
    if let Some(path) = file {
        let out = File::create(path).with_context(|| path.display().to_string())?;
        write(args, &bytes, &analysis, out, &path.display().to_string())?;
    } else {
        let out = io::stdout().lock();
        if matches!(args.to, Target::Perfetto) && out.is_terminal() {
            bail!("an export for Perfetto is no text: name a file for it with -o");
        }
        write(args, &bytes, &analysis, out, "standard output")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(
    args: &Args,
    bytes: &[u8],
    analysis: &Analysis,
    out: impl Write,
    name: &str,
) -> Result<()> {
    let written = match args.to {
        Target::Perfetto => perfetto::write(bytes, analysis, out),
        Target::Jsonl => jsonl::write(bytes, analysis, out),
    };
    match written {
        Err(ExportError::Read(why)) => Err(TraceError { path: args.trace.clone(), why }.into()),
        Err(ExportError::Write(error)) => Err(error).with_context(|| name.to_owned()),
        Ok(()) => Ok(()),
    }
}
