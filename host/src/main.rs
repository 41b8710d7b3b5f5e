//! `sleepwalk`: the command line, and the one place that prints errors and chooses the exit code.

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory as _, Parser, Subcommand};
use sleepwalk::cmd::look::Color;
use sleepwalk::cmd::{
    check, diff, doctor, dump, exit, export, help, import, pull, record, report, status, stop,
};
use sleepwalk::fix::remedy;
use sleepwalk::text::one_line;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Finds what keeps an Android device awake.
#[derive(Debug, Parser)]
#[command(name = "sleepwalk", version, styles = STYLES, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
#[command(after_help = "\
To start, run `sleepwalk doctor` and then `sleepwalk record`.

Exit codes:
  0  success
  1  failure
  2  wrong usage
  3  a limit of `sleepwalk check` is broken, or `sleepwalk diff --fail-on` found a change
  4  no usable device
  5  unreadable trace")]
struct Cli {
    /// When to use colours: `auto` (on a terminal, unless NO_COLOR is set), `always` or `never`
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    #[arg(hide_possible_values = true, display_order = 900)]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check adb, the device and its kernel, and show how to fix problems
    Doctor(doctor::Args),
    /// Record on the device, copy the trace, and report what kept the device awake
    Record(record::Args),
    /// List the traces on the device and their state
    Status(status::Args),
    /// Stop a capture that was started with `record --detach`
    Stop(stop::Args),
    /// Copy a trace from the device
    Pull(pull::Args),
    /// Report where the time went and what kept the device awake
    Report(report::Args),
    /// Convert a trace for ui.perfetto.dev or for scripts
    Export(export::Args),
    /// Report what a bug report, or the text of a dumpsys, says of wakelocks; needs no agent
    Import(import::Args),
    /// Compare two traces, or two sets of traces, and separate changes from noise
    Diff(diff::Args),
    /// Check traces against limits, for CI; exit code 3 if a limit is broken
    Check(check::Args),
    /// Print every record of a trace, one JSON object a line
    Dump(dump::Args),
    /// Explain a command, or the words that reports use (`help terms`)
    Help(help::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Each on one line, whatever a device or a file name put into it.
            eprintln!("sleepwalk: {}", one_line(&format!("{error:#}")));
            if let Some(fix) = remedy(&error) {
                eprintln!("fix: {}", one_line(fix));
            }
            ExitCode::from(exit::code(&error))
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    cli.color.choose();
    match cli.command {
        Command::Doctor(args) => doctor::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Stop(args) => stop::run(&args),
        Command::Pull(args) => pull::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Dump(args) => dump::run(&args),
        Command::Help(args) => help::run(&args, Cli::command()),
    }
}

/// Whether the reader of the output went away, as with `| head`. That is not an error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json =
            cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}
