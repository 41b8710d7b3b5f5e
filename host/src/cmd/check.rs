//! `sleepwalk check`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::exit::LIMIT_BROKEN;
use super::input;
use super::output::OutputArgs;
use crate::compare::check;
use crate::compare::policy::Policy;
use crate::render::pages::check as pages;
use crate::render::{json, terminal};
use crate::report::By;

/// Options of `check`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Trace files; `-` reads standard input. Each trace is checked separately
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// File with the limits; docs/policy.example.toml explains all of them
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Print JSON (docs/check.schema.json)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Checks traces against the limits of a policy.
pub fn run(args: &Args) -> Result<ExitCode> {
    input::check_stdin(&args.traces)?;
    let name = args.policy.display().to_string();
    let text = fs::read_to_string(&args.policy).with_context(|| name.clone())?;
    let policy = Policy::parse(&text).with_context(|| name.clone())?;
    let output = args.output.open(args.traces.iter().chain([&args.policy]))?;
    let traces = input::reports(&args.traces, By::Name, None)?;
    let verdict = check::check(&name, &policy, &traces);
    let text = match args.json {
        true => json::pretty(&verdict)?,
        false => terminal::render(&pages::page(&verdict), args.output.look()),
    };
    output.write_text(&text)?;
    Ok(if verdict.passed { ExitCode::SUCCESS } else { ExitCode::from(LIMIT_BROKEN) })
}
