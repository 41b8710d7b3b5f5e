//! `sleepwalk check`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::compare::check;
use crate::compare::policy::Policy;
use crate::render::pages::check as pages;
use crate::render::{json, terminal};
use crate::report::By;

/// What `check` exits with where a limit is broken.
const BROKEN: u8 = 3;

/// Options of `check`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The traces; each is judged by itself
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// The limits; docs/policy.example.toml has all there are
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// For machines, by docs/check.schema.json
    #[arg(long)]
    json: bool,
}

/// Holds saved traces against a policy.
pub fn run(args: &Args) -> Result<ExitCode> {
    let name = args.policy.display().to_string();
    let text = fs::read_to_string(&args.policy).with_context(|| name.clone())?;
    let policy = Policy::parse(&text).with_context(|| name.clone())?;
    let traces = super::traces(&args.traces, By::Name, None)?;
    let verdict = check::check(&name, &policy, &traces);
    let text = match args.json {
        true => json::pretty(&verdict)?,
        false => terminal::render(&pages::page(&verdict), super::look::look(None)),
    };
    super::print(&text)?;
    Ok(if verdict.passed { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
}
