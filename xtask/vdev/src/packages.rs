//! The virtual device's kernels and its arm64 user land, out of Debian, unpacked under `target/`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::debian::Packages;
use crate::modules;
use crate::paths::{self, list};

/// The BTF of a kernel that has the wakeup-source kfuncs names this function.
const KFUNC: &[u8] = b"bpf_wakeup_sources_get_head";

/// Which kernel the virtual device boots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// The first one that has the wakeup-source kfuncs.
    #[default]
    Kfunc,
    /// Debian 13's: no kfuncs; fexit works.
    V6_12,
    /// Debian 12's: no kfuncs, no fexit on arm64.
    V6_1,
}

impl Kernel {
    /// Each of them.
    pub const ALL: [Kernel; 3] = [Kernel::Kfunc, Kernel::V6_12, Kernel::V6_1];

    /// As `vdev up --kernel` names it.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Kfunc => "kfunc",
            Kernel::V6_12 => "6.12",
            Kernel::V6_1 => "6.1",
        }
    }

    /// The kernel of that name.
    pub fn of_name(name: &str) -> Option<Kernel> {
        Kernel::ALL.into_iter().find(|kernel| kernel.name() == name)
    }

    /// Where to look first, second, …; each entry is a suite and what it builds upon.
    fn suites(self) -> &'static [&'static [&'static str]] {
        match self {
            Kernel::Kfunc => &[&["trixie-backports", "trixie"], &["sid"], &["experimental", "sid"]],
            Kernel::V6_12 => &[&["trixie"]],
            Kernel::V6_1 => &[&["bookworm"]],
        }
    }
}

/// An unpacked kernel.
pub(crate) struct KernelFiles {
    /// An arm64 Image.
    pub(crate) image: PathBuf,
    /// `…/lib/modules/RELEASE`.
    pub(crate) modules: PathBuf,
}

/// Whether all of it is there already.
pub(crate) fn complete(kernel: Kernel) -> bool {
    kernel_home(kernel).is_dir() && userland_home().is_dir()
}

fn kernel_home(kernel: Kernel) -> PathBuf {
    packages().join(format!("kernel-{}", kernel.name()))
}

fn userland_home() -> PathBuf {
    packages().join("userland")
}

/// Finds a kernel or brings it in.
pub(crate) fn kernel(kernel: Kernel) -> Result<KernelFiles> {
    let home = kernel_home(kernel);
    if home.is_dir() {
        let files = kernel_files(&home)?;
        modules::index(&home, &files.modules)?;
        return Ok(files);
    }
    let mut tried = String::new();
    for suites in kernel.suites() {
        match fetch_kernel(kernel, suites, &home) {
            Ok(files) => return Ok(files),
            Err(error) => tried.push_str(&format!("\n  {}: {error:#}", suites[0])),
        }
    }
    bail!("no arm64 kernel {} for the virtual device was found:{tried}", kernel.name())
}

fn fetch_kernel(kernel: Kernel, suites: &[&str], home: &Path) -> Result<KernelFiles> {
    let packages = Packages {
        suites,
        names: &[&format!("linux-image-arm64/{}", suites[0])],
        // A kernel package depends on what sets a system up; only the kernel itself is wanted.
        only: &[
            "/boot/vmlinuz*",
            "/lib/modules/*/kernel/*",
            "/lib/modules/*/modules.*",
            "/usr/lib/modules/*/kernel/*",
            "/usr/lib/modules/*/modules.*",
            "/usr/lib/modules/*/vmlinuz*",
        ],
    };
    unpack(&packages, home, |partial| {
        let files = kernel_files(partial)?;
        if kernel == Kernel::Kfunc && !contains(&fs::read(&files.image)?, KFUNC) {
            bail!("its kernel lacks the wakeup-source kfuncs");
        }
        modules::index(partial, &files.modules)
    })?;
    kernel_files(home)
}

/// Older packages use `boot` and `lib`, newer ones keep everything under `usr/lib/modules`.
fn kernel_files(home: &Path) -> Result<KernelFiles> {
    let modules = ["usr/lib/modules", "lib/modules"]
        .iter()
        .find_map(|folder| list(&home.join(folder)).ok()?.into_iter().find(|path| path.is_dir()))
        .with_context(|| format!("{} has no modules", home.display()))?;
    let is_image = |path: &PathBuf| {
        path.file_name().map(OsStr::to_string_lossy).is_some_and(|name| name.starts_with("vmlinuz"))
    };
    let image = [modules.clone(), home.join("boot")]
        .iter()
        .find_map(|folder| list(folder).ok()?.into_iter().find(is_image))
        .with_context(|| format!("{} has no vmlinuz", home.display()))?;
    Ok(KernelFiles { image, modules })
}

/// adbd, busybox and their libraries, unpacked; returns the folder.
pub(crate) fn userland() -> Result<PathBuf> {
    let home = userland_home();
    if home.is_dir() {
        return Ok(home);
    }
    let packages = Packages { suites: &["trixie"], names: &["adbd", "busybox-static"], only: &[] };
    unpack(&packages, &home, |_| Ok(()))?;
    Ok(home)
}

fn packages() -> PathBuf {
    paths::vdev().join("packages")
}

/// Unpacks beside the final place and moves the folder there, so that a folder there is complete.
fn unpack(packages: &Packages, home: &Path, finish: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let partial = home.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial)
        .with_context(|| format!("{} cannot be made", partial.display()))?;
    packages.unpack(&partial)?;
    finish(&partial)?;
    fs::rename(&partial, home).with_context(|| format!("{} cannot be made", home.display()))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    // A kernel is tens of megabytes: skip quickly from one first letter to the next.
    let mut rest = haystack;
    while let Some(at) = rest.iter().position(|byte| *byte == needle[0]) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_bytes() {
        assert!(contains(b"xbpbpf_wakeup", b"bpf_"));
        assert!(contains(b"bpf_", b"bpf_"));
        assert!(!contains(b"bpf", b"bpf_"));
    }

    #[test]
    fn both_layouts_of_kernel_packages() {
        let home = std::env::temp_dir().join(format!("xtask-packages-{}", std::process::id()));
        for (modules, image) in [
            ("usr/lib/modules/7.3", "usr/lib/modules/7.3/vmlinuz"),
            ("lib/modules/6.1", "boot/vmlinuz-6.1"),
        ] {
            let _ = fs::remove_dir_all(&home);
            fs::create_dir_all(home.join(modules)).unwrap();
            fs::create_dir_all(home.join("boot")).unwrap();
            fs::write(home.join(image), "").unwrap();
            let files = kernel_files(&home).unwrap();
            assert_eq!(files.image, home.join(image));
            assert_eq!(files.modules, home.join(modules));
        }
        fs::remove_dir_all(&home).unwrap();
    }
}
