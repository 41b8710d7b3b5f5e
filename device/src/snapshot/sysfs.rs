//! Snapshots by the attributes in `/sys/class/wakeup` (`drivers/base/power/wakeup_stats.c`, 5.4 and
//! later).
//!
//! Each attribute is a separate file, read at a separate moment and without a lock. The attributes
//! that change with a transition are read before and after the others. If they differ, all are read
//! again, and a source that keeps changing is marked as torn.
//!
//! A source that the device's policy hides, or that cannot be read for another reason, is left out and counted:
//! the snapshot then lacks some sources, and no source counts as gone by it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use nix::libc;
use sleepwalk_trace::record::STATE_TORN;
use sleepwalk_trace::snapshot::SourceState;

use super::printed::Printed;
use super::{Key, Sample, SnapshotSource, SnapshotSummary};
use crate::clock;

const CLASS: &str = "/sys/class/wakeup";

/// The name of a source's directory starts with this; the source's id follows.
const PREFIX: &str = "wakeup";

/// After this many readings, a source counts as torn.
const TRIES: usize = 3;

/// The directory.
#[derive(Debug)]
pub struct Sysfs {
    class: PathBuf,
    capacity: u32,
    /// On sources that the last snapshot left out.
    note: Option<String>,
}

impl Sysfs {
    /// Checks that it exists.
    pub fn open(capacity: u32) -> Result<Self> {
        Self::at(CLASS.into(), capacity)
    }

    fn at(class: PathBuf, capacity: u32) -> Result<Self> {
        fs::read_dir(&class).with_context(|| {
            format!(
                "{} cannot be read: it needs Linux 5.4 or later with CONFIG_PM_SLEEP=y, and sysfs \
                 mounted",
                class.display()
            )
        })?;
        Ok(Self { class, capacity, note: None })
    }
}

impl SnapshotSource for Sysfs {
    fn name(&self) -> &'static str {
        "sysfs"
    }

    fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    fn take_snapshot(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        let started = clock::now();
        let failed = || format!("{} cannot be read", self.class.display());
        let (mut seen, mut stored) = (0, 0);
        let mut unreadable = Vec::new();
        for entry in fs::read_dir(&self.class).with_context(failed)? {
            let folder = entry.with_context(failed)?.path();
            let Some(id) = id(&folder) else { continue };
            if stored == self.capacity {
                seen += 1;
                continue;
            }
            let (name, state) = match source(&folder) {
                Ok(Some(source)) => source,
                // A source that is removed meanwhile counts as removed before.
                Ok(None) => continue,
                Err(error) => {
                    seen += 1;
                    unreadable.push(error);
                    continue;
                }
            };
            seen += 1;
            stored += 1;
            visit(&Sample {
                key: Key::Id(id),
                name_pointer: 0,
                id: Some(id),
                name: &name,
                name_cut: false,
                state,
            });
        }
        let count = unreadable.len();
        self.note = match unreadable.into_iter().next() {
            Some(error) if stored == 0 => return Err(error),
            first => {
                first.map(|e| format!("{count} of {seen} sources are left out, the first: {e:#}"))
            }
        };
        let ended = clock::now();
        Ok(SnapshotSummary {
            begin: started.boot,
            mono: started.mono(),
            end: ended.boot,
            end_mono: ended.mono(),
            seen,
            stored,
            broken: false,
            changes_only: false,
        })
    }
}

fn id(folder: &Path) -> Option<u32> {
    folder.file_name()?.to_str()?.strip_prefix(PREFIX)?.parse().ok()
}

/// Name and state; `None` if the source is gone.
fn source(folder: &Path) -> Result<Option<(Vec<u8>, SourceState)>> {
    let read = || -> io::Result<_> {
        let name = attribute(folder, "name")?;
        let mut printed = numbers(folder)?;
        for _ in 1..TRIES {
            if printed.1 {
                break;
            }
            printed = numbers(folder)?;
        }
        Ok((name, printed))
    };
    match read() {
        Ok((name, (printed, steady))) => {
            let mut state = printed.state();
            if !steady {
                state.state |= STATE_TORN;
            }
            Ok(Some((name, state)))
        }
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", folder.display())),
    }
}

/// Whether the error is due to a removed device: the file is gone, or can no longer be read
/// (`kernfs_get_active`, `fs/kernfs/file.c`, 7.3).
fn gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// The numbers, and whether they belong together.
fn numbers(folder: &Path) -> io::Result<(Printed, bool)> {
    let count = |name| number::<u64>(folder, name);
    let ms = |name| number::<i64>(folder, name);
    let transition = || -> io::Result<_> { Ok((count("active_count")?, ms("last_change_ms")?)) };
    let before = transition()?;
    let printed = Printed {
        active_count: before.0,
        last_ms: before.1,
        // In this order, time that passes between two reads is counted twice, and no counter ever
        // falls.
        active_ms: ms("active_time_ms")?,
        total_ms: ms("total_time_ms")?,
        max_ms: ms("max_time_ms")?,
        event_count: count("event_count")?,
        wakeup_count: count("wakeup_count")?,
        expire_count: count("expire_count")?,
        prevent_ms: ms("prevent_suspend_time_ms")?,
    };
    let after = transition()?;
    Ok((printed, before == after))
}

fn number<N: FromStr>(folder: &Path, name: &str) -> io::Result<N> {
    let bytes = attribute(folder, name)?;
    let number = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, format!("{name} is not a number")))
}

/// The value without the newline at its end.
fn attribute(folder: &Path, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(folder.join(name))?.read_to_end(&mut bytes)?;
    bytes.pop_if(|last| *last == b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &[u8], total: &str) {
        fs::create_dir_all(folder).unwrap();
        let attributes: [(&str, &[u8]); 10] = [
            ("name", name),
            ("active_count", b"5\n"),
            ("event_count", b"6\n"),
            ("wakeup_count", b"1\n"),
            ("expire_count", b"2\n"),
            ("active_time_ms", b"10\n"),
            ("total_time_ms", total.as_bytes()),
            ("max_time_ms", b"50\n"),
            ("last_change_ms", b"1000\n"),
            ("prevent_suspend_time_ms", b"0\n"),
        ];
        for (attribute, value) in attributes {
            fs::write(folder.join(attribute), value).unwrap();
        }
    }

    #[test]
    fn attributes_are_read_and_names_kept_exactly() {
        let class = tempfile::tempdir().unwrap();
        write(&class.path().join("wakeup7"), b"a\n\x1b[31m\xff\n\n", "110\n");
        fs::create_dir(class.path().join("wakeup8")).unwrap();
        fs::create_dir(class.path().join("other")).unwrap();
        let mut sysfs = Sysfs::at(class.path().into(), 4).unwrap();
        let mut samples = Vec::new();
        let taken =
            sysfs.take_snapshot(&mut |s| samples.push((s.key, s.name.to_vec(), s.state))).unwrap();
        assert_eq!((taken.seen, taken.stored, taken.broken), (1, 1, false));
        let [(key, name, state)] = &samples[..] else { panic!("{samples:?}") };
        assert_eq!((*key, name.as_slice()), (Key::Id(7), &b"a\n\x1b[31m\xff\n"[..]));
        assert!(state.active() && !state.torn());
        let counters = state.counters;
        assert_eq!((counters.active_count, counters.relax_count), (5, 4));
        assert_eq!((counters.total_ns, counters.last_ns), (100_000_000, 1_000_000_000));
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_counted() {
        let class = tempfile::tempdir().unwrap();
        write(&class.path().join("wakeup0"), b"a\n", "soon\n");
        write(&class.path().join("wakeup1"), b"b\n", "110\n");
        let mut sysfs = Sysfs::at(class.path().into(), 4).unwrap();
        let mut names = Vec::new();
        let taken = sysfs.take_snapshot(&mut |s| names.push(s.name.to_vec())).unwrap();
        assert_eq!((taken.seen, taken.stored, names), (2, 1, vec![b"b".to_vec()]));
        assert!(!taken.whole());
        let note = sysfs.note().unwrap();
        assert!(note.starts_with("1 of 2 sources") && note.contains("wakeup0"), "{note}");
        // Once all can be read, the note is gone.
        write(&class.path().join("wakeup0"), b"a\n", "1\n");
        assert!(sysfs.take_snapshot(&mut |_| {}).unwrap().whole());
        assert_eq!(sysfs.note(), None);
    }

    #[test]
    fn errors_name_the_file() {
        let class = tempfile::tempdir().unwrap();
        write(&class.path().join("wakeup0"), b"a\n", "soon\n");
        let error =
            Sysfs::at(class.path().into(), 4).unwrap().take_snapshot(&mut |_| {}).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("wakeup0") && text.contains("total_time_ms"), "{text}");
        assert!(Sysfs::at(class.path().join("none"), 4).is_err());
    }
}
