//! `cargo xtask setup`: brings in what is missing, each part by the ordinary way first.
//!
//! Each part is a function that returns the thing itself, so that the other tasks ask for what they
//! need and get it made on the way. All of it is under `target/`, except for qemu and adb, which are
//! the system's.

pub mod bpf_linker;
pub mod cargo_tool;
pub mod perfetto;
pub mod rust_src;
pub mod rustc;
pub mod zig;

use std::env;
use std::path::PathBuf;

use anyhow::{Result, bail};
use sleepwalk_vdev::parts::{self, alone};
use sleepwalk_vdev::{Kernel, sh, system};

use self::rust_src::RustSrc;
use self::rustc::Rustc;
use self::zig::Zig;

/// Brings in all that the probe's build needs.
pub fn probe() -> Result<(RustSrc, PathBuf)> {
    let _alone = alone()?;
    let rustc = Rustc::ask()?;
    Ok((rust_src::ensure(&rustc)?, bpf_linker::ensure(&rustc)?))
}

/// Brings in all that the agent's build needs.
pub fn agent() -> Result<(RustSrc, Zig)> {
    let _alone = alone()?;
    let rustc = Rustc::ask()?;
    Ok((rust_src::ensure(&rustc)?, zig::ensure()?))
}

/// The library sources alone.
pub fn build_std() -> Result<RustSrc> {
    let _alone = alone()?;
    rust_src::ensure(&Rustc::ask()?)
}

/// The folder with the Python packages that the check of exports needs.
pub fn perfetto() -> Result<PathBuf> {
    let _alone = alone()?;
    perfetto::ensure()
}

/// The browser for the tests of the HTML report: the Chromium that `$CHROMIUM` names, else the one on
/// `PATH`. Debian's brings a font along.
pub fn chromium() -> Result<PathBuf> {
    match env::var_os("CHROMIUM") {
        Some(chromium) => Ok(chromium.into()),
        None => {
            let _alone = alone()?;
            system::ensure("chromium", "chromium", "the tests of the HTML report run in it")
        }
    }
}

/// Everything, for `cargo xtask setup`: one part that is not available does not hold up the others.
pub fn all() -> Result<()> {
    let parts = [
        ("the probe", probe().map(drop)),
        ("the agent", agent().map(drop)),
        ("the virtual device", parts::ensure(Kernel::default()).map(drop)),
        ("Perfetto's descriptors", perfetto().map(drop)),
        ("the browser tests", chromium().map(drop)),
    ];
    let mut missing = String::new();
    for (part, result) in parts {
        if let Err(error) = result {
            missing.push_str(&format!("\n{part}: {error:#}"));
        }
    }
    if !missing.is_empty() {
        bail!("not everything could be set up{missing}");
    }
    sh::progress("setup is complete");
    Ok(())
}
