//! The kernel's files about the last attempt: which interrupt woke the system, and on Android why it
//! resumed or aborted.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sleepwalk_trace::record::{REASON_ROOM, WakeReason};

/// Needs `CONFIG_PM_SLEEP_DEBUG` (`pm_wakeup_irq_show`, `kernel/power/main.c`, 7.1). It fails with ENODATA if
/// no interrupt woke the system.
const IRQ: &str = "/sys/power/pm_wakeup_irq";

/// `last_resume_reason_show`, `kernel/power/wakeup_reason.c` of Android's kernels.
const REASON: &str = "/sys/kernel/wakeup_reasons/last_resume_reason";

/// `pm_freeze_timeout_show`, `kernel/power/main.c`.
const FREEZE_TIMEOUT: &str = "/sys/power/pm_freeze_timeout";

/// The files, which stay open.
#[derive(Debug)]
pub struct WakeReasonReader {
    irq: Option<File>,
    reason: Option<File>,
    freeze_timeout: Option<File>,
}

impl WakeReasonReader {
    /// Opens the files that this kernel has.
    pub fn open() -> Self {
        Self::at(Path::new("/"))
    }

    fn at(root: &Path) -> Self {
        let open = |path: &str| File::open(root.join(path.trim_start_matches('/'))).ok();
        Self { irq: open(IRQ), reason: open(REASON), freeze_timeout: open(FREEZE_TIMEOUT) }
    }

    /// The values now; `None` if the kernel has none of the files.
    pub fn read(&self) -> Option<WakeReason> {
        let Self { irq, reason, freeze_timeout } = self;
        [irq, reason, freeze_timeout].into_iter().flatten().next()?;
        Some(WakeReason {
            irq: number(irq.as_ref()),
            reason: reason.as_ref().and_then(line).unwrap_or_default(),
            freeze_timeout_ms: number(freeze_timeout.as_ref()),
        })
    }

    /// How many values can be read. An interrupt may be missing only because none has woken the system.
    pub fn readable(&self) -> usize {
        [&self.reason, &self.freeze_timeout].into_iter().flatten().filter_map(line).count()
    }
}

fn number(file: Option<&File>) -> Option<u32> {
    std::str::from_utf8(&line(file?)?).ok()?.parse().ok()
}

/// The first bytes of a small file, without newlines at the end.
fn line(file: &File) -> Option<Vec<u8>> {
    let mut bytes = [0; REASON_ROOM];
    let length = file.read_at(&mut bytes, 0).ok()?;
    Some(bytes[..length].trim_ascii_end().to_vec())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_read_each_time_and_bounded() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(WakeReasonReader::at(root.path()).read(), None);
        let write = |path: &str, bytes: &[u8]| {
            let path = root.path().join(&path[1..]);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        write(IRQ, b"");
        write(REASON, &[b'x'; 4_000]);
        let reader = WakeReasonReader::at(root.path());
        let first = reader.read().unwrap();
        assert_eq!((first.irq, first.freeze_timeout_ms), (None, None));
        assert_eq!(first.reason, [b'x'; REASON_ROOM]);
        write(IRQ, b"57\n");
        write(REASON, b"57 rtc\xff\n58 usb\n");
        write(FREEZE_TIMEOUT, b"20000\n");
        let second = WakeReasonReader::at(root.path());
        let reason = b"57 rtc\xff\n58 usb".to_vec();
        let expected = WakeReason { irq: Some(57), reason, freeze_timeout_ms: Some(20_000) };
        assert_eq!((reader.read().unwrap().irq, second.read()), (Some(57), Some(expected)));
    }
}
