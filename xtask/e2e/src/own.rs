//! A device that one test boots for itself, and may spoil.

use anyhow::Result;
use sleepwalk_vdev::{Boot, DEADLINE, Vdev};

use crate::{Device, device};

/// The device; it is down when this is dropped.
#[derive(Debug)]
pub struct Own(Vdev);

impl Own {
    /// Not up yet.
    pub fn new() -> Result<Self> {
        Ok(Self(Vdev::new(&device::variable("SLEEPWALK_E2E_OWN")?.to_string_lossy())?))
    }

    /// Boots it.
    pub fn up(&self, boot: Boot) -> Result<Device> {
        let device = self.0.up(boot, DEADLINE)?;
        device::prepare(&device)?;
        Ok(device)
    }

    /// Kills the emulator: nothing in the device notices before.
    pub fn cut(&self) -> Result<()> {
        self.0.down()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // `cargo xtask test` does it again, and removes the disk.
        let _ = self.cut();
    }
}
