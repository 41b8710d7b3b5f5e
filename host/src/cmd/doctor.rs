//! `sleepwalk doctor`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::adb::{Adb, Device, DeviceError, TMP};
use crate::agent::{self, Agent, Installed};
use crate::capture::DIR;
use crate::cli::Target;
use crate::interrupt;
use crate::render::json;
use crate::text::escape;

/// Options of `doctor`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// For machines
    #[arg(long)]
    json: bool,
    /// Another agent than the one that this program brings
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// One thing that a capture needs or profits from.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Check {
    name: String,
    state: State,
    /// What there is.
    found: String,
    /// What can't be had without it.
    #[serde(default)]
    lost: String,
    /// What to do about it.
    #[serde(default)]
    #[serde(rename = "fix")]
    mend: String,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Degraded,
    Missing,
}

/// What `sleepwalkd doctor --json` prints.
#[derive(Deserialize)]
struct AgentSays {
    checks: Vec<Check>,
}

/// Checks everything from adb to the kernel. Nothing stays on the device.
pub fn run(args: &Args) -> Result<ExitCode> {
    interrupt::watch()?;
    let mut checks = Vec::new();
    let checked = check(args, &mut checks);
    if let Err(error) = &checked {
        let (what, mend) = whole_sentence(error);
        let name = NAMES.get(checks.len()).copied().unwrap_or("agent");
        checks.push(Check {
            name: name.to_owned(),
            state: State::Missing,
            found: what,
            lost: "everything: nothing can be recorded".to_owned(),
            mend,
        });
    }
    let can_record = matches!(checked, Ok(true));
    if args.json {
        let text = json!({"checks": checks, "can_record": can_record});
        super::print(&json::pretty(&text)?)?;
    } else {
        super::print(&list(&checks, can_record))?;
    }
    // The one that prints errors chooses the exit code too.
    checked.map(|can_record| if can_record { ExitCode::SUCCESS } else { ExitCode::from(4) })
}

/// The host's checks in their order: the first that fails is the one after those that passed.
const NAMES: [&str; 6] = ["adb", "device", "machine", "root", "agent", "room"];

/// Runs the checks, each on what those before it found; whether a capture is possible.
fn check(args: &Args, checks: &mut Vec<Check>) -> Result<bool> {
    let mut pass = |found: String| {
        let name = NAMES.get(checks.len()).copied().unwrap_or_default().to_owned();
        let (lost, mend) = (String::new(), String::new());
        checks.push(Check { name, state: State::Ok, found, lost, mend });
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
    // One that was recorded with before can stay where it is.
    let dir = if Installed::is_in(&device, &agent, DIR) {
        DIR.to_owned()
    } else {
        format!("{TMP}/sleepwalk-doctor-{}", std::process::id())
    };
    let installed = Installed::new(&device, &agent, &dir)?;
    let output = installed.run("doctor --json")?;
    let says: Option<AgentSays> = serde_json::from_str(&output.stdout).ok();
    match says {
        Some(says) => checks.extend(says.checks),
        None if output.code == 4 => return Err(DeviceError::Agent(output.last_words()).into()),
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

/// What is wrong, and the mend where the error is of a kind that ends with one, behind a colon.
fn whole_sentence(error: &anyhow::Error) -> (String, String) {
    let told = format!("{error:#}");
    let mends = error.downcast_ref::<DeviceError>().is_some_and(DeviceError::mends);
    match told.rsplit_once(": ") {
        Some((what, mend)) if mends => (what.to_owned(), mend.to_owned()),
        _ => (told, String::new()),
    }
}

fn list(checks: &[Check], can_record: bool) -> String {
    let color = super::color();
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
        for (key, said) in [("lost", &check.lost), ("mend", &check.mend)] {
            if !said.is_empty() {
                text += &format!("{:10}{:width$}  {key}: {}\n", "", "", escape(said.as_bytes()));
            }
        }
    }
    text + if can_record {
        "\nThis device can be recorded on.\n"
    } else {
        "\nThis device can't be recorded on.\n"
    }
}
