//! A disk that survives a power cut: a file with an ext4, in the instance's folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{sh, system};

const NAME: &str = "disk.img";

/// Bytes; no more than is written takes room here.
const SIZE: u64 = 64 << 20;

/// The instance's disk; makes one if there is none.
pub(crate) fn ensure(folder: &Path) -> Result<PathBuf> {
    let disk = folder.join(NAME);
    if disk.is_file() {
        return Ok(disk);
    }
    let mkfs = system::ensure("mkfs.ext4", "e2fsprogs", "makes the virtual device's disk")?;
    // Whole or not there.
    let making = folder.join("disk.new");
    let file = File::create(&making).and_then(|file| file.set_len(SIZE));
    file.with_context(|| format!("{} cannot be made", making.display()))?;
    let mut command = Command::new(mkfs);
    command.args(["-q", "-F"]).arg(&making);
    sh::run_logged("mkfs", &mut command, Duration::from_secs(60), "is there room on this disk?")?;
    fs::rename(&making, &disk).with_context(|| format!("{} cannot be made", disk.display()))?;
    Ok(disk)
}

/// Throws the instance's disk away, if it has one.
pub(crate) fn remove(folder: &Path) {
    let _ = fs::remove_file(folder.join(NAME));
}
