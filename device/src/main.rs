//! `sleepwalkd`, Sleepwalk's agent: runs on the device, loads the probe, writes the trace.
//!
//! It needs nothing but `adb push` and `adb shell`; `sleepwalk record` on the host drives it.

mod activators;
mod args;
mod capabilities;
mod capture;
mod clock;
mod cmd;
mod context;
mod doctor;
mod identity;
mod logging;
mod probe;
mod snapshot;
mod store;

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use args::Command;

/// Exit code: the command failed.
const FAILED: u8 = 1;
/// Exit code: wrong usage.
const USAGE: u8 = 2;
/// Exit code: this device cannot be used.
const UNUSABLE: u8 = 4;

fn main() -> ExitCode {
    logging::start();
    let command = match args::parse(lexopt::Parser::from_env()) {
        Ok(command) => command,
        Err(error) => {
            print_error(&error);
            return ExitCode::from(USAGE);
        }
    };
    let done = match command {
        Command::Help => print(args::HELP),
        Command::Version { json } => cmd::version::run(json).and_then(|text| print(&text)),
        Command::Doctor { json } => match cmd::doctor::run(json) {
            Ok((text, true)) => print(&text),
            Ok((text, false)) => {
                let _ = print(&text);
                return ExitCode::from(UNUSABLE);
            }
            Err(error) => Err(error),
        },
        Command::Snapshot(options) => cmd::snapshot::run(&options).and_then(|text| print(&text)),
        Command::Measure(options) => cmd::measure::run(&options).and_then(|text| print(&text)),
        Command::Record(options) => cmd::record::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            let unusable = error.is::<cmd::Unusable>();
            ExitCode::from(if unusable { UNUSABLE } else { FAILED })
        }
    }
}

fn print_error(error: &anyhow::Error) {
    // If stderr is gone too, there is no other place for it.
    let _ = writeln!(std::io::stderr(), "sleepwalkd: {error:#}");
}

/// Prints to stdout. A reader that went away is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
