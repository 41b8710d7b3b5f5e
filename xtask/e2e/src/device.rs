//! The device, over adb.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, ensure};

/// Where the tests work on the device; made anew for each.
pub const FOLDER: &str = "/data/local/tmp/e2e";

/// Seconds for one command on the device; the longest takes a quarter of it on an idle machine.
const DEADLINE: &str = "240";

/// A device to test on, with agent and workload in [`FOLDER`].
#[derive(Debug)]
pub struct Device {
    /// As adb knows it.
    pub serial: String,
    dist: PathBuf,
}

impl Device {
    /// The device with the kfuncs, with nothing of an earlier test left on it.
    pub fn get() -> Result<Self> {
        Self::named("SLEEPWALK_E2E_SERIAL")
    }

    /// The device whose kernel lacks the kfuncs.
    pub fn without_kfuncs() -> Result<Self> {
        Self::named("SLEEPWALK_E2E_SERIAL_WITHOUT_KFUNCS")
    }

    /// The device with the oldest kernel, which also lacks data symbols in kallsyms, and fexit.
    pub fn oldest() -> Result<Self> {
        Self::named("SLEEPWALK_E2E_SERIAL_OLDEST")
    }

    fn named(name: &str) -> Result<Self> {
        let serial = variable(name)?.to_string_lossy().into_owned();
        Self::at(serial)
    }

    /// The device of this serial.
    pub fn at(serial: String) -> Result<Self> {
        let device = Self { serial, dist: variable("SLEEPWALK_E2E_DIST")?.into() };
        device.sh(&format!("rm -rf {FOLDER} /data/local/tmp/sleepwalk; mkdir -p {FOLDER}"))?;
        device.sh("echo 0 > /sys/class/rtc/rtc0/wakealarm; echo none > /sys/power/pm_test")?;
        for program in ["sleepwalkd", "sleepwalk-workload"] {
            device.push(&device.dist.join(program), &format!("{FOLDER}/{program}"))?;
        }
        device.sh(&format!("chmod 755 {FOLDER}/*"))?;
        Ok(device)
    }

    /// The host program, told to use this device.
    pub fn sleepwalk(&self) -> Command {
        let mut command = Command::new(self.dist.join("sleepwalk"));
        command.env("ANDROID_SERIAL", &self.serial).stdin(Stdio::null());
        command
    }

    /// Runs a script in [`FOLDER`] and returns what it printed; an error if it fails.
    pub fn sh(&self, script: &str) -> Result<String> {
        let output = self.try_sh(script)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        ensure!(
            output.status.success(),
            "`{script}` ended with {}: {} {}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    }

    /// Runs a script in [`FOLDER`], whatever comes of it.
    pub fn try_sh(&self, script: &str) -> Result<Output> {
        let command = format!("mkdir -p {FOLDER} && cd {FOLDER} && {{ {script}\n}}");
        Ok(self.adb(["shell", &command]).output()?)
    }

    /// Starts a program in [`FOLDER`] and waits until it prints a line that contains `sign`. It ends
    /// when the result is dropped at the latest.
    pub fn start(&self, program: &str, sign: &str) -> Result<Running<'_>> {
        let script = format!("cd {FOLDER} && echo $$ && exec {program} 2>&1");
        // The programs take the end of their stdin as a sign to go.
        let mut child =
            self.adb(["shell", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let out = BufReader::new(child.stdout.take().context("no stdout")?);
        let mut running = Running { device: self, child: Some(child), out, pid: 0 };
        running.pid = running.line()?.parse()?;
        let mut said = String::new();
        while !said.contains(sign) {
            let line = running.line()?;
            ensure!(!line.is_empty(), "`{program}` ended without `{sign}`: {said}");
            said += &line;
        }
        Ok(running)
    }

    /// Copies a file to the device.
    pub fn push(&self, from: &Path, to: &str) -> Result<()> {
        self.transfer("push", from.as_os_str(), OsStr::new(to))
    }

    /// Copies a file from [`FOLDER`] and returns its bytes.
    pub fn pull(&self, name: &str) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir()?;
        let to = folder.path().join("pulled");
        self.transfer("pull", OsStr::new(&format!("{FOLDER}/{name}")), to.as_os_str())?;
        Ok(fs::read(to)?)
    }

    fn transfer(&self, verb: &str, from: &OsStr, to: &OsStr) -> Result<()> {
        let output = self.adb([OsStr::new(verb), from, to]).output()?;
        ensure!(output.status.success(), "adb {verb}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Under a deadline: a guest that sleeps for ever answers nothing.
    fn adb<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut adb = Command::new("timeout");
        adb.args(["--kill-after=5", DEADLINE]);
        adb.arg(env::var_os("ADB").unwrap_or_else(|| "adb".into()));
        adb.args(["-s", &self.serial]).args(args).stdin(Stdio::null());
        adb
    }
}

/// What `cargo xtask test` says in the environment.
pub fn variable(name: &str) -> Result<OsString> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .with_context(|| format!("{name} is not set: run `cargo xtask test`"))
}

/// A program under way on the device.
#[derive(Debug)]
pub struct Running<'a> {
    device: &'a Device,
    child: Option<Child>,
    out: BufReader<ChildStdout>,
    /// Its process id there.
    pub pid: u32,
}

impl Running<'_> {
    /// The next line that it prints; empty at its end.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Waits for its end; what it printed since, and whether it went well.
    pub fn wait(mut self) -> Result<(String, bool)> {
        let mut said = String::new();
        self.out.read_to_string(&mut said)?;
        let status = self.child.take().context("it has ended already")?.wait()?;
        Ok((said, status.success()))
    }

    /// Sends it a signal, by the name that `kill` knows.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.device.sh(&format!("kill -{name} {}", self.pid)).map(drop)
    }

    /// SIGTERM, then [`Running::wait`].
    pub fn stop(self) -> Result<(String, bool)> {
        self.signal("TERM")?;
        self.wait()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = self.device.try_sh(&format!("kill -TERM {}", self.pid));
            let _ = child.wait();
        }
    }
}
