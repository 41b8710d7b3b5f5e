//! The virtual device's kernels and its arm64 user land, out of Debian, unpacked under `target/`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::debian::Packages;
use crate::gki::{self, Gki};
use crate::modules;
use crate::paths::{self, list};
use crate::sh;

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
    /// Debian 11's: no `bpf_loop`, and no programs of the type syscall.
    V5_10,
    /// Shaped like the newest phones'.
    Gki7,
    /// Shaped like Android 16's before mid-2026.
    Gki6_12,
    /// The same with pages of 16 KiB.
    Gki6_12Pages16,
    /// Shaped like Android 14's.
    Gki6_1,
    /// Shaped like Android 12's, which describes no types.
    Gki5_10,
}

impl Kernel {
    /// Each of them.
    pub const ALL: [Kernel; 9] = [
        Kernel::Kfunc,
        Kernel::V6_12,
        Kernel::V6_1,
        Kernel::V5_10,
        Kernel::Gki7,
        Kernel::Gki6_12,
        Kernel::Gki6_12Pages16,
        Kernel::Gki6_1,
        Kernel::Gki5_10,
    ];

    /// As `vdev up --kernel` names it.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Kfunc => "kfunc",
            Kernel::V6_12 => "6.12",
            Kernel::V6_1 => "6.1",
            Kernel::V5_10 => "5.10",
            Kernel::Gki7 => "gki-7",
            Kernel::Gki6_12 => "gki-6.12",
            Kernel::Gki6_12Pages16 => "gki-6.12-16k",
            Kernel::Gki6_1 => "gki-6.1",
            Kernel::Gki5_10 => "gki-5.10",
        }
    }

    /// The kernel of that name.
    pub fn of_name(name: &str) -> Option<Kernel> {
        Kernel::ALL.into_iter().find(|kernel| kernel.name() == name)
    }

    /// The processor that the emulator has for it: a cortex-a72 has no pages of 16 KiB.
    pub(crate) fn processor(self) -> &'static str {
        match self {
            Kernel::Gki6_12Pages16 => "cortex-a76",
            _ => "cortex-a72",
        }
    }

    fn origin(self) -> Origin {
        let gki = |suites, source| Gki { suites, source, btf: true, page_kib: 4 };
        let gki_6_12 = gki(&["trixie"], "linux-source-6.12");
        match self {
            Kernel::Kfunc => Origin::Packaged(&[
                &["trixie-backports", "trixie"],
                &["sid"],
                &["experimental", "sid"],
            ]),
            Kernel::V6_12 => Origin::Packaged(&[&["trixie"]]),
            Kernel::V6_1 => Origin::Packaged(&[&["bookworm"]]),
            Kernel::V5_10 => Origin::Packaged(&[&["bullseye"]]),
            Kernel::Gki7 => Origin::Built(gki(&["trixie-backports", "trixie"], "linux-source")),
            Kernel::Gki6_12 => Origin::Built(gki_6_12),
            Kernel::Gki6_12Pages16 => Origin::Built(Gki { page_kib: 16, ..gki_6_12 }),
            Kernel::Gki6_1 => Origin::Built(gki(&["bookworm"], "linux-source-6.1")),
            Kernel::Gki5_10 => {
                Origin::Built(Gki { btf: false, ..gki(&["bullseye"], "linux-source-5.10") })
            }
        }
    }
}

/// Where a kernel comes from.
enum Origin {
    /// A package: where to look first, second, …; each entry is a suite and what it builds upon.
    Packaged(&'static [&'static [&'static str]]),
    /// A source that is built here.
    Built(Gki),
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
    let here = match kernel.origin() {
        Origin::Packaged(_) => kernel_home(kernel).is_dir(),
        Origin::Built(gki) => gki.built(&gki::home(kernel.name())),
    };
    here && userland_home().is_dir()
}

fn kernel_home(kernel: Kernel) -> PathBuf {
    packages().join(format!("kernel-{}", kernel.name()))
}

fn userland_home() -> PathBuf {
    packages().join("userland")
}

/// Builds a kernel that is built here, if it is not there. Other tasks need not wait for that.
pub(crate) fn build(kernel: Kernel) -> Result<()> {
    let Origin::Built(gki) = kernel.origin() else { return Ok(()) };
    let home = gki::home(kernel.name());
    let waiting = format!("waiting for another task that builds the kernel {}", kernel.name());
    let _alone = sh::lock(&home.with_file_name(format!("{}.lock", kernel.name())), Some(&waiting))?;
    if gki.built(&home) { Ok(()) } else { gki.build(&home) }
}

/// Finds a kernel or brings it in.
pub(crate) fn kernel(kernel: Kernel) -> Result<KernelFiles> {
    let (home, suites) = match kernel.origin() {
        Origin::Packaged(suites) => (kernel_home(kernel), suites),
        Origin::Built(_) => (gki::home(kernel.name()), &[][..]),
    };
    if home.is_dir() {
        let files = kernel_files(&home)?;
        modules::index(&home, &files.modules)?;
        return Ok(files);
    }
    let mut tried = String::new();
    for suites in suites {
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

/// adbd, busybox, dash and their libraries, unpacked; returns the folder.
pub(crate) fn userland() -> Result<PathBuf> {
    let home = userland_home();
    if home.is_dir() {
        return Ok(home);
    }
    // Busybox' shell runs its own programs first, whatever else has their names.
    let names = &["adbd", "busybox-static", "dash"];
    let packages = Packages { suites: &["trixie"], names, only: &[] };
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
