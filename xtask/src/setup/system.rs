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

/// Installs Debian packages, or says what a person has to install.
pub fn install(packages: &[&str], needed_for: &str) -> Result<()> {
    let names = packages.join(" ");
    let mend = format!(
        "install {names} ({needed_for}). Without it, `cargo test` and `cargo build -p sleepwalk` \
         work with stable Rust alone"
    );
    if sh::on_path("apt-get").is_none() {
        bail!("{names} is missing, and this is no Debian: {mend}");
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("{names} is missing, and only root may install it: {mend}");
    }
    sh::say(format!("{names}: installing from Debian ({needed_for})"));
    let install = || {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "--yes", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive");
        let log = format!("apt-install-{}", packages[0]);
        sh::run_logged(&log, &mut apt, sh::LONG, &mend)
    };
    if install().is_ok() {
        return Ok(());
    }
    // The lists are missing or too old to name packages that still exist.
    sh::retry(|| {
        let mut update = Command::new("apt-get");
        update.arg("update");
        sh::run_logged("apt-update", &mut update, sh::LONG, &mend)?;
        install()
    })
}
