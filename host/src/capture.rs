//! One capture on the device, from its start to the trace on this machine.
//!
//! The agent runs in a session of its own: when `adb shell` ends it takes its direct child with it,
//! and waits for every child that still has its output. What the agent says and how it ends goes to
//! files beside the trace.

use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::adb::{Device, DeviceError};
use crate::agent::{self, Installed};
use crate::interrupt;
use crate::shell::{last_words, quote, value};

/// Where the agent and its traces lie on a device.
pub const DIR: &str = "/data/local/tmp/sleepwalk";

/// How long the agent may take to load its probe: an emulated core takes seconds.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to finish its trace after a signal.
const FINISH: Duration = Duration::from_secs(15);
/// Between questions where an answer is due; never while it captures, see `cmd::record`.
const DUE: Duration = Duration::from_millis(200);
/// How long the code of an agent that has ended may take to appear.
const EPILOGUE: Duration = Duration::from_secs(5);

/// A capture on the device. When this goes, the agent is stopped and its files are removed, unless
/// they are [left](Capture::leave) or [in part](Capture::leave_trace).
#[derive(Debug)]
pub struct Capture<'a> {
    agent: Installed<'a>,
    name: String,
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
        let name = name.to_owned();
        // From here on there may be an agent, whatever becomes of the call that starts it.
        let mut capture = Self { agent, name, running: true, leave: false, keep_trace: false };
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
                State::Ended(code) => return Err(capture.failed(code)),
                State::Starting if interrupt::count() > 0 => {
                    bail!("interrupted before the capture began")
                }
                State::Starting if Instant::now() > until => bail!(
                    "the agent on device {} is not ready after {} s: {}",
                    capture.device().serial(),
                    READY.as_secs(),
                    capture.said(),
                ),
                State::Starting => interrupt::sleep(DUE, 0),
            }
        }
    }

    fn start_script(&self, args: &[String]) -> String {
        let name = quote(&self.name);
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

    fn file(&self, extension: &str) -> String {
        quote(&format!("{}/{}.{extension}", self.agent.dir(), self.name))
    }

    /// The trace on the device.
    pub fn trace(&self) -> String {
        format!("{}/{}.swk", self.agent.dir(), self.name)
    }

    /// Asks the device how the capture is doing.
    pub fn state(&mut self) -> Result<State, DeviceError> {
        let (exit, out, pid) = (self.file("exit"), self.file("out"), self.file("pid"));
        // The number is read once: a file that is there and still empty is an agent that starts. And
        // the exit code is looked for last: an agent that ends meanwhile must not seem to vanish.
        let told = self.device().shell(&format!(
            "pid=$(cat {pid} 2>/dev/null); \
             [ -n \"$pid\" ] && echo pid=yes && kill -0 $pid 2>/dev/null && echo alive=yes; \
             grep -q '^ready' {out} 2>/dev/null && echo ready=yes; \
             [ -f {exit} ] && echo exit=$(cat {exit}); true"
        ))?;
        let told = told.stdout.as_str();
        let state = if let Some(code) = value(told, "exit") {
            State::Ended(code.parse().ok())
        } else if value(told, "pid").is_some() && value(told, "alive").is_none() {
            State::Ended(self.exit_code()?)
        } else if value(told, "ready").is_some() {
            State::Capturing
        } else {
            State::Starting
        };
        self.running = !matches!(state, State::Ended(_));
        Ok(state)
    }

    /// The code of an agent that has ended: its watcher writes it a moment later, if it still can.
    fn exit_code(&self) -> Result<Option<i32>, DeviceError> {
        let exit = self.file("exit");
        let until = Instant::now() + EPILOGUE;
        loop {
            thread::sleep(DUE);
            let code = self.device().shell(&format!("cat {exit} 2>/dev/null; true"))?.line();
            let code = code.parse().ok();
            if code.is_some() || Instant::now() > until {
                return Ok(code);
            }
        }
    }

    /// What the agent said at last.
    fn said(&self) -> String {
        let (err, out) = (self.file("err"), self.file("out"));
        let said = self.device().shell(&format!("cat {err} || cat {out}"));
        let said = said.map(|output| last_words(&output.stdout)).unwrap_or_default();
        if said.is_empty() { "it says nothing".to_owned() } else { said }
    }

    /// The error of an agent that ended with `code`: 4 means that this device can't be recorded on.
    pub fn failed(&self, code: Option<i32>) -> anyhow::Error {
        let (serial, said) = (self.device().serial(), self.said());
        let said = said.strip_prefix("sleepwalkd: ").unwrap_or(&said);
        match code {
            Some(4) => DeviceError::Agent(format!("device {serial}: {said}")).into(),
            Some(code) => {
                anyhow::anyhow!("the agent on device {serial} failed (exit code {code}): {said}")
            }
            None => anyhow::anyhow!("the agent on device {serial} was killed: {said}"),
        }
    }

    /// Tells the agent to finish its trace, and waits until it has.
    pub fn stop(&mut self) -> Result<State, DeviceError> {
        // A shell starts what runs in its background with SIGINT ignored, so SIGTERM.
        self.signal("TERM")?;
        let pressed = interrupt::count();
        let until = Instant::now() + FINISH;
        loop {
            let state = self.state()?;
            if matches!(state, State::Ended(_)) {
                return Ok(state);
            }
            if Instant::now() > until || interrupt::count() > pressed {
                // What it has written so far is whole.
                self.signal("KILL")?;
                return Ok(State::Ended(None));
            }
            interrupt::sleep(DUE, pressed);
        }
    }

    fn signal(&self, signal: &str) -> Result<(), DeviceError> {
        let (exit, pid) = (self.file("exit"), self.file("pid"));
        let kill = format!("[ -f {exit} ] || kill -{signal} $(cat {pid})");
        self.device().shell(&kill).map(drop)
    }

    /// Brings the trace to `local`.
    pub fn fetch(&self, local: &Path) -> Result<u64> {
        fetch(self.device(), &self.trace(), local)
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
        let mut files = vec!["pid", "out", "err", "code", "exit"];
        if !self.keep_trace {
            files.push("swk");
        }
        let files = files.into_iter().map(|e| self.file(e)).collect::<Vec<_>>().join(" ");
        let _ = self.device().shell(&format!("rm -f {files}"));
    }
}

/// Copies a trace from the device, and checks that all of it came.
pub fn fetch(device: &Device, remote: &str, local: &Path) -> Result<u64> {
    let there = remote_size(device, remote)?;
    device.pull(remote, local, there)?;
    let here = std::fs::metadata(local)?.len();
    // One that is still being written may have grown.
    ensure!(
        here == there || here == remote_size(device, remote)?,
        "{remote}: {here} bytes came across of {there} on the device: pull it again",
    );
    Ok(here)
}

fn remote_size(device: &Device, remote: &str) -> Result<u64> {
    let output = device.shell(&format!("wc -c <{}", quote(remote)))?;
    match output.line().parse() {
        Ok(size) if output.code == 0 => Ok(size),
        _ => bail!("{remote} on device {}: {}", device.serial(), output.last_words()),
    }
}

/// The names of the traces that lie on the device, the newest first.
pub fn traces(device: &Device) -> Result<Vec<String>, DeviceError> {
    // Without a match the pattern stands for itself, and `ls` complains.
    let output = device.shell(&format!("cd {DIR} 2>/dev/null && ls -t *.swk 2>/dev/null"))?;
    let names = output.stdout.lines().map(str::trim).filter(|name| name.ends_with(".swk"));
    Ok(names.map(str::to_owned).collect())
}
