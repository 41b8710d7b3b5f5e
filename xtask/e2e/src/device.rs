//! The devices to test on, each with agent and workload in its folder and nothing of an earlier test.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sleepwalk_vdev::{Device, FOLDER, Kernel};

use crate::best::Best;

/// A device and what is to be expected of it.
#[derive(Debug)]
pub struct Tested {
    /// The device.
    pub device: Device,
    /// Its kernel.
    pub kernel: Kernel,
    /// The best that the agent can do there.
    pub best: Best,
}

/// Each device that is up.
pub fn each() -> Result<Vec<Tested>> {
    each_kernel()?.into_iter().map(|(kernel, serial)| prepared(kernel, serial)).collect()
}

/// The first device that is up, for what does not depend on the kernel.
pub fn any() -> Result<Device> {
    let (kernel, serial) = each_kernel()?.into_iter().next().context("no device is up")?;
    prepared(kernel, serial).map(|tested| tested.device)
}

/// The device with the kfuncs.
pub fn with_kfuncs() -> Result<Device> {
    with(Kernel::Kfunc)
}

/// The device with the newest of Debian's kernels that lack the kfuncs.
pub fn without_kfuncs() -> Result<Device> {
    with(Kernel::V6_12)
}

fn with(wanted: Kernel) -> Result<Device> {
    for (kernel, serial) in each_kernel()? {
        if kernel == wanted {
            return prepared(kernel, serial).map(|tested| tested.device);
        }
    }
    bail!("no device with the kernel {} is up", wanted.name())
}

/// `KERNEL=SERIAL`, separated by blanks.
fn each_kernel() -> Result<Vec<(Kernel, String)>> {
    let text = variable("SLEEPWALK_E2E_DEVICES")?.to_string_lossy().into_owned();
    let parsed = text.split_whitespace().map(|pair| {
        let (kernel, serial) = pair.split_once('=').with_context(|| format!("{pair}: no `=`"))?;
        let kernel = Kernel::of_name(kernel).with_context(|| format!("{kernel}: no kernel"))?;
        Ok((kernel, serial.to_owned()))
    });
    parsed.collect()
}

fn prepared(kernel: Kernel, serial: String) -> Result<Tested> {
    let device = Device::at(serial)?;
    prepare(&device)?;
    Ok(Tested { device, kernel, best: Best::on(kernel) })
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
