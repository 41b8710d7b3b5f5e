//! An attempt's phases as the kernel traces them, in an instance of our own: another tracer of the
//! same in the main one is not disturbed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

const INSTANCES: &str = "/sys/kernel/tracing/instances";

/// Some attempts' worth; an instance takes as much for each CPU.
const BUFFER_KIB: &str = "64";

/// The instance, gone when this is dropped.
pub struct Phases {
    folder: PathBuf,
}

/// The phases of one attempt.
pub struct Seen(String);

impl Phases {
    /// Watches from now on.
    pub fn watch() -> Result<Phases> {
        let folder =
            PathBuf::from(format!("{INSTANCES}/sleepwalk-workload.{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| {
            format!("{folder:?} cannot be made: the scenario needs tracefs with instances")
        })?;
        let phases = Phases { folder };
        phases.write("trace_clock", "boot")?;
        phases.write("buffer_size_kb", BUFFER_KIB)?;
        phases.write("events/power/suspend_resume/enable", "1")?;
        Ok(phases)
    }

    /// Forgets what was seen.
    pub fn clear(&self) -> Result<()> {
        self.write("trace", "")
    }

    /// Everything seen since.
    pub fn seen(&self) -> Result<Seen> {
        let path = self.folder.join("trace");
        let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        Ok(Seen(text))
    }

    fn write(&self, name: &str, value: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, value).with_context(|| format!("`{value}` into {}", path.display()))
    }
}

impl Drop for Phases {
    fn drop(&mut self) {
        // The instance's files go with its folder, which only looks full.
        if let Err(error) = fs::remove_dir(&self.folder) {
            crate::event::complain(format_args!("{:?} stays behind: {error}", self.folder));
        }
    }
}

impl Seen {
    /// When that phase began, in CLOCK_BOOTTIME ns, to the µs; `None` where it did not.
    ///
    /// Lines look like ` sh-257 [000] ..... 1017.470310: suspend_resume: dpm_suspend[2] begin`.
    pub fn began_ns(&self, action: &str) -> Option<u64> {
        let mark = format!(": suspend_resume: {action}[");
        let (head, _) = self
            .0
            .lines()
            .filter(|line| line.trim_end().ends_with("] begin"))
            .find_map(|line| line.split_once(&mark))?;
        let (seconds, micros) = head.rsplit(' ').next()?.split_once('.')?;
        Some(seconds.parse::<u64>().ok()? * 1_000_000_000 + micros.parse::<u64>().ok()? * 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_phase_is_found() {
        let text = "# tracer: nop\n\
            \x20  sh-257     [000] .....  1017.470310: suspend_resume: dpm_suspend_late[2] begin\n\
            \x20  sh-257     [000] .....  1017.470309: suspend_resume: dpm_suspend[2] end\n\
            \x20  a: b-257   [000] .....  1018.000001: suspend_resume: dpm_suspend[2] begin\n";
        let seen = Seen(text.into());
        assert_eq!(seen.began_ns("dpm_suspend"), Some(1_018_000_001_000));
        assert_eq!(seen.began_ns("dpm_suspend_late"), Some(1_017_470_310_000));
        assert_eq!(seen.began_ns("machine_suspend"), None);
    }
}
