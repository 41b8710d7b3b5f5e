//! Programs in the background on the device.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::device::{Device, FOLDER, LIMIT};
use crate::sh;

/// How long a program may take to end after SIGTERM before its connection is cut.
const PROMPT: Duration = Duration::from_secs(60);

/// A program under way on the device. It gets SIGTERM when this is dropped.
#[derive(Debug)]
pub struct Program<'a> {
    device: &'a Device,
    child: Option<Child>,
    /// Open, because some programs end when their stdin does.
    _stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    command: String,
    /// All of its output.
    log: (PathBuf, File),
    /// Its process id on the device.
    pub pid: u32,
}

impl Device {
    /// Starts a program in [`FOLDER`]; its errors go to the log alone.
    pub fn spawn(&self, command: &str) -> Result<Program<'_>> {
        let name = command.split_whitespace().find(|word| word.starts_with("./"));
        let name = name.unwrap_or("program").trim_start_matches("./");
        let (path, log) = sh::log(&format!("device-{name}"))?;
        let script = format!("mkdir -p {FOLDER} && cd {FOLDER} && echo $$ && exec {command}");
        let mut child = self
            .adb()
            .args(["shell", "-T", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .spawn()
            .context("adb does not start")?;
        let stdout = child.stdout.take().context("adb has no stdout")?;
        let (sender, lines) = channel();
        let copy = log.try_clone()?;
        thread::spawn(move || forward(stdout, copy, &sender));
        let _stdin = child.stdin.take();
        let (child, command, log) = (Some(child), command.to_owned(), (path, log));
        let mut program = Program { device: self, child, _stdin, lines, command, log, pid: 0 };
        let pid = program.line()?;
        program.pid = pid.parse().with_context(|| {
            format!("`{command}` begins with {pid:?}", command = program.command)
        })?;
        Ok(program)
    }

    /// Starts a program in [`FOLDER`] and waits for a line that contains `sign`, among its errors too.
    pub fn start(&self, command: &str, sign: &str) -> Result<Program<'_>> {
        let mut program = self.spawn(&format!("{command} 2>&1"))?;
        while !program.line()?.contains(sign) {}
        Ok(program)
    }
}

/// Hands out lines as they come, and leaves a copy in the log.
fn forward(stdout: ChildStdout, mut log: File, sender: &Sender<String>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let _ = writeln!(log, "{line}");
        // The receiver may be gone; the log is not.
        let _ = sender.send(line);
    }
}

impl Program<'_> {
    /// Its next line; an error at its end.
    pub fn line(&mut self) -> Result<String> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(self.failed("printed nothing in time")),
            Err(RecvTimeoutError::Disconnected) => Err(self.failed("ended early")),
        }
    }

    /// Waits for its end, and returns what it has printed since; an error if it failed.
    pub fn wait(mut self) -> Result<String> {
        match self.end()? {
            (output, true) => Ok(output),
            (output, false) => Err(self.failed(&format!("failed: {}", output.trim_end()))),
        }
    }

    /// [`Program::wait`], and whether it succeeded.
    pub fn try_wait(mut self) -> Result<(String, bool)> {
        self.end()
    }

    fn end(&mut self) -> Result<(String, bool)> {
        let until = Instant::now() + LIMIT;
        let mut output = String::new();
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => output += &(line + "\n"),
                Err(RecvTimeoutError::Timeout) => bail!(self.failed("did not end in time")),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let mut child = self.child.take().context("it has ended already")?;
        Ok((output, child.wait()?.success()))
    }

    /// SIGTERM, then [`Program::wait`].
    pub fn stop(self) -> Result<String> {
        self.signal("TERM")?;
        self.wait()
    }

    /// Sends it a signal, by the name that `kill` knows.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.device.sh(&format!("kill -{name} {}", self.pid)).map(drop)
    }

    fn failed(&self, how: &str) -> anyhow::Error {
        let (path, log) = &self.log;
        let tail = log.try_clone().map(|log| sh::tail_of(log, 15)).unwrap_or_default();
        let (command, path) = (&self.command, path.display());
        anyhow::anyhow!("`{command}` on the device {how}; its output ({path}):\n{tail}")
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Without a pid, or on a device that is gone, the program ends with its connection.
            let asked = self.pid != 0 && self.signal("TERM").is_ok();
            let limit = if asked { PROMPT } else { Duration::ZERO };
            let _ = sh::wait_within(limit, &mut child);
        }
    }
}
