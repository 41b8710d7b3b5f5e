//! Kernel modules: which others a module needs, and their bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Uncompressed modules in an order in which they can be loaded, each with the names it needs.
pub struct Module {
    pub name: String,
    pub needs: Vec<String>,
    pub bytes: Vec<u8>,
}

/// The named modules and all they need. What has no file is taken to be built into the kernel:
/// where it is not, modprobe says so on the console.
pub fn closure(folder: &Path, names: &[&str]) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    index(&folder.join("kernel"), &mut files)?;
    let mut modules: Vec<Module> = Vec::new();
    let mut todo: Vec<String> = names.iter().rev().map(|name| name.replace('-', "_")).collect();
    while let Some(name) = todo.pop() {
        let Some(file) = files.get(&name) else {
            continue;
        };
        if modules.iter().any(|module| module.name == name) {
            continue;
        }
        let bytes = uncompressed(file)?;
        let mut needs = depends(&bytes);
        needs.retain(|need| files.contains_key(need));
        todo.extend(needs.iter().cloned());
        modules.push(Module { name, needs, bytes });
    }
    Ok(modules)
}

/// Lines of `modules.dep`, by which modprobe loads what is needed first.
pub fn modules_dep(modules: &[Module]) -> String {
    let mut text = String::new();
    for module in modules {
        // modprobe loads a line's files from its end; it wants the indirect ones there too.
        let mut all: Vec<&str> = Vec::new();
        let mut todo: Vec<&str> = module.needs.iter().map(String::as_str).collect();
        while let Some(name) = todo.pop() {
            // Once more, further back, when another module needs it later.
            all.retain(|other| *other != name);
            all.push(name);
            if let Some(needed) = modules.iter().find(|module| module.name == name) {
                todo.extend(needed.needs.iter().map(String::as_str));
            }
        }
        text.push_str(&format!("{}.ko:", module.name));
        for name in all {
            text.push_str(&format!(" {name}.ko"));
        }
        text.push('\n');
    }
    text
}

fn index(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            index(&entry.path(), files)?;
        } else {
            files.insert(module_name(&entry.path()), entry.path());
        }
    }
    Ok(())
}

/// `kernel/lib/pm-notifier-error-inject.ko.xz` → `pm_notifier_error_inject`, as the kernel says it.
fn module_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.split(".ko").next().unwrap_or_default().replace('-', "_")
}

/// The `depends=` entry of the module's own `.modinfo` section; Debian ships no `modules.dep`.
fn depends(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|window| window == key) else {
        return Vec::new();
    };
    let value = module[at + key.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

fn uncompressed(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(file).with_context(|| format!("{} cannot be read", file.display()));
    }
    let output = Command::new("xz")
        .arg("-dc")
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .context("xz does not start: install xz-utils")?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{} cannot be unpacked: {}", file.display(), why.trim_end());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, needs: &[&str]) -> Module {
        let needs = needs.iter().map(|need| (*need).to_owned()).collect();
        Module { name: name.to_owned(), needs, bytes: Vec::new() }
    }

    #[test]
    fn names_as_the_kernel_says_them() {
        assert_eq!(module_name(Path::new("kernel/a/pm-inject.ko.xz")), "pm_inject");
        assert_eq!(module_name(Path::new("crc16.ko")), "crc16");
    }

    #[test]
    fn depends_out_of_modinfo() {
        assert_eq!(depends(b"x\0license=GPL\0depends=jbd2,crc-16\0y"), ["jbd2", "crc_16"]);
        assert!(depends(b"\0depends=\0").is_empty());
        assert!(depends(b"none").is_empty());
        assert_eq!(depends(b"\0depends=cut"), ["cut"]);
    }

    #[test]
    fn a_dep_line_ends_with_what_is_loaded_first() {
        let modules = [module("a", &["b", "c"]), module("b", &["c"]), module("c", &[])];
        assert_eq!(modules_dep(&modules), "a.ko: b.ko c.ko\nb.ko: c.ko\nc.ko:\n");
    }

    #[test]
    fn compressed_and_plain_modules_and_their_needs() {
        let folder = std::env::temp_dir().join(format!("xtask-modules-{}", std::process::id()));
        fs::create_dir_all(folder.join("kernel/net")).unwrap();
        fs::write(folder.join("kernel/net/v-net.ko"), b"\0depends=fail,crc16,crc_builtin\0")
            .unwrap();
        fs::write(folder.join("kernel/fail.ko"), b"\0depends=\0").unwrap();
        fs::write(folder.join("kernel/crc16.ko"), b"").unwrap();
        let modules = closure(&folder, &["v-net", "builtin"]).unwrap();
        let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["v_net", "crc16", "fail"]);
        assert_eq!(modules[0].needs, ["fail", "crc16"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
