//! `sleepwalk status`.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::console;
use super::target::Target;
use crate::device::files;
use crate::device::paths::DIR;
use crate::device::remote::Remote;
use crate::device::state::State;
use crate::interrupt;
use crate::text::one_line;
use crate::units::size;

/// Options of `status`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Lists the traces on the device, the newest first.
pub fn run(args: &Args) -> Result<ExitCode> {
    interrupt::watch_and_abort()?;
    let device = args.target.connect()?;
    let mut captures = Vec::new();
    for trace in files::traces(&device)? {
        let remote = Remote::new(&device, DIR, &trace);
        let state = if remote.exists()? { Some(remote.state()?) } else { None };
        captures.push((files::remote_size(&device, &remote.trace())?, state, trace));
    }
    if args.json {
        let list = captures.iter().map(|(bytes, state, trace)| {
            json!({ "trace": trace, "bytes": bytes, "state": word(*state), "exit_code": code(*state) })
        });
        let list: Vec<_> = list.collect();
        console::print(&(serde_json::to_string(&json!({ "captures": list }))? + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if captures.is_empty() {
        console::say(&format!("device {} has no trace in {DIR}", device.serial()));
    }
    for (bytes, state, trace) in captures {
        let state = match code(state) {
            Some(0) | None => word(state).to_owned(),
            Some(code) => format!("failed ({code})"),
        };
        console::print(&format!("{state:<10} {:>10}  {}\n", size(bytes), one_line(&trace)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The state as a word. A trace without other files beside it is complete, or was copied there.
fn word(state: Option<State>) -> &'static str {
    match state {
        Some(State::Starting) => "starting",
        Some(State::Capturing) => "capturing",
        Some(State::Ended(None)) => "killed",
        Some(State::Ended(Some(_))) | None => "ended",
    }
}

fn code(state: Option<State>) -> Option<i32> {
    match state {
        Some(State::Ended(code)) => code,
        _ => None,
    }
}
