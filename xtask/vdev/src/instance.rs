//! Instances of the virtual device, each with a name and a folder `target/vdev/run/NAME` for its
//! `state` and `console.log`; a test run and a developer may each have one.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::boot::Boot;
use crate::device::Device;
use crate::parts::{self, Parts};
use crate::qemu::Qemu;
use crate::{disk, initramfs, paths, sh};

/// The instance's name when none is given.
pub const DEFAULT_NAME: &str = "default";

/// A device that answers takes some 10 s; a busy machine may need ten times as long.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// The init script's line when adbd is about to start.
const UP: &str = "sleepwalk: device is up";

/// Each instance has its own copy: its path is how the instance's process is known.
pub(crate) const INITRAMFS: &str = "initramfs.cpio";

/// An instance, running or not.
#[derive(Debug)]
pub struct Vdev {
    name: String,
    folder: PathBuf,
}

impl Vdev {
    /// The instance of that name, running or not.
    pub fn new(name: &str) -> Result<Vdev> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            bail!("{name:?} is no name for a virtual device: use letters, digits, -, _ and .");
        }
        Ok(Vdev { name: name.to_owned(), folder: paths::vdev().join("run").join(name) })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The kernel's console.
    pub fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    /// The emulator, while it runs.
    pub(crate) fn running(&self) -> Option<Qemu> {
        Qemu::running(&self.folder)
    }

    /// Boots the device, or takes the running one, and returns when adb answers; `deadline` is for
    /// that alone, not for downloads or for waiting until another task is done.
    pub fn up(&self, boot: Boot, deadline: Duration) -> Result<Device> {
        let kernel = boot.kernel;
        let parts = parts::ensure(kernel)?;
        let _alone = self.alone()?;
        let (qemu, started) = match self.running() {
            Some(qemu) if qemu.kernel == kernel => (qemu, Instant::now()),
            Some(qemu) => bail!(
                "the virtual device {} runs kernel {}: `cargo xtask vdev down --name {0}` first, or \
                 give the other one another --name",
                self.name,
                qemu.kernel.name()
            ),
            None => self.boot(&parts, boot)?,
        };
        let device = Device::new(serial(qemu), parts.adb);
        let Err(error) = self.wait(&device, qemu, started + deadline) else {
            sh::progress(format!("device answers after {:.1} s", started.elapsed().as_secs_f32()));
            return Ok(device);
        };
        // A device that does not answer is of no use to anyone; its console stays.
        self.clean_up()?;
        let console = self.console();
        let tail = sh::tail(&console, 30);
        bail!("{error:#}; the end of its console ({}):\n{tail}", console.display())
    }

    /// Starts the emulator, and returns when that was.
    fn boot(&self, parts: &Parts, boot: Boot) -> Result<(Qemu, Instant)> {
        self.clean_up()?;
        let image = self.folder.join(INITRAMFS);
        let policy = boot.refuses.policy()?;
        initramfs::write(&parts.kernel, &parts.userland, policy.as_deref(), &image)?;
        let disk = boot.disk.then(|| disk::ensure(&self.folder)).transpose()?;
        sh::progress(format!("booting {}", parts.kernel.image.display()));
        let started = Instant::now();
        let (qemu, files) = (&parts.qemu, &parts.kernel);
        let qemu = Qemu::start(qemu, &self.folder, boot, files, &image, disk.as_deref())?;
        Ok((qemu, started))
    }

    /// The running device, for those who do not want to boot one.
    pub fn device(&self) -> Result<Device> {
        let Some(qemu) = self.running() else {
            bail!("the virtual device {} is not up: `cargo xtask vdev up`", self.name);
        };
        Ok(Device::new(serial(qemu), parts::adb()?))
    }

    /// Cuts the power, and cleans up; does nothing when there is none.
    pub fn down(&self) -> Result<()> {
        let _alone = self.alone()?;
        self.clean_up()?;
        sh::progress(format!("the virtual device {} is down", self.name));
        Ok(())
    }

    /// Two tasks at once must not boot the same instance twice.
    fn alone(&self) -> Result<fs::File> {
        sh::lock(&self.folder.join("lock"), None)
    }

    /// Leaves no process, no file but the console, and no `offline` line in adb's list, also after
    /// an emulator that ended on its own.
    fn clean_up(&self) -> Result<()> {
        let Some(qemu) = Qemu::remembered(&self.folder) else {
            return Ok(());
        };
        // Before adb disconnects: that would end programs, which a power cut does not.
        qemu.end(&self.folder)?;
        if let Ok(adb) = parts::adb() {
            // The device may be gone from adb's list already.
            let _ = Device::new(serial(qemu), adb).disconnect();
        }
        for name in ["state", "qemu.pid", INITRAMFS] {
            let _ = fs::remove_file(self.folder.join(name));
        }
        Ok(())
    }

    /// Throws the disk away.
    pub(crate) fn forget_disk(&self) {
        disk::remove(&self.folder);
    }

    /// One line for a person.
    pub fn status(&self) -> String {
        match self.running() {
            Some(qemu) => format!(
                "{}: up, serial {}, kernel {}, pid {}, console {}",
                self.name,
                serial(qemu),
                qemu.kernel.name(),
                qemu.pid,
                self.console().display()
            ),
            None => format!("{}: down", self.name),
        }
    }

    /// Waits until the device answers over adb.
    fn wait(&self, device: &Device, qemu: Qemu, until: Instant) -> Result<()> {
        let alive = || {
            if Instant::now() > until {
                bail!("the virtual device did not answer in time");
            }
            if !qemu.alive(&self.folder) {
                bail!("the virtual device ended");
            }
            Ok(())
        };
        // A connection before adbd listens would linger as `offline`.
        while !fs::read(self.console())
            .is_ok_and(|console| String::from_utf8_lossy(&console).contains(UP))
        {
            alive()?;
            sleep(Duration::from_millis(50));
        }
        device.connection(&["start-server"])?;
        loop {
            alive()?;
            if device.connect().is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(200));
        }
    }
}

fn serial(qemu: Qemu) -> String {
    format!("127.0.0.1:{}", qemu.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_their_folder() {
        assert!(Vdev::new("e2e-6.12").is_ok());
        for name in ["", ".", "..", "a/b", "a b"] {
            assert!(Vdev::new(name).is_err(), "{name:?}");
        }
    }
}
