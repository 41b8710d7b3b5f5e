//! `sleepwalkd`, Sleepwalk's agent: runs on the device, loads the probe, writes the trace.
//!
//! It can be used with nothing but `adb push` and `adb shell`; `sleepwalk record` on the host does
//! the same with more comfort.

mod alone;
mod args;
mod clock;
mod cmd;
mod context;
mod instances;
mod journal;
mod logging;
mod pointers;
mod preflight;
mod probe;
mod recap;
mod recorder;
mod returns;
mod rights;
mod source;
mod store;
mod units;
mod wakeups;

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use args::Command;

/// It failed.
const FAILED: u8 = 1;
/// Wrong usage.
const USAGE: u8 = 2;
/// This device can't be used.
const UNUSABLE: u8 = 4;

fn main() -> ExitCode {
    logging::start();
    let command = match args::parse(lexopt::Parser::from_env()) {
        Ok(command) => command,
        Err(error) => {
            complain(&error);
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
            complain(&error);
            let unusable = error.is::<preflight::Unusable>();
            ExitCode::from(if unusable { UNUSABLE } else { FAILED })
        }
    }
}

fn complain(error: &anyhow::Error) {
    // Nobody can be told where even stderr is gone.
    let _ = writeln!(std::io::stderr(), "sleepwalkd: {error:#}");
}

/// To stdout; a reader that went away is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
