//! Files on the device.

use std::path::Path;

use anyhow::{Result, ensure};

use super::adb::Device;
use super::error::DeviceError;
use super::paths::DIR;
use super::shell::quote;
use crate::fix::Fixable;

/// Copies a trace from the device, and checks that all of it arrived.
pub fn fetch(device: &Device, remote: &str, local: &Path) -> Result<u64> {
    let size = remote_size(device, remote)?;
    device.pull(remote, local, size)?;
    let copied = std::fs::metadata(local)?.len();
    // A trace that is still written may have grown meanwhile, or lost its end.
    let between = |a: u64, b: u64| (a.min(b)..=a.max(b)).contains(&copied);
    ensure!(
        copied == size || between(size, remote_size(device, remote)?),
        Fixable::new(
            format!("{remote}: {copied} of {size} bytes were copied from the device"),
            "run `sleepwalk pull` to copy it again",
        ),
    );
    Ok(copied)
}

/// The length of a file on the device.
pub fn remote_size(device: &Device, remote: &str) -> Result<u64> {
    let output = device.shell(&format!("wc -c <{}", quote(remote)))?;
    match output.line().parse() {
        Ok(size) if output.code == 0 => Ok(size),
        _ => Err(Fixable::new(
            format!("{remote} on device {}: {}", device.serial(), output.last_words()),
            "run `sleepwalk status` to list the traces on the device",
        )
        .into()),
    }
}

/// The names of the traces on the device, the newest first.
pub fn traces(device: &Device) -> Result<Vec<String>, DeviceError> {
    // If nothing matches, the shell passes the pattern on and `ls` fails.
    let output = device.shell(&format!("cd {DIR} 2>/dev/null && ls -t *.swk 2>/dev/null"))?;
    let names = output.stdout.lines().map(str::trim).filter(|name| name.ends_with(".swk"));
    Ok(names.map(str::to_owned).collect())
}
