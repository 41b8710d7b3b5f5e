//! Power supplies: what `/sys/class/power_supply` says of batteries and chargers
//! (`drivers/power/supply/power_supply_sysfs.c`).
//!
//! A fuel gauge may sit behind a slow bus and take milliseconds to answer, so a reading is stamped when
//! it was had, and there is none within [`APART_NS`] of the one before: a storm of attempts does not
//! become a storm of readings. Of a supply that says what it said before, nothing is written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sleepwalk_trace::record::{PowerSupply, Record};
use sleepwalk_trace::time::BootNanos;

use super::value;
use crate::clock;
use crate::journal::Journal;

const CLASS: &str = "/sys/class/power_supply";

/// From one reading to the next, in ns: long against a slow gauge, short against a sleep whose charge
/// is worth telling from that of the time awake.
const APART_NS: u64 = 2_000_000_000;

/// What is read of a supply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reading {
    kind: Vec<u8>,
    status: Vec<u8>,
    capacity: Option<i64>,
    charge_uah: Option<i64>,
    current_ua: Option<i64>,
    online: Option<i64>,
}

/// Why supplies are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The capture begins or ends: read whenever that is, and told even if nothing changed.
    Edge,
    /// An attempt begins or is over, or an interval went by.
    Between,
}

/// All of them, and what was told of each.
#[derive(Debug)]
pub struct Supplies {
    class: PathBuf,
    told: BTreeMap<Vec<u8>, Reading>,
    /// When the last reading was over.
    read_at: BootNanos,
}

impl Default for Supplies {
    fn default() -> Self {
        Self::at(CLASS.into())
    }
}

impl Supplies {
    fn at(class: PathBuf) -> Self {
        Self { class, told: BTreeMap::new(), read_at: BootNanos(0) }
    }

    /// Reads them, if it is time to, and records what they say.
    pub fn read(&mut self, when: When, journal: &mut Journal) {
        let fresh = clock::now().boot.since(self.read_at) < APART_NS;
        if when == When::Between && fresh {
            return;
        }
        let mut gone = self.told.clone();
        // Without the class, or without the right to see it, there are none.
        for entry in fs::read_dir(&self.class).into_iter().flatten().flatten() {
            let name = entry.file_name().as_bytes().to_vec();
            let reading = read(&entry.path());
            gone.remove(&name);
            self.tell(name, reading, when, journal);
        }
        for (name, was) in gone {
            // One that was unplugged says nothing any more, and that is told.
            self.tell(
                name.clone(),
                Reading { kind: was.kind, ..Reading::default() },
                when,
                journal,
            );
            self.told.remove(&name);
        }
        self.read_at = clock::now().boot;
    }

    fn tell(&mut self, name: Vec<u8>, reading: Reading, when: When, journal: &mut Journal) {
        if when == When::Between && self.told.get(&name) == Some(&reading) {
            return;
        }
        let at = clock::now().boot;
        let supply = PowerSupply {
            name: journal.text(at, &name),
            kind: journal.text(at, &reading.kind),
            status: journal.text(at, &reading.status),
            capacity: reading.capacity,
            charge_uah: reading.charge_uah,
            current_ua: reading.current_ua,
            online: reading.online,
        };
        journal.push(at, &Record::PowerSupply(supply));
        self.told.insert(name, reading);
    }
}

/// Name and type of each supply here, and how many values it gives.
pub fn found() -> Vec<(Vec<u8>, Vec<u8>, usize)> {
    let entries = fs::read_dir(CLASS).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .map(|entry| {
            let reading = read(&entry.path());
            let numbers =
                [reading.capacity, reading.charge_uah, reading.current_ua, reading.online];
            let given = numbers.into_iter().flatten().count()
                + usize::from(!reading.kind.is_empty())
                + usize::from(!reading.status.is_empty());
            (entry.file_name().as_bytes().to_vec(), reading.kind, given)
        })
        .collect();
    found.sort();
    found
}

/// What a supply lacks, or its driver will not say now, is none.
fn read(folder: &Path) -> Reading {
    let text = |name| value(&folder.join(name)).unwrap_or_default();
    let number = |name| std::str::from_utf8(&text(name)).ok()?.parse().ok();
    Reading {
        kind: text("type"),
        status: text("status"),
        capacity: number("capacity"),
        charge_uah: number("charge_counter"),
        current_ua: number("current_now"),
        online: number("online"),
    }
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::read::{Item, Reader};
    use sleepwalk_trace::record::StringDef;

    use super::*;

    fn write(folder: &Path, values: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, value) in values {
            fs::write(folder.join(name), value).unwrap();
        }
    }

    /// What was recorded since: name, status, capacity, online.
    fn told(journal: &mut Journal, texts: &mut BTreeMap<u32, Vec<u8>>) -> Vec<String> {
        let Some(chunk) = journal.take_chunk() else { return Vec::new() };
        let file = [&sleepwalk_trace::chunk::file_header(0)[..], &chunk].concat();
        let mut told = Vec::new();
        for item in Reader::open(&file).unwrap() {
            let Item::Record(stamped) = item else { continue };
            match stamped.record {
                Record::String(StringDef { id, bytes }) => drop(texts.insert(id, bytes)),
                Record::PowerSupply(s) => {
                    let text = |id| String::from_utf8_lossy(&texts[&id]);
                    let (name, kind, status) = (text(s.name), text(s.kind), text(s.status));
                    let numbers = [s.capacity, s.charge_uah, s.current_ua, s.online];
                    told.push(format!("{name} {kind} {status} {numbers:?}"));
                }
                other => panic!("{other:?}"),
            }
        }
        told.sort();
        told
    }

    #[test]
    fn supplies_come_change_and_go() {
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
        let (mut journal, mut texts) = (Journal::default(), BTreeMap::new());
        let mut supplies = Supplies::at(class.path().into());
        supplies.read(When::Edge, &mut journal);
        let battery_told =
            "battery Battery Charging [Some(80), Some(3000000), Some(-120000), None]";
        let usb_told = "usb USB  [None, None, None, Some(1)]";
        assert_eq!(told(&mut journal, &mut texts), [battery_told, usb_told]);

        // Too soon.
        fs::remove_dir_all(&usb).unwrap();
        supplies.read(When::Between, &mut journal);
        assert!(told(&mut journal, &mut texts).is_empty());
        supplies.read_at = BootNanos(0);
        supplies.read(When::Between, &mut journal);
        assert_eq!(told(&mut journal, &mut texts), ["usb USB  [None, None, None, None]"]);
        supplies.read_at = BootNanos(0);
        supplies.read(When::Between, &mut journal);
        assert!(told(&mut journal, &mut texts).is_empty(), "nothing changed");

        write(&usb, &[("type", "USB\n"), ("online", "1\n")]);
        supplies.read(When::Edge, &mut journal);
        assert_eq!(told(&mut journal, &mut texts), [battery_told, usb_told]);
        supplies.class = class.path().join("none");
        supplies.read(When::Edge, &mut journal);
        assert_eq!(told(&mut journal, &mut texts).len(), 2, "both are gone");
    }
}
