//! Programs on the device, over adb.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{ADB_LIMIT, Device};
use crate::{paths, sh};

/// Where the tasks put what they bring to the device; the programs' current folder.
pub const FOLDER: &str = "/data/local/tmp/xtask";

/// How long a program may take to begin, and to end once it was told to.
const PROMPT: Duration = Duration::from_secs(60);

/// A program under way on the device. It gets SIGTERM when this is dropped.
pub struct Program<'a> {
    device: &'a Device,
    child: Option<Child>,
    /// Open, because some programs end when their stdin does.
    _stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    what: String,
    /// Everything that it says.
    log: PathBuf,
    /// Its process id on the device.
    pub pid: u32,
}

impl Device {
    /// Copies programs to [`FOLDER`].
    pub fn push(&self, programs: &[PathBuf]) -> Result<()> {
        self.sh("folder", &format!("mkdir -p {FOLDER}"), PROMPT)?;
        let mut adb = self.adb();
        adb.arg("push").args(programs).arg(FOLDER);
        sh::run_logged("adb-push", &mut adb, PROMPT, "the device takes no files")
    }

    /// Copies a file from [`FOLDER`].
    pub fn pull(&self, name: &str, to: &Path) -> Result<()> {
        let mut adb = self.adb();
        adb.arg("pull").arg(format!("{FOLDER}/{name}")).arg(to);
        sh::run_logged("adb-pull", &mut adb, PROMPT, "the device gives no files")
    }

    /// Runs a script in [`FOLDER`], and returns what it prints. `what` names it, and its log.
    pub fn sh(&self, what: &str, script: &str, limit: Duration) -> Result<String> {
        self.spawn(what, script)?.wait(limit)
    }

    /// Starts a program in [`FOLDER`]. `what` names it, and its log.
    pub fn start(&self, what: &str, command: &str) -> Result<Program<'_>> {
        let mut program = self.spawn(what, &format!("cd {FOLDER} && echo $$ && exec {command}"))?;
        let pid = program.line(ADB_LIMIT)?;
        program.pid = pid.parse().with_context(|| format!("{what} began with {pid:?}"))?;
        Ok(program)
    }

    fn spawn(&self, what: &str, script: &str) -> Result<Program<'_>> {
        fs::create_dir_all(paths::logs()).context("target/logs cannot be made")?;
        let log = paths::logs().join(format!("device-{what}.log"));
        let file =
            File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
        let mut child = self
            .adb()
            .args(["shell", "-T", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file.try_clone()?)
            .spawn()
            .context("adb does not start")?;
        let stdout = child.stdout.take().context("adb has no stdout")?;
        let (sender, lines) = channel();
        thread::spawn(move || forward(stdout, file, &sender));
        let _stdin = child.stdin.take();
        let what = what.to_owned();
        Ok(Program { device: self, child: Some(child), _stdin, lines, what, log, pid: 0 })
    }
}

/// Hands out lines as they come, and leaves a copy in the log.
fn forward(stdout: ChildStdout, mut log: File, sender: &Sender<String>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let _ = writeln!(log, "{line}");
        // Nobody may care for the rest; the log does.
        let _ = sender.send(line);
    }
}

impl Program<'_> {
    /// Its next line.
    pub fn line(&mut self, limit: Duration) -> Result<String> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(self.failed("said nothing in time")),
            Err(RecvTimeoutError::Disconnected) => Err(self.failed("ended early")),
        }
    }

    /// Waits for the line `ready`.
    pub fn ready(&mut self) -> Result<()> {
        match self.line(PROMPT)?.as_str() {
            "ready" => Ok(()),
            other => Err(self.failed(&format!("said {other:?} instead of `ready`"))),
        }
    }

    /// Waits for its end, and returns what it has printed since; an error if it failed.
    pub fn wait(mut self, limit: Duration) -> Result<String> {
        let until = Instant::now() + limit;
        let mut said = String::new();
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => said += &(line + "\n"),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.failed(&format!("did not end within {} s", limit.as_secs())));
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let mut child = self.child.take().context("it has ended already")?;
        let status = child.wait()?;
        if !status.success() {
            return Err(self.failed(&format!("ended with {}", sh::ended(status))));
        }
        Ok(said)
    }

    /// SIGTERM, then [`Program::wait`].
    pub fn stop(self) -> Result<String> {
        self.terminate()?;
        self.wait(PROMPT)
    }

    fn terminate(&self) -> Result<()> {
        let mut adb = self.device.adb();
        adb.args(["shell", &format!("kill -TERM {}", self.pid)]);
        sh::run_logged("adb-kill", &mut adb, ADB_LIMIT, "it may have ended already")
    }

    fn failed(&self, how: &str) -> anyhow::Error {
        let (log, tail) = (self.log.display(), sh::tail(&self.log, 15));
        anyhow::anyhow!("{} on the device {how}; its words ({log}):\n{tail}", self.what)
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if self.pid != 0 {
                let _ = self.terminate();
            }
            // What does not end by that loses its connection, which ends it.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
