//! `sleepwalk-workload` keeps a device awake on purpose: real wakeup sources, real suspend attempts,
//! real aborts, so that what Sleepwalk says can be compared with what was done.
//!
//! A wakeup source needs no driver here: a FIFO that is added to an epoll set with EPOLLWAKEUP has
//! one, named after the file (kernel: `ep_create_wakeup_source` in fs/eventpoll.c, 7.3).

mod args;
mod clock;
mod demo;
mod event;
mod fifo;
mod rights;
mod run_as;
mod scenario;
mod scratch;
mod source;
mod sources;
mod stop;
mod storm;
mod suspend;
mod timer;
mod units;
mod wake_set;
mod worker;

use std::process::ExitCode;

use anyhow::Result;
use args::Command;

/// It failed.
const FAILED: u8 = 1;
/// Wrong usage.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = match args::parse(lexopt::Parser::from_env()) {
        Ok(command) => command,
        Err(error) => return complain(&error, USAGE),
    };
    match run(&command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error, FAILED),
    }
}

fn run(command: &Command) -> Result<()> {
    match command {
        Command::Help => event::print(args::HELP),
        Command::Sources(options) => sources::run(options),
        Command::Source(options) => source::run(options),
        Command::Suspend(options) => suspend::run(options),
        Command::Demo { length } => demo::run(*length),
        Command::RunAs(options) => run_as::run(options),
        Command::Scenario => scenario::run(),
    }
}

fn complain(error: &anyhow::Error, code: u8) -> ExitCode {
    event::complain(format_args!("{error:#}"));
    ExitCode::from(code)
}
