//! `cargo xtask test`: the tests that need nothing but Rust, then the end-to-end tests in two virtual
//! devices of their own.

use std::env;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::setup::packages::Kernel;
use crate::vdev::own::{OwnDevice, Reserved};
use crate::{build, paths, setup, sh};

/// With the kfuncs, and the newest kernel without. They are taken down at both ends, so the names
/// are this task's own.
const DEVICES: [(&str, Kernel); 2] = [("test", Kernel::Kfunc), ("test-6.12", Kernel::V6_12)];

/// The device whose power a test cuts; it boots it by itself.
const POWER: &str = "test-power";

/// Some ten times what the end-to-end tests take: beyond it a device hangs.
const LIMIT: Duration = Duration::from_secs(25 * 60);

/// Everything, or with `filter` the end-to-end tests that it picks.
pub fn run(filter: &[OsString]) -> Result<()> {
    let mut failed = Vec::new();
    if filter.is_empty() {
        sh::say("step 1 of 4: the tests that need no device");
        failed.extend(said(without_device(), "the tests that need no device"));
    }
    sh::say("step 2 of 4: the programs");
    build::all()?;
    sh::say("step 3 of 4: the devices");
    let [with, without] = DEVICES;
    let with = OwnDevice::boot(with.0, with.1)?;
    let without = OwnDevice::boot(without.0, without.1)?;
    let power = Reserved::new(POWER)?;
    sh::say("step 4 of 4: the end-to-end tests");
    let started = Instant::now();
    if let Some(part) = said(end_to_end(&with, &without, filter), "the end-to-end tests") {
        failed.push(part);
        for (device, (name, _)) in [&with, &without].into_iter().zip(DEVICES) {
            if !device.alive() {
                sh::say(format!("the device {name} ended by itself; {}", device.console()));
            } else if started.elapsed() > LIMIT {
                sh::say(format!("the device {name} may hang; {}", device.console()));
            }
        }
    }
    // Now, so that the verdict is the last word.
    drop((with, without, power));
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    sh::say("all tests passed");
    Ok(())
}

/// A failure of one part does not keep the others from telling theirs.
fn said(result: Result<()>, part: &'static str) -> Option<&'static str> {
    let error = result.err()?;
    sh::say(format!("{error:#}"));
    Some(part)
}

fn without_device() -> Result<()> {
    sh::run(sh::cargo().args(["test", "--no-fail-fast"]))
}

fn end_to_end(with: &OwnDevice, without: &OwnDevice, filter: &[OsString]) -> Result<()> {
    let mut cargo = sh::cargo();
    cargo
        .args(["test", "--package", "sleepwalk-e2e", "--no-fail-fast"])
        // They share the devices, and a device sleeps for all.
        .args(["--", "--test-threads=1"])
        .args(filter)
        .env("SLEEPWALK_E2E_SERIAL", &with.device.serial)
        .env("SLEEPWALK_E2E_SERIAL_WITHOUT_KFUNCS", &without.device.serial)
        .env("SLEEPWALK_E2E_DIST", paths::dist())
        .env("SLEEPWALK_E2E_XTASK", env::current_exe()?)
        .env("SLEEPWALK_E2E_POWER", POWER)
        .env("ADB", setup::adb()?);
    sh::run_within(LIMIT, &mut cargo)
}
