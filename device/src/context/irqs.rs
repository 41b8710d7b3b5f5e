//! The names of interrupts, as `/sys/kernel/irq` has them (`kernel/irq/irqdesc.c`, 4.9 and later,
//! with CONFIG_SPARSE_IRQ=y, which every arm64 kernel has).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::value;

const FOLDER: &str = "/sys/kernel/irq";

/// The names of an interrupt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Irq {
    /// Its handlers, comma-separated; empty if it cannot be read.
    pub name: Vec<u8>,
    /// Its controller; likewise.
    pub chip: Vec<u8>,
}

/// The names that the trace has.
#[derive(Debug)]
pub struct Irqs {
    folder: PathBuf,
    recorded: BTreeMap<u32, Irq>,
}

impl Default for Irqs {
    fn default() -> Self {
        Self::at(FOLDER.into())
    }
}

impl Irqs {
    fn at(folder: PathBuf) -> Self {
        Self { folder, recorded: BTreeMap::new() }
    }

    /// The names of an interrupt, if they are not the ones that the trace has. The kernel may give
    /// a number to another device, so each wake looks: that is two small files, a few times per
    /// sleep.
    pub fn changed(&mut self, number: u32) -> Option<Irq> {
        let irq = read(&self.folder.join(number.to_string()));
        if self.recorded.get(&number) == Some(&irq) {
            return None;
        }
        self.recorded.insert(number, irq.clone());
        Some(irq)
    }
}

/// How many interrupts have a name on this device.
pub fn named() -> usize {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    entries.filter(|entry| !read(&entry.path()).name.is_empty()).count()
}

fn read(folder: &Path) -> Irq {
    let bytes = |name| value(&folder.join(name)).unwrap_or_default();
    Irq { name: bytes("actions"), chip: bytes("chip_name") }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_are_returned_once_and_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut irqs = Irqs::at(folder.path().into());
        assert_eq!(irqs.changed(7), Some(Irq::default()), "a wake needs a name, if an empty one");
        assert_eq!(irqs.changed(7), None);
        let irq = folder.path().join("7");
        fs::create_dir(&irq).unwrap();
        fs::write(irq.join("actions"), b"rtc,\x1b[31m\xff\n").unwrap();
        fs::write(irq.join("chip_name"), "GICv3\n").unwrap();
        let expected = Irq { name: b"rtc,\x1b[31m\xff".to_vec(), chip: b"GICv3".to_vec() };
        assert_eq!(irqs.changed(7), Some(expected));
        assert_eq!(irqs.changed(7), None);
    }
}
