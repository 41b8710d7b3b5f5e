//! The standard library's sources, which `-Z build-std` builds for the probe's and the agent's
//! targets.
//!
//! First hit wins: the sysroot; `rustup component add`; Debian's `rust-src` of exactly this
//! version; the archive that `SLEEPWALK_RUST_SRC` names.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::apt::Apt;
use super::rustc::{Rustc, list};
use crate::{paths, sh};

/// Names an archive (`.tar.xz`) of the `library/` folder of Rust's sources.
const ARCHIVE: &str = "SLEEPWALK_RUST_SRC";

/// Where the sources are; hand it to each cargo that builds the standard library.
pub struct RustSrc {
    library: PathBuf,
    /// In the sysroot cargo finds them by itself.
    in_sysroot: bool,
}

impl RustSrc {
    /// The `library/` folder.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Lets this cargo build the standard library.
    pub fn allow_build_std(&self, cargo: &mut Command) {
        // `-Z` options on a stable compiler; no other build gets this.
        cargo.env("RUSTC_BOOTSTRAP", "1");
        if !self.in_sysroot {
            // Cargo's own tests move the sources with this; there is no other way but to write
            // into the sysroot, which is not ours.
            cargo.env("__CARGO_TESTS_ONLY_SRC_ROOT", &self.library);
        }
    }
}

/// Finds the sources or brings them in.
pub fn ensure(rustc: &Rustc) -> Result<RustSrc> {
    let in_sysroot = in_sysroot(rustc);
    if is_library(&in_sysroot) {
        return Ok(RustSrc { library: in_sysroot, in_sysroot: true });
    }
    let home = paths::tools().join(format!("rust-src-{}", rustc.release));
    let library = home.join("library");
    if is_library(&library) {
        return Ok(RustSrc { library, in_sysroot: false });
    }
    let ways: [(&str, &dyn Fn() -> Result<()>); 3] = [
        ("rustup component add rust-src", &from_rustup),
        ("Debian's rust-src package", &|| from_debian(rustc, &home)),
        (ARCHIVE, &|| from_archive(&home)),
    ];
    let mut tried = String::new();
    for (way, get) in ways {
        sh::say(format!("library sources of Rust {}: {way}", rustc.release));
        match get() {
            Ok(()) if is_library(&library) => return Ok(RustSrc { library, in_sysroot: false }),
            Ok(()) => return Ok(RustSrc { library: in_sysroot, in_sysroot: true }),
            Err(error) => tried.push_str(&format!("\n  {way}: {error:#}")),
        }
    }
    bail!(
        "the library sources of Rust {} cannot be had, and the probe and the agent need them: run \
         `rustup component add rust-src`, or name a .tar.xz of Rust's library/ folder in \
         {ARCHIVE}. The host program and its tests do without: `cargo build -p sleepwalk`.{tried}",
        rustc.release
    )
}

/// Where rustup puts the library's sources.
pub fn in_sysroot(rustc: &Rustc) -> PathBuf {
    rustc.sysroot.join("lib/rustlib/src/rust/library")
}

/// Cargo resolves the library's dependencies by this lock file; without it the folder is of no use.
fn is_library(folder: &Path) -> bool {
    folder.join("Cargo.lock").is_file() && folder.join("core/Cargo.toml").is_file()
}

fn from_rustup() -> Result<()> {
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "add", "rust-src"]);
    sh::run_logged(
        "rustup-rust-src",
        &mut rustup,
        Duration::from_secs(180),
        "no such component here",
    )
}

fn from_debian(rustc: &Rustc, home: &Path) -> Result<()> {
    let version = |apt: &Apt| {
        let versions = apt.versions("rust-src")?;
        Ok::<_, anyhow::Error>(versions.into_iter().find(|version| is_of(version, &rustc.release)))
    };
    let mut found = None;
    for suites in [&["trixie-backports"][..], &["trixie"], &["sid"], &["experimental"]] {
        let apt = Apt::open(suites)?;
        if version(&apt)?.is_some() {
            found = Some(apt);
            break;
        }
    }
    let none = || format!("no suite has version {}", rustc.release);
    let apt = found.with_context(none)?;
    let folder = home.with_extension("deb");
    let choose = |apt: &Apt| Ok(vec![format!("rust-src={}", version(apt)?.with_context(none)?)]);
    let debs = apt.download(choose, &folder)?;
    let deb = debs.first().context("apt-get download left no file")?;
    // The package holds the whole compiler too; only the library is unpacked.
    let inside = format!("./usr/src/rustc-{}/library", rustc.release);
    unpack(
        home,
        Command::new("dpkg-deb").arg("--fsys-tarfile").arg(deb),
        &["--strip-components=4", &inside],
    )?;
    fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))
}

fn from_archive(home: &Path) -> Result<()> {
    let archive = env::var_os(ARCHIVE).context("not set")?;
    let archive = PathBuf::from(archive);
    if !archive.is_file() {
        bail!("{} is no file", archive.display());
    }
    unpack(home, Command::new("xz").arg("-dc").arg(&archive), &[])
}

/// Unpacks beside the final place and moves the folder there: half a library is never found.
fn unpack(home: &Path, source: &mut Command, choice: &[&str]) -> Result<()> {
    let partial = home.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial)
        .with_context(|| format!("{} cannot be made", partial.display()))?;
    let mut tar = Command::new("tar");
    sh::pipe(source, tar.args(["-x", "-C"]).arg(&partial).args(choice))?;
    if !is_library(&partial.join("library")) {
        bail!("the archive holds {:?}, not library/ with its Cargo.lock", list(&partial)?);
    }
    let _ = fs::remove_dir_all(home);
    fs::rename(&partial, home).with_context(|| format!("{} cannot be made", home.display()))
}

/// Debian adds its own revision after `+` or `-`.
fn is_of(version: &str, release: &str) -> bool {
    version.strip_prefix(release).is_some_and(|rest| rest.starts_with(['+', '-']))
}

#[cfg(test)]
mod tests {
    use super::is_of;

    #[test]
    fn only_exactly_this_release() {
        assert!(is_of("1.95.0+dfsg1-2~bpo13+1", "1.95.0"));
        assert!(is_of("1.95.0-1", "1.95.0"));
        assert!(!is_of("1.95.01-1", "1.95.0"));
        assert!(!is_of("1.96.1+dfsg1-2", "1.95.0"));
    }
}
