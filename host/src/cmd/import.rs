//! `sleepwalk import`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use super::output::OutputArgs;
use crate::import;
use crate::render::pages::import as pages;
use crate::render::{json, markdown, terminal};

/// Rows shown in each table unless `--top` says otherwise.
const TOP: usize = 20;

/// Options of `import`.
#[derive(clap::Args, Debug)]
#[command(override_usage = "sleepwalk import [OPTIONS] <FILE> [AFTER]")]
pub struct Args {
    /// A bug report (zip file, directory or text), or the text of dumpsys, batterystats -c, wakeup_sources,
    /// suspend_stats or dmesg
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A later one of the same device: report the difference
    #[arg(value_name = "AFTER")]
    after: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Show N rows in each table [default: 20; all in JSON]
    #[arg(long, value_name = "N", default_value_t = TOP, hide_default_value = true)]
    top: usize,
    #[command(flatten)]
    output: OutputArgs,
}

/// The format of the report.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Tables for a terminal
    Table,
    /// JSON for programs (docs/import.schema.json)
    Json,
    /// Tables for a bug report
    Markdown,
}

/// Reports on Android's own counters.
pub fn run(args: &Args) -> Result<ExitCode> {
    let output = args.output.open([&args.file].into_iter().chain(&args.after))?;
    let mut import = import::read(&args.file)?;
    if let Some(after) = &args.after {
        import = import::difference(&import, &import::read(after)?);
    }
    let text = match args.format {
        Format::Table => terminal::render(&pages::page(&import, args.top), args.output.look()),
        Format::Markdown => markdown::render(&pages::page(&import, args.top)),
        Format::Json => json::pretty(&import)?,
    };
    output.write_text(&text)?;
    Ok(ExitCode::SUCCESS)
}
