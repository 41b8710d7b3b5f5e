//! `sleepwalk stop`.

use std::process::ExitCode;

use anyhow::{Result, bail};

use super::console;
use super::target::Target;
use crate::device::files;
use crate::device::paths::DIR;
use crate::device::remote::Remote;
use crate::device::state::State;
use crate::fix::Fixable;
use crate::interrupt;

/// Options of `stop`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Name of the trace to complete [default: the one that is being recorded]
    trace: Option<String>,
}

/// Stops the agent. The trace stays on the device.
pub fn run(args: &Args) -> Result<ExitCode> {
    interrupt::watch()?;
    let device = args.target.connect()?;
    let serial = device.serial();
    let traces = match &args.trace {
        Some(trace) => vec![trace.clone()],
        None => files::traces(&device)?,
    };
    let mut running = None;
    for trace in traces {
        let remote = Remote::new(&device, DIR, &trace);
        if remote.is_running()? {
            running = Some(remote);
            break;
        }
    }
    let Some(remote) = running else {
        let trace = args.trace.as_deref();
        let problem = match trace {
            Some(trace) => format!("{trace} is not being recorded on device {serial}"),
            None => format!("no trace is being recorded on device {serial}"),
        };
        bail!(Fixable::new(problem, "run `sleepwalk status` to list the traces on the device"));
    };
    match remote.stop()? {
        State::Ended(Some(0)) => {}
        State::Ended(code) => return Err(remote.failed(code)),
        State::Starting | State::Capturing => bail!("{} is still being recorded", remote.trace()),
    }
    console::say(&format!("{} is complete; copy it with `sleepwalk pull`", remote.trace()));
    Ok(ExitCode::SUCCESS)
}
