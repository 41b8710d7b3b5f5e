//! A capture on the device, known by its name: what can be asked of it and told to it.

use std::thread;
use std::time::{Duration, Instant};

use crate::adb::{Device, DeviceError};
use crate::agent;
use crate::interrupt;
use crate::shell::{last_words, quote, value};

use super::{DUE, State};

/// How long the agent may take to finish its trace after a signal.
const FINISH: Duration = Duration::from_secs(15);
/// How long the code of an agent that has ended may take to appear.
const EPILOGUE: Duration = Duration::from_secs(5);

/// A capture's files on a device, and the agent that writes them.
#[derive(Debug)]
pub struct Remote<'a> {
    device: &'a Device,
    dir: String,
    name: String,
}

impl<'a> Remote<'a> {
    /// The capture `name`, whose files are `dir/name.*`.
    pub fn new(device: &'a Device, dir: &str, name: &str) -> Self {
        Self { device, dir: dir.to_owned(), name: name.to_owned() }
    }

    /// The device that it is on.
    pub fn device(&self) -> &'a Device {
        self.device
    }

    /// What its files are called, without what comes behind the dot.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One of its files, as a word of the shell's.
    pub fn file(&self, extension: &str) -> String {
        quote(&format!("{}/{}.{extension}", self.dir, self.name))
    }

    /// The trace on the device.
    pub fn trace(&self) -> String {
        format!("{}/{}.swk", self.dir, self.name)
    }

    /// Whether it was started by this program and not cleared up since.
    pub fn exists(&self) -> Result<bool, DeviceError> {
        Ok(self.device.shell(&format!("[ -f {} ]", self.file("pid")))?.code == 0)
    }

    /// Asks the device how the capture is doing.
    pub fn state(&self) -> Result<State, DeviceError> {
        let (exit, out, pid) = (self.file("exit"), self.file("out"), self.file("pid"));
        // The number is read once: a file that is there and still empty is an agent that starts. And
        // the exit code is looked for last: an agent that ends meanwhile must not seem to vanish. After
        // a reboot the number may be another program's.
        let agent = agent::NAME;
        let told = self.device.shell(&format!(
            "pid=$(cat {pid} 2>/dev/null); \
             [ -n \"$pid\" ] && echo pid=yes && \
             grep -q {agent} /proc/$pid/cmdline 2>/dev/null && echo alive=yes; \
             grep -q '^ready' {out} 2>/dev/null && echo ready=yes; \
             [ -f {exit} ] && echo exit=$(cat {exit}); true"
        ))?;
        let told = told.stdout.as_str();
        Ok(if let Some(code) = value(told, "exit") {
            State::Ended(code.parse().ok())
        } else if value(told, "pid").is_some() && value(told, "alive").is_none() {
            State::Ended(self.exit_code()?)
        } else if value(told, "ready").is_some() {
            State::Capturing
        } else {
            State::Starting
        })
    }

    /// The code of an agent that has ended: its watcher writes it a moment later, if it still can.
    fn exit_code(&self) -> Result<Option<i32>, DeviceError> {
        let exit = self.file("exit");
        let until = Instant::now() + EPILOGUE;
        loop {
            thread::sleep(DUE);
            let code = self.device.shell(&format!("cat {exit} 2>/dev/null; true"))?.line();
            let code = code.parse().ok();
            if code.is_some() || Instant::now() > until {
                return Ok(code);
            }
        }
    }

    /// What the agent said at last.
    pub fn said(&self) -> String {
        let (err, out) = (self.file("err"), self.file("out"));
        let said = self.device.shell(&format!("cat {err} || cat {out}"));
        let said = said.map(|output| last_words(&output.stdout)).unwrap_or_default();
        if said.is_empty() { "it says nothing".to_owned() } else { said }
    }

    /// The error of an agent that ended with `code`: 4 means that this device can't be recorded on.
    pub fn failed(&self, code: Option<i32>) -> anyhow::Error {
        let (serial, said) = (self.device.serial(), self.said());
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
    pub fn stop(&self) -> Result<State, DeviceError> {
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
        self.device.shell(&kill).map(drop)
    }
    /// Removes what lies beside the trace, and with `trace` that too.
    pub fn remove(&self, trace: bool) -> Result<(), DeviceError> {
        let mut files = vec!["pid", "out", "err", "code", "exit"];
        if trace {
            files.push("swk");
        }
        let files = files.into_iter().map(|e| self.file(e)).collect::<Vec<_>>().join(" ");
        self.device.shell(&format!("rm -f {files}")).map(drop)
    }
}
