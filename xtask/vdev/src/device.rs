//! A running device, over adb: scripts and their exit codes, programs in the background, files.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{parts, sh};

/// The folder on the device for everything that tasks and tests push; programs and scripts run in it.
pub const FOLDER: &str = "/data/local/tmp/xtask";

/// One adb call that the device has no part in; it either answers at once or hangs.
const ADB_LIMIT: Duration = Duration::from_secs(20);

/// One script or transfer. The longest takes a quarter of it; a device that sleeps for ever answers
/// nothing.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// A device that answers over adb.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name for `adb -s`.
    pub serial: String,
    adb: PathBuf,
}

impl Device {
    pub(crate) fn new(serial: String, adb: PathBuf) -> Device {
        Device { serial, adb }
    }

    /// The device of this serial, which another task booted.
    pub fn at(serial: String) -> Result<Device> {
        Ok(Device::new(serial, parts::adb()?))
    }

    /// `adb` for this device, ready for its arguments.
    pub fn adb(&self) -> Command {
        let mut adb = Command::new(&self.adb);
        adb.args(["-s", &self.serial]);
        adb
    }

    /// Becomes `adb shell`; returns only if that fails.
    pub fn shell(&self, arguments: &[OsString]) -> anyhow::Error {
        let error = self.adb().arg("shell").args(arguments).exec();
        anyhow::Error::new(error).context("adb does not start")
    }

    /// Runs a script in [`FOLDER`], however it ends.
    pub fn try_sh(&self, script: &str) -> Result<Output> {
        let script = format!("mkdir -p {FOLDER} && cd {FOLDER} && {{ {script}\n}}");
        sh::output_within(LIMIT, self.adb().args(["shell", "-T", &script]))
    }

    /// Runs a script in [`FOLDER`] and returns its output; an error if it fails.
    pub fn sh(&self, script: &str) -> Result<String> {
        let output = self.try_sh(script)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        if !output.status.success() {
            bail!("`{script}` ended with {}: {stdout} {stderr}", sh::ended(output.status));
        }
        Ok(stdout)
    }

    /// Copies files to [`FOLDER`].
    pub fn push(&self, files: &[PathBuf]) -> Result<()> {
        // Any script makes the folder.
        self.sh("true")?;
        let mut adb = self.adb();
        adb.arg("push").args(files).arg(FOLDER);
        sh::run_logged("adb-push", &mut adb, LIMIT, "the device takes no files")
    }

    /// The bytes of a file in [`FOLDER`].
    pub fn pull(&self, name: &str) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir()?;
        let to = folder.path().join("pulled");
        let mut adb = self.adb();
        adb.arg("pull").arg(format!("{FOLDER}/{name}")).arg(&to);
        sh::run_logged("adb-pull", &mut adb, LIMIT, "the device gives no files")?;
        fs::read(&to).with_context(|| format!("{name} did not arrive"))
    }

    /// Connects again after adbd has ended, as soon as the next one answers.
    pub fn reconnect(&self) -> Result<()> {
        let until = Instant::now() + LIMIT;
        let _ = self.disconnect();
        while let Err(error) = self.connect() {
            if Instant::now() > until {
                return Err(error.context("the device did not come back"));
            }
            sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Lets the adb server connect to the device, if that answers.
    pub(crate) fn connect(&self) -> Result<()> {
        let connected = self
            .connection(&["connect", &self.serial])
            .and_then(|()| self.connection(&["-s", &self.serial, "shell", "true"]));
        if connected.is_err() {
            let _ = self.disconnect();
        }
        connected
    }

    /// Takes the device off the adb server's list.
    pub(crate) fn disconnect(&self) -> Result<()> {
        self.connection(&["disconnect", &self.serial])
    }

    pub(crate) fn connection(&self, arguments: &[&str]) -> Result<()> {
        let log = format!("adb-{}", arguments.first().copied().unwrap_or_default());
        let mut adb = Command::new(&self.adb);
        sh::run_logged(&log, adb.args(arguments), ADB_LIMIT, "adb fails")
    }
}
