//! The ways in which commands become root. Each `su` reads its arguments in its own manner:
//!
//! | program | source | manner |
//! |---|---|---|
//! | AOSP | `system/extras/su/su.cpp` | `su WHO COMMAND ARGS`: the first word is a user, `-c` included |
//! | Magisk | `native/src/core/su/su.cpp` | options come first from anywhere; `-c` takes all that follows |
//! | KernelSU | `userspace/ksud/src/su.rs` | as Magisk's; an App Profile may keep capabilities back |
//! | toybox | `toys/lsb/su.c` | options from anywhere, a user's name and no number |
//!
//! The command is always one word, behind `-c` and at the end: so joining words changes nothing.

use super::call::Output;
use super::error::DeviceError;
use super::shell::quote;

/// Prints the user and the capabilities.
pub(super) const PROBE: &str = "id -u && cat /proc/self/status";

/// How commands become root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// The shell is root already.
    Shell,
    /// `su 0 sh -c`, for AOSP's. Magisk and KernelSU take it too: they find `-c`.
    SuByNumber,
    /// `su -c`, for Magisk, KernelSU and busybox.
    SuCommand,
    /// `su root sh -c`, for those that know no numbers of users.
    SuByName,
}

impl Root {
    /// The ways by `su`, the one that most programs take first.
    pub(super) const BY_SU: [Self; 3] = [Self::SuByNumber, Self::SuCommand, Self::SuByName];

    /// Its name for the user.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Shell => "the shell",
            Self::SuByNumber => "su 0",
            Self::SuCommand => "su -c",
            Self::SuByName => "su root",
        }
    }

    /// `command`, for adb's shell.
    pub(super) fn wrap(self, command: &str) -> String {
        match self {
            Self::Shell => command.to_owned(),
            Self::SuByNumber => format!("su 0 sh -c {}", quote(command)),
            Self::SuCommand => format!("su -c {}", quote(command)),
            Self::SuByName => format!("su root sh -c {}", quote(command)),
        }
    }
}

/// The result of one way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// Root, with the capabilities that the agent needs as far as is known.
    Works,
    /// User 0 with these effective capabilities, which are too few.
    Powerless(u64),
    /// Another user, or none; the text says why.
    Failed(String),
}

/// Judges the output of [`PROBE`].
pub(super) fn judge(output: &Output) -> Tried {
    // `su` may print a line of its own first.
    let user = output.stdout.lines().map(str::trim).find(|line| line.parse::<u32>().is_ok());
    match user {
        Some("0") => {}
        Some(user) => return Tried::Failed(format!("it gives user {user}")),
        None => {
            let words = output.last_words();
            let none = || format!("exit code {}, without a word", output.code);
            return Tried::Failed(if words.is_empty() { none() } else { words });
        }
    }
    match effective(&output.stdout) {
        Some(mask) if !suffices(mask) => Tried::Powerless(mask),
        _ => Tried::Works,
    }
}

/// `CapEff` of proc_pid_status(5).
fn effective(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// Whether a probe can be loaded: CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN, which includes both
/// (`include/uapi/linux/capability.h`).
fn suffices(mask: u64) -> bool {
    let has = |bit: u32| mask >> bit & 1 == 1;
    has(21) || has(38) && has(39)
}

/// The error after all ways have failed. User 0 without capabilities is nearest to a fix.
pub(super) fn failed(serial: &str, tried: &[(&str, Tried)]) -> DeviceError {
    let serial = serial.to_owned();
    let powerless = tried.iter().find_map(|(way, tried)| match tried {
        Tried::Powerless(mask) => Some((way, *mask)),
        _ => None,
    });
    if let Some((way, mask)) = powerless {
        return DeviceError::Powerless { serial, way: (*way).to_owned(), mask };
    }
    let why = tried.iter().filter_map(|(way, tried)| match tried {
        Tried::Failed(why) => Some(format!("{way}: {why}")),
        _ => None,
    });
    DeviceError::NotRoot { serial, tried: why.collect::<Vec<_>>().join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(stdout: &str) -> Tried {
        judge(&Output { stdout: stdout.to_owned(), ..Output::default() })
    }

    #[test]
    fn user_0_needs_its_capabilities() {
        assert_eq!(judged("0\nName:\tcat\nCapEff:\t000001ffffffffff\n"), Tried::Works);
        assert_eq!(judged("0\nCapEff:\t0000000000200000\n"), Tried::Works);
        assert_eq!(judged("0\nCapEff:\t000000c000000000\n"), Tried::Works);
        assert_eq!(judged("0\nCapEff:\t0000008000000000\n"), Tried::Powerless(1 << 39));
        assert_eq!(judged("0\nCapEff:\t0000000000000000\n"), Tried::Powerless(0));
        // The agent finds out for itself.
        assert_eq!(judged("0\n"), Tried::Works);
        assert_eq!(judged("WARNING: linker\n0\nCapEff:\t0000000000200000\n"), Tried::Works);
    }

    #[test]
    fn another_user_is_not_root() {
        let said = |stdout: &str, stderr: &str| {
            let (stdout, stderr) = (stdout.to_owned(), stderr.to_owned());
            judge(&Output { code: 13, stdout, stderr })
        };
        assert_eq!(said("2000\n", ""), Tried::Failed("it gives user 2000".into()));
        assert_eq!(said("", "Permission denied\n"), Tried::Failed("Permission denied".into()));
        assert_eq!(said("", ""), Tried::Failed("exit code 13, without a word".into()));
    }
}
