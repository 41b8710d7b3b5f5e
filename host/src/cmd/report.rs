//! `sleepwalk report`.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use super::By;
use crate::analyze::Analysis;
use crate::model;
use crate::render::table::Look;
use crate::render::{html, json, table};
use crate::report::{self, By as Grouping};

/// Sources in the table unless `--top` says otherwise.
const TOP: usize = 20;

/// Options of `report`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The trace
    trace: PathBuf,
    /// As what
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Into this file and not to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only the N most costly sources [default: 20 in the table, else all]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// How sources are listed [default: name in the table and in HTML, else instance]
    #[arg(long, value_enum)]
    by: Option<By>,
}

/// As what the report is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For machines
    Json,
    /// One page for a browser, with a timeline; wants -o or a redirect
    Html,
}

/// Reports on a saved trace.
pub fn run(args: &Args) -> Result<ExitCode> {
    let bytes = model::load(&args.trace)?;
    let drawn = matches!(args.format, Format::Html);
    let analysis = super::decode_to(&args.trace, &bytes, drawn)?;
    let by = args.by.map(Grouping::from);
    let text = match args.format {
        Format::Table => {
            let color = args.output.is_none() && super::color();
            as_table(&analysis, by.unwrap_or(Grouping::Name), args.top, color)
        }
        Format::Json => {
            let by = by.unwrap_or(Grouping::Instance);
            json::render(&report::build(&analysis, by, args.top))?
        }
        Format::Html => {
            if args.output.is_none() && io::stdout().is_terminal() {
                bail!("an HTML report is no use on a terminal: name a file with -o FILE");
            }
            html::render(&report::build(&analysis, by.unwrap_or(Grouping::Name), args.top))?
        }
    };
    match &args.output {
        Some(path) => fs::write(path, text).with_context(|| path.display().to_string())?,
        None => super::print(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The table, of the trace as a whole: it says how much `top` leaves out.
pub(super) fn as_table(
    analysis: &Analysis,
    by: Grouping,
    top: Option<usize>,
    color: bool,
) -> String {
    let report = report::build(analysis, by, None);
    table::render(&report, Look { color, top: top.unwrap_or(TOP) })
}
