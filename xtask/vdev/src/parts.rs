//! The programs and files that the virtual device is made of: found, or brought in.

use std::env;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::packages::{self, Kernel, KernelFiles};
use crate::{debian, paths, sh, system};

/// Older ones were not tried.
const OLDEST_QEMU: (u32, u32) = (7, 2);

/// Everything that a boot needs.
pub struct Parts {
    pub(crate) qemu: PathBuf,
    pub(crate) adb: PathBuf,
    pub(crate) kernel: KernelFiles,
    pub(crate) userland: PathBuf,
}

/// Finds or brings in what the virtual device needs.
pub fn ensure(kernel: Kernel) -> Result<Parts> {
    packages::build(kernel)?;
    let _alone = alone()?;
    // Before anything is installed for it.
    ensure!(packages::complete(kernel) || debian::is_debian()?, debian::NO_DEBIAN);
    // Kernel modules are compressed.
    system::ensure("xz", "xz-utils", "unpacks the device's kernel modules")?;
    Ok(Parts {
        qemu: qemu()?,
        adb: adb()?,
        kernel: packages::kernel(kernel)?,
        userland: packages::userland()?,
    })
}

fn qemu() -> Result<PathBuf> {
    let qemu = system::ensure("qemu-system-aarch64", "qemu-system-arm", "runs the virtual device")?;
    let version = sh::read(Command::new(&qemu).arg("--version"))?;
    if system::version(&version).is_none_or(|version| version < OLDEST_QEMU) {
        let (major, minor) = OLDEST_QEMU;
        bail!("{} is too old, {major}.{minor} is needed: {version}", qemu.display());
    }
    Ok(qemu)
}

/// The adb that `$ADB` names, else the one on `PATH`.
pub fn adb() -> Result<PathBuf> {
    match env::var_os("ADB") {
        Some(adb) => Ok(adb.into()),
        None => system::ensure("adb", "adb", "talks to the virtual device"),
    }
}

/// Two tasks at once, say a test run and a developer, must not unpack into the same folder.
pub fn alone() -> Result<File> {
    sh::lock(&paths::tools().join("lock"), None)
}
