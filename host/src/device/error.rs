//! Why a device cannot be used, and how to fix it.

use std::io;
use std::time::Duration;

use thiserror::Error;

use super::paths::TMP;
use crate::units::size;

/// No device can be used; exit code 4. The message names the problem, [`DeviceError::remedy`] the
/// fix.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The program is missing.
    #[error("adb: {program:?} cannot be run ({why})")]
    NoAdb {
        /// The program that was tried.
        program: String,
        /// The system's error.
        why: io::Error,
    },
    /// The program does not work.
    #[error("adb: {program:?} failed: {why}")]
    AdbFailed {
        /// The program that was tried.
        program: String,
        /// Its error.
        why: String,
    },
    /// No device is connected.
    #[error("no device is connected")]
    NoDevice,
    /// Several devices are connected and none was chosen.
    #[error("several devices are connected: {0}")]
    Several(String),
    /// The chosen device is not connected.
    #[error("device {serial:?} is not connected; connected: {connected}")]
    NotConnected {
        /// The serial that was chosen.
        serial: String,
        /// The serials of the connected devices.
        connected: String,
    },
    /// The device does not trust this computer.
    #[error("device {0} is unauthorised")]
    Unauthorised(String),
    /// This user has no access to the USB device.
    #[error("device {serial} cannot be opened, adb reports {state:?}")]
    NoPermissions {
        /// The device.
        serial: String,
        /// The state that `adb devices` lists.
        state: String,
    },
    /// The device is connected and does not answer.
    #[error("device {0} is offline")]
    Offline(String),
    /// The device is in recovery, sideload or another state without Android.
    #[error("device {serial} is in the state {state:?}")]
    State {
        /// The device.
        serial: String,
        /// The state that `adb devices` lists.
        state: String,
    },
    /// The agent cannot run on this processor.
    #[error("device {serial} has machine type {machine:?}, the agent needs aarch64")]
    WrongMachine {
        /// The device.
        serial: String,
        /// `uname -m`.
        machine: String,
    },
    /// A device over TCP does not answer.
    #[error("device {serial:?} cannot be reached: {why}")]
    Unreachable {
        /// Its address.
        serial: String,
        /// The words of `adb connect`.
        why: String,
    },
    /// No way to become root works.
    #[error("no root access on device {serial} ({tried})")]
    NotRoot {
        /// The device.
        serial: String,
        /// Each way that was tried, and its answer.
        tried: String,
    },
    /// User 0, but without the capabilities that load a probe.
    #[error(
        "device {serial}: {way} gives user 0 without CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN (CapEff {mask:#018x})"
    )]
    Powerless {
        /// The device.
        serial: String,
        /// The way to user 0.
        way: String,
        /// Its effective capabilities, one bit for each.
        mask: u64,
    },
    /// The device's storage is full.
    #[error("not enough space on the device: {free} free in {TMP}, {needed} needed", free = size(*.free), needed = size(*.needed))]
    NoRoom {
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// Other users have access to the agent's folder.
    #[error("device {serial}: the folder {dir} is not trusted: {why}")]
    Untrusted {
        /// The device.
        serial: String,
        /// The folder.
        dir: String,
        /// The defect.
        why: String,
    },
    /// A call of adb failed.
    #[error("device {serial}: {why}")]
    Call {
        /// The device.
        serial: String,
        /// The failure.
        why: CallError,
    },
    /// The agent reports that this device cannot be recorded on.
    #[error("device {serial}: {message}")]
    Agent {
        /// The device.
        serial: String,
        /// The agent's error.
        message: String,
    },
}

impl DeviceError {
    /// How to fix it, where that is known.
    pub fn remedy(&self) -> Option<&str> {
        Some(match self {
            Self::NoAdb { .. } => {
                "install Android's platform-tools, or set $ADB to the path of the program"
            }
            Self::AdbFailed { .. } => "run `adb kill-server` and try again",
            Self::NoDevice => {
                "connect a device by USB with USB debugging switched on, or by `adb connect`; \
                 `adb devices` must list it"
            }
            Self::Several(_) => "choose one with -s SERIAL or $ANDROID_SERIAL",
            Self::NotConnected { .. } => {
                "connect it, or choose another with -s SERIAL or $ANDROID_SERIAL"
            }
            Self::Unauthorised(_) => {
                "unlock the device and accept the prompt for USB debugging on its screen"
            }
            Self::NoPermissions { .. } => {
                "install udev rules for the device, join the group plugdev, run `adb kill-server` \
                 and plug the device in again"
            }
            Self::Offline(_) => "plug the device in again, or run `adb reconnect`",
            Self::State { .. } => "boot the device into Android",
            Self::WrongMachine { .. } => "use a device with a 64-bit Arm kernel",
            Self::Unreachable { .. } => {
                "check that the device is awake and in this network, and that it listens there: \
                 `adb tcpip 5555` by USB, or Wireless debugging in the developer options"
            }
            Self::NotRoot { .. } => {
                "use a userdebug build, or allow root for the shell (com.android.shell) in the \
                 device's root manager, and answer its question on the screen"
            }
            Self::Powerless { .. } => {
                "give the shell (com.android.shell) all capabilities: in KernelSU its App Profile, \
                 elsewhere the settings of what gives root"
            }
            Self::NoRoom { .. } => "delete files in that folder on the device",
            Self::Untrusted { .. } => {
                "copy the traces that you need from that folder with `adb pull`, remove it as root \
                 with `rm -r`, and try again; no other user may write to the folder that it is in"
            }
            Self::Call { why: CallError::Deadline(_), .. } => {
                "check that the device is awake and plugged in"
            }
            Self::Call { .. } => return None,
            Self::Agent { .. } => "run `sleepwalk doctor` to see what is missing",
        })
    }
}

/// A call of adb that gave no result.
#[derive(Debug, Error)]
pub enum CallError {
    /// The program did not start.
    #[error("{0}")]
    Run(#[from] io::Error),
    /// The device did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Deadline(Duration),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// adb itself failed, not the command on the device.
    #[error("adb reports: {0}")]
    Adb(String),
}
