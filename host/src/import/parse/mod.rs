//! The parsers, each for the lines of one service or file. They take keys, not places: columns move from release to
//! release.

mod alarm;
mod batterystats;
mod kernel_log;
mod power;
mod suspend_control;
mod suspend_stats;
mod values;
mod wake_reasons;
mod wakeup_sources;

use super::facts::Facts;

/// The use of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// It is in the facts, or belongs to the layout.
    Used,
    /// It should be in the facts, but is not as documented.
    Unclear,
    /// It is of no use here.
    Skipped,
}

/// [`Read::Used`] if something was found.
fn used(found: Option<()>) -> Read {
    if found.is_some() { Read::Used } else { Read::Unclear }
}

/// Reads the lines of a part one after the other.
pub trait Parser {
    /// A line that is not blank, without its end.
    fn line(&mut self, line: &str, facts: &mut Facts) -> Read;

    /// A blank line.
    fn blank(&mut self, _line: &str) {}

    /// The part ends; returns how many of the last lines turn out to be not understood.
    fn end(&mut self) -> u64 {
        0
    }
}

/// The kinds of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `dumpsys suspend_control_internal`, and `suspend_control` of Android 11.
    SuspendControl,
    /// `dumpsys power`.
    Power,
    /// `dumpsys alarm`.
    Alarm,
    /// `dumpsys batterystats -c`.
    Batterystats,
    /// debugfs' `wakeup_sources`.
    WakeupSources,
    /// debugfs' `suspend_stats`.
    SuspendStats,
    /// dmesg.
    KernelLog,
    /// `/sys/kernel/wakeup_reasons/last_resume_reason`.
    WakeReasons,
}

impl Kind {
    /// Its parser, at the start of a part.
    pub fn parser(self) -> Box<dyn Parser> {
        match self {
            Self::SuspendControl => Box::<suspend_control::Dump>::default(),
            Self::Power => Box::<power::Dump>::default(),
            Self::Alarm => Box::<alarm::Dump>::default(),
            Self::Batterystats => Box::<batterystats::Lines>::default(),
            Self::WakeupSources => Box::<wakeup_sources::Table>::default(),
            Self::SuspendStats => Box::<suspend_stats::Counts>::default(),
            Self::KernelLog => Box::<kernel_log::Log>::default(),
            Self::WakeReasons => Box::<wake_reasons::Reasons>::default(),
        }
    }

    /// By the title of a bug report's section, or the name of a service.
    pub fn of_title(title: &str) -> Option<Self> {
        let command = title.rsplit_once(" (").map_or(title, |(_, command)| command);
        // `KERNEL LOG (dmesg)`, but not `LAST KMSG` and other logs of earlier boots.
        Some(match title {
            "suspend_control_internal" | "suspend_control" => Self::SuspendControl,
            "power" => Self::Power,
            "alarm" => Self::Alarm,
            _ if command.contains("batterystats") && command.contains(" -c") => Self::Batterystats,
            _ if command.contains("wakeup_sources") => Self::WakeupSources,
            _ if command.contains("suspend_stats") => Self::SuspendStats,
            _ if command.contains("last_resume_reason") => Self::WakeReasons,
            _ if command.starts_with("dmesg") => Self::KernelLog,
            _ if command.contains("dumpsys") => return Self::of_command(command),
            _ => return None,
        })
    }

    /// `/system/bin/dumpsys -T 10000 suspend_control_internal --wakelocks)`.
    fn of_command(command: &str) -> Option<Self> {
        let mut words = command.trim_end_matches(')').split_ascii_whitespace();
        words.find_map(|word| match word {
            "suspend_control_internal" | "suspend_control" => Some(Self::SuspendControl),
            "power" => Some(Self::Power),
            "alarm" => Some(Self::Alarm),
            _ => None,
        })
    }

    /// By the name of a file whose lines do not show it.
    pub fn of_file(name: &str) -> Option<Self> {
        name.contains("last_resume_reason").then_some(Self::WakeReasons)
    }

    /// By a line that only this kind has.
    pub fn starting(line: &str) -> Option<Self> {
        let bare = line.trim();
        let bare = bare.strip_prefix('\u{feff}').unwrap_or(bare);
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| bare.starts_with(prefix));
        Some(if wakeup_sources::is_heading(bare) {
            Self::WakeupSources
        } else if suspend_control::starts(bare) {
            Self::SuspendControl
        } else if starts(&["POWER MANAGER (", "Power Manager State:", "Wake Locks: size="]) {
            Self::Power
        } else if starts(&["Current Alarm Manager state:", "Alarm Stats:", "Top Alarms:"]) {
            Self::Alarm
        } else if batterystats::is_line(bare) {
            Self::Batterystats
        } else if suspend_stats::starts(bare) {
            Self::SuspendStats
        } else if kernel_log::stamp(bare).is_some() {
            Self::KernelLog
        } else {
            return None;
        })
    }
}
