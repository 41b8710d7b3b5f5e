//! The virtual device: an arm64 kernel with real suspend and a real adbd under qemu.
//!
//! Each instance has a name and a folder `target/vdev/run/NAME` with its `state`, `console.log` and
//! `qmp.sock`; a test run and a developer may each have one.

mod disk;
mod initramfs;
mod modules;
pub mod own;
pub mod program;
pub mod qemu;
pub mod qmp;

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::qemu::Qemu;
use self::qmp::Qmp;
use crate::setup::packages::Kernel;
use crate::{paths, setup, sh};

/// The instance's name when none is given.
pub const DEFAULT_NAME: &str = "default";

/// A device that answers takes some 10 s; a busy machine may need ten times as long.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// What the init script prints when adbd is about to start.
const UP: &str = "sleepwalk: device is up";

/// Each instance has its own copy: its path is how the instance's process is known.
const INITRAMFS: &str = "initramfs.cpio";

/// One adb call; it either answers at once or hangs.
const ADB_LIMIT: Duration = Duration::from_secs(20);

/// An instance, running or not.
pub struct Vdev {
    name: String,
    folder: PathBuf,
}

/// A running instance that answered over adb.
pub struct Device {
    pub vdev: Vdev,
    /// What `adb -s` wants.
    pub serial: String,
    adb: PathBuf,
}

impl Vdev {
    pub fn new(name: &str) -> Result<Vdev> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            bail!("{name:?} is no name for a virtual device: use letters, digits, -, _ and .");
        }
        Ok(Vdev { name: name.to_owned(), folder: paths::vdev().join("run").join(name) })
    }

    /// The kernel's console.
    pub fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    /// The emulator, while it runs.
    pub fn running(&self) -> Option<Qemu> {
        Qemu::running(&self.folder)
    }

    /// qemu's control socket: `quit` is a power cut. Its power key wakes nothing here, and
    /// `system_wakeup` is refused: a sleeping device wakes by its RTC alone.
    pub fn qmp(&self) -> Result<Qmp> {
        Qmp::connect(&self.folder, "qmp.sock")
    }

    /// Boots the device, or takes the running one, and returns when adb answers; `deadline` is for
    /// that alone, not for downloads or for waiting until another task is done.
    ///
    /// With a `disk`, one that it boots has a disk, `/dev/vda`, with an empty ext4 at the first time.
    /// It stays when the device goes down, and so outlives a power cut.
    pub fn up(self, kernel: Kernel, deadline: Duration, disk: bool) -> Result<Device> {
        let parts = setup::device(kernel)?;
        let _alone = self.alone()?;
        let (qemu, started) = match self.running() {
            Some(qemu) if qemu.kernel == kernel => (qemu, Instant::now()),
            Some(qemu) => bail!(
                "the virtual device {} runs kernel {}: `cargo xtask vdev down --name {0}` first, or \
                 give the other one another --name",
                self.name,
                qemu.kernel.name()
            ),
            None => {
                self.clean_up()?;
                let image = self.folder.join(INITRAMFS);
                initramfs::write(&parts.kernel, &parts.userland, &image)?;
                let disk = disk.then(|| disk::ensure(&self.folder)).transpose()?;
                sh::say(format!("booting {}", parts.kernel.image.display()));
                let started = Instant::now();
                let qemu = Qemu::start(
                    &parts.qemu,
                    &self.folder,
                    kernel,
                    &parts.kernel,
                    &image,
                    disk.as_deref(),
                )?;
                (qemu, started)
            }
        };
        let serial = serial(qemu);
        let device = Device { vdev: self, serial, adb: parts.adb };
        match device.wait(qemu, started + deadline) {
            Ok(()) => {
                sh::say(format!("device answers after {:.1} s", started.elapsed().as_secs_f32()));
                Ok(device)
            }
            Err(error) => {
                // A device that does not answer is of no use to anyone; its console stays.
                let ended = device.vdev.clean_up();
                let console = device.vdev.console();
                ended?;
                bail!(
                    "{error:#}; the end of its console ({}):\n{}",
                    console.display(),
                    sh::tail(&console, 30)
                )
            }
        }
    }

    /// The running device, for those who do not want to boot one.
    pub fn device(self) -> Result<Device> {
        let Some(qemu) = self.running() else {
            bail!("the virtual device {} is not up: `cargo xtask vdev up`", self.name);
        };
        Ok(Device { serial: serial(qemu), adb: setup::adb()?, vdev: self })
    }

    /// Ends the emulator, as a power cut would, and cleans up; quiet when there is none.
    pub fn down(&self) -> Result<()> {
        let _alone = self.alone()?;
        self.clean_up()?;
        sh::say(format!("the virtual device {} is down", self.name));
        Ok(())
    }

    /// Two tasks at once must not boot the same instance twice.
    fn alone(&self) -> Result<File> {
        let lock = self.folder.join("lock");
        let locked = fs::create_dir_all(&self.folder).and_then(|()| {
            let file = File::create(&lock)?;
            file.lock()?;
            Ok(file)
        });
        locked.with_context(|| format!("{} cannot be locked", lock.display()))
    }

    /// Leaves no process, no file but the console, and no `offline` line in adb's list, also after
    /// an emulator that ended by itself.
    fn clean_up(&self) -> Result<()> {
        let Some(qemu) = Qemu::remembered(&self.folder) else {
            return Ok(());
        };
        if let Ok(adb) = setup::adb() {
            let mut adb = Command::new(adb);
            adb.args(["disconnect", &serial(qemu)]);
            // The device may be gone from adb's list already.
            let _ = sh::run_logged("adb-disconnect", &mut adb, ADB_LIMIT, "adb hangs");
        }
        if qemu.alive(&self.folder) {
            // Whether it answers or not: it has to end.
            let _ = self.qmp().and_then(|mut qmp| qmp.execute("quit", Value::Null));
            qemu.end(&self.folder)?;
        }
        for name in ["state", "qmp.sock", "qemu.pid", INITRAMFS] {
            let _ = fs::remove_file(self.folder.join(name));
        }
        Ok(())
    }

    /// Throws the disk away.
    pub fn forget_disk(&self) {
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
}

impl Device {
    /// `adb` for this device, ready for its arguments.
    pub fn adb(&self) -> Command {
        let mut adb = Command::new(&self.adb);
        adb.args(["-s", &self.serial]);
        adb
    }

    /// Becomes `adb shell`; returns only if that fails.
    pub fn shell(&self, arguments: &[std::ffi::OsString]) -> anyhow::Error {
        let error = self.adb().arg("shell").args(arguments).exec();
        anyhow::Error::new(error).context("adb does not start")
    }

    fn wait(&self, qemu: Qemu, until: Instant) -> Result<()> {
        let alive = || {
            if Instant::now() > until {
                bail!("the virtual device did not answer in time");
            }
            if !qemu.alive(&self.vdev.folder) {
                bail!("the virtual device ended");
            }
            Ok(())
        };
        // A connection before adbd listens would linger as `offline`.
        while !fs::read(self.vdev.console())
            .is_ok_and(|console| String::from_utf8_lossy(&console).contains(UP))
        {
            alive()?;
            sleep(Duration::from_millis(50));
        }
        self.adb_command(&["start-server"])?;
        loop {
            alive()?;
            let connected = self.adb_command(&["connect", &self.serial]);
            if connected.is_ok() && self.adb_command(&["-s", &self.serial, "shell", "true"]).is_ok()
            {
                return Ok(());
            }
            let _ = self.adb_command(&["disconnect", &self.serial]);
            sleep(Duration::from_millis(200));
        }
    }

    fn adb_command(&self, arguments: &[&str]) -> Result<()> {
        let log = format!("adb-{}", arguments.first().copied().unwrap_or_default());
        let mut adb = Command::new(&self.adb);
        sh::run_logged(&log, adb.args(arguments), ADB_LIMIT, "adb fails")
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
