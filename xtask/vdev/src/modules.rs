//! Kernel modules: which others a module needs, as depmod finds it, and their bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{sh, system};

/// The modules that the device gets, all in one folder.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Modules {
    /// Paths below the kernel's folder of modules.
    pub(crate) files: BTreeSet<String>,
    /// By which modprobe loads what a module needs first.
    pub(crate) dep: String,
}

/// Makes `modules.dep` of an unpacked kernel if there is none: Debian's package leaves that to its
/// installation.
pub(crate) fn index(home: &Path, modules: &Path) -> Result<()> {
    if modules.join("modules.dep").is_file() {
        return Ok(());
    }
    let depmod = system::ensure("depmod", "kmod", "finds which modules a module needs")?;
    if !home.join("lib").exists() {
        // Where depmod looks.
        std::os::unix::fs::symlink("usr/lib", home.join("lib"))?;
    }
    let mut command = Command::new(depmod);
    command.arg("-b").arg(home).args(modules.file_name());
    sh::run_logged("depmod", &mut command, Duration::from_secs(300), "is the disk full?")
}

/// The named modules and all they need. One without a file is taken to be built into the kernel:
/// where it is not, modprobe reports so on the console.
pub(crate) fn closure(folder: &Path, names: &[&str]) -> Result<Modules> {
    let file = folder.join("modules.dep");
    let dep =
        fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(closure_of(&dep, names))
}

fn closure_of(dep: &str, names: &[&str]) -> Modules {
    let mut modules = Modules::default();
    for (file, needs) in dep.lines().filter_map(|line| line.split_once(':')) {
        if names.contains(&name(file).as_str()) {
            // depmod lists the indirect ones too, from the last to load to the first.
            modules
                .files
                .extend([file].into_iter().chain(needs.split_whitespace()).map(str::to_owned));
        }
    }
    for (file, needs) in dep.lines().filter_map(|line| line.split_once(':')) {
        if modules.files.contains(file) {
            let needs = needs.split_whitespace().map(|need| format!(" {}.ko", name(need)));
            modules.dep += &format!("{}.ko:{}\n", name(file), needs.collect::<String>());
        }
    }
    modules
}

/// `kernel/lib/pm-notifier-error-inject.ko.xz` → `pm_notifier_error_inject`, the kernel's own name.
pub(crate) fn name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or_default().replace('-', "_")
}

/// A module's bytes, uncompressed: an emulated processor takes long to do it.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(file).with_context(|| format!("{} cannot be read", file.display()));
    }
    let output = Command::new("xz").arg("-dc").arg(file).output().context("xz does not start")?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{} cannot be unpacked: {}", file.display(), why.trim_end());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_names_are_the_kernels() {
        assert_eq!(name("kernel/a/pm-inject.ko.xz"), "pm_inject");
        assert_eq!(name("crc16.ko"), "crc16");
    }

    #[test]
    fn needed_modules_come_along() {
        let dep = "kernel/a.ko.xz: kernel/b-c.ko.xz kernel/d.ko\nkernel/b-c.ko.xz: kernel/d.ko\n\
                   kernel/d.ko:\nkernel/other.ko: kernel/d.ko\n";
        let modules = closure_of(dep, &["a", "builtin"]);
        let files = ["kernel/a.ko.xz", "kernel/b-c.ko.xz", "kernel/d.ko"];
        assert_eq!(modules.files, files.map(str::to_owned).into());
        assert_eq!(modules.dep, "a.ko: b_c.ko d.ko\nb_c.ko: d.ko\nd.ko:\n");
    }
}
