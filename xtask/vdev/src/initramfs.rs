//! The virtual device's whole file system: a newc cpio archive that the kernel unpacks into memory.
//!
//! It is not compressed: an emulated processor takes longer to unpack than qemu to copy.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use cpio::newc;

use crate::modules;
use crate::packages::KernelFiles;
use crate::paths::list;

const INIT: &str = include_str!("init.sh");

/// Loaded at boot: the network under adb, and the power key. Then what tests load: a disk that
/// survives a power cut, a battery (that of a keyboard which a program makes), and failures of a
/// suspend on demand: in its prepare step, by a USB hub with a gadget at its port, and by a file system
/// whose server hangs.
const MODULES: [&str; 12] = [
    "virtio_pci",
    "virtio_net",
    "gpio_keys",
    "virtio_blk",
    "ext4",
    "uhid",
    "hid_generic",
    "pm_notifier_error_inject",
    "dummy_hcd",
    "usb_f_acm",
    "g_serial",
    "fuse",
];

/// Writes the archive.
///
/// The device's init loads and enforces `policy`.
pub(crate) fn write(
    kernel: &KernelFiles,
    userland: &Path,
    policy: Option<&[u8]>,
    to: &Path,
) -> Result<()> {
    let mut archive = Archive::default();
    for folder in ["proc", "sys", "dev", "tmp", "run", "data", "system", "etc", "usr"] {
        archive.folder(folder)?;
    }
    for folder in ["bin", "sbin", "lib"] {
        archive.link(folder, &format!("usr/{folder}"))?;
    }
    // Where Android programs and scripts expect a shell.
    archive.folder("system/bin")?;
    archive.link("system/bin/sh", "/usr/bin/busybox")?;
    archive.file("init", 0o755, INIT.as_bytes())?;
    archive.file("etc/passwd", 0o644, b"root:x:0:0:root:/data/local/tmp:/system/bin/sh\n")?;
    archive.file("etc/group", 0o644, b"root:x:0:\n")?;
    if let Some(policy) = policy {
        archive.file("etc/selinux-policy", 0o600, policy)?;
    }

    for folder in ["usr/bin", "usr/sbin", "usr/lib"] {
        copy(&mut archive, userland, folder)?;
    }
    add_modules(&mut archive, kernel)?;
    let bytes = archive.finish()?;
    fs::write(to, bytes).with_context(|| format!("{} cannot be written", to.display()))
}

fn add_modules(archive: &mut Archive, kernel: &KernelFiles) -> Result<()> {
    let all = &kernel.modules;
    let modules = modules::closure(all, &MODULES)?;
    let release = all.file_name().unwrap_or_default().to_string_lossy();
    let folder = format!("usr/lib/modules/{release}");
    archive.folder("usr/lib/modules")?;
    archive.folder(&folder)?;
    for file in &modules.files {
        let bytes = modules::read(&all.join(file))?;
        archive.file(&format!("{folder}/{}.ko", modules::name(file)), 0o644, &bytes)?;
    }
    archive.file(&format!("{folder}/modules.dep"), 0o644, modules.dep.as_bytes())
}

/// Copies a folder of the user land, without what only a full system uses.
fn copy(archive: &mut Archive, userland: &Path, folder: &str) -> Result<()> {
    let from = userland.join(folder);
    if !from.is_dir() {
        return Ok(());
    }
    archive.folder(folder)?;
    for path in list(&from)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let inside = format!("{folder}/{name}");
        let meta = path.symlink_metadata()?;
        if meta.is_symlink() {
            let target = fs::read_link(&path)?;
            archive.add(&inside, 0o120777, target.as_os_str().as_bytes())?;
        } else if !meta.is_dir() {
            let bytes =
                fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            archive.file(&inside, meta.permissions().mode() & 0o777, &bytes)?;
        } else if !["gconv", "systemd", "modules-load.d"].contains(&name.as_ref()) {
            copy(archive, userland, &inside)?;
        }
    }
    Ok(())
}

/// A cpio archive in the making. Parents come before their children, as the kernel wants it.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn folder(&mut self, path: &str) -> Result<()> {
        self.add(path, 0o040755, b"")
    }

    fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.add(path, 0o120777, target.as_bytes())
    }

    fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        self.add(path, 0o100000 | mode, bytes)
    }

    fn add(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        use std::io::Write;
        // The kernel takes equal inode numbers for hard links.
        self.entries += 1;
        let size = u32::try_from(bytes.len()).with_context(|| format!("{path} is too large"))?;
        let builder = newc::Builder::new(path).ino(self.entries).mode(mode).nlink(1);
        let mut writer = builder.write(&mut self.bytes, size);
        writer.write_all(bytes).and_then(|()| writer.finish()).with_context(|| path.to_owned())?;
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>> {
        newc::trailer(self.bytes).context("the archive cannot be ended")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn an_archive_reads_back() {
        let mut archive = Archive::default();
        archive.folder("etc").unwrap();
        archive.link("lib", "usr/lib").unwrap();
        archive.file("etc/hi", 0o755, b"hello").unwrap();
        let bytes = archive.finish().unwrap();

        let mut rest = bytes.as_slice();
        let mut seen = Vec::new();
        loop {
            let mut reader = newc::Reader::new(rest).unwrap();
            let entry = reader.entry().clone();
            if entry.is_trailer() {
                break;
            }
            let mut data = String::new();
            reader.read_to_string(&mut data).unwrap();
            rest = reader.finish().unwrap();
            seen.push((entry.name().to_owned(), entry.mode(), entry.ino(), data));
        }
        let expected = [
            ("etc", 0o040755, 1, ""),
            ("lib", 0o120777, 2, "usr/lib"),
            ("etc/hi", 0o100755, 3, "hello"),
        ];
        let expected = expected.map(|(n, m, i, d)| (n.to_owned(), m, i, d.to_owned()));
        assert_eq!(seen, expected);
    }
}
