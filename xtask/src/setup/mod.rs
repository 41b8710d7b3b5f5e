//! `cargo xtask setup`: brings in what is missing, each part by the ordinary way first.
//!
//! Each part is a function that returns the thing itself, so that the other tasks ask for what they
//! need and get it made on the way. All of it is under `target/`, except for qemu and adb, which are
//! the system's.

pub mod apt;
pub mod bpf_linker;
pub mod cargo_tool;
pub mod packages;
pub mod perfetto;
pub mod rust_src;
pub mod rustc;
pub mod system;
pub mod zig;

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use self::packages::{Kernel, KernelFiles};
use self::rust_src::RustSrc;
use self::rustc::Rustc;
use self::zig::Zig;
use crate::{paths, sh};

/// Older ones were not tried.
const OLDEST_QEMU: (u32, u32) = (7, 2);

/// What the probe's build needs.
pub fn probe() -> Result<(RustSrc, PathBuf)> {
    let _alone = alone()?;
    let rustc = Rustc::ask()?;
    Ok((rust_src::ensure(&rustc)?, bpf_linker::ensure(&rustc)?))
}

/// What the agent's build needs.
pub fn agent() -> Result<(RustSrc, Zig)> {
    let _alone = alone()?;
    let rustc = Rustc::ask()?;
    Ok((rust_src::ensure(&rustc)?, zig::ensure()?))
}

/// The library sources alone.
pub fn build_std() -> Result<RustSrc> {
    let _alone = alone()?;
    rust_src::ensure(&Rustc::ask()?)
}

/// What the virtual device needs.
pub struct DeviceParts {
    pub qemu: PathBuf,
    pub adb: PathBuf,
    pub kernel: KernelFiles,
    pub userland: PathBuf,
}

/// Finds or brings in what the virtual device needs.
pub fn device(kernel: Kernel) -> Result<DeviceParts> {
    let _alone = alone()?;
    // Before anything is installed for it.
    if !packages::complete(kernel) && !apt::is_debian()? {
        bail!("{}", apt::NO_DEBIAN);
    }
    // Kernel modules come compressed.
    system::ensure("xz", "xz-utils", "to unpack the device's kernel modules")?;
    Ok(DeviceParts {
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

/// The folder with the Python packages that the check of exports needs.
pub fn perfetto() -> Result<PathBuf> {
    let _alone = alone()?;
    perfetto::ensure()
}

/// What the tests of the HTML report run in: the Chromium that `$CHROMIUM` names, else the one on
/// `PATH`. Debian's brings a font along.
pub fn chromium() -> Result<PathBuf> {
    match env::var_os("CHROMIUM") {
        Some(chromium) => Ok(chromium.into()),
        None => {
            let _alone = alone()?;
            system::ensure("chromium", "chromium", "the tests of the HTML report run in it")
        }
    }
}

/// Everything, for `cargo xtask setup`: one part that cannot be had does not hold up the others.
pub fn all() -> Result<()> {
    let parts = [
        ("the probe", probe().map(drop)),
        ("the agent", agent().map(drop)),
        ("the virtual device", device(Kernel::default()).map(drop)),
        ("Perfetto's descriptors", perfetto().map(drop)),
        ("the browser tests", chromium().map(drop)),
    ];
    let mut missing = String::new();
    for (part, result) in parts {
        if let Err(error) = result {
            missing.push_str(&format!("\n{part}: {error:#}"));
        }
    }
    if !missing.is_empty() {
        bail!("not everything could be set up{missing}");
    }
    sh::say("setup is complete");
    Ok(())
}

/// Two tasks at once, say a test run and a developer, must not unpack into the same folder.
fn alone() -> Result<File> {
    fs::create_dir_all(paths::tools()).context("target/tools cannot be made")?;
    let lock = File::create(paths::tools().join("lock")).context("target/tools is not writable")?;
    lock.lock().context("target/tools/lock cannot be locked")?;
    Ok(lock)
}
