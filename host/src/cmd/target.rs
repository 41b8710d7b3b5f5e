//! The device that a command works on.

use crate::device::adb::Device;
use crate::device::call::Adb;
use crate::device::error::DeviceError;
use crate::device::guard;
use crate::device::paths::DIR;

/// The option that chooses the device.
#[derive(clap::Args, Clone, Debug)]
pub struct Target {
    /// Serial number of the device, as `adb devices` lists it; required if several are connected
    #[arg(short, long, env = "ANDROID_SERIAL", hide_env_values = true)]
    serial: Option<String>,
}

impl Target {
    /// The chosen serial; an empty variable chooses none.
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref().filter(|serial| !serial.is_empty())
    }

    /// The device, with root access. Other users have none to the agent's folder.
    pub fn connect(&self) -> Result<Device, DeviceError> {
        let mut device = Device::select(&Adb::from_env(), self.serial())?;
        device.machine()?;
        device.become_root()?;
        guard::check(&device, DIR)?;
        Ok(device)
    }
}
