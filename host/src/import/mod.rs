//! Reads Android's own counters: bug reports, and the output of the services and files that are in them.
//!
//! These are totals since some start. [`Import::unknown`] names the facts that they lack, and [`Import::parts`] counts
//! every line.

mod app_wakelocks;
mod difference;
mod facts;
mod files;
mod parse;
mod same_boot;
mod text;
mod unknown;

use std::path::Path;

use anyhow::{Result, bail};

pub use difference::difference;
pub use facts::{
    Abort, Alarm, AppHold, AppHolds, AppWakelock, Blocker, Device, Holder, Import, Layer, Origin,
    Part, Reason, Setting, SuspendCounts, Unknown,
};

pub use same_boot::of_the_same_boot;

use crate::fix::Fixable;
use text::Reader;

/// Reads a bug report: a zip file, a directory, or a text.
pub fn read(path: &Path) -> Result<Import> {
    let mut reader = Reader::default();
    files::each(path, &mut |name, bytes| reader.read_bytes(name, &bytes))?;
    let facts = reader.finish();
    if facts.is_empty() {
        bail!(Fixable::new(
            format!("{} has no line that Sleepwalk understands", path.display()),
            "give a bug report (adb bugreport), or the output of dumpsys suspend_control_internal, \
             dumpsys power, dumpsys alarm or dumpsys batterystats -c, or a copy of wakeup_sources",
        ));
    }
    Ok(facts.import(path))
}

/// Reads the output of `dumpsys` for a service, named with its options.
pub fn read_service(service: &str, text: &str) -> Import {
    let mut reader = Reader::default();
    reader.read_service(service, text);
    reader.finish().import(Path::new(service))
}

/// Reads one file, whose name is `name`; for fuzzing and tests.
pub fn read_bytes(name: &str, bytes: &[u8]) -> Import {
    let mut reader = Reader::default();
    reader.read_bytes(name, bytes);
    reader.finish().import(Path::new(name))
}
