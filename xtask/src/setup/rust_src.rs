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
use sleepwalk_vdev::debian::Packages;
use sleepwalk_vdev::system;

use super::rustc::Rustc;
use crate::{paths, sh};

/// Names an archive (`.tar.xz`) of the `library/` folder of Rust's sources.
const ARCHIVE: &str = "SLEEPWALK_RUST_SRC";

/// Where the sources are; for each cargo that builds the standard library.
pub struct RustSrc {
    library: PathBuf,
    /// In the sysroot cargo finds them on its own.
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
        sh::progress(format!("library sources of Rust {}: {way}", rustc.release));
        match get() {
            Ok(()) if is_library(&library) => return Ok(RustSrc { library, in_sysroot: false }),
            Ok(()) => return Ok(RustSrc { library: in_sysroot, in_sysroot: true }),
            Err(error) => tried.push_str(&format!("\n  {way}: {error:#}")),
        }
    }
    bail!(
        "the library sources of Rust {} are missing, and the probe and the agent need them: run \
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
    // Debian adds `+dfsg` and a revision of its own.
    let name = format!("rust-src={}+*", rustc.release);
    let library = format!("/usr/src/rustc-{}/library", rustc.release);
    let mut tried = String::new();
    for suites in
        [&["trixie-backports", "trixie"][..], &["trixie"], &["sid"], &["experimental", "sid"]]
    {
        let unpacked = replace(home, &library[1..], |partial| {
            // The package has the whole compiler too.
            Packages { suites, names: &[&name], only: &[&format!("{library}/*")] }.unpack(partial)
        });
        match unpacked {
            Ok(()) => return Ok(()),
            Err(error) => tried.push_str(&format!("\n  {}: {error:#}", suites[0])),
        }
    }
    bail!("no suite has it:{tried}")
}

fn from_archive(home: &Path) -> Result<()> {
    let archive = env::var_os(ARCHIVE).context("not set")?;
    let archive = PathBuf::from(archive);
    if !archive.is_file() {
        bail!("{} is no file", archive.display());
    }
    system::ensure("xz", "xz-utils", "unpacks Rust's library sources")?;
    replace(home, "library", |partial| {
        let mut tar = Command::new("tar");
        tar.arg("-xJf").arg(&archive).arg("-C").arg(partial);
        sh::read(&mut tar).map(drop)
    })
}

/// Lets `unpack` fill a folder beside the final place, and moves `library` in it there: half a
/// library is never found.
fn replace(home: &Path, library: &str, unpack: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let partial = home.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial)
        .with_context(|| format!("{} cannot be made", partial.display()))?;
    unpack(&partial)?;
    let unpacked = partial.join(library);
    if !is_library(&unpacked) {
        bail!("{library}/ with its Cargo.lock is not in there, but {:?}", paths::list(&partial)?);
    }
    let _ = fs::remove_dir_all(home);
    fs::create_dir_all(home)
        .and_then(|()| fs::rename(&unpacked, home.join("library")))
        .with_context(|| format!("{} cannot be made", home.display()))?;
    fs::remove_dir_all(&partial).with_context(|| format!("{} cannot be removed", partial.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_library_is_never_found() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("rust-src-1.2.3");
        let fill = |files: &'static [&str]| {
            move |partial: &Path| {
                for file in files {
                    let file = partial.join("usr/src/library").join(file);
                    fs::create_dir_all(file.parent().unwrap())?;
                    fs::write(file, "")?;
                }
                Ok(())
            }
        };
        let error = replace(&home, "usr/src/library", fill(&["Cargo.lock"])).unwrap_err();
        assert!(error.to_string().contains("not in there"), "{error}");
        assert!(!home.exists());
        replace(&home, "usr/src/library", fill(&["Cargo.lock", "core/Cargo.toml"])).unwrap();
        assert!(is_library(&home.join("library")));
        assert_eq!(paths::list(folder.path()).unwrap(), [home]);
    }
}
