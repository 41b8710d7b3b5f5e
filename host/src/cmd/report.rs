//! `sleepwalk report`.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::Usage;
use crate::analyze::Analysis;
use crate::compare::merge;
use crate::render::pages::{merged, report as pages};
use crate::render::terminal::Look;
use crate::render::{csv, html, json, markdown, terminal};
use crate::report::{self, By as Grouping, Report};
use crate::session::decode;

/// Sources in the table unless `--top` says otherwise.
const TOP: usize = 20;

/// A page is of one trace.
const PAGE: Usage = Usage("--format html is for one trace, and not with --by device");

/// Options of `report`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The trace; several are summed, if they are one device's
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// The form
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The table, with `--format csv` [default: sources]
    #[arg(long, value_enum)]
    table: Option<Table>,
    /// The file to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only the N most costly sources [default: 20 in the table and Markdown, else all]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// How sources are listed [default: instance in JSON and CSV, else name]
    #[arg(long, value_enum)]
    by: Option<By>,
}

/// As what the report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For machines, by docs/report.schema.json
    Json,
    /// For spreadsheets: one table
    Csv,
    /// To paste into a bug
    Markdown,
    /// One page for a browser, with a timeline; wants -o or a redirect
    Html,
}

/// Which table of the report.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Table {
    /// A row per source
    Sources,
    /// A row per attempt to suspend
    Attempts,
    /// A row per time in which user space wanted to suspend and was blocked
    Waits,
}

impl From<Table> for csv::Table {
    fn from(table: Table) -> Self {
        match table {
            Table::Sources => Self::Sources,
            Table::Attempts => Self::Attempts,
            Table::Waits => Self::Waits,
        }
    }
}

/// How sources are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// Sources of one name as one
    Name,
    /// Each on its own
    Instance,
    /// By name, and devices beside each other
    Device,
}

/// Reports on saved traces.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.table.is_some() && args.format != Format::Csv {
        return Err(Usage("--table is for --format csv").into());
    }
    super::spare(args.output.as_deref(), &args.traces)?;
    let text = match &args.traces[..] {
        [path] if args.by != Some(By::Device) => one(args, path)?,
        _ => several(args)?,
    };
    super::write(args.output.as_deref(), &text)?;
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

    fn look(&self) -> Look {
        super::look::look(super::named(self.output.as_deref()))
    }

    fn csv<'a>(&self, reports: impl IntoIterator<Item = &'a Report>) -> Result<String> {
        Ok(csv::render(reports, self.table.unwrap_or(Table::Sources).into())?)
    }
}

fn one(args: &Args, path: &Path) -> Result<String> {
    let drawn = args.format == Format::Html;
    if drawn && super::named(args.output.as_deref()).is_none() && io::stdout().is_terminal() {
        bail!("an HTML report is no use on a terminal: name a file with -o FILE");
    }
    // The bytes are gone before anything is made of what they come to.
    let analysis = super::decode_to(path, &decode::load(path)?, drawn)?;
    let by = args.grouping();
    Ok(match args.format {
        Format::Table => as_table(&analysis, by, args.top, args.look()),
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
    // Before minutes are spent on reading them.
    if args.format == Format::Html {
        return Err(PAGE.into());
    }
    // Pages say how much `top` leaves out, and so need all.
    let kept = if matches!(args.format, Format::Json | Format::Csv) { args.top } else { None };
    let traces = super::traces(&args.traces, args.grouping(), kept)?;
    let reports = match args.by {
        Some(By::Device) => merge::by_device(traces, kept)?,
        _ => merge::merge(traces, kept)?,
    };
    let top = args.top.unwrap_or(TOP);
    Ok(match args.format {
        Format::Table => terminal::render(&merged::page(&reports, top), args.look()),
        Format::Json => json::reports(&reports)?,
        Format::Csv => {
            let sessions = reports.devices.iter().flat_map(|device| &device.sessions);
            args.csv(sessions.map(|session| &session.report))?
        }
        Format::Markdown => markdown::render(&merged::page(&reports, top)),
        Format::Html => return Err(PAGE.into()),
    })
}

/// The page for a terminal, from all sources: it says how many `top` leaves out.
pub(super) fn as_table(
    analysis: &Analysis,
    by: Grouping,
    top: Option<usize>,
    look: Look,
) -> String {
    let report = report::build(analysis, by, None);
    terminal::render(&pages::page(&report, Some(top.unwrap_or(TOP))), look)
}
