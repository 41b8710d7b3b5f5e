//! `cargo xtask deny`: cargo-deny over the tree, by `deny.toml`.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::setup::cargo_tool;
use crate::{paths, sh};

/// The newest that builds on the project's Rust.
const VERSION: &str = "0.20.2";

/// Licences, bans and sources always; advisories where their database can be fetched.
pub fn check() -> Result<()> {
    let deny = cargo_tool::ensure("cargo-deny", VERSION)?;
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
        sh::progress(format!(
            "advisories are not checked, their database cannot be fetched: {error:#}"
        ));
        return Ok(());
    }
    sh::run(&mut cargo_deny(&["check", "--disable-fetch", "advisories"]))
}
