//! The kernel's own count of suspend attempts: `/sys/power/suspend_stats` (`kernel/power/main.c`,
//! 5.4 and later), or before it debugfs' file of the same name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sleepwalk_trace::time::BootNanos;

use crate::clock;

const FOLDER: &str = "/sys/power/suspend_stats";
const TABLE: &str = "/sys/kernel/debug/suspend_stats";

/// The names of the files that hold no counter start with this.
const LAST: &str = "last_failed_";

/// The values of one reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Cumulative, by the kernel's name.
    pub counters: BTreeMap<String, u64>,
    /// The device of the last failure that had one.
    pub last_device: Vec<u8>,
    /// The negative errno of the last failure; 0 if there was none since boot.
    pub last_errno: i32,
    /// The step of the last failure that had one.
    pub last_step: Vec<u8>,
}

impl Stats {
    /// A counter; 0 if the kernel has none of that name.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }
}

/// The files with the values. In sysfs each value is a file, which stays open: reading it from its
/// start gives the current value (`kernfs_fop_read_iter`, `fs/kernfs/file.c`, 7.3).
#[derive(Debug)]
enum Location {
    Folder { counters: Vec<(String, File)>, device: File, errno: File, step: File },
    Table(File),
}

/// The changes since the reading before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// When they were read.
    pub at: BootNanos,
    /// The counters that changed; all of them in the first reading.
    pub counters: Vec<(String, u64)>,
    /// The device of the last failure, in the first reading or if a `failed_*` counter rose; else empty,
    /// because the kernel keeps old values.
    pub last_device: Vec<u8>,
    /// The errno of the last failure, if `fail` or a `failed_*` counter rose; else 0.
    pub last_errno: i32,
    /// The step of the last failure, under the same condition as the device.
    pub last_step: Vec<u8>,
}

/// The kernel's counts, with the values that the trace has.
#[derive(Debug)]
pub struct SuspendStatsReader {
    location: Location,
    recorded: Option<Stats>,
}

impl SuspendStatsReader {
    /// Finds and reads them.
    pub fn open() -> Result<Self> {
        let location = match folder(Path::new(FOLDER)) {
            Ok(location) => location,
            Err(error) => Location::Table(
                File::open(TABLE).with_context(|| format!("{error:#}; nor can {TABLE} be read"))?,
            ),
        };
        let mut stats = Self { location, recorded: None };
        stats.read()?;
        Ok(stats)
    }

    /// The path that they are read from.
    pub fn path(&self) -> &'static str {
        match self.location {
            Location::Folder { .. } => FOLDER,
            Location::Table(_) => TABLE,
        }
    }

    /// The values now.
    pub fn read(&mut self) -> Result<Stats> {
        match &self.location {
            Location::Folder { counters, device, errno, step } => {
                let counters = counters.iter().map(|(name, file)| {
                    let number = text(file)?.parse();
                    let number =
                        number.with_context(|| format!("{FOLDER}/{name} is not a number"))?;
                    Ok((name.clone(), number))
                });
                Ok(Stats {
                    counters: counters.collect::<Result<_>>()?,
                    last_device: text(device)?.into_bytes(),
                    last_errno: text(errno)?.parse().unwrap_or(0),
                    last_step: text(step)?.into_bytes(),
                })
            }
            Location::Table(file) => parse(&text(file)?),
        }
    }

    /// The values now, and how they differ from those of the last call; `None` if no counter
    /// changed.
    pub fn read_changes(&mut self) -> Result<(Stats, Option<Changes>)> {
        let stats = self.read()?;
        let at = clock::now().boot;
        let before = self.recorded.as_ref();
        let changed = |(name, value): &(&String, &u64)| {
            before.is_none_or(|before| before.counters.get(*name) != Some(*value))
        };
        let counters: Vec<_> = stats
            .counters
            .iter()
            .filter(changed)
            .map(|(name, value)| (name.clone(), *value))
            .collect();
        if counters.is_empty() {
            return Ok((stats, None));
        }
        let rose = |counter: fn(&str) -> bool| {
            before.is_some() && counters.iter().any(|(name, _)| counter(name))
        };
        let step_failed = rose(|name| name.starts_with("failed_"));
        let failed = step_failed || rose(|name| name == "fail");
        let shown = step_failed || before.is_none();
        let last = |bytes: &[u8]| if shown { bytes.to_vec() } else { Vec::new() };
        let changes = Changes {
            at,
            last_device: last(&stats.last_device),
            last_errno: if failed { stats.last_errno } else { 0 },
            last_step: last(&stats.last_step),
            counters,
        };
        self.recorded = Some(stats.clone());
        Ok((stats, Some(changes)))
    }
}

/// Opens every file of the folder.
fn folder(path: &Path) -> Result<Location> {
    let failed = || format!("{} cannot be read: it needs Linux 5.4 or later", path.display());
    let mut counters = Vec::new();
    for entry in fs::read_dir(path).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with(LAST) {
            continue;
        }
        let file = File::open(entry.path()).with_context(failed)?;
        // Some kernels have files here whose value depends on hardware that may be missing.
        if text(&file).is_ok_and(|text| text.parse::<u64>().is_ok()) {
            counters.push((name, file));
        }
    }
    counters.sort_by(|(a, _), (b, _)| a.cmp(b));
    let open = |name| File::open(path.join(format!("{LAST}{name}"))).with_context(failed);
    Ok(Location::Folder {
        counters,
        device: open("dev")?,
        errno: open("errno")?,
        step: open("step")?,
    })
}

/// A small file from its start, without the newline at its end.
fn text(file: &File) -> Result<String> {
    let mut bytes = vec![0; 4096];
    let mut length = 0;
    // In practice one read returns all of the table, but nothing guarantees it.
    loop {
        match file.read_at(&mut bytes[length..], length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("suspend_stats cannot be read"),
        }
    }
    let text = String::from_utf8_lossy(&bytes[..length]);
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Parses debugfs' table (`suspend_stats_show`, `kernel/power/main.c`): `name: number` lines, then
/// the last failures, one below the other, the newest first.
fn parse(table: &str) -> Result<Stats> {
    let mut stats = Stats::default();
    for line in table.lines() {
        let Some((name, value)) = line.trim_start().split_once(':') else { continue };
        let value = value.trim();
        match name.strip_prefix(LAST) {
            Some("dev") => stats.last_device = value.into(),
            Some("errno") => stats.last_errno = value.parse().unwrap_or(0),
            Some("step") => stats.last_step = value.into(),
            _ => {
                if let Ok(value) = value.parse() {
                    stats.counters.insert(name.to_owned(), value);
                }
            }
        }
    }
    ensure!(
        stats.counters.contains_key("success") && stats.counters.contains_key("fail"),
        "{TABLE} has no success and fail: report this kernel's version to Sleepwalk"
    );
    Ok(stats)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE_TEXT: &str = "success: 3\nfail: 2\nfailed_freeze: 1\nfailed_suspend: 0\nfailures:\n  \
        last_failed_dev:\talarmtimer\n\t\t\tother\n  last_failed_errno:\t-16\n\t\t\t0\n  \
        last_failed_step:\tsuspend\n\t\t\t\n";

    #[test]
    fn debugfs_table_is_parsed() {
        let stats = parse(TABLE_TEXT).unwrap();
        assert_eq!((stats.counter("success"), stats.counter("fail")), (3, 2));
        assert_eq!((stats.counters.len(), stats.counter("no such")), (4, 0));
        assert_eq!(stats.last_device, b"alarmtimer");
        assert_eq!((stats.last_errno, stats.last_step.as_slice()), (-16, &b"suspend"[..]));
        assert!(parse("failures:\n").is_err());
    }

    #[test]
    fn the_folder_is_read_each_time() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
        for (name, text) in [
            ("success", "1\n"),
            ("fail", "0\n"),
            ("failed_freeze", "0\n"),
            ("last_failed_dev", "\n"),
            ("last_failed_errno", "0\n"),
            ("last_failed_step", "\n"),
            ("odd", "no number\n"),
        ] {
            write(name, text);
        }
        let mut stats =
            SuspendStatsReader { location: folder(home.path()).unwrap(), recorded: None };
        let first = stats.read().unwrap();
        assert_eq!(first.counters.keys().collect::<Vec<_>>(), ["fail", "failed_freeze", "success"]);
        write("fail", "1\n");
        write("last_failed_errno", "-16\n");
        let second = stats.read().unwrap();
        assert_eq!((second.counter("fail"), second.last_errno), (1, -16));
        assert!(folder(&home.path().join("none")).is_err());
    }

    #[test]
    fn only_a_counted_failure_is_reported() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
        for (name, text) in [
            ("success", "1"),
            ("fail", "1"),
            ("failed_freeze", "1"),
            ("last_failed_dev", "old"),
            ("last_failed_errno", "-16"),
            ("last_failed_step", "freeze"),
        ] {
            write(name, text);
        }
        let location = folder(home.path()).unwrap();
        let mut stats = SuspendStatsReader { location, recorded: None };
        let mut changes = || stats.read_changes().unwrap().1;
        let first = changes().unwrap();
        assert_eq!(
            (first.counters.len(), first.last_errno, &first.last_device[..]),
            (3, 0, &b"old"[..])
        );
        assert_eq!(changes(), None);
        write("success", "2");
        assert_eq!(changes().unwrap().last_errno, 0);
        write("fail", "2");
        let failed = changes().unwrap();
        assert_eq!((failed.last_errno, failed.last_step.len()), (-16, 0));
        write("failed_freeze", "2");
        let step_failed = changes().unwrap();
        assert_eq!(step_failed.counters, [("failed_freeze".to_owned(), 2)]);
        assert_eq!((step_failed.last_errno, &step_failed.last_step[..]), (-16, &b"freeze"[..]));
    }
}
