//! One device, reached with the `adb` program. Every call has a deadline, so nothing hangs.

use std::ffi::OsStr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::call::{Adb, Output};
use super::error::{CallError, DeviceError};
use super::paths::TMP;
use super::root::{self, Root, Tried};
use super::shell::{free_bytes, last_words, quote};
use super::state::POLL;
use super::{connect, select};
use crate::interrupt;

/// The deadline for commands that a device answers at once.
const QUICK: Duration = Duration::from_secs(15);
/// The deadline for a device to come back after `adb root` has restarted adbd.
const RESTART: Duration = Duration::from_secs(20);
/// The deadline for `su`, which may first ask the user on the device's screen: Magisk waits 10 s for an
/// answer (`native/src/core/su/`).
const ASK: Duration = Duration::from_secs(20);
/// The lowest transfer rate worth waiting for, in bytes a second.
const SLOW: u64 = 100 << 10;

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
        let list = || {
            let output = adb.run(["devices"].map(OsStr::new), QUICK * 2);
            output.map(|output| output.stdout).map_err(|why| adb.failed(why))
        };
        let serial = match (select::choose(&list()?, serial), serial) {
            // adb's server forgets addresses when it is restarted.
            (Err(DeviceError::NotConnected { .. } | DeviceError::Offline(_)), Some(address))
                if connect::is_address(address) =>
            {
                connect::connect(adb, address, QUICK)?;
                select::choose(&list()?, Some(address))?
            }
            (chosen, _) => chosen?,
        };
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

    /// Finds a way to run commands as root with the capabilities that the agent needs, and returns
    /// its name.
    pub fn become_root(&mut self) -> Result<&'static str, DeviceError> {
        self.shell_user = self.plain("id -u", QUICK)?.line();
        let mut tried = Vec::new();
        if self.shell_user == "0" {
            match self.try_root(Root::Shell) {
                Tried::Works => return Ok("the shell is root"),
                failed => tried.push(("the shell", failed)),
            }
        } else {
            match self.adb_root() {
                Tried::Works => return Ok("adb root"),
                failed => tried.push(("adb root", failed)),
            }
        }
        for root in Root::BY_SU {
            match self.try_root(root) {
                Tried::Works => return Ok(root.name()),
                failed => tried.push((root.name(), failed)),
            }
        }
        self.root = Root::Shell;
        Err(root::failed(&self.serial, &tried))
    }

    /// Restarts adbd as root. The answer differs between builds, so the shell's user counts.
    fn adb_root(&mut self) -> Tried {
        let output = match self.call(&["root"], QUICK) {
            Ok(output) => output,
            Err(error) => return Tried::Failed(error.to_string()),
        };
        if !output.stdout.contains("restarting") {
            return Tried::Failed(last_words(&format!("{}\n{}", output.stdout, output.stderr)));
        }
        let until = Instant::now() + RESTART;
        let mut last = Tried::Failed("the device did not come back".to_owned());
        // For a moment the adbd that is about to end still answers.
        while Instant::now() < until && interrupt::count() == 0 {
            thread::sleep(POLL);
            if !connect::is_address(&self.serial) {
                let _ = self
                    .call(&["wait-for-device"], until.saturating_duration_since(Instant::now()));
            }
            if let Ok(output) = self.plain("id -u", QUICK) {
                last = self.try_root(Root::Shell);
                if output.line() == "0" {
                    self.shell_user = output.line();
                    break;
                }
            }
        }
        last
    }

    fn try_root(&mut self, root: Root) -> Tried {
        self.root = root;
        match self.sh(root::PROBE, ASK) {
            Ok(output) => root::judge(&output),
            Err(error) => Tried::Failed(error.to_string()),
        }
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
        self.plain(&self.root.wrap(&command), deadline)
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
        let call = || {
            let target = [OsStr::new("-s"), OsStr::new(&self.serial)];
            let args = target.into_iter().chain(args.iter().map(AsRef::as_ref));
            self.adb.run(args, deadline)
        };
        match call() {
            // adb says so before the device has got anything, so the call can be repeated.
            Err(CallError::Adb(why))
                if connect::is_gone(&why) && connect::is_address(&self.serial) =>
            {
                connect::connect(&self.adb, &self.serial, QUICK)?;
                call()
            }
            done => done,
        }
        .map_err(|why| self.failed(why))
    }

    fn failed(&self, why: CallError) -> DeviceError {
        match why {
            CallError::Run(_) => self.adb.failed(why),
            why => DeviceError::Call { serial: self.serial.clone(), why },
        }
    }
}
