//! `sleepwalk doctor`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::console;
use super::exit::{self, NO_DEVICE};
use super::look;
use super::target::Target;
use crate::device::adb::Device;
use crate::device::agent::{self, Agent, Installed};
use crate::device::call::Adb;
use crate::device::error::DeviceError;
use crate::device::paths::{DIR, TMP};
use crate::fix;
use crate::interrupt;
use crate::render::json;
use crate::text::escape;

/// Options of `doctor`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Agent to use instead of the built-in one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// The result of one check.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Check {
    name: String,
    state: State,
    /// The finding, or the error.
    found: String,
    /// The loss that it causes.
    #[serde(default)]
    lost: String,
    /// How to fix it.
    #[serde(default)]
    fix: String,
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Degraded,
    Missing,
}

/// The output of `sleepwalkd doctor --json`.
#[derive(Deserialize)]
struct AgentChecks {
    checks: Vec<Check>,
}

/// Checks everything from adb to the kernel. Leaves no file on the device.
pub fn run(args: &Args) -> Result<ExitCode> {
    interrupt::watch()?;
    let mut checks = Vec::new();
    let checked = check(args, &mut checks);
    if let Err(error) = &checked {
        let name = NAMES.get(checks.len()).copied().unwrap_or("agent");
        checks.push(Check {
            name: name.to_owned(),
            state: State::Missing,
            found: format!("{error:#}"),
            lost: "everything: Sleepwalk cannot record on this device".to_owned(),
            fix: fix::remedy(error).unwrap_or_default().to_owned(),
        });
    }
    let can_record = matches!(checked, Ok(true));
    if args.json {
        let text = json!({"checks": checks, "can_record": can_record});
        console::print(&json::pretty(&text)?)?;
    } else {
        console::print(&list(&checks, can_record))?;
    }
    // An error is in the list already, and is not printed again.
    Ok(match checked {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(NO_DEVICE),
        Err(error) => ExitCode::from(exit::code(&error)),
    })
}

/// The host's checks as they run. The one that fails comes after those that passed.
const NAMES: [&str; 6] = ["adb", "device", "machine", "root", "agent", "room"];

/// Runs the checks, each with the results of those before it. Returns whether the device can be
/// recorded on.
fn check(args: &Args, checks: &mut Vec<Check>) -> Result<bool> {
    let mut pass = |found: String| {
        let name = NAMES.get(checks.len()).copied().unwrap_or_default().to_owned();
        let (lost, fix) = (String::new(), String::new());
        checks.push(Check { name, state: State::Ok, found, lost, fix });
    };
    let adb = Adb::from_env();
    pass(adb.version()?);
    let mut device = Device::select(&adb, args.target.serial())?;
    pass(device.serial().to_owned());
    pass(device.machine()?);
    pass(device.become_root()?.to_owned());
    let agent = Agent::find(args.agent.as_deref())?;
    pass(agent.build().to_string());
    pass(agent::check_room(&device, &agent)?);
    if interrupt::count() > 0 {
        bail!("interrupted");
    }
    // An agent from an earlier recording is used, and stays.
    let dir = if Installed::is_in(&device, &agent, DIR) {
        DIR.to_owned()
    } else {
        format!("{TMP}/sleepwalk-doctor-{}", std::process::id())
    };
    let installed = Installed::new(&device, &agent, &dir)?;
    let output = installed.run("doctor --json")?;
    let found: Option<AgentChecks> = serde_json::from_str(&output.stdout).ok();
    match found {
        Some(found) => checks.extend(found.checks),
        None if output.code == 4 => {
            let (serial, message) = (device.serial().to_owned(), output.last_words());
            return Err(DeviceError::Agent { serial, message }.into());
        }
        None => {
            bail!("the agent's doctor failed (exit code {}): {}", output.code, output.last_words())
        }
    }
    match output.code {
        0 => Ok(true),
        4 => Ok(false),
        code => Err(anyhow::anyhow!(output.last_words()))
            .with_context(|| format!("the agent's doctor failed (exit code {code})")),
    }
}

fn list(checks: &[Check], can_record: bool) -> String {
    let color = look::color();
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let (state, style) = match check.state {
            State::Ok => ("ok      ", "32"),
            State::Degraded => ("degraded", "33"),
            State::Missing => ("missing ", "31"),
        };
        let state = if color { format!("\x1b[{style}m{state}\x1b[0m") } else { state.to_owned() };
        let (name, found) = (escape(check.name.as_bytes()), escape(check.found.as_bytes()));
        text += &format!("{state}  {name:<width$}  {found}\n");
        for (key, value) in [("lost", &check.lost), ("fix", &check.fix)] {
            if !value.is_empty() {
                text += &format!("{:10}{:width$}  {key}: {}\n", "", "", escape(value.as_bytes()));
            }
        }
    }
    text + if can_record {
        "\nSleepwalk can record on this device.\n"
    } else {
        "\nSleepwalk cannot record on this device.\n"
    }
}
