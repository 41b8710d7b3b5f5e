//! A device that one task has to itself, and that goes with the task.

use std::fs::File;
use std::process::exit;
use std::sync::{Mutex, Once, PoisonError};

use anyhow::{Context, Result};

use crate::boot::Boot;
use crate::device::Device;
use crate::instance::{DEADLINE, Vdev};
use crate::packages::Kernel;
use crate::sh;

/// The exit status that a shell reports for a program that ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// The devices to take down if the task is interrupted. An emulator is a daemon: no signal
/// that ends the task reaches it.
static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A freshly booted device, which is down again when this is dropped or the task is ended by
/// SIGINT or SIGTERM.
pub struct OwnDevice {
    vdev: Vdev,
    /// How to speak to it.
    pub device: Device,
    /// The next task that wants a device of this name waits for this one's end.
    _alone: File,
}

impl OwnDevice {
    /// Boots it, after taking down one of that name.
    pub fn boot(name: &str, kernel: Kernel) -> Result<OwnDevice> {
        let vdev = Vdev::new(name)?;
        let waiting = format!("waiting for another task to be done with the device {name}");
        let alone = sh::lock(&vdev.folder().join("owner"), Some(&waiting))?;
        take_down_when_interrupted()?;
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        // A killed task may have left one.
        if vdev.running().is_some() {
            vdev.down()?;
        }
        let device = vdev.up(Boot { kernel, ..Boot::default() }, DEADLINE)?;
        Ok(OwnDevice { vdev, device, _alone: alone })
    }

    /// Whether the emulator is still there.
    pub fn alive(&self) -> bool {
        self.vdev.running().is_some()
    }

    /// The end of its console, for an error message.
    pub fn console(&self) -> String {
        let console = self.vdev.console();
        let tail = sh::tail(&console, 40);
        format!("the end of the console ({}):\n{tail}", console.display())
    }
}

impl Drop for OwnDevice {
    fn drop(&mut self) {
        if let Err(error) = self.vdev.down() {
            sh::progress(format!("{error:#}"));
        }
    }
}

/// A name that another program boots a device under, time and again: it and its disk go when this is
/// dropped, or when the task is interrupted.
pub struct Reserved(Vdev);

impl Reserved {
    /// Takes down a device of that name, and removes its disk.
    pub fn new(name: &str) -> Result<Reserved> {
        take_down_when_interrupted()?;
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        let reserved = Reserved(Vdev::new(name)?);
        reserved.clear();
        Ok(reserved)
    }

    fn clear(&self) {
        if self.0.running().is_some()
            && let Err(error) = self.0.down()
        {
            sh::progress(format!("{error:#}"));
        }
        self.0.forget_disk();
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.clear();
    }
}

fn take_down_when_interrupted() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| {
        result = ctrlc::set_handler(|| {
            let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
            for name in names.iter() {
                let _ = Vdev::new(name).and_then(|vdev| vdev.down());
            }
            exit(INTERRUPTED);
        });
    });
    result.context("interrupts cannot be handled")
}
