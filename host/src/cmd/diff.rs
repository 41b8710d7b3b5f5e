//! `sleepwalk diff`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use super::exit::REGRESSION;
use super::input;
use super::output::OutputArgs;
use crate::compare::diff::{self, Per};
use crate::render::pages::diff as pages;
use crate::render::{json, markdown, terminal};
use crate::report;

/// Sources shown unless `--top` says otherwise.
const TOP: usize = 20;

/// Options of `diff`.
#[derive(clap::Args, Debug)]
#[command(override_usage = "sleepwalk diff [OPTIONS] <BEFORE> <AFTER>\n       \
                            sleepwalk diff [OPTIONS] --before <TRACE>... --after <TRACE>...")]
pub struct Args {
    /// The two trace files to compare; `-` reads standard input
    #[arg(num_args = 2, value_names = ["BEFORE", "AFTER"], required_unless_present = "before")]
    traces: Vec<PathBuf>,
    /// Trace files from before the change; the median of each figure is compared
    #[arg(long, num_args = 1.., value_name = "TRACE", requires = "after", conflicts_with = "traces")]
    before: Vec<PathBuf>,
    /// Trace files from after the change
    #[arg(long, num_args = 1.., value_name = "TRACE", requires = "before")]
    after: Vec<PathBuf>,
    /// The divisor of rates
    #[arg(long, value_enum, default_value_t = By::Session, ignore_case = true)]
    per: By,
    /// Exit with code 3 if a change is significant and for the worse
    #[arg(long, value_enum, value_name = "CHANGE", ignore_case = true)]
    fail_on: Option<FailOn>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Show the N sources that changed most [default: 20; all in JSON]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

/// The format of the comparison.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Tables for a terminal
    Table,
    /// JSON for programs (docs/diff.schema.json)
    Json,
    /// Tables for a bug report
    Markdown,
}

/// The divisor of rates.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    /// An hour of the session
    Session,
    /// An hour in which user space wanted sleep: asleep, in an attempt, or blocked
    SleepOpportunity,
    /// An hour awake
    Awake,
    /// A suspend attempt
    Attempt,
}

impl From<By> for Per {
    fn from(by: By) -> Self {
        match by {
            By::Session => Self::Session,
            By::SleepOpportunity => Self::SleepOpportunity,
            By::Awake => Self::Awake,
            By::Attempt => Self::Attempt,
        }
    }
}

/// A change that fails the command.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailOn {
    /// More time awake, blocked, in attempts that did not sleep or in back-off; more attempts that did not sleep, or
    /// wakes; or a source that costs more, or ended more attempts or sleeps
    Regression,
}

/// Compares traces.
pub fn run(args: &Args) -> Result<ExitCode> {
    let (before, after) = match &args.traces[..] {
        [before, after] => (std::slice::from_ref(before), std::slice::from_ref(after)),
        _ => (&args.before[..], &args.after[..]),
    };
    let traces = || before.iter().chain(after);
    input::check_stdin(traces())?;
    let output = args.output.open(traces())?;
    let before = input::reports(before, report::By::Name, None)?;
    let after = input::reports(after, report::By::Name, None)?;
    let mut diff = diff::diff(&before, &after, args.per.into());
    let top = args.top.unwrap_or(TOP);
    let text = match args.format {
        Format::Table => terminal::render(&pages::page(&diff, top), args.output.look()),
        Format::Markdown => markdown::render(&pages::page(&diff, top)),
        Format::Json => {
            diff.sources.truncate(args.top.unwrap_or(usize::MAX));
            json::pretty(&diff)?
        }
    };
    output.write_text(&text)?;
    Ok(match args.fail_on {
        Some(FailOn::Regression) if !diff.regressions.is_empty() => ExitCode::from(REGRESSION),
        _ => ExitCode::SUCCESS,
    })
}
