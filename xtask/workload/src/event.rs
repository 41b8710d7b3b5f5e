//! The program's stdout: one JSON object a line.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{ErrorKind, Write as _};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::clock;

/// Something that was done. Names that are not UTF-8 are printed with U+FFFD in them.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// A wakeup source is in the kernel's list.
    Born { source: &'a str },
    /// It is about to become active: the kernel's own stamp comes right after.
    Activate { source: &'a str },
    /// It has become inactive: the kernel's own stamp came right before.
    Relax { source: &'a str },
    /// It is in the list no more.
    Dead { source: &'a str },
    /// A step of the demo begins.
    Step { step: &'a str },
    /// A read of /sys/power/wakeup_count begins; it lasts while any source is active.
    WaitBegin {},
    /// That read has ended.
    WaitEnd { wait_ns: u64 },
    /// `mem` is about to be written to /sys/power/state.
    AttemptBegin { n: u32 },
    /// That write has returned: 0, or the error as the kernel returns it, such as -16 (EBUSY).
    AttemptEnd { n: u32, errno: i32, attempt_ns: u64 },
    /// The step whose count of failures in /sys/power/suspend_stats the last attempt raised.
    StepFailed { step: &'a str },
    /// An abort was tried, and never came.
    AbortMissed { source: &'a str },
    /// The demo has ended: attempts by the kernel's answer.
    Done { attempts: u32, succeeded: u32, busy: u32, other: u32 },
}

#[derive(Serialize)]
struct Line<'a> {
    t_ns: u64,
    #[serde(flatten)]
    event: Event<'a>,
}

/// Prints an event that happens now.
pub fn now(event: Event) -> Result<()> {
    at(clock::boot_ns(), event)
}

/// Prints an event that happened at the given time of CLOCK_BOOTTIME.
pub fn at(t_ns: u64, event: Event) -> Result<()> {
    line(&Line { t_ns, event })
}

/// Prints anything as one line of JSON.
pub fn line(value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string(value).context("an event is no JSON")?;
    text.push('\n');
    print(&text)
}

/// To stdout, at once; a reader that went away is no error.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("stdout"),
        _ => Ok(()),
    }
}

/// To stderr, in one piece: several of these programs may share it.
pub fn complain(text: impl Display) {
    // Even stderr may be gone.
    let _ = std::io::stderr().write_all(format!("sleepwalk-workload: {text}\n").as_bytes());
}

/// A source's name as an event can carry it.
pub fn shown(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object() {
        let line = Line { t_ns: 5, event: Event::AttemptEnd { n: 1, errno: -16, attempt_ns: 7 } };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(text, r#"{"t_ns":5,"event":"attempt_end","n":1,"errno":-16,"attempt_ns":7}"#);
        let line = Line { t_ns: 5, event: Event::WaitBegin {} };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(text, r#"{"t_ns":5,"event":"wait_begin"}"#);
    }
}
