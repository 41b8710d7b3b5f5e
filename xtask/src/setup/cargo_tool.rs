//! Programs that cargo installs from the registry as they are.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::{paths, sh};

/// The program of that name and version; built when it is missing.
pub fn ensure(name: &str, version: &str) -> Result<PathBuf> {
    let home = paths::tools().join(format!("{name}-{version}"));
    let program = home.join("bin").join(name);
    if program.is_file() {
        return Ok(program);
    }
    sh::progress(format!("{name} {version}: building"));
    sh::retry(|| {
        let mut cargo = sh::cargo();
        cargo
            .args(["install", name, "--locked", "--force", "--version", version, "--root"])
            .arg(&home)
            .arg("--target-dir")
            .arg(home.join("build"))
            // As for bpf-linker: it runs for seconds.
            .args(["--profile", "dev"])
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        sh::run_logged(name, &mut cargo, sh::LONG, &format!("{name} does not build here"))
    })?;
    let _ = fs::remove_dir_all(home.join("build"));
    Ok(program)
}
