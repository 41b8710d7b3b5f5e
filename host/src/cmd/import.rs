//! `sleepwalk import`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use super::input;
use super::output::OutputArgs;
use crate::import::{self, Import};
use crate::render::pages::import as pages;
use crate::render::pages::report::page as report_page;
use crate::render::{json, markdown, terminal};
use crate::report::{self, By};

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
    /// A capture of the same boot: report on it, with the app wakelocks of FILE, a Perfetto trace with the data source
    /// android.app_wakelocks
    #[arg(long, value_name = "TRACE", conflicts_with = "after")]
    trace: Option<PathBuf>,
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
    let inputs = [&args.file].into_iter().chain(&args.after).chain(&args.trace);
    let output = args.output.open(inputs)?;
    let mut import = import::read(&args.file)?;
    if let Some(trace) = &args.trace {
        output.write_text(&merged(args, &import, trace)?)?;
        return Ok(ExitCode::SUCCESS);
    }
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

/// The report on `trace` with the app wakelocks of `import`.
fn merged(args: &Args, import: &Import, trace: &Path) -> Result<String> {
    let mut analysis = input::analyze(trace, &input::load(trace)?, false)?;
    analysis.traced = Some(import::of_the_same_boot(import, &analysis.model)?);
    let table = matches!(args.format, Format::Table | Format::Markdown);
    let by = if table { By::Name } else { By::Instance };
    let report = report::build(&analysis, by, None);
    let page = || report_page(&report, Some(args.top));
    Ok(match args.format {
        Format::Table => terminal::render(&page(), args.output.look()),
        Format::Markdown => markdown::render(&page()),
        Format::Json => json::report(&report)?,
    })
}
