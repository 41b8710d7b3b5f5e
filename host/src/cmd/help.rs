//! `sleepwalk help`.

use std::process::ExitCode;

use anyhow::Result;

use super::console;
use super::exit::Usage;

/// The words of a report.
const TERMS: &str = include_str!("../../../docs/glossary.md");

/// Options of `help`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Command to explain, or `terms` for the words that reports use
    #[arg(value_name = "COMMAND")]
    topic: Option<String>,
}

/// Explains a command of `program`, or the words of reports.
pub fn run(args: &Args, mut program: clap::Command) -> Result<ExitCode> {
    // Gives the commands their full names.
    program.build();
    match args.topic.as_deref() {
        None => program.print_long_help()?,
        Some("terms") => console::print(TERMS)?,
        Some(name) => match program.find_subcommand_mut(name) {
            Some(command) => command.print_long_help()?,
            None => {
                return Err(Usage(format!(
                    "no command {name:?}: `sleepwalk help` lists the commands"
                ))
                .into());
            }
        },
    }
    Ok(ExitCode::SUCCESS)
}
