//! Kernels shaped like those of phones: built from Debian's kernel sources with a configuration after
//! GKI's, where it decides what the agent can do.
//!
//! As `gki_defconfig` (`arch/arm64/configs`, android12-5.10 to android16-6.12): no function tracer, data
//! symbols in kallsyms, BTF (none in android12-5.10), only the BPF JIT and no interpreter, autosleep and
//! wakelocks of user space, SELinux, cgroups of memory and of the freezer. All that the virtual device
//! needs is built in. Modules are what the tests load, as in Debian's kernels; and the tests compare with
//! ftrace, which has the returns of system calls. The rest is left out: a build takes minutes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::debian::Packages;
use crate::paths::{self, list};
use crate::{parts, sh, system};

/// The configuration that they share.
const COMMON: &str = include_str!("gki.config");

/// The folder's record of what its kernel was built from.
const CONFIGURATION: &str = "configuration";

/// A busy machine of two cores takes 12 minutes.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// The programs of the build: each with its Debian package.
const TOOLS: [(&str, &str); 6] = [
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    ("make", "make"),
    ("bc", "bc"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("pahole", "pahole"),
];

/// Where a kernel's source comes from, and how it differs from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gki {
    /// The suite, and what it builds upon.
    pub(crate) suites: &'static [&'static str],
    /// The package of the source.
    pub(crate) source: &'static str,
    /// Whether the kernel describes its types: android12-5.10 does not.
    pub(crate) btf: bool,
    /// The size of a page, in KiB: 4, or 16 as on some devices since Android 15.
    pub(crate) page_kib: u8,
}

impl Gki {
    fn configuration(self) -> String {
        let btf = if self.btf {
            "CONFIG_DEBUG_INFO_DWARF4=y\nCONFIG_DEBUG_INFO_BTF=y\n"
        } else {
            "CONFIG_DEBUG_INFO_NONE=y\n"
        };
        let pages = match self.page_kib {
            16 => "CONFIG_ARM64_16K_PAGES=y\nCONFIG_ARM64_VA_BITS_47=y\n",
            _ => "CONFIG_ARM64_4K_PAGES=y\nCONFIG_ARM64_VA_BITS_39=y\n",
        };
        format!("{COMMON}{pages}{btf}")
    }

    /// Whether `home` has the kernel of this configuration.
    pub(crate) fn built(self, home: &Path) -> bool {
        fs::read_to_string(home.join(CONFIGURATION))
            .is_ok_and(|built| built == self.configuration())
    }

    /// Builds the kernel into the folder `home`.
    pub(crate) fn build(self, home: &Path) -> Result<()> {
        install_tools()?;
        let name = home.file_name().unwrap_or_default().to_string_lossy();
        let partial = home.with_file_name(format!("{name}.partial"));
        let work = home.with_file_name(format!("{name}.build"));
        for folder in [&partial, &work] {
            let _ = fs::remove_dir_all(folder);
            fs::create_dir_all(folder)
                .with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        let source = self.unpack_source(&work)?;
        self.make(home, &source, &partial)?;
        let boot = partial.join("boot");
        fs::create_dir_all(&boot)?;
        fs::copy(source.join("arch/arm64/boot/Image"), boot.join("vmlinuz"))
            .context("the kernel's build left no Image")?;
        fs::write(partial.join(CONFIGURATION), self.configuration())?;
        fs::remove_dir_all(&work)?;
        let _ = fs::remove_dir_all(home);
        fs::rename(&partial, home).with_context(|| format!("{} cannot be made", home.display()))
    }

    /// The unpacked tree.
    fn unpack_source(self, work: &Path) -> Result<PathBuf> {
        let package = work.join("package");
        let name = format!("{}/{}", self.source, self.suites[0]);
        Packages { suites: self.suites, names: &[&name], only: &["/usr/src/*"] }
            .unpack(&package)?;
        let is_archive = |path: &PathBuf| path.to_string_lossy().ends_with(".tar.xz");
        let archive = list(&package.join("usr/src"))?.into_iter().find(is_archive);
        let archive = archive.with_context(|| format!("{} has no archive", self.source))?;
        let tree = work.join("tree");
        fs::create_dir(&tree)?;
        let mut tar = Command::new("tar");
        tar.arg("-xJf").arg(&archive).arg("-C").arg(&tree).arg("--strip-components=1");
        sh::run_logged("tar-kernel", &mut tar, sh::LONG, "is the disk full?")?;
        fs::remove_dir_all(&package)?;
        Ok(tree)
    }

    fn make(self, home: &Path, source: &Path, partial: &Path) -> Result<()> {
        let started = Instant::now();
        let fragment = source.with_file_name("fragment");
        fs::write(&fragment, self.configuration())?;
        let name = home.file_name().unwrap_or_default().to_string_lossy();
        let make = |log: &str, arguments: &[&str]| {
            let mut make = Command::new("make");
            make.current_dir(source)
                .args(["ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-"])
                .args(arguments)
                .env("KCONFIG_ALLCONFIG", &fragment)
                .env("KBUILD_BUILD_USER", "sleepwalk")
                .env("KBUILD_BUILD_HOST", "sleepwalk");
            sh::run_logged(
                &format!("{log}-{name}"),
                &mut make,
                LIMIT,
                "the compiler's message is below",
            )
        };
        make("config", &["allnoconfig"])?;
        self.check(&fs::read_to_string(source.join(".config"))?)?;
        sh::progress(format!("{name}: building, which takes some minutes"));
        let jobs = available_parallelism().map_or(1, std::num::NonZero::get);
        make("build", &[&format!("-j{jobs}"), "Image", "modules"])?;
        let into = format!("INSTALL_MOD_PATH={}", partial.display());
        // depmod runs later, as for Debian's kernels.
        make("modules", &[&into, "INSTALL_MOD_STRIP=1", "DEPMOD=true", "modules_install"])?;
        sh::progress(format!("{name}: built in {} s", started.elapsed().as_secs()));
        Ok(())
    }

    /// Kconfig drops an option whose dependencies are missing without a word.
    fn check(self, made: &str) -> Result<()> {
        let mut needed = vec![
            "CONFIG_KALLSYMS_ALL=y",
            "CONFIG_BPF_JIT_ALWAYS_ON=y",
            "CONFIG_BPF_EVENTS=y",
            "CONFIG_KPROBES=y",
            "CONFIG_PM_WAKELOCKS=y",
            "CONFIG_PM_AUTOSLEEP=y",
            "CONFIG_SECURITY_SELINUX=y",
            "CONFIG_MEMCG=y",
            "CONFIG_CGROUP_FREEZER=y",
            "CONFIG_PM_NOTIFIER_ERROR_INJECT=m",
            "CONFIG_USB_DUMMY_HCD=m",
            "CONFIG_USB_G_SERIAL=m",
            "CONFIG_FUSE_FS=m",
        ];
        needed.extend(self.btf.then_some("CONFIG_DEBUG_INFO_BTF=y"));
        needed.extend((self.page_kib == 16).then_some("CONFIG_ARM64_16K_PAGES=y"));
        for option in needed {
            ensure!(
                made.lines().any(|line| line == option),
                "{} has no {option} with this configuration: compare with its Kconfig",
                self.source
            );
        }
        ensure!(
            !made.contains("CONFIG_FUNCTION_TRACER=y"),
            "a phone's kernel has no function tracer, and {} has one",
            self.source
        );
        Ok(())
    }
}

fn install_tools() -> Result<()> {
    let _alone = parts::alone()?;
    for (program, package) in TOOLS {
        system::ensure(program, package, "builds a kernel for the virtual device")?;
    }
    // Headers of the host, for the programs that sign and that write BTF.
    for (header, package) in
        [("openssl/ssl.h", "libssl-dev"), ("gelf.h", "libelf-dev"), ("zlib.h", "zlib1g-dev")]
    {
        if !Path::new("/usr/include").join(header).is_file() {
            system::install(&[package], "builds a kernel for the virtual device")?;
        }
    }
    Ok(())
}

/// Where the kernel `name` is kept.
pub(crate) fn home(name: &str) -> PathBuf {
    paths::vdev().join("kernels").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIKE_A_PHONE: Gki =
        Gki { suites: &["bookworm"], source: "linux-source-6.1", btf: true, page_kib: 4 };

    #[test]
    fn a_configuration_lacks_nothing_that_it_asked_for() {
        let asked = LIKE_A_PHONE.configuration();
        assert!(LIKE_A_PHONE.check(&asked).is_ok());
        let lacks = asked.replace("CONFIG_KALLSYMS_ALL=y", "# CONFIG_KALLSYMS_ALL is not set");
        let error = LIKE_A_PHONE.check(&lacks).unwrap_err().to_string();
        assert!(error.contains("CONFIG_KALLSYMS_ALL"), "{error}");
        let traced = asked.replace("CONFIG_FUNCTION_TRACER=n", "CONFIG_FUNCTION_TRACER=y");
        assert!(LIKE_A_PHONE.check(&traced).is_err());
        let large = Gki { page_kib: 16, ..LIKE_A_PHONE };
        assert!(large.check(&asked).is_err() && large.check(&large.configuration()).is_ok());
    }

    #[test]
    fn another_configuration_is_built_again() {
        let home = tempfile::tempdir().unwrap();
        assert!(!LIKE_A_PHONE.built(home.path()));
        fs::write(home.path().join(CONFIGURATION), LIKE_A_PHONE.configuration()).unwrap();
        assert!(LIKE_A_PHONE.built(home.path()));
        assert!(!Gki { btf: false, ..LIKE_A_PHONE }.built(home.path()));
    }
}
