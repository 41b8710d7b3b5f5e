//! cargo-zigbuild and zig, which link the agent statically for arm64 with nothing else installed.
//!
//! Both come as Python wheels into a folder of ours: a wheel of cargo-zigbuild saves its build, and
//! zig is published nowhere else that a package manager reaches.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use sleepwalk_vdev::system;

use crate::{paths, sh};

/// The pair that was seen to work together; a newer zig may need a newer cargo-zigbuild.
const WHEELS: [&str; 2] = ["cargo-zigbuild==0.24.*", "ziglang==0.17.*"];

/// Where both programs are.
pub struct Zig {
    home: PathBuf,
}

impl Zig {
    /// `cargo zigbuild`, ready for its arguments.
    pub fn cargo_zigbuild(&self) -> Command {
        let mut command = Command::new(self.home.join("bin/cargo-zigbuild"));
        command
            .arg("zigbuild")
            .current_dir(paths::root())
            .env("CARGO_ZIGBUILD_ZIG_PATH", self.zig())
            .env("CARGO_ZIGBUILD_CACHE_DIR", paths::tools().join("zigbuild-cache"))
            .env("ZIG_GLOBAL_CACHE_DIR", paths::tools().join("zig-cache"));
        sh::plain_rust(&mut command);
        command
    }

    fn zig(&self) -> PathBuf {
        self.home.join("ziglang/zig")
    }

    fn complete(&self) -> bool {
        self.zig().is_file() && self.home.join("bin/cargo-zigbuild").is_file()
    }
}

/// Finds both or brings them in.
pub fn ensure() -> Result<Zig> {
    let zig = Zig { home: paths::tools().join("zig") };
    if zig.complete() {
        return Ok(zig);
    }
    sh::progress("cargo-zigbuild and zig: as Python wheels");
    sh::retry(|| install(&zig.home))?;
    if !zig.complete() {
        bail!(
            "{} lacks zig or cargo-zigbuild after pip: remove it and try again",
            zig.home.display()
        );
    }
    Ok(zig)
}

fn install(home: &Path) -> Result<()> {
    let remedy = "install python3-pip, or put ziglang and cargo-zigbuild where pip finds them";
    let mut pip = pip("cargo-zigbuild links the agent")?;
    pip.args(["install", "--quiet", "--upgrade", "--no-compile", "--no-deps"])
        .args(["--root-user-action=ignore", "--target"])
        .arg(home)
        .args(WHEELS);
    sh::run_logged("zig", &mut pip, sh::LONG, remedy)
}

/// pip as it is, else in a virtual environment, else out of Debian; `why` is for the message.
pub(super) fn pip(why: &str) -> Result<Command> {
    let has_pip = || sh::read(Command::new("python3").args(["-m", "pip", "--version"])).is_ok();
    if !has_pip() {
        let venv = paths::tools().join("python");
        let inner = venv.join("bin/python3");
        if inner.is_file()
            || sh::read(Command::new("python3").args(["-m", "venv"]).arg(&venv)).is_ok()
        {
            let mut pip = Command::new(inner);
            pip.args(["-m", "pip"]);
            return Ok(pip);
        }
        system::install(&["python3-pip"], why)?;
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip"]);
    Ok(pip)
}
