//! One capture on the device, from its start to the trace on the host.
//!
//! The agent runs in a session of its own: `adb shell` kills its direct child when it ends, and
//! waits for every child that still holds its output. With `--detached` it leaves adbd's cgroup too,
//! so it outlives adbd. The agent's output and exit code go to files beside the trace.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::adb::Device;
use super::agent::{self, Installed};
use super::error::DeviceError;
use super::files;
use super::remote::Remote;
use super::shell::quote;
use super::state::{POLL, State};
use crate::interrupt;

/// The deadline for the agent to load its probe: an emulated core takes seconds.
const READY: Duration = Duration::from_secs(60);

/// A capture on the device. Dropping this stops the agent and removes its files. [`Capture::leave`]
/// prevents that, and [`Capture::leave_trace`] keeps the trace.
#[derive(Debug)]
pub struct Capture<'a> {
    agent: Installed<'a>,
    remote: Remote<'a>,
    running: bool,
    leave: bool,
    keep_trace: bool,
}

impl<'a> Capture<'a> {
    /// Starts the agent with `args` to write `DIR/name.swk`, and waits until it records.
    pub fn start(agent: Installed<'a>, name: &str, args: &[String]) -> Result<Self> {
        let remote = Remote::new(agent.device(), agent.dir(), name);
        // From here on the agent may run, even if the call that starts it fails.
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
                    bail!("interrupted before the capture started")
                }
                State::Starting if Instant::now() > until => bail!(
                    "the agent on device {} is not ready after {} s: {}",
                    capture.device().serial(),
                    READY.as_secs(),
                    capture.remote.last_words(),
                ),
                State::Starting => interrupt::sleep(POLL, 0),
            }
        }
    }

    fn start_script(&self, args: &[String]) -> String {
        let name = quote(self.remote.name());
        let mut run = format!("echo $$ >{name}.pid; exec ./{} record -o {name}.swk", agent::NAME);
        for arg in args {
            let _ = write!(run, " {}", quote(arg));
        }
        // The agent also takes the shell that waits for it out of adbd's reach.
        run.push_str(" --detached");
        // The rename makes the exit code appear complete or not at all.
        let watch = format!(
            "sh -c {} >{name}.out 2>{name}.err </dev/null; \
             echo $? >{name}.code; mv {name}.code {name}.exit",
            quote(&run),
        );
        let (enter, watch) = (self.agent.enter(), quote(&watch));
        format!("{enter}{{ setsid sh -c {watch} >/dev/null 2>&1 </dev/null & }} && echo started")
    }

    fn device(&self) -> &'a Device {
        self.agent.device()
    }

    /// The capture's files on the device.
    pub fn remote(&self) -> &Remote<'a> {
        &self.remote
    }

    /// Asks the device for the state of the capture.
    pub fn state(&mut self) -> Result<State, DeviceError> {
        let state = self.remote.state()?;
        self.running = !matches!(state, State::Ended(_));
        Ok(state)
    }

    /// Stops the agent, and waits until it has finished its trace.
    pub fn stop(&mut self) -> Result<State, DeviceError> {
        let state = self.remote.stop()?;
        self.running = !matches!(state, State::Ended(_));
        Ok(state)
    }

    /// Copies the trace to `local`.
    pub fn fetch(&self, local: &Path) -> Result<u64> {
        files::fetch(self.device(), &self.remote.trace(), local)
    }

    /// Leaves the trace on the device, and the agent running.
    pub fn leave(&mut self) {
        self.leave = true;
        self.agent.keep();
    }

    /// Leaves the trace, of which there is no other copy, and the agent's program on the device.
    pub fn leave_trace(&mut self) {
        self.keep_trace = true;
        self.agent.keep();
    }

    /// Ends a capture that succeeded. The agent's program stays for the next time, the trace if
    /// `keep_trace`; the other files are removed.
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
        // A failure cannot be reported from here.
        if self.running {
            let _ = self.stop();
        }
        let _ = self.remote.remove(!self.keep_trace);
    }
}
