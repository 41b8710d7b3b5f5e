//! `sleepwalk status`.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use crate::capture::{self, DIR, Remote, State};
use crate::cli::Target;
use crate::interrupt;
use crate::text::one_line;
use crate::units::size;

/// Options of `status`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// For machines
    #[arg(long)]
    json: bool,
}

/// Lists what was captured on the device and still lies there, the newest first.
pub fn run(args: &Args) -> Result<ExitCode> {
    interrupt::watch_and_give_up()?;
    let device = super::connect(args.target.serial())?;
    let mut captures = Vec::new();
    for trace in capture::traces(&device)? {
        let name = trace.strip_suffix(".swk").unwrap_or(&trace);
        let remote = Remote::new(&device, DIR, name);
        let state = if remote.exists()? { Some(remote.state()?) } else { None };
        captures.push((capture::remote_size(&device, &remote.trace())?, state, trace));
    }
    if args.json {
        let list = captures.iter().map(|(bytes, state, trace)| {
            json!({ "trace": trace, "bytes": bytes, "state": word(*state), "exit_code": code(*state) })
        });
        let list: Vec<_> = list.collect();
        super::print(&(serde_json::to_string(&json!({ "captures": list }))? + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if captures.is_empty() {
        super::say(&format!("no trace lies on device {} in {DIR}", device.serial()));
    }
    for (bytes, state, trace) in captures {
        let state = match code(state) {
            Some(0) | None => word(state).to_owned(),
            Some(code) => format!("failed ({code})"),
        };
        super::print(&format!("{state:<10} {:>10}  {}\n", size(bytes), one_line(&trace)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A trace without anything beside it is one whose capture was cleared up, or was made otherwise.
fn word(state: Option<State>) -> &'static str {
    match state {
        Some(State::Starting) => "starting",
        Some(State::Capturing) => "capturing",
        Some(State::Ended(None)) => "broken off",
        Some(State::Ended(Some(_))) | None => "ended",
    }
}

fn code(state: Option<State>) -> Option<i32> {
    match state {
        Some(State::Ended(code)) => code,
        _ => None,
    }
}
