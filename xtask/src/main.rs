//! Sleepwalk's tasks, `cargo xtask TASK`: one file per task.

mod build;
mod paths;
mod setup;
mod sh;

use std::process::ExitCode;

use anyhow::{Result, bail};
use lexopt::prelude::*;

const USAGE: &str = "\
Usage: cargo xtask TASK

  setup          bring in what the other tasks need; they also do so by themselves
  build [PART]   target/dist/sleepwalk and sleepwalkd; PART: probe, agent, workload or host
  check-android  compile the agent for Android, without an NDK
  clippy-probe   clippy for the probe, on its own target
";

fn main() -> ExitCode {
    match task() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn task() -> Result<()> {
    let mut args = lexopt::Parser::from_env();
    let Some(Value(task)) = args.next()? else {
        print!("{USAGE}");
        return Ok(());
    };
    match task.to_string_lossy().as_ref() {
        "setup" => done(args).and_then(|()| setup::all()),
        "build" => build(args),
        "check-android" => done(args).and_then(|()| build::check_android()),
        "clippy-probe" => done(args).and_then(|()| build::probe_clippy()),
        other => bail!("no task {other:?}; `cargo xtask` lists them"),
    }
}

fn build(mut args: lexopt::Parser) -> Result<()> {
    let part = match args.next()? {
        None => return build::all(),
        Some(Value(part)) => part,
        Some(other) => return Err(other.unexpected().into()),
    };
    done(args)?;
    let made = match part.to_string_lossy().as_ref() {
        "probe" => build::probe(),
        "agent" => build::agent(),
        "workload" => build::workload(),
        "host" => build::host(),
        other => bail!("no part {other:?}: it is probe, agent, workload or host"),
    };
    made.map(drop)
}

fn done(mut args: lexopt::Parser) -> Result<()> {
    match args.next()? {
        None => Ok(()),
        Some(other) => Err(other.unexpected().into()),
    }
}
