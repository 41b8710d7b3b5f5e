//! `cargo xtask deny`: cargo-deny over the tree, by `deny.toml`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::{paths, sh};

/// The newest that builds on the project's Rust.
const VERSION: &str = "0.20.2";

/// Licences, bans and sources always; advisories where their database can be had.
pub fn check() -> Result<()> {
    let deny = ensure()?;
    let cargo_deny = |args: &[&str]| {
        let mut command = Command::new(&deny);
        // It takes the place of `cargo deny`, whose first argument is its own name.
        command.arg("deny").args(args).current_dir(paths::root());
        command
    };
    sh::run(&mut cargo_deny(&["check", "bans", "licenses", "sources"]))?;
    let mut fetch = cargo_deny(&["fetch", "db"]);
    if let Err(error) = sh::run_logged("cargo-deny-fetch", &mut fetch, Duration::from_secs(60), "")
    {
        sh::say(format!("advisories are not checked, their database can't be had: {error:#}"));
        return Ok(());
    }
    sh::run(&mut cargo_deny(&["check", "--disable-fetch", "advisories"]))
}

/// The program; built when it is missing.
fn ensure() -> Result<PathBuf> {
    let home = paths::tools().join(format!("cargo-deny-{VERSION}"));
    let program = home.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    sh::say(format!("cargo-deny {VERSION}: building"));
    sh::retry(|| {
        let mut cargo = sh::cargo();
        cargo
            .args(["install", "cargo-deny", "--locked", "--force", "--version", VERSION, "--root"])
            .arg(&home)
            .arg("--target-dir")
            .arg(home.join("build"))
            // As for bpf-linker: it runs for seconds.
            .args(["--profile", "dev"])
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        sh::run_logged("cargo-deny", &mut cargo, sh::LONG, "cargo-deny does not build here")
    })?;
    let _ = std::fs::remove_dir_all(home.join("build"));
    Ok(program)
}
