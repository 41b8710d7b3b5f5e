//! A real power supply without hardware: the battery of a keyboard that user space makes
//! (`/dev/uhid`, `drivers/hid/uhid.c`; `hidinput_setup_battery`, `drivers/hid/hid-input.c`). The
//! kernels' packages lack the module `test_power`.

use anyhow::Result;

use sleepwalk_vdev::{Device, Program};

/// `UHID_CREATE2` and `UHID_INPUT2`, `include/uapi/linux/uhid.h`.
const CREATE2: u32 = 11;
const INPUT2: u32 = 12;
/// `BUS_VIRTUAL`, `include/uapi/linux/input.h`.
const BUS: u16 = 6;

/// One key and a battery that reports its strength, 0 to 100, in a byte.
const DESCRIPTOR: [u8; 35] = [
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, // generic desktop: keyboard, application
    0x05, 0x07, 0x09, 0x04, 0x15, 0x00, 0x25, 0x01, 0x75, 0x08, 0x95, 0x01, 0x81, 0x02, // a
    0x05, 0x06, 0x09, 0x20, 0x15, 0x00, 0x25, 0x64, 0x75, 0x08, 0x95, 0x01, 0x81,
    0x02, // battery
    0xc0,
];

/// The battery; it is unplugged when this is dropped.
#[derive(Debug)]
pub struct Battery<'a> {
    device: &'a Device,
    _keyboard: Program<'a>,
    /// Its folder in sysfs.
    pub folder: String,
    /// Its name there.
    pub name: String,
}

impl<'a> Battery<'a> {
    /// Plugs it in, with so much charge.
    pub fn plug(device: &'a Device, unique: &str, percent: u8) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for (name, bytes) in [("create", create(unique)), ("keyboard.sh", SCRIPT.into())] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes)?;
            device.push(&[path])?;
        }
        device.sh("modprobe uhid; modprobe hid_generic; rm -f levels; mkfifo levels")?;
        let keyboard = device.start("sh keyboard.sh", "ready")?;
        // Later kernels append the report's number.
        let name = device.sh(&format!(
            "cd /sys/class/power_supply; n=0; until ls -d hid-{unique}-battery* 2>/dev/null; do \
             n=$((n+1)); [ $n -lt 200 ] || exit 1; sleep 0.1; done"
        ))?;
        let folder = format!("/sys/class/power_supply/{name}");
        let battery = Self { device, _keyboard: keyboard, folder, name };
        battery.set(percent)?;
        Ok(battery)
    }

    /// Gives it another charge, and waits until sysfs has it.
    pub fn set(&self, percent: u8) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(format!("level-{percent}"));
        std::fs::write(&path, input(percent))?;
        self.device.push(&[path])?;
        self.device.sh(&format!(
            "echo level-{percent} > levels; until [ \"$(cat {}/capacity)\" = {percent} ]; do \
             sleep 0.1; done",
            self.folder
        ))?;
        Ok(())
    }

    /// One of its attributes, as sysfs has it; `None` where it has none.
    pub fn attribute(&self, name: &str) -> Result<Option<String>> {
        let output = self.device.try_sh(&format!("cat {}/{name}", self.folder))?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        Ok(output.status.success().then_some(text))
    }
}

/// Each event has to come in one write.
const SCRIPT: &str = "exec 3<>/dev/uhid
dd if=create bs=8k >&3 2>/dev/null
echo ready
exec 4<>levels
while read level <&4; do dd if=$level bs=8k >&3 2>/dev/null; done
";

fn create(unique: &str) -> Vec<u8> {
    let text = |text: &str, room: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(room, 0);
        bytes
    };
    let mut event = CREATE2.to_le_bytes().to_vec();
    event.extend(text("sleepwalk e2e", 128));
    event.extend(text("", 64));
    event.extend(text(unique, 64));
    event.extend((DESCRIPTOR.len() as u16).to_le_bytes());
    event.extend(BUS.to_le_bytes());
    // Vendor, product, version, country.
    for number in [0x1209u32, 0x0001, 1, 0] {
        event.extend(number.to_le_bytes());
    }
    event.extend(DESCRIPTOR);
    event
}

fn input(percent: u8) -> Vec<u8> {
    let report = [0, percent];
    let mut event = INPUT2.to_le_bytes().to_vec();
    event.extend((report.len() as u16).to_le_bytes());
    event.extend(report);
    event
}
