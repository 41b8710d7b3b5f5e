//! `sleepwalk report`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::exit::Usage;
use super::input;
use super::output::OutputArgs;
use crate::analyze::Analysis;
use crate::compare::merge;
use crate::fix::Fixable;
use crate::render::pages::{merged, report as pages};
use crate::render::terminal::Look;
use crate::render::{csv, html, json, markdown, terminal};
use crate::report::{self, By as Grouping, Report};

/// The number of sources in the table without `--top`.
const TOP: usize = 20;

/// Options of `report`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Trace files; `-` reads standard input. Traces of one device are added up
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Table to write with `--format csv` [default: sources]
    #[arg(long, value_enum)]
    table: Option<csv::Table>,
    /// Show the N most costly sources [default: 20 in tables and Markdown, else all]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// How to group sources [default: instance in JSON and CSV, else name]
    #[arg(long, value_enum)]
    by: Option<By>,
    #[command(flatten)]
    output: OutputArgs,
}

/// The format of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for a terminal
    Table,
    /// JSON for programs (docs/report.schema.json)
    Json,
    /// One table for a spreadsheet
    Csv,
    /// Tables for a bug report
    Markdown,
    /// A page with a timeline for a browser; needs -o FILE or a redirect
    Html,
}

/// How sources are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// All sources of one name together
    Name,
    /// Each source separately
    Instance,
    /// By name, with one column per device
    Device,
}

/// Reports on traces.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.table.is_some() && args.format != Format::Csv {
        return Err(Usage("--table needs --format csv".to_owned()).into());
    }
    input::check_stdin(&args.traces)?;
    let output = args.output.open(&args.traces)?;
    let text = match &args.traces[..] {
        [path] if args.by != Some(By::Device) => one(args, path)?,
        _ => several(args)?,
    };
    output.write_text(&text)?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn grouping(&self) -> Grouping {
        match (self.by, self.format) {
            (Some(By::Instance), _) => Grouping::Instance,
            (Some(By::Name | By::Device), _) => Grouping::Name,
            (None, Format::Table | Format::Markdown | Format::Html) => Grouping::Name,
            (None, Format::Json | Format::Csv) => Grouping::Instance,
        }
    }

    fn csv<'a>(&self, reports: impl IntoIterator<Item = &'a Report>) -> Result<String> {
        Ok(csv::render(reports, self.table.unwrap_or(csv::Table::Sources))?)
    }
}

fn one(args: &Args, path: &Path) -> Result<String> {
    let drawn = args.format == Format::Html;
    if drawn && args.output.is_terminal() {
        bail!(Fixable::new("an HTML page cannot be shown on a terminal", "name a file with -o"));
    }
    // The bytes are freed before the report is built.
    let analysis = input::analyze(path, &input::load(path)?, drawn)?;
    let by = args.grouping();
    Ok(match args.format {
        Format::Table => as_table(&analysis, by, args.top, args.output.look()),
        Format::Json => json::report(&report::build(&analysis, by, args.top))?,
        Format::Csv => args.csv([&report::build(&analysis, by, args.top)])?,
        Format::Markdown => {
            let report = report::build(&analysis, by, None);
            markdown::render(&pages::page(&report, Some(args.top.unwrap_or(TOP))))
        }
        Format::Html => html::render(&report::build(&analysis, by, args.top))?,
    })
}

fn several(args: &Args) -> Result<String> {
    // Checked before minutes are spent on reading the traces.
    if args.format == Format::Html {
        return Err(html_of_several());
    }
    // Pages show how many sources `top` leaves out, and so need all.
    let kept = if matches!(args.format, Format::Json | Format::Csv) { args.top } else { None };
    let traces = input::reports(&args.traces, args.grouping(), kept)?;
    let reports = match args.by {
        Some(By::Device) => merge::by_device(traces, kept)?,
        _ => merge::merge(traces, kept)?,
    };
    let top = args.top.unwrap_or(TOP);
    Ok(match args.format {
        Format::Table => terminal::render(&merged::page(&reports, top), args.output.look()),
        Format::Json => json::reports(&reports)?,
        Format::Csv => {
            let sessions = reports.devices.iter().flat_map(|device| &device.sessions);
            args.csv(sessions.map(|session| &session.report))?
        }
        Format::Markdown => markdown::render(&merged::page(&reports, top)),
        Format::Html => return Err(html_of_several()),
    })
}

/// An HTML page shows one trace.
fn html_of_several() -> anyhow::Error {
    Usage("--format html takes one trace, and not --by device".to_owned()).into()
}

/// The report as a page for a terminal.
pub(super) fn as_table(
    analysis: &Analysis,
    by: Grouping,
    top: Option<usize>,
    look: Look,
) -> String {
    let report = report::build(analysis, by, None);
    terminal::render(&pages::page(&report, Some(top.unwrap_or(TOP))), look)
}
