//! `sleepwalk stop`.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::capture::{self, DIR, Remote, State};
use crate::cli::Target;
use crate::interrupt;

/// Options of `stop`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// The trace that is being written, by its name [default: the one that is]
    trace: Option<String>,
}

/// Tells the agent to finish its trace, which stays on the device.
pub fn run(args: &Args) -> Result<ExitCode> {
    interrupt::watch()?;
    let device = super::connect(args.target.serial())?;
    let serial = device.serial();
    let traces = match &args.trace {
        Some(trace) => vec![trace.clone()],
        None => capture::traces(&device)?,
    };
    let mut running = None;
    for trace in traces {
        let remote = Remote::new(&device, DIR, trace.strip_suffix(".swk").unwrap_or(&trace));
        if remote.exists()? && !matches!(remote.state()?, State::Ended(_)) {
            running = Some(remote);
            break;
        }
    }
    let remote = running.with_context(|| match &args.trace {
        Some(trace) => format!(
            "{trace} is not being recorded on device {serial}: `sleepwalk status` lists captures"
        ),
        None => format!("nothing is being recorded on device {serial}"),
    })?;
    match remote.stop()? {
        State::Ended(Some(0)) => {}
        State::Ended(code) => return Err(remote.failed(code)),
        State::Starting | State::Capturing => bail!("{} goes on", remote.trace()),
    }
    super::say(&format!("{} is ended: `sleepwalk pull` brings it", remote.trace()));
    Ok(ExitCode::SUCCESS)
}
