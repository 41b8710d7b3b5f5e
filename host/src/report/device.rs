//! The device behind a source.

use serde::Serialize;

use crate::session::decode::Model;

/// A device, as sysfs has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its path below `/sys/devices`, which has its parents.
    pub path: String,
    /// Its driver, or that of its nearest parent with one; null where there is none.
    pub driver: Option<String>,
    /// Its first `compatible` in the device tree, or that of its nearest parent with one; null likewise.
    pub compatible: Option<String>,
    /// Its interrupt, which few devices show.
    pub irq: Option<u32>,
}

impl Device {
    /// That of a source; `None` where it has none, or the trace lacks it.
    pub fn of(model: &Model, instance: u32) -> Option<Self> {
        let record = model.devices.get(&instance)?;
        let text = |id| String::from_utf8_lossy(model.text(id)).into_owned();
        let known = |id| Some(text(id)).filter(|text| !text.is_empty());
        let (driver, compatible) = (known(record.driver), known(record.compatible));
        Some(Self { path: text(record.path), driver, compatible, irq: record.irq })
    }

    /// The part of the path after the last `/`.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}
