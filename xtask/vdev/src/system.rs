//! Programs of the system: taken from `PATH`, else installed from Debian where that is possible.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh;

/// The program's path; its Debian package is installed when it is missing.
pub fn ensure(program: &str, package: &str, needed_for: &str) -> Result<PathBuf> {
    if let Some(found) = sh::on_path(program) {
        return Ok(found);
    }
    install(&[package], needed_for)?;
    sh::on_path(program)
        .with_context(|| format!("{program} is not on PATH although {package} was installed"))
}

/// Installs Debian packages, or fails with what a person has to install.
pub fn install(packages: &[&str], needed_for: &str) -> Result<()> {
    let names = packages.join(" ");
    let remedy = format!(
        "install {names} ({needed_for}). Without it, `cargo test` and `cargo build -p sleepwalk` \
         work with stable Rust alone"
    );
    if sh::on_path("apt-get").is_none() {
        bail!("{names} is missing, and this is no Debian: {remedy}");
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("{names} is missing, and only root may install it: {remedy}");
    }
    sh::progress(format!("{names}: installing from Debian ({needed_for})"));
    let install = || {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "--yes", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive");
        let log = format!("apt-install-{}", packages[0]);
        sh::run_logged(&log, &mut apt, sh::LONG, &remedy)
    };
    if install().is_ok() {
        return Ok(());
    }
    // The lists are missing or too old to name packages that still exist.
    sh::retry(|| {
        let mut update = Command::new("apt-get");
        update.arg("update");
        sh::run_logged("apt-update", &mut update, sh::LONG, &remedy)?;
        install()
    })
}

/// The first `MAJOR.MINOR` in a program's account of its version.
pub fn version(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let (major, rest) = word.split_once('.')?;
        let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_read() {
        let qemu = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright";
        assert_eq!(version(qemu), Some((7, 2)));
        assert_eq!(version("version 10.0-rc1"), Some((10, 0)));
        assert_eq!(version("no number."), None);
    }
}
