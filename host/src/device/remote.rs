//! A capture on the device, found and controlled by its name.

use std::thread;
use std::time::{Duration, Instant};

use super::adb::Device;
use super::agent;
use super::error::DeviceError;
use super::shell::{last_words, quote, value};
use super::state::{POLL, State};
use crate::interrupt;

/// The deadline for the agent to finish its trace after a signal.
const FINISH: Duration = Duration::from_secs(15);
/// The deadline for the exit code of an agent that has ended.
const EXIT_CODE: Duration = Duration::from_secs(5);

/// A capture's files on a device, and the agent that writes them.
#[derive(Debug)]
pub struct Remote<'a> {
    device: &'a Device,
    dir: String,
    name: String,
}

impl<'a> Remote<'a> {
    /// The capture whose trace is `name`, with or without `.swk`, in `dir`; the names of its other files
    /// differ by their extensions.
    pub fn new(device: &'a Device, dir: &str, name: &str) -> Self {
        let name = name.strip_suffix(".swk").unwrap_or(name);
        Self { device, dir: dir.to_owned(), name: name.to_owned() }
    }

    /// The name of its files, without the extension.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One of its files, as a word of the shell.
    pub fn file(&self, extension: &str) -> String {
        quote(&format!("{}/{}.{extension}", self.dir, self.name))
    }

    /// The trace on the device.
    pub fn trace(&self) -> String {
        format!("{}/{}.swk", self.dir, self.name)
    }

    /// Whether this program started it and has not removed its files since.
    pub fn exists(&self) -> Result<bool, DeviceError> {
        Ok(self.device.shell(&format!("[ -f {} ]", self.file("pid")))?.code == 0)
    }

    /// Whether it is being recorded.
    pub fn is_running(&self) -> Result<bool, DeviceError> {
        Ok(self.exists()? && !matches!(self.state()?, State::Ended(_)))
    }

    /// Asks the device for the state of the capture.
    pub fn state(&self) -> Result<State, DeviceError> {
        let (exit, out, pid) = (self.file("exit"), self.file("out"), self.file("pid"));
        // The pid is read once: an empty file means that the agent starts. The exit code is read
        // last: an agent that ends meanwhile must not look killed. After a reboot the pid may be
        // another program's.
        let agent = agent::NAME;
        let output = self.device.shell(&format!(
            "pid=$(cat {pid} 2>/dev/null); \
             [ -n \"$pid\" ] && echo pid=yes && \
             grep -q {agent} /proc/$pid/cmdline 2>/dev/null && echo alive=yes; \
             grep -q '^ready' {out} 2>/dev/null && echo ready=yes; \
             [ -f {exit} ] && echo exit=$(cat {exit}); true"
        ))?;
        let output = output.stdout.as_str();
        Ok(if let Some(code) = value(output, "exit") {
            State::Ended(code.parse().ok())
        } else if value(output, "pid").is_some() && value(output, "alive").is_none() {
            State::Ended(self.exit_code()?)
        } else if value(output, "ready").is_some() {
            State::Capturing
        } else {
            State::Starting
        })
    }

    /// The code of an agent that has ended. The shell that started it writes it a moment later, unless
    /// it was killed too.
    fn exit_code(&self) -> Result<Option<i32>, DeviceError> {
        let exit = self.file("exit");
        let until = Instant::now() + EXIT_CODE;
        loop {
            thread::sleep(POLL);
            let code = self.device.shell(&format!("cat {exit} 2>/dev/null; true"))?.line();
            let code = code.parse().ok();
            if code.is_some() || Instant::now() > until {
                return Ok(code);
            }
        }
    }

    /// The agent's last lines of output.
    pub fn last_words(&self) -> String {
        let (err, out) = (self.file("err"), self.file("out"));
        let output = self.device.shell(&format!("cat {err} || cat {out}"));
        let words = output.map(|output| last_words(&output.stdout)).unwrap_or_default();
        if words.is_empty() { "it gave no reason".to_owned() } else { words }
    }

    /// The agent's warnings so far. On Android's own libc they go to logcat instead.
    pub fn warnings(&self) -> Result<Vec<String>, DeviceError> {
        let err = self.file("err");
        let output = self.device.shell(&format!("cat {err}"))?;
        let warnings = output.stdout.lines().filter_map(|line| line.split_once("warn: "));
        Ok(warnings.map(|(_, warning)| warning.to_owned()).collect())
    }

    /// The error of an agent that ended with `code`: 4 means that this device cannot be recorded on.
    pub fn failed(&self, code: Option<i32>) -> anyhow::Error {
        let (serial, words) = (self.device.serial().to_owned(), self.last_words());
        let message = words.strip_prefix("sleepwalkd: ").unwrap_or(&words).to_owned();
        match code {
            Some(4) => DeviceError::Agent { serial, message }.into(),
            Some(code) => {
                anyhow::anyhow!("the agent on device {serial} failed (exit code {code}): {message}")
            }
            None => anyhow::anyhow!("the agent on device {serial} was killed: {message}"),
        }
    }

    /// Stops the agent, and waits until it has finished its trace.
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
                // Everything it has written so far is readable.
                self.signal("KILL")?;
                // The shell that started it writes the exit code: files are removed only after that.
                let _ = self.exit_code();
                return Ok(State::Ended(None));
            }
            interrupt::sleep(POLL, pressed);
        }
    }

    fn signal(&self, signal: &str) -> Result<(), DeviceError> {
        let (exit, pid) = (self.file("exit"), self.file("pid"));
        let kill = format!("[ -f {exit} ] || kill -{signal} $(cat {pid})");
        self.device.shell(&kill).map(drop)
    }

    /// Removes the files beside the trace, and with `trace` the trace itself.
    pub fn remove(&self, trace: bool) -> Result<(), DeviceError> {
        let mut files = vec!["pid", "out", "err", "code", "exit"];
        if trace {
            files.push("swk");
        }
        let files = files.into_iter().map(|e| self.file(e)).collect::<Vec<_>>().join(" ");
        self.device.shell(&format!("rm -f {files}")).map(drop)
    }
}
