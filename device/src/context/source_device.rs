//! The device behind a wakeup source, by its entry in sysfs.
//!
//! `wakeup_source_device_create` names the entry `wakeup` and the source's id, and makes it a child of the owner
//! (`drivers/base/power/wakeup_stats.c`, 5.4 to 7.3). A source without an owner is below `virtual`.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::value;

const CLASS: &str = "/sys/class/wakeup";

/// All devices.
const DEVICES: &str = "devices";

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceDevice {
    /// Its path below `/sys/devices`, which has all of its parents.
    pub path: Vec<u8>,
    /// Its driver, or that of its nearest parent with one; empty if there is none.
    pub driver: Vec<u8>,
    /// Its kind by the device tree, likewise: the most specific `compatible`.
    pub compatible: Vec<u8>,
    /// Its interrupt, if sysfs has it, as for PCI.
    pub irq: Option<u32>,
}

/// Where the entries of sources are.
#[derive(Debug)]
pub struct SourceDevices {
    class: PathBuf,
}

impl Default for SourceDevices {
    fn default() -> Self {
        Self { class: CLASS.into() }
    }
}

impl SourceDevices {
    /// The device of the source with this id and name; `None` if it has none, or another source has the id by now.
    pub fn of(&self, id: u32, name: &[u8]) -> Option<SourceDevice> {
        let entry = self.class.join(format!("wakeup{id}"));
        if value(&entry.join("name"))? != name {
            return None;
        }
        let device = fs::canonicalize(entry.join("device")).ok()?;
        let parts: Vec<_> = device.iter().collect();
        let devices = parts.iter().position(|part| *part == DEVICES)?;
        let path: PathBuf = parts[devices + 1..].iter().collect();
        // The device, then its parents.
        let chain = || device.ancestors().take(parts.len() - devices - 1);
        let driver = chain().find_map(|one| fs::read_link(one.join("driver")).ok());
        let compatible = chain().find_map(|one| fs::read(one.join("of_node/compatible")).ok());
        let irq = value(&device.join("irq")).and_then(|text| number(&text)).filter(|irq| *irq != 0);
        Some(SourceDevice {
            path: path.as_os_str().as_bytes().to_vec(),
            driver: driver
                .as_deref()
                .and_then(Path::file_name)
                .map_or(Vec::new(), |name| name.as_bytes().to_vec()),
            compatible: first(compatible.unwrap_or_default()),
            irq,
        })
    }
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// The first of the strings, each of which ends with a NUL.
fn first(strings: Vec<u8>) -> Vec<u8> {
    strings.split(|byte| *byte == 0).next().map(<[u8]>::to_vec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_source_has_its_device_and_the_parents_driver() {
        let folder = tempfile::tempdir().unwrap();
        let (class, devices) = (folder.path().join("class"), folder.path().join("devices"));
        let soc = devices.join("platform/soc");
        let (usb, rtc) = (soc.join("a600000.usb"), soc.join("pmic/rtc0"));
        for (id, device) in [(3, &usb), (4, &rtc)] {
            let entry = device.join(format!("wakeup/wakeup{id}"));
            fs::create_dir_all(&entry).unwrap();
            fs::write(entry.join("name"), format!("source{id}\n")).unwrap();
            symlink(device, entry.join("device")).unwrap();
            fs::create_dir_all(&class).unwrap();
            symlink(&entry, class.join(format!("wakeup{id}"))).unwrap();
        }
        fs::create_dir_all(usb.join("of_node")).unwrap();
        fs::write(usb.join("of_node/compatible"), b"qcom,sm8550-dwc3\0qcom,dwc3\0").unwrap();
        fs::write(usb.join("irq"), "133\n").unwrap();
        symlink("/drivers/dwc3-qcom", usb.join("driver")).unwrap();
        symlink("/drivers/qcom-pmic", soc.join("pmic/driver")).unwrap();
        let all = SourceDevices { class };
        let expected = SourceDevice {
            path: b"platform/soc/a600000.usb".to_vec(),
            driver: b"dwc3-qcom".to_vec(),
            compatible: b"qcom,sm8550-dwc3".to_vec(),
            irq: Some(133),
        };
        assert_eq!(all.of(3, b"source3"), Some(expected));
        let expected = SourceDevice {
            path: b"platform/soc/pmic/rtc0".to_vec(),
            driver: b"qcom-pmic".to_vec(),
            ..SourceDevice::default()
        };
        assert_eq!(all.of(4, b"source4"), Some(expected));
        // Another source has the id; none has it.
        assert_eq!((all.of(4, b"source3"), all.of(5, b"source5")), (None, None));
    }

    #[test]
    fn a_source_without_an_owner_has_no_device() {
        let folder = tempfile::tempdir().unwrap();
        let entry = folder.path().join("wakeup7");
        fs::create_dir_all(&entry).unwrap();
        fs::write(entry.join("name"), "modem_rx\n").unwrap();
        assert_eq!(SourceDevices { class: folder.path().into() }.of(7, b"modem_rx"), None);
    }
}
