//! The device, by way of the `adb` program. Every call has a deadline, so nothing hangs.

mod call;
mod select;

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

pub use call::{Adb, CallError, Output};

use crate::shell::{free_bytes, quote};
use crate::units::size;

/// For what a device answers at once.
const QUICK: Duration = Duration::from_secs(15);
/// For a device to come back after `adb root` has restarted its end.
const RESTART: Duration = Duration::from_secs(20);
/// The folder on the device that every program may use.
pub const TMP: &str = "/data/local/tmp";
/// Bytes a second that the slowest cable worth waiting for brings across.
const SLOW: u64 = 100 << 10;

/// There is no device that can be used; exit code 4. Each names the thing and the mend.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The program is missing.
    #[error(
        "adb: {program:?} cannot be run ({why}): install Android's platform-tools, or name the program in $ADB"
    )]
    NoAdb {
        /// What was tried.
        program: String,
        /// What the system says.
        why: std::io::Error,
    },
    /// The program does not work.
    #[error("adb: {program:?} failed: {why}: try `adb kill-server`")]
    AdbFailed {
        /// What was tried.
        program: String,
        /// Its last words.
        why: String,
    },
    /// None is connected.
    #[error(
        "no device: connect one by USB with debugging switched on, or by `adb connect`, until `adb devices` lists it"
    )]
    NoDevice,
    /// There is a choice.
    #[error("several devices ({0}): choose one with -s SERIAL or $ANDROID_SERIAL")]
    Several(String),
    /// Not the one that was named.
    #[error(
        "no device {serial:?}, connected: {connected}: connect it, or choose another with -s SERIAL or $ANDROID_SERIAL"
    )]
    NotConnected {
        /// The one that was named.
        serial: String,
        /// Those there are.
        connected: String,
    },
    /// It does not trust this machine.
    #[error(
        "device {0} is unauthorised: unlock it and accept the prompt for USB debugging on its screen"
    )]
    Unauthorised(String),
    /// This user may not open it.
    #[error(
        "device {serial} cannot be opened, adb says {state:?}: install udev rules for it, join the group plugdev, then `adb kill-server` and plug it in again"
    )]
    NoPermissions {
        /// The device.
        serial: String,
        /// What `adb devices` says.
        state: String,
    },
    /// It is there and does not answer.
    #[error("device {0} is offline: plug it in again, or `adb reconnect`")]
    Offline(String),
    /// It is in some other state.
    #[error("device {serial} is in the state {state:?}: boot it into Android")]
    State {
        /// The device.
        serial: String,
        /// What `adb devices` says.
        state: String,
    },
    /// The agent would not run there.
    #[error(
        "device {serial} is of machine type {machine:?}: the agent is for aarch64 (64-bit Arm) only"
    )]
    WrongMachine {
        /// The device.
        serial: String,
        /// `uname -m`.
        machine: String,
    },
    /// No rights.
    #[error(
        "device {0} gives no root (tried adb root, su 0, su -c): use a userdebug build, or allow root for the shell"
    )]
    NotRoot(String),
    /// No room.
    #[error("no room on the device: {free} free in {TMP}, {needed} needed: delete something there", free = size(*.free), needed = size(*.needed))]
    NoRoom {
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// A call failed.
    #[error("device {serial}: {why}")]
    Call {
        /// The device.
        serial: String,
        /// How.
        why: CallError,
    },
    /// The agent says that this device can't be recorded on.
    #[error("{0}")]
    Agent(String),
}

impl DeviceError {
    /// Whether its message ends with a colon and the mend.
    pub fn mends(&self) -> bool {
        match self {
            Self::NoAdb { .. }
            | Self::AdbFailed { .. }
            | Self::NoDevice
            | Self::Several(_)
            | Self::NotConnected { .. }
            | Self::Unauthorised(_)
            | Self::NoPermissions { .. }
            | Self::Offline(_)
            | Self::State { .. }
            | Self::NotRoot(_)
            | Self::NoRoom { .. } => true,
            Self::WrongMachine { .. } | Self::Call { .. } | Self::Agent(_) => false,
        }
    }
}

/// How commands get root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    /// The shell has it.
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
    /// The shell's user, to whom files are given before they are pulled.
    shell_user: String,
}

impl Device {
    /// The device called `serial`, or the only one there is; it is not asked anything yet.
    pub fn select(adb: &Adb, serial: Option<&str>) -> Result<Self, DeviceError> {
        let output =
            adb.run(["devices"].map(OsStr::new), QUICK * 2).map_err(|why| adb.failed(why))?;
        let serial = select::choose(&output.stdout, serial)?;
        Ok(Self { adb: adb.clone(), serial, root: Root::Shell, shell_user: String::new() })
    }

    /// As `adb devices` lists it.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// Checks the machine type, and returns it.
    pub fn machine(&self) -> Result<String, DeviceError> {
        let machine = self.plain("uname -m", QUICK)?.line();
        if machine == "aarch64" {
            return Ok(machine);
        }
        Err(DeviceError::WrongMachine { serial: self.serial.clone(), machine })
    }

    /// Finds a way to run commands as root, and says which.
    pub fn become_root(&mut self) -> Result<&'static str, DeviceError> {
        self.shell_user = self.plain("id -u", QUICK)?.line();
        if self.shell_user == "0" {
            return Ok("the shell is root");
        }
        // The answer differs between builds; what counts is who the shell is afterwards.
        let asked = self.call(&["root"], QUICK);
        if asked.is_ok_and(|output| output.stdout.contains("restarting")) {
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

    /// Bytes free for files; `None` where the device does not say it in a way that is understood.
    pub fn free_bytes(&self) -> Result<Option<u64>, DeviceError> {
        Ok(free_bytes(&self.sh(&format!("df -k {TMP}"), QUICK)?.stdout))
    }

    /// Runs `command` as root, for up to a few seconds.
    pub fn shell(&self, command: &str) -> Result<Output, DeviceError> {
        self.sh(command, QUICK)
    }

    /// Runs `command` as root.
    pub fn sh(&self, command: &str, deadline: Duration) -> Result<Output, DeviceError> {
        match self.root {
            Root::Shell => self.plain(command, deadline),
            Root::Su0 => self.plain(&format!("su 0 sh -c {}", quote(command)), deadline),
            Root::SuC => self.plain(&format!("su -c {}", quote(command)), deadline),
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

    /// Copies a file from the device, as the shell's user, to whom it is given first.
    pub fn pull(&self, remote: &str, local: &Path, bytes: u64) -> Result<(), DeviceError> {
        self.give_to_shell(remote)?;
        let args = [OsStr::new("pull"), OsStr::new(remote), local.as_os_str()];
        self.transfer(&args, bytes)
    }

    /// Makes the shell's user the owner of `remote`: it is the one who transfers files.
    pub fn give_to_shell(&self, remote: &str) -> Result<(), DeviceError> {
        if self.root != Root::Shell {
            self.shell(&format!("chown {} {}", quote(&self.shell_user), quote(remote)))?;
        }
        Ok(())
    }

    fn transfer(&self, args: &[&OsStr], bytes: u64) -> Result<(), DeviceError> {
        let deadline = QUICK * 2 + Duration::from_secs(bytes / SLOW);
        let output = self.call(args, deadline)?;
        if output.code == 0 {
            return Ok(());
        }
        let why = CallError::Adb(crate::shell::last_words(&format!(
            "{}\n{}",
            output.stdout, output.stderr
        )));
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
