//! Power supplies: the values of batteries and chargers in `/sys/class/power_supply`
//! (`drivers/power/supply/power_supply_sysfs.c`).
//!
//! A fuel gauge may sit behind a slow bus and take milliseconds to answer. So a reading has the
//! stamp of its end, and readings are at least [`APART_NS`] apart: a storm of attempts does not
//! become a storm of readings. An unchanged power supply is not recorded again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sleepwalk_trace::time::BootNanos;

use super::value;
use crate::clock;

const CLASS: &str = "/sys/class/power_supply";

/// Nanoseconds between two readings: long compared with a slow gauge, and short compared with a
/// sleep whose charge should be counted apart from that of the time awake.
const APART_NS: u64 = 2_000_000_000;

/// The values of one power supply. A missing file, or a driver that fails now, leaves a value
/// empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// `type`.
    pub kind: Vec<u8>,
    /// `status`.
    pub status: Vec<u8>,
    /// `capacity` in per cent.
    pub capacity: Option<i64>,
    /// `charge_counter` in µAh.
    pub charge_uah: Option<i64>,
    /// `current_now` in µA.
    pub current_ua: Option<i64>,
    /// `online`.
    pub online: Option<i64>,
}

impl Reading {
    fn of(folder: &Path) -> Self {
        let bytes = |name| value(&folder.join(name)).unwrap_or_default();
        let number = |name| std::str::from_utf8(&bytes(name)).ok()?.parse().ok();
        Self {
            kind: bytes("type"),
            status: bytes("status"),
            capacity: number("capacity"),
            charge_uah: number("charge_counter"),
            current_ua: number("current_now"),
            online: number("online"),
        }
    }

    /// How many values are not empty.
    fn values(&self) -> usize {
        let numbers = [self.capacity, self.charge_uah, self.current_ua, self.online];
        numbers.into_iter().flatten().count()
            + usize::from(!self.kind.is_empty())
            + usize::from(!self.status.is_empty())
    }
}

/// A power supply that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerSupplyReading {
    /// When.
    pub at: BootNanos,
    /// Its name.
    pub name: Vec<u8>,
    /// Its values.
    pub reading: Reading,
}

/// The occasion on which power supplies are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The capture starts or ends: the values are recorded even if they are unchanged.
    CaptureEdge,
    /// An attempt is over, or an interval went by.
    Between,
}

/// All power supplies, with the values that the trace has.
#[derive(Debug)]
pub struct PowerSupplies {
    class: PathBuf,
    recorded: BTreeMap<Vec<u8>, Reading>,
    /// When the last reading was over.
    read_at: BootNanos,
}

impl Default for PowerSupplies {
    fn default() -> Self {
        Self::at(CLASS.into())
    }
}

impl PowerSupplies {
    pub(super) fn at(class: PathBuf) -> Self {
        Self { class, recorded: BTreeMap::new(), read_at: BootNanos(0) }
    }

    /// Reads them if it is time to, and returns those that have to be recorded.
    pub fn read(&mut self, when: When) -> Vec<PowerSupplyReading> {
        let just_read = clock::now().boot.since(self.read_at) < APART_NS;
        if when == When::Between && just_read {
            return Vec::new();
        }
        let mut gone = std::mem::take(&mut self.recorded);
        let mut readings = Vec::new();
        // If the class is missing or cannot be read, there are none.
        for entry in fs::read_dir(&self.class).into_iter().flatten().flatten() {
            let name = entry.file_name().as_bytes().to_vec();
            let reading = Reading::of(&entry.path());
            let before = gone.remove(&name);
            self.recorded.insert(name.clone(), reading.clone());
            if when == When::CaptureEdge || before.as_ref() != Some(&reading) {
                readings.push(PowerSupplyReading { at: clock::now().boot, name, reading });
            }
        }
        // An unplugged power supply is recorded once more, without values.
        readings.extend(gone.into_iter().map(|(name, before)| PowerSupplyReading {
            at: clock::now().boot,
            name,
            reading: Reading { kind: before.kind, ..Reading::default() },
        }));
        self.read_at = clock::now().boot;
        readings
    }
}

/// Name and type of each power supply here, and how many values it has.
pub fn available() -> Vec<(Vec<u8>, Vec<u8>, usize)> {
    let entries = fs::read_dir(CLASS).into_iter().flatten().flatten();
    let mut available: Vec<_> = entries
        .map(|entry| {
            let reading = Reading::of(&entry.path());
            let values = reading.values();
            (entry.file_name().as_bytes().to_vec(), reading.kind, values)
        })
        .collect();
    available.sort();
    available
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, values: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, value) in values {
            fs::write(folder.join(name), value).unwrap();
        }
    }

    /// Name, type, status and numbers of each, sorted.
    fn shown(readings: Vec<PowerSupplyReading>) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let one = |r: PowerSupplyReading| {
            let Reading { kind, status, capacity, charge_uah, current_ua, online } = r.reading;
            let numbers = [capacity, charge_uah, current_ua, online];
            format!("{} {} {} {numbers:?}", text(&r.name), text(&kind), text(&status))
        };
        let mut shown: Vec<_> = readings.into_iter().map(one).collect();
        shown.sort();
        shown
    }

    #[test]
    fn power_supplies_come_change_and_go() {
        let class = tempfile::tempdir().unwrap();
        let battery = class.path().join("battery");
        let charging = [
            ("type", "Battery\n"),
            ("status", "Charging\n"),
            ("capacity", "80\n"),
            ("charge_counter", "3000000\n"),
            ("current_now", "-120000\n"),
        ];
        write(&battery, &charging);
        let usb = class.path().join("usb");
        write(&usb, &[("type", "USB\n"), ("online", "1\n"), ("capacity", "many\n")]);
        let mut all = PowerSupplies::at(class.path().into());
        let battery_shown =
            "battery Battery Charging [Some(80), Some(3000000), Some(-120000), None]";
        let usb_shown = "usb USB  [None, None, None, Some(1)]";
        assert_eq!(shown(all.read(When::CaptureEdge)), [battery_shown, usb_shown]);

        // Too soon.
        fs::remove_dir_all(&usb).unwrap();
        assert!(all.read(When::Between).is_empty());
        all.read_at = BootNanos(0);
        let usb_gone = "usb USB  [None, None, None, None]";
        assert_eq!(shown(all.read(When::Between)), [usb_gone]);
        all.read_at = BootNanos(0);
        assert!(all.read(When::Between).is_empty(), "nothing changed");

        write(&usb, &[("type", "USB\n"), ("online", "1\n")]);
        assert_eq!(shown(all.read(When::CaptureEdge)), [battery_shown, usb_shown]);
        all.class = class.path().join("none");
        assert_eq!(all.read(When::CaptureEdge).len(), 2, "both are gone");
    }
}
