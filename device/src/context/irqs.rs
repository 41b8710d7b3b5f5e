//! The names of interrupts, as `/sys/kernel/irq` has them (`kernel/irq/irqdesc.c`, 4.9 and later, with
//! CONFIG_SPARSE_IRQ=y, which every arm64 kernel has).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::value;

const FOLDER: &str = "/sys/kernel/irq";

/// What an interrupt is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Irq {
    /// Its handlers, comma-separated; empty where it can't be read.
    pub name: Vec<u8>,
    /// Its controller; likewise.
    pub chip: Vec<u8>,
}

/// What was told of interrupts.
#[derive(Debug)]
pub struct Irqs {
    folder: PathBuf,
    told: BTreeMap<u32, Irq>,
}

impl Default for Irqs {
    fn default() -> Self {
        Self::at(FOLDER.into())
    }
}

impl Irqs {
    fn at(folder: PathBuf) -> Self {
        Self { folder, told: BTreeMap::new() }
    }

    /// Looks an interrupt up; `None` where it is called what it was called when it was told last. A
    /// number may be given to another device, so each wake looks: two small files, a few times a sleep.
    pub fn news(&mut self, number: u32) -> Option<Irq> {
        let irq = read(&self.folder.join(number.to_string()));
        if self.told.get(&number) == Some(&irq) {
            return None;
        }
        self.told.insert(number, irq.clone());
        Some(irq)
    }
}

/// How many interrupts have a name here.
pub fn named() -> usize {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    entries.filter(|entry| !read(&entry.path()).name.is_empty()).count()
}

fn read(folder: &Path) -> Irq {
    let text = |name| value(&folder.join(name)).unwrap_or_default();
    Irq { name: text("actions"), chip: text("chip_name") }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_name_is_told_once_and_again_when_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let mut irqs = Irqs::at(folder.path().into());
        assert_eq!(irqs.news(7), Some(Irq::default()), "a wake needs a name, if an empty one");
        assert_eq!(irqs.news(7), None);
        let irq = folder.path().join("7");
        fs::create_dir(&irq).unwrap();
        fs::write(irq.join("actions"), b"rtc,\x1b[31m\xff\n").unwrap();
        fs::write(irq.join("chip_name"), "GICv3\n").unwrap();
        let expected = Irq { name: b"rtc,\x1b[31m\xff".to_vec(), chip: b"GICv3".to_vec() };
        assert_eq!(irqs.news(7), Some(expected));
        assert_eq!(irqs.news(7), None);
    }
}
