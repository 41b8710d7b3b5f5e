//! The devices to test on, each with agent and workload in its folder and nothing of an earlier test.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use sleepwalk_vdev::{Device, FOLDER};

/// The device with the kfuncs.
pub fn with_kfuncs() -> Result<Device> {
    named("SLEEPWALK_E2E_SERIAL")
}

/// The device whose kernel lacks the kfuncs.
pub fn without_kfuncs() -> Result<Device> {
    named("SLEEPWALK_E2E_SERIAL_WITHOUT_KFUNCS")
}

/// The device with the oldest kernel, which also lacks data symbols in kallsyms, and fexit.
pub fn oldest() -> Result<Device> {
    named("SLEEPWALK_E2E_SERIAL_OLDEST")
}

fn named(name: &str) -> Result<Device> {
    let device = Device::at(variable(name)?.to_string_lossy().into_owned())?;
    prepare(&device)?;
    Ok(device)
}

/// Removes what an earlier test left, and pushes the programs.
pub fn prepare(device: &Device) -> Result<()> {
    device.sh(&format!("rm -rf {FOLDER}/* /data/local/tmp/sleepwalk"))?;
    device.sh("echo 0 > /sys/class/rtc/rtc0/wakealarm; echo none > /sys/power/pm_test")?;
    let dist = dist()?;
    device.push(&["sleepwalkd", "sleepwalk-workload"].map(|program| dist.join(program)))
}

/// The host program, which uses this device.
pub fn sleepwalk(device: &Device) -> Result<Command> {
    let mut command = Command::new(dist()?.join("sleepwalk"));
    command.env("ANDROID_SERIAL", &device.serial).stdin(Stdio::null());
    Ok(command)
}

fn dist() -> Result<PathBuf> {
    variable("SLEEPWALK_E2E_DIST").map(PathBuf::from)
}

/// A variable that `cargo xtask test` sets.
pub fn variable(name: &str) -> Result<OsString> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .with_context(|| format!("{name} is not set: run `cargo xtask test`"))
}
