//! One capture on the device, from its start to the trace on this machine.
//!
//! The agent runs in a session of its own: when `adb shell` ends it takes its direct child with it,
//! and waits for every child that still has its output. What the agent says and how it ends goes to
//! files beside the trace.

mod remote;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::adb::{Device, DeviceError};
use crate::agent::{self, Installed};
use crate::interrupt;
use crate::shell::quote;

pub use remote::Remote;

/// Where the agent and its traces lie on a device.
pub const DIR: &str = "/data/local/tmp/sleepwalk";

/// How long the agent may take to load its probe: an emulated core takes seconds.
const READY: Duration = Duration::from_secs(60);
/// Between questions where an answer is due; never while it captures, see `cmd::record`.
const DUE: Duration = Duration::from_millis(200);

/// A capture on the device. When this goes, the agent is stopped and its files are removed, unless
/// they are [left](Capture::leave) or [in part](Capture::leave_trace).
#[derive(Debug)]
pub struct Capture<'a> {
    agent: Installed<'a>,
    remote: Remote<'a>,
    running: bool,
    leave: bool,
    keep_trace: bool,
}

/// How a capture is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The agent loads its probe.
    Starting,
    /// It captures.
    Capturing,
    /// It ended, with this exit code; `None` where it vanished.
    Ended(Option<i32>),
}

impl<'a> Capture<'a> {
    /// Starts the agent with `args` to write `DIR/name.swk`, and waits until it captures.
    pub fn start(agent: Installed<'a>, name: &str, args: &[String]) -> Result<Self> {
        let remote = Remote::new(agent.device(), agent.dir(), name);
        // From here on there may be an agent, whatever becomes of the call that starts it.
        let mut capture = Self { agent, remote, running: true, leave: false, keep_trace: false };
        let started = capture.device().shell(&capture.start_script(args))?;
        ensure!(
            started.line() == "started",
            "the agent cannot be started on device {}: {}",
            capture.device().serial(),
            started.last_words(),
        );
        let until = Instant::now() + READY;
        loop {
            match capture.state()? {
                State::Capturing => return Ok(capture),
                State::Ended(code) => return Err(capture.remote.failed(code)),
                State::Starting if interrupt::count() > 0 => {
                    bail!("interrupted before the capture began")
                }
                State::Starting if Instant::now() > until => bail!(
                    "the agent on device {} is not ready after {} s: {}",
                    capture.device().serial(),
                    READY.as_secs(),
                    capture.remote.said(),
                ),
                State::Starting => interrupt::sleep(DUE, 0),
            }
        }
    }

    fn start_script(&self, args: &[String]) -> String {
        let name = quote(self.remote.name());
        let mut run = format!("echo $$ >{name}.pid; exec ./{} record -o {name}.swk", agent::NAME);
        for arg in args {
            let _ = write!(run, " {}", quote(arg));
        }
        // The exit code appears whole or not at all.
        let watch = format!(
            "sh -c {} >{name}.out 2>{name}.err </dev/null; \
             echo $? >{name}.code; mv {name}.code {name}.exit",
            quote(&run),
        );
        let dir = quote(self.agent.dir());
        let watch = quote(&watch);
        format!(
            "cd {dir} && {{ setsid sh -c {watch} >/dev/null 2>&1 </dev/null & }} && echo started"
        )
    }

    fn device(&self) -> &'a Device {
        self.agent.device()
    }

    /// What is on the device.
    pub fn remote(&self) -> &Remote<'a> {
        &self.remote
    }

    /// Asks the device how the capture is doing.
    pub fn state(&mut self) -> Result<State, DeviceError> {
        let state = self.remote.state()?;
        self.running = !matches!(state, State::Ended(_));
        Ok(state)
    }

    /// Tells the agent to finish its trace, and waits until it has.
    pub fn stop(&mut self) -> Result<State, DeviceError> {
        let state = self.remote.stop()?;
        self.running = !matches!(state, State::Ended(_));
        Ok(state)
    }

    /// Brings the trace to `local`.
    pub fn fetch(&self, local: &Path) -> Result<u64> {
        fetch(self.device(), &self.remote.trace(), local)
    }

    /// Leaves the trace on the device, and the agent running if it still does.
    pub fn leave(&mut self) {
        self.leave = true;
        self.agent.keep();
    }

    /// Leaves the trace on the device, where it is the only copy, and the agent, which is stopped.
    pub fn leave_trace(&mut self) {
        self.keep_trace = true;
        self.agent.keep();
    }

    /// It went well: the agent stays for the next time, the trace if asked for, the rest is removed.
    pub fn done(mut self, keep_trace: bool) {
        self.agent.keep();
        self.keep_trace = keep_trace;
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        if self.leave {
            return;
        }
        // Nobody is left to hear of a failure.
        if self.running {
            let _ = self.stop();
        }
        let _ = self.remote.remove(!self.keep_trace);
    }
}

/// Copies a trace from the device, and checks that all of it came.
pub fn fetch(device: &Device, remote: &str, local: &Path) -> Result<u64> {
    let there = remote_size(device, remote)?;
    device.pull(remote, local, there)?;
    let here = std::fs::metadata(local)?.len();
    // One that is still being written may have grown meanwhile, or been cut at its end.
    let between = |a: u64, b: u64| (a.min(b)..=a.max(b)).contains(&here);
    ensure!(
        here == there || between(there, remote_size(device, remote)?),
        "{remote}: {here} bytes came across of {there} on the device: pull it again",
    );
    Ok(here)
}

/// The length of a file on the device.
pub fn remote_size(device: &Device, remote: &str) -> Result<u64> {
    let output = device.shell(&format!("wc -c <{}", quote(remote)))?;
    match output.line().parse() {
        Ok(size) if output.code == 0 => Ok(size),
        _ => bail!(
            "{remote} on device {}: {}: `sleepwalk status` lists what is there",
            device.serial(),
            output.last_words()
        ),
    }
}

/// The names of the traces that lie on the device, the newest first.
pub fn traces(device: &Device) -> Result<Vec<String>, DeviceError> {
    // Without a match the pattern stands for itself, and `ls` complains.
    let output = device.shell(&format!("cd {DIR} 2>/dev/null && ls -t *.swk 2>/dev/null"))?;
    let names = output.stdout.lines().map(str::trim).filter(|name| name.ends_with(".swk"));
    Ok(names.map(str::to_owned).collect())
}
