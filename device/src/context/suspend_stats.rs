//! The kernel's own count of suspend attempts: `/sys/power/suspend_stats` (`kernel/power/main.c`, 5.4
//! and later), or before it debugfs' file of the same name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sleepwalk_trace::record::{self, Record};

use crate::clock;
use crate::journal::Journal;

const FOLDER: &str = "/sys/power/suspend_stats";
const TABLE: &str = "/sys/kernel/debug/suspend_stats";

/// What begins the names of the files that hold no counter.
const LAST: &str = "last_failed_";

/// What one reading says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Cumulative, by the kernel's name.
    pub counters: BTreeMap<String, u64>,
    /// Of the last failure that had one.
    pub last_device: Vec<u8>,
    /// Of the last failure: a negative errno; 0 where there was none since boot.
    pub last_errno: i32,
    /// Of the last failure that had one.
    pub last_step: Vec<u8>,
}

impl Stats {
    /// A counter; 0 where the kernel has none of that name.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }
}

/// Where they are read. In sysfs each value is a file, which stays open: a file of sysfs that is read
/// from its start says what holds now (`kernfs_fop_read_iter`, `fs/kernfs/file.c`, 7.3).
#[derive(Debug)]
enum Place {
    Folder { counters: Vec<(String, File)>, device: File, errno: File, step: File },
    Table(File),
}

/// The counts, and what of them was told.
#[derive(Debug)]
pub struct SuspendStats {
    place: Place,
    told: Option<Stats>,
}

impl SuspendStats {
    /// Finds and reads them.
    pub fn open() -> Result<Self> {
        let place = match folder(Path::new(FOLDER)) {
            Ok(place) => place,
            Err(error) => Place::Table(
                File::open(TABLE).with_context(|| format!("{error:#}; nor can {TABLE} be read"))?,
            ),
        };
        let mut stats = Self { place, told: None };
        stats.read()?;
        Ok(stats)
    }

    /// Where they are.
    pub fn place(&self) -> &'static str {
        match self.place {
            Place::Folder { .. } => FOLDER,
            Place::Table(_) => TABLE,
        }
    }

    /// What they say now.
    pub fn read(&mut self) -> Result<Stats> {
        match &self.place {
            Place::Folder { counters, device, errno, step } => {
                let counters = counters.iter().map(|(name, file)| {
                    let number = text(file)?.parse();
                    Ok((
                        name.clone(),
                        number.with_context(|| format!("{FOLDER}/{name} is no number"))?,
                    ))
                });
                Ok(Stats {
                    counters: counters.collect::<Result<_>>()?,
                    last_device: text(device)?.into_bytes(),
                    last_errno: text(errno)?.parse().unwrap_or(0),
                    last_step: text(step)?.into_bytes(),
                })
            }
            Place::Table(file) => parse(&text(file)?),
        }
    }

    /// Reads them and records what changed since the last time.
    pub fn record(&mut self, journal: &mut Journal) -> Result<Stats> {
        let stats = self.read()?;
        let at = clock::now().boot;
        let before = self.told.as_ref();
        let changed: Vec<_> = stats
            .counters
            .iter()
            .filter(|(name, value)| before.is_none_or(|b| b.counters.get(*name) != Some(*value)))
            .collect();
        if changed.is_empty() {
            return Ok(stats);
        }
        // The last failure is news where one was counted; else it is an old one.
        let rose = |name: &str| before.is_some() && changed.iter().any(|(n, _)| *n == name);
        let step_rose =
            before.is_some() && changed.iter().any(|(name, _)| name.starts_with("failed_"));
        let (device, step) = match step_rose {
            true => (&stats.last_device[..], &stats.last_step[..]),
            false => Default::default(),
        };
        let record = record::SuspendStats {
            last_device: journal.text(at, device),
            last_errno: if step_rose || rose("fail") { stats.last_errno } else { 0 },
            last_step: journal.text(at, step),
            counters: changed
                .iter()
                .map(|(name, value)| (journal.text(at, name.as_bytes()), **value))
                .collect(),
        };
        journal.push(at, &Record::SuspendStats(record));
        self.told = Some(stats.clone());
        Ok(stats)
    }
}

/// Opens every file of the folder.
fn folder(path: &Path) -> Result<Place> {
    let failed = || format!("{} can't be read: it needs Linux 5.4 or later", path.display());
    let mut counters = Vec::new();
    for entry in fs::read_dir(path).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with(LAST) {
            continue;
        }
        let file = File::open(entry.path()).with_context(failed)?;
        // Some hardware adds files that another lacks a value for.
        if text(&file).is_ok_and(|text| text.parse::<u64>().is_ok()) {
            counters.push((name, file));
        }
    }
    counters.sort_by(|(a, _), (b, _)| a.cmp(b));
    let open = |name| File::open(path.join(format!("{LAST}{name}"))).with_context(failed);
    Ok(Place::Folder { counters, device: open("dev")?, errno: open("errno")?, step: open("step")? })
}

/// A small file from its start, without the newline at its end.
fn text(file: &File) -> Result<String> {
    let mut bytes = vec![0; 4096];
    let mut length = 0;
    // The table comes in one piece in practice; nothing promises it.
    loop {
        match file.read_at(&mut bytes[length..], length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("suspend_stats can't be read"),
        }
    }
    let text = String::from_utf8_lossy(&bytes[..length]);
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Takes debugfs' table apart (`suspend_stats_show`, `kernel/power/main.c`): `name: number` lines, then
/// what failed last, the newest first and each below the other.
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
    fn debugfs_table_is_taken_apart() {
        let stats = parse(TABLE_TEXT).unwrap();
        assert_eq!((stats.counter("success"), stats.counter("fail")), (3, 2));
        assert_eq!((stats.counters.len(), stats.counter("no such")), (4, 0));
        assert_eq!(stats.last_device, b"alarmtimer");
        assert_eq!((stats.last_errno, stats.last_step.as_slice()), (-16, &b"suspend"[..]));
        assert!(parse("failures:\n").is_err());
    }

    #[test]
    fn the_folder_is_read_anew_each_time() {
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
        let mut stats = SuspendStats { place: folder(home.path()).unwrap(), told: None };
        let first = stats.read().unwrap();
        assert_eq!(first.counters.keys().collect::<Vec<_>>(), ["fail", "failed_freeze", "success"]);
        write("fail", "1\n");
        write("last_failed_errno", "-16\n");
        let second = stats.read().unwrap();
        assert_eq!((second.counter("fail"), second.last_errno), (1, -16));
        assert!(folder(&home.path().join("none")).is_err());
    }
}
