//! `sleepwalk diff`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use crate::compare::diff;
use crate::render::pages::diff as pages;
use crate::render::{json, markdown, terminal};
use crate::report::By;

/// Sources shown unless `--top` says otherwise.
const TOP: usize = 20;

/// Options of `diff`.
#[derive(clap::Args, Debug)]
#[command(override_usage = "sleepwalk diff [OPTIONS] <BEFORE> <AFTER>\n       \
                            sleepwalk diff [OPTIONS] --before <TRACE>... --after <TRACE>...")]
pub struct Args {
    /// The trace before, and the trace after
    #[arg(num_args = 2, value_names = ["BEFORE", "AFTER"], required_unless_present = "before")]
    traces: Vec<PathBuf>,
    /// The traces before: their median counts
    #[arg(long, num_args = 1.., value_name = "TRACE", requires = "after", conflicts_with = "traces")]
    before: Vec<PathBuf>,
    /// The traces after
    #[arg(long, num_args = 1.., value_name = "TRACE", requires = "before")]
    after: Vec<PathBuf>,
    /// The form
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The file to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only the N sources that changed most [default: 20; all in JSON]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
}

/// As what the comparison is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For machines, by docs/diff.schema.json
    Json,
    /// To paste into a bug
    Markdown,
}

/// Compares saved traces.
pub fn run(args: &Args) -> Result<ExitCode> {
    let (before, after) = match &args.traces[..] {
        [before, after] => (std::slice::from_ref(before), std::slice::from_ref(after)),
        _ => (&args.before[..], &args.after[..]),
    };
    super::spare(args.output.as_deref(), before.iter().chain(after))?;
    let before = super::traces(before, By::Name, None)?;
    let after = super::traces(after, By::Name, None)?;
    let mut diff = diff::diff(&before, &after);
    let top = args.top.unwrap_or(TOP);
    let text = match args.format {
        Format::Table => {
            let look = super::look::look(super::named(args.output.as_deref()));
            terminal::render(&pages::page(&diff, top), look)
        }
        Format::Markdown => markdown::render(&pages::page(&diff, top)),
        Format::Json => {
            diff.sources.truncate(args.top.unwrap_or(usize::MAX));
            json::pretty(&diff)?
        }
    };
    super::write(args.output.as_deref(), &text)?;
    Ok(ExitCode::SUCCESS)
}
