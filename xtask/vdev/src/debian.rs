//! Debian packages of any suite for arm64, unpacked by mmdebstrap: it resolves, downloads and checks
//! signatures with a state of its own, and needs neither root nor anything of the system but apt.
//!
//! The mirror's address comes from the system's apt at run time.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{paths, sh, system};

/// The error where the virtual device's packages are not available: packages of another distribution
/// would not do, and mixing two spoils a machine.
pub const NO_DEBIAN: &str = "\
the virtual device cannot be set up here: its kernel and its userland are Debian's packages, so it \
needs a machine with Debian, and root to install qemu and adb there. Without it these work: \
`cargo test`, `cargo build --package sleepwalk`, and `cargo xtask build` where bpf-linker and zig \
could be set up";

/// Packages to unpack, with all that they depend on.
pub struct Packages<'a> {
    /// The first is where they come from, the others what it builds upon.
    pub suites: &'a [&'a str],
    /// `name`, `name=version` or `name=version*`.
    pub names: &'a [&'a str],
    /// Patterns of the files to unpack, as dpkg's `path-include`; all files where there is none.
    pub only: &'a [&'a str],
}

impl Packages<'_> {
    /// Unpacks into a folder that does not exist yet or is empty. No script of a package runs.
    pub fn unpack(&self, to: &Path) -> Result<()> {
        let mirror = mirror()?.context(NO_DEBIAN)?;
        let mmdebstrap =
            system::ensure("mmdebstrap", "mmdebstrap", "unpacks the virtual device's packages")?;
        let (suite, base) = self.suites.split_first().context("no suite is named")?;
        let first = self.names.first().context("no package is named")?;
        sh::progress(format!("{} of Debian {suite}: unpacking", self.names.join(", ")));
        let mut command = Command::new(mmdebstrap);
        // Chrootless works as any user; without scripts it changes nothing of this system.
        command
            .args(["--variant=extract", "--mode=chrootless", "--architectures=arm64"])
            .args(["--aptopt=Acquire::Retries \"3\"", "--aptopt=APT::Install-Recommends \"0\""])
            .arg(format!("--include={}", self.names.join(",")));
        if !self.only.is_empty() {
            command.arg("--dpkgopt=path-exclude=/*");
            command.args(self.only.iter().map(|path| format!("--dpkgopt=path-include={path}")));
        }
        command.arg(suite).arg(to).arg(&mirror);
        command.args(base.iter().map(|suite| format!("deb {mirror} {suite} main")));
        let log = format!("mmdebstrap-{}-{suite}", first.split(['=', '/']).next().unwrap_or(first));
        sh::run_logged(&log, &mut command, sh::LONG, "is the network up?")
    }
}

/// Whether Debian's packages are available here.
pub fn is_debian() -> Result<bool> {
    Ok(mirror()?.is_some())
}

/// The mirror that the system's own apt uses for Debian; none on another distribution.
fn mirror() -> Result<Option<String>> {
    if sh::on_path("apt-get").is_none() {
        return Ok(None);
    }
    let ask = |lists: Option<&Path>| {
        let mut get = Command::new("apt-get");
        if let Some(lists) = lists {
            get.arg("-o").arg(format!("Dir::State::Lists={}", lists.display()));
        }
        get.args(["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"]);
        Ok::<_, anyhow::Error>(debian_mirror(&sh::read(&mut get)?))
    };
    if let Some(mirror) = ask(None)? {
        return Ok(Some(mirror));
    }
    // A fresh machine has no lists yet; fetching them for ourselves needs no root.
    let lists = paths::vdev().join("apt/system-lists");
    fs::create_dir_all(lists.join("partial"))?;
    sh::retry(|| {
        let mut update = Command::new("apt-get");
        update.arg("-o").arg(format!("Dir::State::Lists={}", lists.display()));
        update.args(["-o", "APT::Sandbox::User=root", "update"]);
        sh::run_logged("apt-update-system", &mut update, sh::LONG, "is the network up?")
    })?;
    ask(Some(&lists))
}

fn debian_mirror(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| line.strip_prefix("Debian|Debian|")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_archive_is_no_mirror() {
        let targets =
            "Other|Other|http://o/\nDebian|Debian-Security|http://s/\nDebian|Debian|http://d/\n";
        assert_eq!(debian_mirror(targets).as_deref(), Some("http://d/"));
        assert_eq!(debian_mirror(""), None);
    }
}
