//! One device, reached with the `adb` program. Every call has a deadline, so nothing hangs.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use super::call::{Adb, Output};
use super::error::{CallError, DeviceError};
use super::paths::TMP;
use super::select;
use super::shell::{free_bytes, last_words, quote};

/// The deadline for commands that a device answers at once.
const QUICK: Duration = Duration::from_secs(15);
/// The deadline for a device to come back after `adb root` has restarted adbd.
const RESTART: Duration = Duration::from_secs(20);
/// The lowest transfer rate worth waiting for, in bytes a second.
const SLOW: u64 = 100 << 10;

/// How commands become root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    /// The shell is root already.
    Shell,
    /// `su 0 sh -c`, as Android's own `su` wants it.
    Su0,
    /// `su -c`, as most others do.
    SuC,
}

/// One device.
#[derive(Clone, Debug)]
pub struct Device {
    adb: Adb,
    serial: String,
    root: Root,
    /// The shell's user, who transfers files and so must own them.
    shell_user: String,
}

impl Device {
    /// The device called `serial`, or the only one that is connected. Nothing runs on it yet.
    pub fn select(adb: &Adb, serial: Option<&str>) -> Result<Self, DeviceError> {
        let output =
            adb.run(["devices"].map(OsStr::new), QUICK * 2).map_err(|why| adb.failed(why))?;
        let serial = select::choose(&output.stdout, serial)?;
        Ok(Self { adb: adb.clone(), serial, root: Root::Shell, shell_user: String::new() })
    }

    /// The serial that `adb devices` lists.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The number of the user that adb's shell has; empty before [`Device::become_root`].
    pub fn shell_user(&self) -> &str {
        &self.shell_user
    }

    /// Checks the machine type, and returns it.
    pub fn machine(&self) -> Result<String, DeviceError> {
        let machine = self.plain("uname -m", QUICK)?.line();
        if machine == "aarch64" {
            return Ok(machine);
        }
        Err(DeviceError::WrongMachine { serial: self.serial.clone(), machine })
    }

    /// Finds a way to run commands as root, and returns its name.
    pub fn become_root(&mut self) -> Result<&'static str, DeviceError> {
        self.shell_user = self.plain("id -u", QUICK)?.line();
        if self.shell_user == "0" {
            return Ok("the shell is root");
        }
        // The answer differs between builds, so check the shell's user afterwards.
        let restarted = self.call(&["root"], QUICK);
        if restarted.is_ok_and(|output| output.stdout.contains("restarting")) {
            let _ = self.call(&["wait-for-device"], RESTART);
            if let Ok(output) = self.plain("id -u", QUICK)
                && output.line() == "0"
            {
                self.shell_user = output.line();
                return Ok("adb root");
            }
        }
        for (root, name) in [(Root::Su0, "su 0"), (Root::SuC, "su -c")] {
            self.root = root;
            if self.sh("id -u", QUICK).is_ok_and(|output| output.line() == "0") {
                return Ok(name);
            }
        }
        self.root = Root::Shell;
        Err(DeviceError::NotRoot(self.serial.clone()))
    }

    /// Bytes free for files; `None` if the output of `df` is not understood.
    pub fn free_bytes(&self) -> Result<Option<u64>, DeviceError> {
        Ok(free_bytes(&self.sh(&format!("df -k {TMP}"), QUICK)?.stdout))
    }

    /// Runs `command` as root, for up to a few seconds.
    pub fn shell(&self, command: &str) -> Result<Output, DeviceError> {
        self.sh(command, QUICK)
    }

    /// Runs `command` as root.
    pub fn sh(&self, command: &str, deadline: Duration) -> Result<Output, DeviceError> {
        // adb's shell has the umask 0: any user could write to what it creates.
        let command = format!("umask 077; {command}");
        match self.root {
            Root::Shell => self.plain(&command, deadline),
            Root::Su0 => self.plain(&format!("su 0 sh -c {}", quote(&command)), deadline),
            Root::SuC => self.plain(&format!("su -c {}", quote(&command)), deadline),
        }
    }

    /// Runs `command` as the shell's user.
    pub fn plain(&self, command: &str, deadline: Duration) -> Result<Output, DeviceError> {
        self.call(&["shell", command], deadline)
    }

    /// Copies a file to the device.
    pub fn push(&self, local: &Path, remote: &str, bytes: u64) -> Result<(), DeviceError> {
        let args = [OsStr::new("push"), local.as_os_str(), OsStr::new(remote)];
        self.transfer(&args, bytes)
    }

    /// Copies a file from the device. The shell's user becomes its owner first.
    pub fn pull(&self, remote: &str, local: &Path, bytes: u64) -> Result<(), DeviceError> {
        self.give_to_shell(remote)?;
        let args = [OsStr::new("pull"), OsStr::new(remote), local.as_os_str()];
        self.transfer(&args, bytes)
    }

    /// Makes the shell's user, who transfers files, the owner of `remote`, and
    /// follows no link.
    pub fn give_to_shell(&self, remote: &str) -> Result<(), DeviceError> {
        if self.root != Root::Shell {
            self.shell(&format!("chown -h {} {}", quote(&self.shell_user), quote(remote)))?;
        }
        Ok(())
    }

    fn transfer(&self, args: &[&OsStr], bytes: u64) -> Result<(), DeviceError> {
        let deadline = QUICK * 2 + Duration::from_secs(bytes / SLOW);
        let output = self.call(args, deadline)?;
        if output.code == 0 {
            return Ok(());
        }
        let why = CallError::Adb(last_words(&format!("{}\n{}", output.stdout, output.stderr)));
        Err(self.failed(why))
    }

    fn call<S: AsRef<OsStr>>(&self, args: &[S], deadline: Duration) -> Result<Output, DeviceError> {
        let target = [OsStr::new("-s"), OsStr::new(&self.serial)];
        let args = target.into_iter().chain(args.iter().map(AsRef::as_ref));
        self.adb.run(args, deadline).map_err(|why| self.failed(why))
    }

    fn failed(&self, why: CallError) -> DeviceError {
        match why {
            CallError::Run(_) => self.adb.failed(why),
            why => DeviceError::Call { serial: self.serial.clone(), why },
        }
    }
}
